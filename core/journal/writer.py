"""Writing what happens to the journal in batches, one after the other, and never on the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import TypeVar

from core.errors import HomeUnusableError
from core.journal.queue import PendingRows
from core.journal.rows import Batch
from core.journal.store import Store

__all__ = ["Writer"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_GATHER = 0.05  # seconds between the first row that waits and its commit
_PRUNE_EVERY = 1000  # rows
_FIRST_RETRY = 1.0  # seconds
_LAST_RETRY = 30.0
_TOLD_EVERY = 60.0  # seconds between two warnings that rows are missing


class Writer:
    """Takes rows from `pending` to `store` on `thread`; lives on the loop that is running.

    One batch is on its way at a time. One that fails waits again, and is tried after a while that
    grows; the first failure in a row is told through `trouble`. Between batches it removes what is
    too old, a step at a time.
    """

    def __init__(self, store: Store, thread: Executor, trouble: Callable[[str], None]) -> None:
        self.pending = PendingRows()
        self._store = store
        self._thread = thread
        self._trouble = trouble
        self._loop = asyncio.get_running_loop()
        self._writing: Future[int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[bool]] = []
        self._retry_after = 0.0
        self._pruning = False
        self._since_prune = 0
        self._told = float("-inf")
        self._stopped = False

    def write_soon(self) -> None:
        """There are rows to write: now if they make a batch, else in a moment."""
        if self._writing is not None or self._stopped:
            return
        if self.pending.full_batch and not self._retry_after:
            self._write_now()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._retry_after or _GATHER, self._write_now)

    async def flush(self) -> bool:
        """Write what waits now. False where the store would not take it."""
        # what is recorded from now on is not waited for: there may be no end to it
        batches = self.pending.batches + 2
        while (self.pending or self._writing) and batches:
            waiter: asyncio.Future[bool] = self._loop.create_future()
            self._waiters.append(waiter)
            self._write_now()
            if not await waiter:
                return False
            batches -= 1
        return True

    async def stop(self) -> None:
        """Write all that waits, once, and then do nothing more. What cannot be written is lost."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while await self.flush() and self.pending:
            pass
        if self.pending:
            _log.error("%s: %d rows could not be written", self._store.path, len(self.pending))
            self.pending.clear()

    def prune(self) -> None:
        """Begin to remove what is too old or too much."""
        if self._pruning or self._stopped:
            return
        self._pruning = True
        self._since_prune = 0
        self._submit(self._store.prune, self._pruned)

    def failed(self, error: BaseException) -> None:
        """Something could not be written: tell it, unless that has been done, and wait longer."""
        if not self._retry_after:
            path = self._store.path
            detail = str(error) if isinstance(error, HomeUnusableError) else f"{path} cannot be used: {error!r}"
            self._trouble(f"{detail}. What happens is kept in memory for now, as far as there is room.")
        self._retry_after = min(max(self._retry_after * 2, _FIRST_RETRY), _LAST_RETRY)

    def _submit(self, function: Callable[[], _T], then: Callable[[Future[_T]], None]) -> Future[_T]:
        future = self._thread.submit(function)

        def back_on_loop(done: Future[_T]) -> None:
            # a loop that was closed without closing the journal has nobody left to tell
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(then, done)

        future.add_done_callback(back_on_loop)
        return future

    def _write_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None:
            batch = self.pending.take()
            self._writing = self._submit(lambda: self._store.write(batch), lambda done: self._written(batch, done))

    def _written(self, batch: Batch, done: Future[int]) -> None:
        self._writing = None
        waiters, self._waiters = self._waiters, []
        error = done.exception()
        if error is None:
            self._worked(batch.rows, done.result())
        else:
            self.pending.put_back(batch)
            self.failed(error)
        if self.pending:
            self.write_soon()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(error is None)

    def _worked(self, rows: int, refused: int) -> None:
        if self._retry_after:
            self._retry_after = 0.0
            _log.info("%s is written again", self._store.path)
        if refused:
            self.pending.count_refused(refused)
        if self.pending.dropped and time.monotonic() - self._told > _TOLD_EVERY:
            self._told = time.monotonic()
            events, others = self.pending.take_dropped()
            missing = f"{events:,} events and {others:,} other rows"
            self._trouble(f"{missing} are missing from {self._store.path}: it could not take them, or not fast enough.")
        self._since_prune += rows
        if self._since_prune >= _PRUNE_EVERY:
            self.prune()

    def _pruned(self, done: Future[bool]) -> None:
        self._pruning = False
        error = done.exception()
        if error is not None:
            _log.warning("old rows could not be removed from %s: %s", self._store.path, error)
        elif done.result():
            self.prune()
