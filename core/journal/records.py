"""What the journal keeps, as the rows its readers get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "InvocationRecord",
    "QueuedEvent",
    "QueuedHead",
    "SavedEvent",
    "StoredEvent",
    "StoredFunction",
    "StoredInstance",
    "StoredOwner",
    "StoredResource",
]


@dataclass(frozen=True, slots=True)
class SavedEvent:
    """A payload that a person keeps for a function, under a title."""

    function_name: str
    title: str
    payload: str
    saved_wall: float


@dataclass(frozen=True, slots=True)
class InvocationRecord:
    """One invocation that has ended. `payload` and `response` are None where they are not kept.

    `status` is "ok", "function error", "cancelled" or "failed". Sizes are of the whole bodies, in
    bytes, also where only a part is kept. `phases` are the parts of a cold start, in seconds.
    """

    request_id: str
    function_name: str
    instance_id: str | None
    source: str
    started_wall: float
    cold_start: bool
    status: str
    error_type: str | None
    error_message: str | None
    duration_ms: float | None
    init_ms: float | None
    queued_ms: float
    first_byte_ms: float | None
    total_ms: float
    max_memory_mb: int | None
    payload_size: int
    response_size: int
    payload: bytes | None
    response: bytes | None
    log_tail: str
    phases: dict[str, float]


@dataclass(frozen=True, slots=True)
class StoredFunction:
    """A function as it was last put: its definition as JSON, and the archives it is made of."""

    name: str
    definition: str
    code_digest: str | None
    layer_digests: tuple[str, ...]
    updated_wall: float


@dataclass(frozen=True, slots=True)
class StoredResource:
    """A small JSON document that hangs on a function, or a layer's version: an alias, a limit, a URL."""

    kind: str
    name: str
    qualifier: str
    document: str
    updated_wall: float


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event that was accepted to be delivered later. `attempts` were made so far; the next is due at `due_wall`."""

    request_id: str
    function_name: str
    qualifier: str | None
    payload: bytes
    client_context: str | None
    source: str
    queued_wall: float
    attempts: int
    due_wall: float


@dataclass(frozen=True, slots=True)
class QueuedHead:
    """What is known of a queued event without reading its payload, which has `size` bytes."""

    request_id: str
    function_name: str
    qualifier: str | None
    size: int
    source: str
    queued_wall: float
    attempts: int
    due_wall: float


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance whose start was written down; `ended_wall` is None until its end was too."""

    id: str
    owner_id: str
    function_name: str
    backend: str
    deploy_id: str
    created_wall: float
    ended_wall: float | None
    reason: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class StoredOwner:
    """A Stoker that worked in this home; `ended_wall` is None for one that runs or was killed."""

    id: str
    started_wall: float
    ended_wall: float | None
    open_instances: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of the journal; `seq` counts up."""

    seq: int
    wall: float
    kind: str
    payload: Mapping[str, object]
