"""SQLite: functions, invocation history, events, saved events, owners and what they started.

What happens is queued and written in batches on one thread of the journal's own, so that neither
an invocation nor the window ever waits for a disk. Functions, owners and the start of an instance
are written before the call returns.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from core.errors import HomeUnusableError, RuntimeClosedError
from core.journal.event_json import as_json
from core.journal.records import (
    InvocationRecord,
    QueuedEvent,
    QueuedHead,
    SavedEvent,
    StoredEvent,
    StoredFunction,
    StoredInstance,
    StoredOwner,
    StoredResource,
)
from core.journal.retention import Limits
from core.journal.rows import EventFacts, ready, weight_of
from core.journal.store import Store
from core.journal.writer import Writer

__all__ = ["Journal"]

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_DISK_BYTES = 1024 * 1024 * 1024


class Journal:
    """One home's journal. Made by `open`; its methods are called on the loop that opened it.

    A disk that is full or fails is told once through `on_trouble`; what happens meanwhile waits
    within bounds and is written when that is possible again. What a person does by hand (adding a
    function, saving an event) raises HomeUnusableError instead. After `close`, what is recorded
    is passed over and everything else raises RuntimeClosedError.

    `news` is what opening had to tell (a damaged file was set aside), for whoever listens later.
    """

    def __init__(self, store: Store, thread: ThreadPoolExecutor, trouble: Callable[[str], None]) -> None:
        self.path = store.path
        self.news = tuple(store.news)
        self._store = store
        self._thread = thread
        self._writer = Writer(store, thread, trouble)
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
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stoker-journal")
        opening = thread.submit(Store, path, Limits(history_limit, history_days, disk_limit))
        try:
            store = await asyncio.wrap_future(opening)
        except BaseException:
            # also when cancelled: the thread closes what it has opened by then, and ends
            thread.submit(_close_opened, opening)
            thread.shutdown(wait=False)
            raise
        trouble = _teller(on_trouble)
        for message in store.news:
            trouble(message)
        journal = cls(store, thread, trouble)
        journal._writer.prune()
        return journal

    async def close(self) -> None:
        """Write what waits, close the file and end the thread. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def flush(self) -> bool:
        """Write what waits now. False where the disk would not take it (which has been told)."""
        return True if self._closing is not None else await self._writer.flush()

    # --- functions

    async def put_function(
        self, name: str, definition_json: str, code_digest: str | None, layer_digests: Sequence[str]
    ) -> float:
        """Keep a function, or its new definition; returns when. Survives a power cut once this returns."""
        return await self._call(self._opened.put_function, name, definition_json, code_digest, tuple(layer_digests))

    async def remove_functions(self, names: Sequence[str], resources: Sequence[tuple[str, str, str]] = ()) -> None:
        """Forget functions with their saved events, and these resources, in one step. Their history stays."""
        await self._call(self._opened.remove_functions, tuple(names), tuple(resources))

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
            self._writer.failed(error)
            self._record(self._writer.pending.add_instance, row)

    def end_instance(self, instance_id: str, reason: str, exit_code: int | None = None) -> None:
        """Note an instance's end; written soon."""
        self._record(self._writer.pending.add_ending, (time.time(), reason, exit_code, instance_id))

    async def instances_of_dead(self, owner_ids: Collection[str]) -> list[StoredInstance]:
        """The instances of these owners whose end was never written, oldest first."""
        await self.flush()
        return await self._call(self._opened.instances_of, tuple(owner_ids))

    # --- events and history

    def record_event(self, kind: str, payload: Mapping[str, object], wall: float | None = None) -> None:
        """Keep an event; written soon. Environments are left out of it at any depth."""
        facts: EventFacts = (time.time() if wall is None else wall, kind, as_json(payload))
        self._record(self._writer.pending.add_event, (len(facts[2]), ready, facts))

    def record_invocation(self, record: InvocationRecord) -> None:
        """Keep an invocation that has ended; written soon."""
        self._record(self._writer.pending.add_invocation, (weight_of(record), ready, record))

    def draft_event(self, weight: int, facts: Callable[[_T], EventFacts], event: _T) -> None:
        """As `record_event`, but `facts(event)` are made when they are written, in the journal's thread.

        So that costs the loop next to nothing, and `event` must not change any more. `weight` is about
        how many bytes it keeps in memory until then. An event whose facts raise is left out and counted.
        """
        self._record(self._writer.pending.add_event, (weight, facts, event))

    def draft_invocation(self, weight: int, record: Callable[[_T], InvocationRecord], ended: _T) -> None:
        """As `record_invocation`, but `record(ended)` is made when it is written; see `draft_event`."""
        self._record(self._writer.pending.add_invocation, (weight, record, ended))

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

    # --- resources and queued events

    async def put_resource(self, kind: str, name: str, qualifier: str, document: str) -> float:
        """Keep a small JSON document under these three; returns when. Survives a power cut once this returns."""
        return await self._call(self._opened.put_resource, kind, name, qualifier, document)

    async def remove_resources(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """Forget the documents of these kinds, names and qualifiers, all or none."""
        await self._call(self._opened.remove_resources, tuple(keys))

    async def resources(self) -> list[StoredResource]:
        """All documents."""
        return await self._call(self._opened.resources)

    async def put_queued_event(self, event: QueuedEvent) -> None:
        """Keep an event that was accepted. Survives a kill once this returns."""
        await self._call(self._opened.put_queued_event, event)

    async def put_back_queued_event(self, request_id: str, attempts: int, due_wall: float) -> None:
        """Note how often an event was tried, and when it is due again."""
        await self._call(self._opened.put_back_queued_event, request_id, attempts, due_wall)

    async def remove_queued_events(self, request_ids: Sequence[str], instead: QueuedEvent | None = None) -> None:
        """Forget events that were delivered or given up; `instead` is kept in their place, in the same step."""
        await self._call(self._opened.remove_queued_events, tuple(request_ids), instead)

    async def queued_events(self) -> list[QueuedHead]:
        """All events that wait, oldest first, without their payloads."""
        return await self._call(self._opened.queued_events)

    async def queued_payload(self, request_id: str) -> bytes | None:
        """The payload of an event that waits; None where it waits no more."""
        return await self._call(self._opened.queued_payload, request_id)

    # --- the thread

    @property
    def _opened(self) -> Store:
        if self._closing is not None:
            raise RuntimeClosedError("the journal is closed")
        return self._store

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        # wrap_future and not run_in_executor: the same on asyncio and on qasync
        return await asyncio.wrap_future(self._thread.submit(function, *args, **kwargs))

    async def _close(self) -> None:
        try:
            await self._writer.stop()
            await self._call(self._store.close)
        finally:
            self._thread.shutdown()

    def _record(self, add: Callable[[_T], None], row: _T) -> None:
        if self._closing is None:
            add(row)
            self._writer.write_soon()


def _close_opened(opening: Future[Store]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _teller(on_trouble: Callable[[str], None] | None) -> Callable[[str], None]:
    def tell(message: str) -> None:
        _log.warning("%s", message)
        if on_trouble is not None:
            try:
                on_trouble(message)
            except Exception:
                _log.exception("on_trouble failed")

    return tell
