"""SQLite: functions, invocation history, events, saved events, owners and what they started.

What happens is queued and written in batches on one thread of the journal's own, so that neither
an invocation nor the window ever waits for a disk. Functions, owners and the start of an instance
are written before the call returns.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from core.errors import HomeUnusableError, RuntimeClosedError
from core.journal_queue import PendingRows
from core.journal_records import (
    InvocationRecord,
    SavedEvent,
    StoredEvent,
    StoredFunction,
    StoredInstance,
    StoredOwner,
)
from core.journal_store import Batch, Limits, Store

__all__ = [
    "InvocationRecord",
    "Journal",
    "SavedEvent",
    "StoredEvent",
    "StoredFunction",
    "StoredInstance",
    "StoredOwner",
]

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_GATHER = 0.05  # seconds between the first row that waits and its commit
_PRUNE_EVERY = 1000  # rows
_FIRST_RETRY = 1.0
_LAST_RETRY = 30.0
_EVENT_BYTES = 65_536
_DISK_BYTES = 1024 * 1024 * 1024


class Journal:
    """One home's journal. Made by `open`; its methods are called on the loop that opened it.

    A disk that is full or fails is told once through `on_trouble`; what happens meanwhile waits
    within bounds and is written when that is possible again. What a person does by hand (adding a
    function, saving an event) raises HomeUnusableError instead. After `close`, what is recorded
    is passed over and everything else raises RuntimeClosedError.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], None] | None) -> None:
        self.path = path
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stoker-journal")
        self._store: Store | None = None
        self._pending = PendingRows()
        self._writing: Future[int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[bool]] = []
        self._retry_after = 0.0
        self._pruning: Future[bool] | None = None
        self._since_prune = 0
        self._dropped_told = float("-inf")
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        history_limit: int = 10_000,
        history_days: float = 30.0,
        on_trouble: Callable[[str], None] | None = None,
        disk_limit: int = _DISK_BYTES,
    ) -> Journal:
        """Open or make the journal at `path`.

        Kept are the last `history_limit` invocations (and ten times as many events) of the last
        `history_days`; beyond `disk_limit` bytes the oldest lose their payloads and responses.
        `on_trouble` is called on the loop with a sentence for a person. A damaged file is moved
        aside and a new one begun, which is told the same way.
        Raises JournalTooNewError (nothing is touched) and HomeUnusableError.
        """
        journal = cls(path, on_trouble)
        limits = Limits(history_limit, history_days, disk_limit)
        try:
            await asyncio.wrap_future(journal._thread.submit(journal._open_store, limits))
        except BaseException:
            # also when cancelled: the thread closes what it has opened by then, and ends
            journal._thread.submit(journal._close_store)
            journal._thread.shutdown(wait=False)
            raise
        for message in journal._opened.news:
            journal._trouble(message)
        journal._start_pruning()
        return journal

    async def close(self) -> None:
        """Write what waits, close the file and end the thread. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def flush(self) -> bool:
        """Write what waits now. False where the disk would not take it (which has been told)."""
        # what is recorded from now on is not waited for: there may be no end to it
        batches = self._pending.batches + 2
        while (self._pending or self._writing) and self._store is not None and batches:
            waiter: asyncio.Future[bool] = self._loop.create_future()
            self._waiters.append(waiter)
            self._write_now()
            if not await waiter:
                return False
            batches -= 1
        return True

    # --- functions

    async def put_function(
        self, name: str, definition_json: str, code_digest: str | None, layer_digests: Sequence[str]
    ) -> None:
        """Keep a function, or its new definition. Survives a power cut once this returns."""
        await self._call(self._opened.put_function, name, definition_json, code_digest, tuple(layer_digests))

    async def remove_function(self, name: str) -> None:
        """Forget a function and its saved events. Its history stays."""
        await self._call(self._opened.remove_function, name)

    async def functions(self) -> list[StoredFunction]:
        """All functions, by name."""
        return await self._call(self._opened.functions)

    # --- owners and instances

    async def put_owner(self, owner_id: str) -> None:
        """Note that this Stoker works here from now on."""
        await self._call(self._opened.put_owner, owner_id)

    async def end_owner(self, owner_id: str) -> None:
        """Note that an owner has ended and nothing of its is left."""
        await self._call(self._opened.end_owner, owner_id)

    async def owners(self) -> list[StoredOwner]:
        """All owners that are remembered, oldest first, with how many of their instances are not ended."""
        await self.flush()
        return await self._call(self._opened.owners)

    async def put_instance(
        self, instance_id: str, owner_id: str, function_name: str, backend: str, deploy_id: str
    ) -> None:
        """Note an instance before it is created. Survives a kill once this returns.

        A disk that is full does not stop a launch: the row is then written later, and what the
        engine was labelled with must do for a reap.
        """
        row = (instance_id, owner_id, function_name, backend, deploy_id, time.time())
        try:
            await self._call(self._opened.put_instance, row)
        except HomeUnusableError as error:
            self._failed(error)
            self._pending.add_instance(row)
            self._write_soon()

    def end_instance(self, instance_id: str, reason: str, exit_code: int | None = None) -> None:
        """Note an instance's end; written soon."""
        self._record(self._pending.add_ending, (time.time(), reason, exit_code, instance_id))

    async def instances_of_dead(self, owner_ids: Collection[str]) -> list[StoredInstance]:
        """The instances of these owners whose end was never written, oldest first."""
        await self.flush()
        return await self._call(self._opened.instances_of, tuple(owner_ids))

    # --- events and history

    def record_event(self, kind: str, payload: Mapping[str, object], wall: float | None = None) -> None:
        """Keep an event; written soon. Environments are left out of it at any depth."""
        self._record(self._pending.add_event, (time.time() if wall is None else wall, kind, _as_json(payload)))

    def record_invocation(self, record: InvocationRecord) -> None:
        """Keep an invocation that has ended; written soon."""
        self._record(self._pending.add_invocation, record)

    async def invocations(
        self,
        function_name: str | None = None,
        limit: int = 200,
        before_wall: float | None = None,
        *,
        bodies: bool = True,
    ) -> list[InvocationRecord]:
        """The last invocations, newest first; `bodies=False` leaves payloads and responses out."""
        await self.flush()
        return await self._call(self._opened.invocations, function_name, limit, before_wall, bodies)

    async def invocation(self, request_id: str) -> InvocationRecord | None:
        """The last invocation of this request id."""
        await self.flush()
        return await self._call(self._opened.invocation, request_id)

    async def events(self, limit: int = 200, kind: str | None = None) -> list[StoredEvent]:
        """The last events, newest first."""
        await self.flush()
        return await self._call(self._opened.events, limit, kind)

    async def event_count(self) -> int:
        """How many events are kept."""
        await self.flush()
        return await self._call(self._opened.event_count)

    # --- saved events and notes

    async def saved_events(self, function_name: str) -> list[SavedEvent]:
        """The saved events of a function, by title."""
        return await self._call(self._opened.saved_events, function_name)

    async def save_event(self, function_name: str, title: str, payload: str) -> None:
        """Keep a payload under a title, in place of what had that title. Raises FunctionNotFoundError."""
        await self._call(self._opened.save_event, function_name, title, payload)

    async def delete_event(self, function_name: str, title: str) -> None:
        """Forget a saved event; one that is not there is success."""
        await self._call(self._opened.delete_event, function_name, title)

    async def get_meta(self, key: str) -> str | None:
        """What `set_meta` kept under `key`."""
        return await self._call(self._opened.get_meta, key)

    async def set_meta(self, key: str, value: str) -> None:
        """Keep one small fact about this home."""
        await self._call(self._opened.set_meta, key, value)

    # --- the thread

    @property
    def _opened(self) -> Store:
        if self._store is None or self._closing is not None:
            raise RuntimeClosedError("the journal is closed")
        return self._store

    def _open_store(self, limits: Limits) -> None:
        self._store = Store(self.path, limits)

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        # wrap_future and not run_in_executor: the same on asyncio and on qasync
        return await asyncio.wrap_future(self._thread.submit(function, *args, **kwargs))

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while await self.flush() and self._pending:
            pass
        if self._pending:
            _log.error("%s: %d rows could not be written", self.path, len(self._pending))
            self._pending.clear()
        try:
            await self._call(self._close_store)
        finally:
            self._thread.shutdown()

    # --- writing, one batch at a time

    def _record(self, add: Callable[[_T], None], row: _T) -> None:
        if self._closing is not None:
            return
        add(row)
        self._write_soon()

    def _write_soon(self) -> None:
        if self._writing is not None:
            return
        if self._pending.full_batch and not self._retry_after:
            self._write_now()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._retry_after or _GATHER, self._write_now)

    def _write_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None or self._store is None:
            return
        batch = self._pending.take()
        self._writing = self._thread.submit(self._store.write, batch)
        self._writing.add_done_callback(lambda done: self._back_on_loop(self._written, batch, done))

    def _back_on_loop(self, callback: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
        # a loop that was closed without closing the journal has nobody left to tell
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: callback(*args, **kwargs))

    def _written(self, batch: Batch, done: Future[int]) -> None:
        self._writing = None
        waiters, self._waiters = self._waiters, []
        error = done.exception()
        if error is None:
            self._worked(batch.rows, done.result())
        else:
            self._pending.put_back(batch)
            self._failed(error)
        if self._pending and self._closing is None:
            self._write_soon()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(error is None)

    def _worked(self, rows: int, refused: int) -> None:
        if self._retry_after:
            self._retry_after = 0.0
            _log.info("%s is written again", self.path)
        events, invocations = self._pending.dropped_events, self._pending.dropped_invocations
        if (events or invocations or refused) and time.monotonic() - self._dropped_told > 60.0:
            self._dropped_told = time.monotonic()
            self._pending.take_dropped()
            text = f"{events:,} events and {invocations + refused:,} invocations"
            self._trouble(f"{text} are missing from {self.path.name}: they came faster than it could be written.")
        self._since_prune += rows
        if self._since_prune >= _PRUNE_EVERY:
            self._start_pruning()

    def _failed(self, error: BaseException) -> None:
        if not self._retry_after:
            detail = str(error) if isinstance(error, HomeUnusableError) else f"{self.path} cannot be used: {error!r}"
            self._trouble(f"{detail}. What happens is kept in memory for now, as far as there is room.")
        self._retry_after = min(max(self._retry_after * 2, _FIRST_RETRY), _LAST_RETRY)

    def _trouble(self, message: str) -> None:
        _log.warning("%s", message)
        if self._on_trouble is not None:
            try:
                self._on_trouble(message)
            except Exception:
                _log.exception("on_trouble failed")

    # --- retention, in steps between which others are served

    def _start_pruning(self) -> None:
        if self._pruning is None and self._store is not None and self._closing is None:
            self._since_prune = 0
            self._pruning = self._thread.submit(self._store.prune)
            self._pruning.add_done_callback(lambda done: self._back_on_loop(self._pruned, done))

    def _pruned(self, done: Future[bool]) -> None:
        self._pruning = None
        error = done.exception()
        if error is not None:
            _log.warning("old rows could not be removed from %s: %s", self.path, error)
        elif done.result():
            self._start_pruning()


def _as_json(payload: Mapping[str, object]) -> str:
    try:
        text = json.dumps(payload, default=str, separators=(",", ":"))
        if '"environment"' in text:
            text = json.dumps(_without_environment(json.loads(text)), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"not_recorded": repr(error)[:200]})
    return text if len(text) <= _EVENT_BYTES else json.dumps({"not_recorded": f"too large ({len(text):,} bytes)"})


def _without_environment(value: object) -> object:
    """Environments hold secrets and belong into the functions table only."""
    match value:
        case dict():
            return {key: _without_environment(item) for key, item in value.items() if key != "environment"}
        case list():
            return [_without_environment(item) for item in value]
        case _:
            return value
