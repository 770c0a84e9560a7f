"""The journal's rows as SQL takes and gives them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.journal.records import InvocationRecord

__all__ = [
    "END_INSTANCE",
    "FACTS",
    "INSERT_EVENT",
    "INSERT_INSTANCE",
    "INSERT_INVOCATION",
    "INSERT_OWNER",
    "Batch",
    "EndingRow",
    "EventRow",
    "InstanceRow",
    "clean",
    "from_row",
    "to_row",
]

InstanceRow = tuple[str, str, str, str, str, float]
"""id, owner, function, backend, deploy, when created."""

EndingRow = tuple[float, str, int | None, str]
"""when, reason, exit code, id."""

EventRow = tuple[float, str, str]
"""when, kind, payload as JSON."""

FACTS = (
    "request_id, function_name, instance_id, source, started_wall, cold_start, status, error_type, error_message, "
    "duration_ms, init_ms, queued_ms, first_byte_ms, total_ms, max_memory_mb, payload_size, response_size"
)
INSERT_INVOCATION = (
    f"INSERT INTO invocations ({FACTS}, payload, response, log_tail, phases) VALUES ({', '.join('?' * 21)})"
)
INSERT_EVENT = "INSERT INTO events (wall, kind, payload) VALUES (?, ?, ?)"
INSERT_INSTANCE = (
    "INSERT OR REPLACE INTO instances (id, owner_id, function_name, backend, deploy_id, created_wall) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
INSERT_OWNER = "INSERT OR IGNORE INTO owners (id, started_wall) VALUES (?, ?)"
END_INSTANCE = "UPDATE instances SET ended_wall = ?, reason = ?, exit_code = ? WHERE id = ? AND ended_wall IS NULL"


@dataclass(slots=True)
class Batch:
    """Rows that are written in one transaction."""

    instances: list[InstanceRow] = field(default_factory=list)
    endings: list[EndingRow] = field(default_factory=list)
    invocations: list[InvocationRecord] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.instances) + len(self.endings) + len(self.invocations) + len(self.events)


def clean(text: str) -> str:
    """Text that UTF-8 can hold: what a function writes may contain half a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _clean_or_none(text: str | None) -> str | None:
    return None if text is None else clean(text)


def to_row(record: InvocationRecord) -> tuple[object, ...]:
    """An invocation as `INSERT_INVOCATION` takes it."""
    return (
        clean(record.request_id),
        record.function_name,
        record.instance_id,
        record.source,
        record.started_wall,
        record.cold_start,
        record.status,
        _clean_or_none(record.error_type),
        _clean_or_none(record.error_message),
        record.duration_ms,
        record.init_ms,
        record.queued_ms,
        record.first_byte_ms,
        record.total_ms,
        record.max_memory_mb,
        record.payload_size,
        record.response_size,
        record.payload,
        record.response,
        clean(record.log_tail),
        json.dumps(record.phases),
    )


def from_row(row: Sequence[Any]) -> InvocationRecord:
    """An invocation from `FACTS`, payload, response, log_tail, phases."""
    values = list(row)
    values[5] = bool(values[5])
    values[-1] = json.loads(values[-1])
    return InvocationRecord(*values)
