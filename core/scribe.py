"""Writes the journal: which events and invocations are kept, and what of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from core.events import (
    BackendChanged,
    DefaultBackendChanged,
    Event,
    EventBus,
    FunctionAdded,
    FunctionChanged,
    FunctionRemoved,
    InstanceChanged,
    InstanceExited,
    InvocationQueued,
    InvocationStarted,
    Trouble,
)
from core.journal import InvocationRecord

if TYPE_CHECKING:
    from core.flight import Ending, Flight
    from core.journal import Journal
    from core.settings import Settings

__all__ = ["Scribe"]


class Scribe:
    """Subscribes to the bus and queues rows; the journal's own thread writes them.

    Rows are made in the loop's next turn: an invocation goes on, and its client is answered, before that.
    """

    def __init__(self, journal: Journal, events: EventBus, settings: Settings) -> None:
        self._journal = journal
        self._limit = settings.record_limit
        self._loop = asyncio.get_running_loop()
        self._later: list[Callable[[], None]] = []
        self._unsubscribe = events.subscribe(self._take)
        journal.before_reading = self.settle

    def close(self) -> None:
        """Take no more events."""
        self._unsubscribe()
        self.settle()

    def settle(self) -> None:
        """Queue the rows of all that has happened."""
        later, self._later = self._later, []
        for note in later:
            note()

    def invocation(self, flight: Flight, ending: Ending, keep_payloads: bool) -> None:
        """One row of history for an invocation that has ended."""
        self._soon(partial(self._invocation, flight, ending, keep_payloads))

    def _soon(self, note: Callable[[], None]) -> None:
        if not self._later:
            self._loop.call_soon(self.settle)
        self._later.append(note)

    def _invocation(self, flight: Flight, ending: Ending, keep_payloads: bool) -> None:
        result = ending.result
        if result is None:
            status = "failed"
        elif result.cancelled:
            status = "cancelled"
        else:
            status = "function error" if result.function_error else "ok"
        self._journal.record_invocation(
            InvocationRecord(
                request_id=flight.request_id,
                function_name=flight.function_name,
                instance_id=flight.instance_id,
                source=flight.source,
                started_wall=flight.asked_wall,
                cold_start=flight.cold,
                status=status,
                error_type=result.error_type if result else None,
                error_message=result.error_message if result else ending.error,
                duration_ms=result.duration_ms if result else None,
                init_ms=result.init_ms if result else None,
                queued_ms=result.queued_ms if result else 0.0,
                first_byte_ms=result.first_byte_ms if result else None,
                total_ms=result.total_ms if result else 0.0,
                max_memory_mb=result.max_memory_mb if result else None,
                payload_size=len(flight.payload),
                response_size=result.received if result else 0,
                payload=flight.payload[: self._limit] if keep_payloads else None,
                response=bytes(flight.kept) if keep_payloads else None,
                log_tail=result.log_tail if result else "",
                phases=dict(result.phases) if result else {},
            )
        )

    def _take(self, event: Event) -> None:
        self._soon(partial(self._note, event))

    def _note(self, event: Event) -> None:
        payload = _facts(event)
        if payload is not None:
            self._journal.record_event(type(event).__name__, payload, event.wall)


def _facts(event: Event) -> dict[str, Any] | None:
    """What of an event goes into the journal; None for those that are too many or too large.

    Nothing here may hold a secret: no environment, no payload, no log line.
    """
    match event:
        case InstanceChanged(instance=instance, old=old, new=new, reason=reason):
            return {
                "instance": instance.id,
                "function": instance.function_name,
                "old": old,
                "new": new,
                "reason": reason,
            }
        case InstanceExited(instance_id=instance_id, function_name=name, exit=exit_):
            return {
                "instance": instance_id,
                "function": name,
                "code": exit_.code,
                "signal": exit_.signal,
                "reason": exit_.reason,
            }
        case InvocationQueued(request_id=request_id, function_name=name, position=position):
            return {"request": request_id, "function": name, "position": position}
        case InvocationStarted(request_id=request_id, function_name=name, instance_id=instance_id, waited=waited):
            return {"request": request_id, "function": name, "instance": instance_id, "waited": round(waited, 6)}
        case FunctionAdded(function=function):
            return {"function": function.function_name}
        case FunctionChanged(function=function, deploy_changed=changed):
            return {"function": function.function_name, "deploy_changed": changed}
        case FunctionRemoved(function_name=name):
            return {"function": name}
        case BackendChanged(backend=backend, online=online, detail=detail):
            return {"backend": backend, "online": online, "detail": detail}
        case DefaultBackendChanged(backend=backend):
            return {"backend": backend}
        case Trouble(about=about, message=message):
            return {"about": about, "message": message}
        case _:
            return None
