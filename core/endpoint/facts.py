"""What `/_stoker/` tells of instances, functions and stale candidates: JSON in one stable shape.

Names are in snake case and carry their unit: `_seconds`, `_ms`, `_mb`, `_bytes`; `_at` is a time in UTC,
as in "2026-11-24T05:06:07.089Z". A member that does not apply is null. Members are added, never renamed. Nothing here
is secret: no environment, no payload, no log line.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from core.instances import ContainerHandle, InstanceSnapshot, InstanceState, PodHandle
from core.names import function_arn, split_key

if TYPE_CHECKING:
    from core.backends.base import StaleCandidate
    from core.catalogue import Deploy
    from core.runtime import LambdaRuntime

__all__ = ["STATES", "function_facts", "instance_facts", "named", "stale_facts", "utc"]

STATES = tuple(state for state in InstanceState if not state.final)
"""The states in which an instance is in the pool."""


def utc(wall: float) -> str:
    """Seconds since 1970 as a time in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def named(key: str) -> dict[str, str]:
    """A function's name and version ($LATEST or a number) of how it is known inside."""
    name, version = split_key(key)
    return {"function_name": name, "version": version}


def instance_facts(instance: InstanceSnapshot) -> dict[str, Any]:
    """One instance as it was when the snapshot was taken."""
    now = time.monotonic()
    handle = instance.handle
    idle = instance.state is InstanceState.IDLE
    return {
        "id": instance.id,
        **named(instance.function_name),
        "state": instance.state.value,
        "reason": instance.reason,
        "backend": instance.backend,
        "process_id": instance.pid,
        "container_id": handle.id if isinstance(handle, ContainerHandle) else None,
        "pod": f"{handle.namespace}/{handle.name}" if isinstance(handle, PodHandle) else None,
        "deploy_id": instance.deploy_id,
        "current_deploy": instance.current_deploy,
        "created_at": utc(instance.created_wall),
        "age_seconds": _rounded(now - instance.created),
        "state_seconds": _rounded(now - instance.changed),
        "idle_seconds": _rounded(now - instance.last_used) if idle else None,
        "idle_ttl_seconds": instance.idle_ttl,
        "reap_in_seconds": _rounded(max(0.0, instance.reap_at - now)) if instance.reap_at is not None else None,
        "pinned": instance.pinned,
        "served_count": instance.served,
        "request_id": instance.request_id,
        "last_duration_ms": _rounded(instance.last_duration_ms),
        "memory_limit_mb": instance.memory_limit_mb,
        "phases": [
            {"name": phase.name, "duration_ms": _rounded(None if phase.seconds is None else phase.seconds * 1000)}
            for phase in instance.phases
        ],
        "details": dict(instance.details),
    }


def function_facts(runtime: LambdaRuntime) -> list[dict[str, Any]]:
    """All functions and published versions, by name, with what the pool holds of each."""
    states: dict[str, Counter[str]] = {}
    for instance in runtime.instances():
        states.setdefault(instance.function_name, Counter())[instance.state.value] += 1
    return [
        _function(runtime, runtime.deploy(function.function_name), states.get(function.function_name, Counter()))
        for function in runtime.functions()
    ]


def _function(runtime: LambdaRuntime, deploy: Deploy, states: Counter[str]) -> dict[str, Any]:
    function, settings = deploy.function, runtime.settings
    key = function.function_name
    ttl = function.idle_ttl if function.idle_ttl is not None else settings.idle_ttl
    return {
        **named(key),
        "function_arn": function_arn(function.name, None if function.version == "$LATEST" else function.version),
        "package_type": function.package_type,
        "runtime": function.runtime,
        "handler": function.handler,
        "backend": function.backend or runtime.default_backend(),
        "unsupported": runtime.unsupported(key),
        "missing": str(deploy.missing) if deploy.missing is not None else None,
        "deploy_id": deploy.deploy_id,
        "modified_at": utc(deploy.modified),
        "timeout_seconds": function.timeout,
        "memory_limit_mb": function.memory_size,
        "idle_ttl_seconds": ttl,
        "max_instances": function.max_instances or settings.max_instances,
        "min_warm": function.min_warm,
        "reserved_concurrency": runtime.registry.most_at_once(function.name),
        "instances": {state.value: states[state.value] for state in STATES},
        "waiting_count": runtime.waiting(key),
    }


def stale_facts(candidates: Iterable[StaleCandidate]) -> list[dict[str, Any]]:
    """What an earlier Stoker left, and whether and why it would go."""
    return [
        {
            "id": each.id,
            "backend": each.backend,
            "kind": each.kind,
            "what": each.what,
            "owner_id": each.owner,
            **named(each.function_name),
            "age_seconds": _rounded(each.age),
            "reap": each.reap,
            "reason": each.reason,
        }
        for each in candidates
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
