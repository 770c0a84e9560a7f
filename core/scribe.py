"""Writes the journal: which events and invocations are kept, and what of them.

On the loop only a draft is queued, in about two microseconds: an invocation leaves four of them.
Facts, records and JSON are made of drafts by the journal's own thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
    from core.invocation import InvocationResult
    from core.journal import Journal
    from core.settings import Settings

__all__ = ["Scribe"]

# what a draft keeps in memory besides its texts and bodies, roughly
_DRAFT_BYTES = 1024


class Scribe:
    """Subscribes to the bus and queues what the journal keeps of an event; other kinds never get here."""

    def __init__(self, journal: Journal, events: EventBus, settings: Settings) -> None:
        self._journal = journal
        self._limit = settings.record_limit
        self._subscriptions = (
            events.subscribe(self._moved, InstanceChanged),
            events.subscribe(self._small, InvocationQueued, InvocationStarted),
            events.subscribe(
                self._large,
                InstanceExited,
                FunctionAdded,
                FunctionChanged,
                FunctionRemoved,
                BackendChanged,
                DefaultBackendChanged,
                Trouble,
            ),
        )

    def close(self) -> None:
        """Take no more events."""
        for unsubscribe in self._subscriptions:
            unsubscribe()

    def invocation(self, flight: Flight, ending: Ending, keep_payloads: bool) -> None:
        """One row of history for an invocation that has ended."""
        result = ending.result
        payload = flight.payload[: self._limit] if keep_payloads else None
        # the flight itself would keep the whole payload, and its instance
        ended = _Ended(
            flight.request_id,
            flight.function_name,
            flight.instance_id,
            flight.source,
            flight.asked_wall,
            flight.cold,
            len(flight.payload),
            payload,
            flight.kept if keep_payloads else None,
            result,
            ending.error,
        )
        weight = _DRAFT_BYTES + len(payload or b"") + len(flight.kept) + len(ending.error or "")
        if result is not None:
            weight += len(result.log_tail) + len(result.error_message or "") + len(result.error_payload or b"")
        self._journal.draft_invocation(weight, _record, ended)

    def _moved(self, event: Event) -> None:
        assert isinstance(event, InstanceChanged)
        self._journal.draft_event(_DRAFT_BYTES + len(event.reason), _facts, event)

    def _small(self, event: Event) -> None:
        self._journal.draft_event(_DRAFT_BYTES, _facts, event)

    def _large(self, event: Event) -> None:
        # few, and they hold more than is kept of them: a function, the end of a log
        wall, kind, facts = _facts(event)
        self._journal.record_event(kind, facts, wall)


class _Ended(NamedTuple):
    """What a record is made of."""

    request_id: str
    function_name: str
    instance_id: str | None
    source: str
    asked_wall: float
    cold: bool
    payload_size: int
    payload: bytes | None
    response: bytearray | None
    result: InvocationResult | None
    error: str | None


def _record(ended: _Ended) -> InvocationRecord:
    result = ended.result
    if result is None:
        status = "failed"
    elif result.cancelled:
        status = "cancelled"
    else:
        status = "function error" if result.function_error else "ok"
    return InvocationRecord(
        request_id=ended.request_id,
        function_name=ended.function_name,
        instance_id=ended.instance_id,
        source=ended.source,
        started_wall=ended.asked_wall,
        cold_start=ended.cold,
        status=status,
        error_type=result.error_type if result else None,
        error_message=result.error_message if result else ended.error,
        duration_ms=result.duration_ms if result else None,
        init_ms=result.init_ms if result else None,
        queued_ms=result.queued_ms if result else 0.0,
        first_byte_ms=result.first_byte_ms if result else None,
        total_ms=result.total_ms if result else 0.0,
        max_memory_mb=result.max_memory_mb if result else None,
        payload_size=ended.payload_size,
        response_size=result.received if result else 0,
        payload=ended.payload,
        response=None if ended.response is None else bytes(ended.response),
        log_tail=result.log_tail if result else "",
        phases=dict(result.phases) if result else {},
    )


def _facts(event: Event) -> tuple[float, str, dict[str, Any]]:
    """When it was, its kind, and what of it goes into the journal.

    Nothing here may hold a secret: no environment, no payload, no log line. Raises ValueError for a
    kind that is not kept.
    """
    return event.wall, type(event).__name__, _facts_of(event)


def _facts_of(event: Event) -> dict[str, Any]:
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
            raise ValueError(f"{type(event).__name__} is not kept")
