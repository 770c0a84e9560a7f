"""(contract sketch) SQLite: functions, invocation history, events, saved events."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["InvocationRecord", "Journal", "SavedEvent"]


@dataclass(frozen=True, slots=True)
class SavedEvent:
    function_name: str
    title: str
    payload: str
    saved_wall: float


@dataclass(frozen=True, slots=True)
class InvocationRecord:
    request_id: str
    function_name: str
    instance_id: str | None
    source: str
    started_wall: float
    cold_start: bool
    status: str  # "ok", "function error", "cancelled", "failed"
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


class Journal: ...
