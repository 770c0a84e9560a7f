"""What the journal keeps and for how long: by count, by age, and by its share of the disk."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

__all__ = ["Limits", "prune"]

_STEP = 500  # rows of a table


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept: how many invocations, ten times as many events, for how long, on how much disk."""

    invocations: int
    days: float
    disk_bytes: int

    @property
    def events(self) -> int:
        """An invocation brings several events."""
        return self.invocations * 10


def prune(db: sqlite3.Connection, limits: Limits) -> tuple[bool, bool]:
    """Remove one step of what is too old or too much, inside the caller's transaction.

    Returns whether something went and whether there may be more. Steps are small, so that a cold
    start, which writes too, never waits long.
    """
    oldest = time.time() - limits.days * 86_400
    removed = [
        # rows come in about in order of time, so that the oldest have the lowest numbers
        db.execute(
            f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} ORDER BY seq LIMIT {_STEP}) "
            f"AND ({wall} < ? OR seq <= (SELECT max(seq) FROM {table}) - ?)",
            (oldest, keep),
        ).rowcount
        for table, wall, keep in (
            ("invocations", "started_wall", limits.invocations),
            ("events", "wall", limits.events),
        )
    ]
    removed.append(
        db.execute(
            "DELETE FROM instances WHERE id IN "
            f"(SELECT id FROM instances WHERE ended_wall < ? ORDER BY ended_wall LIMIT {_STEP})",
            (oldest,),
        ).rowcount
    )
    db.execute(
        "DELETE FROM owners WHERE ended_wall < ? AND NOT EXISTS (SELECT 1 FROM instances WHERE owner_id = owners.id)",
        (oldest,),
    )
    if _used_bytes(db) > limits.disk_bytes:
        removed.append(_drop_bodies(db))
    return max(removed) > 0, max(removed) >= _STEP


def _used_bytes(db: sqlite3.Connection) -> int:
    ((pages,), (free,), (size,)) = (
        db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _drop_bodies(db: sqlite3.Connection) -> int:
    """Too much disk: the oldest invocations keep their facts and lose payload and response."""
    changed = db.execute(
        "UPDATE invocations SET payload = NULL, response = NULL WHERE seq IN (SELECT seq FROM invocations "
        "WHERE payload IS NOT NULL OR response IS NOT NULL ORDER BY seq LIMIT 100)"
    ).rowcount
    return _STEP if changed else 0
