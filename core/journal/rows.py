"""The journal's rows as SQL takes and gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.journal.event_json import as_json
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
    "EventDraft",
    "EventFacts",
    "InstanceRow",
    "InvocationDraft",
    "clean",
    "ending_row",
    "event_row",
    "from_row",
    "ready",
    "to_row",
    "weight_of",
]

_T = TypeVar("_T")

InstanceRow = tuple[str, str, str, str, str, float]
"""id, owner, function, backend, deploy, when created."""

EndingRow = tuple[float, str, int | None, str]
"""when, reason, exit code, id."""

EventFacts = tuple[float, str, Mapping[str, object] | str]
"""when, kind, payload or its JSON."""

EventDraft = tuple[int, Callable[[Any], EventFacts], Any]
"""bytes in memory, how its facts are made when it is written, and of what."""

InvocationDraft = tuple[int, Callable[[Any], InvocationRecord], Any]
"""bytes in memory, how its record is made when it is written, and of what."""

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
    invocations: list[InvocationDraft] = field(default_factory=list)
    events: list[EventDraft] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.instances) + len(self.endings) + len(self.invocations) + len(self.events)

    @property
    def weight(self) -> int:
        """About how many bytes its events and invocations keep in memory."""
        return sum(draft[0] for draft in self.invocations) + sum(draft[0] for draft in self.events)


def clean(text: str) -> str:
    """Text that UTF-8 can hold: what a function writes may contain half a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _clean_or_none(text: str | None) -> str | None:
    return None if text is None else clean(text)


def ready(made: _T) -> _T:
    """How that is made which needs no making."""
    return made


def weight_of(record: InvocationRecord) -> int:
    """About how many bytes it keeps in memory."""
    return len(record.payload or b"") + len(record.response or b"") + len(record.log_tail)


def ending_row(ending: EndingRow) -> EndingRow:
    """An instance's end as `END_INSTANCE` takes it."""
    at, why, exit_code, instance_id = ending
    return at, clean(why), exit_code, instance_id


def event_row(draft: EventDraft) -> tuple[object, ...]:
    """An event as `INSERT_EVENT` takes it. Raises what making its facts raises."""
    _, facts, event = draft
    wall, kind, payload = facts(event)
    return wall, kind, payload if isinstance(payload, str) else as_json(payload)


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
