"""What becomes of an event whose time has come: settled, or put back for later."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.errors import FunctionNotFoundError, HomeUnusableError, InvalidRequestError, RuntimeClosedError
from core.event_queue.attempt import Attempt, attempt
from core.event_queue.entries import Entries, Entry, Settlement
from core.event_queue.policy import EVENT_AGE_EXCEEDED, SUCCESS, ZERO_RESERVED, Policy, refusal_delay
from core.event_queue.record import Response, depth_of, destination_source, invocation_record
from core.events import EventReturned, EventSettled
from core.journal import QueuedEvent
from core.names import parse_function

if TYPE_CHECKING:
    from core.event_queue.serving import Serving
    from core.event_queue.troubles import Troubles

__all__ = ["DROPPED", "MAX_EVENT", "SLICE", "Delivery"]

MAX_EVENT = 1024 * 1024
"""Bytes of an event that Lambda takes to deliver it later.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

DROPPED = "Dropped"

_LONGEST_CHAIN = 16
"""So many invocations may follow from one another by destinations, as on Lambda.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

SLICE = 500
"""So many events are dealt with in one turn of the loop, and in one step of the journal."""


class Delivery:
    """Delivers events, any number of them side by side. `accepted` takes in what a destination is told."""

    def __init__(
        self, runtime: Serving, entries: Entries, troubles: Troubles, accepted: Callable[[QueuedEvent], None]
    ) -> None:
        self._runtime = runtime
        self._entries = entries
        self._troubles = troubles
        self._accepted = accepted
        self.closing = False

    async def carry_out(self, entry: Entry) -> bool | None:
        """Deliver it. Where it is not `dropped` afterwards, it goes again when it is `due`.

        Returns whether the function got it; None where that was not tried.
        """
        if entry.settlement is not None:
            return await self._settle(entry, entry.settlement)
        runtime, loop = self._runtime, asyncio.get_running_loop()
        policy = Policy(runtime.registry, entry.target)
        try:
            payload = await runtime.journal.queued_payload(entry.request_id)
        except HomeUnusableError as error:
            return self._refused_by_disk(entry, error)
        if entry.dropped:
            return None
        if payload is None:
            await self.drop([entry], "it is no longer in the journal")
            return None
        if policy.forbidden:
            return await self._end(entry, policy, ZERO_RESERVED, payload)
        if entry.age(loop.time()) > policy.max_age:
            return await self._end(entry, policy, EVENT_AGE_EXCEEDED, payload)
        try:
            made = await attempt(runtime, entry, payload, MAX_EVENT if policy.on_success or policy.on_failure else 0)
        except FunctionNotFoundError as error:
            await self.drop([entry], str(error))
            return None
        except RuntimeClosedError:
            if not self.closing:
                raise
            return None
        if entry.dropped or (self.closing and (made.cancelled or not made.reached)):
            return None  # what Stoker's own closing cut short is delivered at the next start
        entry.tried = True
        await self._conclude(entry, policy, payload, made)
        return made.reached

    async def drop(self, entries: Sequence[Entry], why: str) -> None:
        """Give events of one function up without telling any destination, and tell the person."""
        dropped = [entry for entry in entries if self._entries.remove(entry)]
        if not dropped:
            return
        name = dropped[0].target.name
        what = f"event {dropped[0].request_id}" if len(dropped) == 1 else f"{len(dropped):,} events"
        self._troubles.tell(f"dropped {name}", f"{what} for {name} will not be delivered: {why}")
        for start in range(0, len(dropped), SLICE):
            some = dropped[start : start + SLICE]
            for entry in some:
                self._publish_settled(entry, DROPPED)
            try:
                await self._runtime.journal.remove_queued_events([entry.request_id for entry in some])
            except HomeUnusableError as error:
                self._troubles.tell("journal", f"dropped events are still in the journal: {error}")

    def let_go(self, entries: Sequence[Entry]) -> int:
        """The journal has forgotten these events; returns how many were not settled before."""
        dropped = [entry for entry in entries if self._entries.remove(entry)]
        for entry in dropped:
            self._publish_settled(entry, DROPPED)
        return len(dropped)

    async def _conclude(self, entry: Entry, policy: Policy, payload: bytes, made: Attempt) -> None:
        """Settle it or put it back, after an attempt."""
        now = asyncio.get_running_loop().time()
        verdict: float | str
        if not made.reached:
            entry.refusals += 1
            verdict = policy.after_refusal(entry.refusals, entry.age(now))
        else:
            entry.refusals = 0
            entry.attempts += 1
            verdict = SUCCESS
            if made.problem is not None:
                delay = self._runtime.settings.async_retry_delay
                verdict = policy.after_failure(entry.attempts, entry.age(now), delay)
        if isinstance(verdict, str):
            await self._end(entry, policy, verdict, payload, made.response)
            return
        entry.due = now + verdict
        if made.reached:
            # a restart may well try at once what could not be brought to the function
            try:
                await self._runtime.journal.put_back_queued_event(
                    entry.request_id, entry.attempts, time.time() + verdict
                )
            except HomeUnusableError as error:
                self._troubles.tell("journal", f"attempts cannot be noted, and may be made again: {error}")
        if not entry.dropped:
            self._runtime.events.publish(
                EventReturned(
                    request_id=entry.request_id,
                    function_name=entry.target.name,
                    qualifier=entry.target.qualifier,
                    attempts=entry.attempts,
                    due_in=verdict,
                    reason=made.problem or "",
                )
            )

    async def _end(
        self, entry: Entry, policy: Policy, outcome: str, payload: bytes, response: Response | None = None
    ) -> bool | None:
        arn = policy.destination(outcome)
        instead = None if arn is None else self._told(entry, arn, outcome, payload, response)
        return await self._settle(entry, Settlement(outcome, instead))

    async def _settle(self, entry: Entry, settlement: Settlement) -> bool | None:
        """Take it out of the journal, and put its destination's event there, in one step."""
        if entry.dropped:
            return None
        try:
            await self._runtime.journal.remove_queued_events([entry.request_id], settlement.instead)
        except HomeUnusableError as error:
            entry.settlement = settlement
            return self._refused_by_disk(entry, error)
        if self._entries.remove(entry):
            self._publish_settled(entry, settlement.outcome)
        if settlement.instead is not None:
            self._accepted(settlement.instead)
        return None

    def _refused_by_disk(self, entry: Entry, error: HomeUnusableError) -> bool:
        self._troubles.tell("journal", f"queued events cannot be delivered for now: {error}")
        entry.refusals += 1
        entry.due = asyncio.get_running_loop().time() + refusal_delay(entry.refusals)
        return False

    def _told(
        self, entry: Entry, arn: str, outcome: str, payload: bytes, response: Response | None
    ) -> QueuedEvent | None:
        """The event for a destination; None where it cannot be sent, which a person is told."""
        name = entry.target.name
        depth = depth_of(entry.source) + 1
        try:
            target = parse_function(arn)
            self._runtime.function(self._runtime.registry.resolve(target))
        except (InvalidRequestError, FunctionNotFoundError) as error:
            problem = f"only functions of this home can be told: {error}"
        else:
            wall = time.time()
            # a delivery that did not reach the function is counted too, as far as it was the last
            reached = response is None or response.payload is not None
            record = invocation_record(
                wall=wall,
                request_id=entry.request_id,
                target=entry.target,
                condition=outcome,
                invoke_count=entry.attempts if reached else entry.attempts + 1,
                request=payload,
                response=response,
            )
            if depth >= _LONGEST_CHAIN:
                problem = f"it would be the invocation after {_LONGEST_CHAIN} that follow from one another: a loop"
            elif len(record) > MAX_EVENT:
                problem = (
                    f"the record of {entry.request_id} has more than the {MAX_EVENT:,} bytes that an event may have"
                )
            else:
                return QueuedEvent(
                    request_id=str(uuid.uuid4()),
                    function_name=target.name,
                    qualifier=target.qualifier,
                    payload=record,
                    client_context=None,
                    source=destination_source(depth),
                    queued_wall=wall,
                    attempts=0,
                    due_wall=wall,
                )
        self._troubles.tell(f"destination {name} {arn}", f"{name}: its destination {arn} was not told: {problem}")
        return None

    def _publish_settled(self, entry: Entry, outcome: str) -> None:
        self._runtime.events.publish(
            EventSettled(
                request_id=entry.request_id,
                function_name=entry.target.name,
                qualifier=entry.target.qualifier,
                outcome=outcome,
                attempts=entry.attempts,
            )
        )
