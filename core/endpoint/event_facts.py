"""What `/_stoker/events` tells of each event of the bus; the shapes are those of `core.endpoint.facts`.

Facts only: no environment, no payload, and nothing of what a function answered or wrote. Lines of its log are in
`instance_logged`, which is sent only to who asks for it.
"""

from __future__ import annotations

import re
from typing import Any

from core.endpoint.facts import instance_facts, named, utc
from core.events import (
    BackendChanged,
    CallEnded,
    CallStarted,
    DefaultBackendChanged,
    EndpointChanged,
    Event,
    EventQueued,
    EventReturned,
    EventSettled,
    FunctionAdded,
    FunctionChanged,
    FunctionRemoved,
    ImagePullChanged,
    InstanceChanged,
    InstanceExited,
    InstanceLogged,
    InstancePhaseChanged,
    InstanceUpdated,
    InvocationEnded,
    InvocationQueued,
    InvocationStarted,
    InvocationStreaming,
    InvocationThrottled,
    QueueChanged,
    Trouble,
)

__all__ = ["about", "event_facts", "event_name", "invocation_status"]

_WORD = re.compile(r"(?<!^)(?=[A-Z])")
_NAMES: dict[type[Event], str] = {}


def event_name(event: Event) -> str:
    """Its name as in `instance_changed`."""
    kind = type(event)
    if kind not in _NAMES:
        _NAMES[kind] = _WORD.sub("_", kind.__name__).lower()
    return _NAMES[kind]


def about(event: Event) -> str | None:
    """The function it is about, as `words`, `words:3` or `words:an-alias`; None where it is about none."""
    match event:
        case FunctionAdded(function=function) | FunctionChanged(function=function):
            return function.function_name
        case InstanceChanged(instance=instance) | InstanceUpdated(instance=instance):
            return instance.function_name
        case EventQueued() | EventReturned() | EventSettled():
            return event.function_name if event.qualifier is None else f"{event.function_name}:{event.qualifier}"
        case _:
            found: str | None = getattr(event, "function_name", None)
            return found


def invocation_status(event: InvocationEnded) -> str:
    """How it ended: ok, function_error, cancelled, or failed where that was Stoker's doing."""
    if event.result is None:
        return "failed"
    if event.result.cancelled:
        return "cancelled"
    return "function_error" if event.result.function_error else "ok"


def event_facts(event: Event) -> dict[str, Any]:
    """The event as JSON: its name, its time and its facts."""
    return {"event": event_name(event), "at": utc(event.wall), **_facts(event)}


def _facts(event: Event) -> dict[str, Any]:
    match event:
        case FunctionAdded(function=function) | FunctionChanged(function=function):
            changed = {"deploy_changed": event.deploy_changed} if isinstance(event, FunctionChanged) else {}
            return {
                **named(function.function_name),
                "package_type": function.package_type,
                "runtime": function.runtime,
                **changed,
            }
        case FunctionRemoved(function_name=key):
            return named(key)
        case InstanceChanged(instance=instance, old=old, new=new, reason=reason):
            states = {"old_state": old.value if old is not None else None, "new_state": new.value, "reason": reason}
            return {**states, "instance": instance_facts(instance)}
        case InstanceUpdated(instance=instance):
            return {"instance": instance_facts(instance)}
        case InstancePhaseChanged(instance_id=instance_id, function_name=key, phase=phase):
            return {
                "instance_id": instance_id,
                **named(key),
                "phase": phase.name,
                "duration_ms": _ms(phase.seconds),
            }
        case InstanceLogged(instance_id=instance_id, function_name=key, lines=lines):
            return {"instance_id": instance_id, **named(key), "lines": list(lines)}
        case InstanceExited(instance_id=instance_id, function_name=key, exit=exit_):
            return {
                "instance_id": instance_id,
                **named(key),
                "exit_code": exit_.code,
                "signal": exit_.signal,
                "reason": exit_.reason,
                "out_of_memory": exit_.out_of_memory,
            }
        case InvocationQueued(request_id=request_id, function_name=key, position=position):
            return {"request_id": request_id, **named(key), "position": position}
        case InvocationStarted():
            return {
                "request_id": event.request_id,
                **named(event.function_name),
                "instance_id": event.instance_id,
                "cold_start": event.cold_start,
                "queued_ms": _ms(event.waited),
                "source": event.source,
            }
        case InvocationStreaming(request_id=request_id, function_name=key, instance_id=instance_id):
            return {"request_id": request_id, **named(key), "instance_id": instance_id}
        case InvocationThrottled(function_name=key, reason=reason, source=source):
            return {**named(key), "reason": reason, "source": source}
        case InvocationEnded():
            return _ended(event)
        case QueueChanged(function_name=key, waiting=waiting, waiting_all=waiting_all):
            return {**named(key), "waiting_count": waiting, "waiting_all_count": waiting_all}
        case EventQueued() | EventReturned() | EventSettled():
            return _queued(event)
        case EndpointChanged(address=address):
            return {"address": address}
        case CallStarted() | CallEnded():
            return _call(event)
        case BackendChanged(backend=backend, online=online, detail=detail):
            return {"backend": backend, "online": online, "detail": detail}
        case ImagePullChanged(pull=pull):
            return {
                "backend": pull.backend,
                "image": pull.image,
                "state": pull.state,
                "layer_count": pull.layers,
                "layers_done_count": pull.layers_done,
                "received_bytes": pull.received,
                "total_bytes": pull.total,
                "detail": pull.detail,
            }
        case DefaultBackendChanged(backend=backend):
            return {"backend": backend}
        case Trouble(about=what, message=message):
            return {"about": what, "message": message}
        case _:
            return {}


def _ended(event: InvocationEnded) -> dict[str, Any]:
    result = event.result
    return {
        "request_id": event.request_id,
        **named(event.function_name),
        "instance_id": event.instance_id,
        "source": event.source,
        "status": invocation_status(event),
        "error": event.error,
        "error_type": result.error_type if result else None,
        "cold_start": result.cold_start if result else None,
        "streamed": result.streamed if result else None,
        "duration_ms": _round(result.duration_ms if result else None),
        "init_ms": _round(result.init_ms if result else None),
        "queued_ms": _round(result.queued_ms if result else None),
        "first_byte_ms": _round(result.first_byte_ms if result else None),
        "total_ms": _round(result.total_ms if result else None),
        "max_memory_mb": result.max_memory_mb if result else None,
        "response_bytes": result.received if result else None,
        "chunk_count": result.chunks if result else None,
    }


def _queued(event: EventQueued | EventReturned | EventSettled) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "request_id": event.request_id,
        "function_name": event.function_name,
        "qualifier": event.qualifier,
    }
    if isinstance(event, EventReturned):
        facts |= {"attempt_count": event.attempts, "due_in_seconds": round(event.due_in, 3), "reason": event.reason}
    elif isinstance(event, EventSettled):
        facts |= {"attempt_count": event.attempts, "outcome": event.outcome}
    return facts


def _call(event: CallStarted | CallEnded) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "call_id": event.call_id,
        "caller": event.caller,
        "peer": event.peer,
        "operation": event.operation,
        "function_name": event.function_name,
    }
    if isinstance(event, CallEnded):
        facts |= {
            "status": event.status or None,
            "error": event.error,
            "duration_ms": _ms(event.seconds),
            "gone": event.gone,
        }
    return facts


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
