"""Telling a person what went wrong with queued events: once, and not for each of thousands."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.events import Event, Trouble

__all__ = ["Troubles"]

_TOLD_EVERY = 60.0


class Troubles:
    """Publishes a Trouble, unless one of the same key was published in the last minute; those are counted."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def tell(self, key: str, message: str) -> None:
        """Tell it, or count it."""
        now = time.monotonic()
        if now - self._told.get(key, float("-inf")) < _TOLD_EVERY:
            self._untold[key] = self._untold.get(key, 0) + 1
            return
        for old in [each for each, at in self._told.items() if now - at >= _TOLD_EVERY and each not in self._untold]:
            del self._told[old]
        self._told[key] = now
        if more := self._untold.pop(key, 0):
            message = f"{message} ({more:,} more like it were not told)"
        self._publish(Trouble(about="event queue", message=message))
