"""The SQL of events that wait to be delivered. Blocks; runs on the journal's one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from core.journal.records import QueuedEvent, QueuedHead
from core.journal.rows import clean

__all__ = ["heads", "payload", "put", "put_back", "remove"]


def put(db: sqlite3.Connection, event: QueuedEvent) -> None:
    """Keep an event. Raises sqlite3.IntegrityError where one of its id is there."""
    db.execute(
        "INSERT INTO queued_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.request_id,
            event.function_name,
            event.qualifier,
            event.payload,
            None if event.client_context is None else clean(event.client_context),
            clean(event.source),
            event.queued_wall,
            event.attempts,
            event.due_wall,
        ),
    )


def put_back(db: sqlite3.Connection, request_id: str, attempts: int, due_wall: float) -> None:
    """Note that an event was tried, and when it is due again."""
    db.execute(
        "UPDATE queued_events SET attempts = ?, due_wall = ? WHERE request_id = ?", (attempts, due_wall, request_id)
    )


def remove(db: sqlite3.Connection, request_ids: Sequence[str]) -> None:
    """Forget events."""
    db.executemany("DELETE FROM queued_events WHERE request_id = ?", [(each,) for each in request_ids])


def heads(db: sqlite3.Connection) -> list[QueuedHead]:
    """All that wait, the oldest first, without their payloads: those may be a gigabyte."""
    rows = db.execute(
        "SELECT request_id, function_name, qualifier, length(payload), source, queued_wall, attempts, due_wall "
        "FROM queued_events ORDER BY rowid"
    )
    return [QueuedHead(*row) for row in rows]


def payload(db: sqlite3.Connection, request_id: str) -> bytes | None:
    """An event's payload; None where it is not there any more."""
    row = db.execute("SELECT payload FROM queued_events WHERE request_id = ?", (request_id,)).fetchone()
    return None if row is None else bytes(row[0])
