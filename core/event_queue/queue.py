"""The queue of events: accepts them, has them delivered, and settles each one.

Every event is in the journal from before `put` returns until it is settled, so that a kill loses
none; one whose delivery a kill cut short is delivered again, as may happen on Lambda too.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html and
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import re
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from core.errors import (
    FunctionNotFoundError,
    InvalidRequestError,
    RequestTooLargeError,
    RuntimeClosedError,
    TooManyRequestsError,
)
from core.event_queue.delivery import MAX_EVENT, SLICE, Delivery
from core.event_queue.entries import Entries, Entry, PendingEvent
from core.event_queue.policy import refusal_delay
from core.event_queue.schedule import Schedule
from core.event_queue.troubles import Troubles
from core.events import Event, EventQueued, FunctionRemoved
from core.journal import QueuedEvent
from core.names import LATEST, Target, split_key

if TYPE_CHECKING:
    from core.event_queue.serving import Serving
    from core.journal import QueuedHead

__all__ = ["MAX_EVENT", "MAX_QUEUED", "MAX_QUEUED_BYTES", "EventQueue"]

MAX_QUEUED = 100_000
"""Events that may wait in one home."""

MAX_QUEUED_BYTES = 512 * 1024 * 1024
"""Bytes of their payloads: half of the disk from which on the journal lets go of its history's bodies."""

_log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class EventQueue:
    """Delivers queued events, tries again as Lambda does, and tells destinations.

    At most as many deliveries of a function are under way as it may have instances. Each is an
    invocation like any other, with the event's request id at every attempt.
    """

    def __init__(self, runtime: Serving) -> None:
        self._runtime = runtime
        self._entries = Entries()
        self._troubles = Troubles(runtime.events.publish)
        self._delivery = Delivery(runtime, self._entries, self._troubles, self._taken_in)
        self._schedule = Schedule(self._begin, self._at_once, runtime.settings.instance_budget)
        self._running: set[asyncio.Task[Any]] = set()
        self._stopped = False
        self._unsubscribe: Callable[[], None] = runtime.events.subscribe(self._hear, FunctionRemoved)

    def __len__(self) -> int:
        """How many events are not settled."""
        return len(self._entries)

    def waiting(self, name: str | None = None) -> int:
        """How many events wait, of one function or of all; those that are being delivered do not."""
        return self._entries.waiting(name)

    def pending(self, name: str | None = None, limit: int = 1_000) -> list[PendingEvent]:
        """The events that wait, of one function or of all: those that are due first, at most `limit`."""
        now = asyncio.get_running_loop().time()
        entries = self._entries if name is None else self._entries.of(name)
        waiting = (entry for entry in entries if entry.began is None)
        return [
            PendingEvent(
                request_id=entry.request_id,
                function_name=entry.target.name,
                qualifier=entry.target.qualifier,
                source=entry.source,
                size=entry.size,
                attempts=entry.attempts,
                due_in=max(0.0, entry.due - now),
            )
            for entry in heapq.nsmallest(limit, waiting, key=lambda entry: (entry.due, entry.sequence))
        ]

    async def start(self) -> None:
        """Go on with what an earlier start left. Raises HomeUnusableError."""
        unknown: dict[str, list[str]] = {}
        for number, head in enumerate(await self._runtime.journal.queued_events(), 1):
            target = Target(head.function_name, head.qualifier)
            try:
                self._runtime.function(self._runtime.registry.resolve(target))
            except FunctionNotFoundError as error:
                unknown.setdefault(str(error), []).append(head.request_id)
            else:
                entry = self._restored(head, target)
                self._entries.add(entry)
                self._schedule.add(entry)
            if not number % SLICE:
                await asyncio.sleep(0)
        for error_text, ids in unknown.items():
            await self._runtime.journal.remove_queued_events(ids)
            what = f"queued event {ids[0]}" if len(ids) == 1 else f"{len(ids):,} queued events"
            self._runtime.news.append(f"{what} will not be delivered: {error_text}")
        # not before whoever opened the home has had a chance to subscribe
        asyncio.get_running_loop().call_soon(self._schedule.run_all)

    async def put(
        self,
        target: Target,
        payload: bytes,
        *,
        source: str = "api",
        request_id: str | None = None,
    ) -> str:
        """Accept an event; it survives a kill once this returns. Returns its request id.

        There is no client context: Lambda hands it to functions in synchronous invocations only.
        Cancelling the call does not take the event back.
        Raises FunctionNotFoundError, RequestTooLargeError, InvalidRequestError, TooManyRequestsError
        where too many wait already, RuntimeClosedError, HomeUnusableError.
        Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        """
        if self._stopped:
            raise RuntimeClosedError("Stoker is closing and takes no more events")
        self._runtime.function(self._runtime.registry.resolve(target))
        if len(payload) > MAX_EVENT:
            raise RequestTooLargeError(target.name, len(payload), MAX_EVENT)
        if request_id is not None:
            self._check_request_id(request_id)
        if len(self._entries) >= MAX_QUEUED or self._entries.bytes + len(payload) > MAX_QUEUED_BYTES:
            waiting = f"{len(self._entries):,} events with {self._entries.bytes:,} bytes wait already"
            raise TooManyRequestsError(target.name, waiting)
        wall = time.time()
        event = QueuedEvent(
            request_id=request_id or str(uuid.uuid4()),
            function_name=target.name,
            qualifier=target.qualifier,
            payload=payload,
            client_context=None,
            source=source,
            queued_wall=wall,
            attempts=0,
            due_wall=wall,
        )
        entry = self._new(event)
        self._entries.add(entry)
        # shielded: what the journal's thread has begun cannot be taken back
        await asyncio.shield(self._spawn(self._accept(entry, event), f"accept {event.request_id}"))
        return event.request_id

    async def forget(self, request_id: str) -> bool:
        """Take an event out of the queue; False where there is none of this id.

        A delivery that is under way goes on, but is the last. Raises HomeUnusableError.
        """
        entry = self._entries.get(request_id)
        return entry is not None and await self._take_out([entry]) == 1

    async def purge(self, name: str) -> int:
        """Take all events of a function out of the queue; returns how many.

        Raises HomeUnusableError, and has taken out some of them then.
        """
        return await self._take_out(self._entries.of(name))

    def stop(self) -> None:
        """Begin no further delivery, and accept nothing more. What waits stays in the journal."""
        self._stopped = True
        self._delivery.closing = True
        self._schedule.stop()

    async def close(self) -> None:
        """Wait for what is being delivered to be put back or done."""
        self.stop()
        self._unsubscribe()
        while self._running:
            await asyncio.wait(self._running)

    # --- accepting

    async def _accept(self, entry: Entry, event: QueuedEvent) -> None:
        try:
            await self._runtime.journal.put_queued_event(event)
        except BaseException:
            self._entries.remove(entry)
            raise
        if entry.dropped:
            # its function went meanwhile, and what removed its events may have come too early for this one
            await self._runtime.journal.remove_queued_events([entry.request_id])
        else:
            self._queue(entry)

    def _taken_in(self, event: QueuedEvent) -> None:
        """It is in the journal already."""
        entry = self._new(event)
        self._entries.add(entry)
        self._queue(entry)

    def _queue(self, entry: Entry) -> None:
        self._runtime.events.publish(
            EventQueued(request_id=entry.request_id, function_name=entry.target.name, qualifier=entry.target.qualifier)
        )
        self._schedule.add(entry)
        self._schedule.run(entry)

    def _new(self, event: QueuedEvent) -> Entry:
        now = asyncio.get_running_loop().time()
        return Entry(
            request_id=event.request_id,
            target=Target(event.function_name, event.qualifier),
            source=event.source,
            size=len(event.payload),
            accepted=now,
            known=now,
            due=now,
        )

    def _restored(self, head: QueuedHead, target: Target) -> Entry:
        now, wall = asyncio.get_running_loop().time(), time.time()
        # the clock may have been set since, or the delay: none waits longer than it would after an attempt now
        longest = 2 * self._runtime.settings.async_retry_delay
        return Entry(
            request_id=head.request_id,
            target=target,
            source=head.source,
            size=head.size,
            accepted=now - max(0.0, wall - head.queued_wall),
            known=now,
            due=now + min(max(0.0, head.due_wall - wall), longest),
            attempts=head.attempts,
        )

    def _check_request_id(self, request_id: str) -> None:
        if not _REQUEST_ID.fullmatch(request_id):
            raise InvalidRequestError("request_id", request_id, "must be 1 to 128 letters, digits, and any of . _ -")
        if request_id in self._entries:
            raise InvalidRequestError("request_id", request_id, "an event of this id is queued: choose another")

    # --- delivering

    def _at_once(self, target: Target) -> int:
        """How many deliveries may be under way: no more than there can be instances for."""
        runtime, settings = self._runtime, self._runtime.settings
        try:
            function = runtime.function(runtime.registry.resolve(target))
        except FunctionNotFoundError:
            return 1
        most = min(function.max_instances or settings.max_instances, settings.instance_budget)
        reserved = runtime.registry.most_at_once(target.name)
        return max(1, most if reserved is None else min(most, reserved))

    def _begin(self, entry: Entry) -> None:
        self._entries.began(entry, asyncio.get_running_loop().time())
        self._spawn(self._deliver(entry), f"deliver {entry.request_id}")

    async def _deliver(self, entry: Entry) -> None:
        reached: bool | None = False
        try:
            reached = await self._delivery.carry_out(entry)
        except Exception as error:
            _log.exception("the delivery of event %s failed", entry.request_id)
            self._troubles.tell("failed", f"event {entry.request_id} could not be delivered: {error!r}")
            entry.refusals += 1
            entry.due = asyncio.get_running_loop().time() + refusal_delay(entry.refusals)
        finally:
            if not entry.dropped:
                self._schedule.add(entry)
            began = entry.began or 0.0
            self._entries.ended(entry)
            self._schedule.ended(entry, began, reached=reached)

    # --- taking out

    async def _take_out(self, entries: list[Entry]) -> int:
        taken = 0
        for start in range(0, len(entries), SLICE):
            some = [entry for entry in entries[start : start + SLICE] if not entry.dropped]
            await self._runtime.journal.remove_queued_events([entry.request_id for entry in some])
            taken += self._delivery.let_go(some)
        self._schedule.discard_dropped()
        return taken

    def _hear(self, event: Event) -> None:
        if not isinstance(event, FunctionRemoved):
            return
        name, version = split_key(event.function_name)
        entries = self._entries.of(name)
        if version != LATEST:
            entries = [entry for entry in entries if entry.target.qualifier == version]
        if entries:
            self._spawn(self._drop(entries, f"{event.function_name} was removed"), f"drop events of {name}")

    async def _drop(self, entries: list[Entry], why: str) -> None:
        await self._delivery.drop(entries, why)
        self._schedule.discard_dropped()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task
