"""A timer for what is awaited often and is late hardly ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["LazyTimer"]


class LazyTimer:
    """Calls back when its time has come, unless it was set anew or stopped before.

    Setting and stopping it leaves the loop's own timer alone where that rings no later: it is wound
    again when it rings. A timer of the loop for each of thousands of quick requests would cost more.
    """

    __slots__ = ("_at", "_callback", "_due", "_timer")

    def __init__(self) -> None:
        self._timer: asyncio.Handle | None = None
        self._at = 0.0  # when that rings
        self._due: float | None = None
        self._callback: Callable[[], None] | None = None

    def set(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback` in so many seconds, and not what was to be called before."""
        loop = asyncio.get_running_loop()
        due = self._due = loop.time() + seconds
        self._callback = callback
        if self._timer is not None:
            if self._at <= due:
                return
            self._timer.cancel()
        self._at = due
        self._timer = loop.call_at(due, self._rings)

    def stop(self) -> None:
        """Call nothing."""
        self._due = self._callback = None

    def close(self) -> None:
        """The same, and give the loop's timer back."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rings(self) -> None:
        due, self._timer = self._due, None
        if due is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < due:
            self._at = due
            self._timer = loop.call_at(due, self._rings)
            return
        callback, self._callback, self._due = self._callback, None, None
        if callback is not None:
            callback()
