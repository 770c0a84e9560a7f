"""Starts coroutines from slots: one place that holds them, hears their errors and cancels them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from PySide6.QtCore import QObject, Signal

from core.errors import LambdaRuntimeError

__all__ = ["Tasks"]

_log = logging.getLogger(__name__)


class Tasks(QObject):
    """Keeps every task that the window starts until it ends.

    `failed(what, error)` is emitted once for each that ended in an exception: `what` says in words
    what was being done ("Launch sample-echo").
    """

    failed = Signal(str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, what: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` on the loop; its error, if any, is reported under `what`."""
        task = asyncio.get_running_loop().create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if not isinstance(error, LambdaRuntimeError):
            _log.error("%s failed", task.get_name(), exc_info=error)
        self.failed.emit(task.get_name(), error)

    async def cancel_all(self) -> None:
        """Cancel what still runs (but not the caller) and wait until it has ended."""
        current = asyncio.current_task()
        rest = [task for task in self._tasks if task is not current]
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest)
