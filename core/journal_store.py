"""The journal's SQL. Everything here blocks and runs on the journal's one thread."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import FunctionNotFoundError, HomeUnusableError
from core.journal_records import (
    InvocationRecord,
    SavedEvent,
    StoredEvent,
    StoredFunction,
    StoredInstance,
    StoredOwner,
)
from core.journal_schema import open_database, why

__all__ = ["Batch", "Limits", "Store"]

_log = logging.getLogger(__name__)

_BAD_ROW = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
_CHECKPOINT_BYTES = 8 * 1024 * 1024
_COMMIT_BYTES = 16 * 1024  # what a commit adds to the WAL besides its bodies, roughly
_PRUNE_ROWS = 500

_FACTS = (
    "request_id, function_name, instance_id, source, started_wall, cold_start, status, error_type, error_message, "
    "duration_ms, init_ms, queued_ms, first_byte_ms, total_ms, max_memory_mb, payload_size, response_size"
)
_INSERT_INVOCATION = (
    f"INSERT INTO invocations ({_FACTS}, payload, response, log_tail, phases) VALUES ({', '.join('?' * 21)})"
)
_INSERT_EVENT = "INSERT INTO events (wall, kind, payload) VALUES (?, ?, ?)"
_INSERT_INSTANCE = (
    "INSERT OR REPLACE INTO instances (id, owner_id, function_name, backend, deploy_id, created_wall) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_INSERT_OWNER = "INSERT OR IGNORE INTO owners (id, started_wall) VALUES (?, ?)"
_END_INSTANCE = "UPDATE instances SET ended_wall = ?, reason = ?, exit_code = ? WHERE id = ? AND ended_wall IS NULL"


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


@dataclass(slots=True)
class Batch:
    """Rows that are written in one transaction."""

    instances: list[tuple[str, str, str, str, str, float]] = field(default_factory=list)
    endings: list[tuple[float, str, int | None, str]] = field(default_factory=list)
    invocations: list[InvocationRecord] = field(default_factory=list)
    events: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.instances) + len(self.endings) + len(self.invocations) + len(self.events)


class Store:
    """One connection to one journal."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self._limits = limits
        self._db, self.news = open_database(path)
        self._wal_bytes = 0

    def close(self) -> None:
        """Put everything into the one file and close it."""
        try:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._db.close()

    # --- what is queued

    def write(self, batch: Batch) -> int:
        """Write all of a batch or nothing; returns how many rows no database would take."""
        refused = 0
        with self._transaction():
            for owner_id in {row[1]: row[5] for row in batch.instances}.items():
                self._db.execute(_INSERT_OWNER, owner_id)
            refused += self._insert(_INSERT_INSTANCE, batch.instances)
            refused += self._insert(_END_INSTANCE, batch.endings)
            refused += self._insert(_INSERT_INVOCATION, [_invocation_row(record) for record in batch.invocations])
            refused += self._insert(_INSERT_EVENT, batch.events)
        for record in batch.invocations:
            self._wal_bytes += len(record.payload or b"") + len(record.response or b"")
        if self._wal_bytes >= _CHECKPOINT_BYTES:
            self._checkpoint()
        return refused

    def _insert(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        refused = 0
        for row in rows:
            try:
                self._db.execute(statement, row)
            except (UnicodeError, OverflowError, *_BAD_ROW):
                # this row would hold up all later ones for ever
                _log.exception("a row of the journal was refused")
                refused += 1
        return refused

    def _checkpoint(self) -> None:
        self._wal_bytes = 0
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    # --- functions

    def put_function(self, name: str, definition: str, code_digest: str | None, layer_digests: Sequence[str]) -> None:
        """Keep a function or its new definition."""
        with self._transaction(durable=True):
            # an upsert: REPLACE would delete the row first, and the saved events with it
            self._db.execute(
                "INSERT INTO functions VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "definition = excluded.definition, code_digest = excluded.code_digest, "
                "layer_digests = excluded.layer_digests, updated_wall = excluded.updated_wall",
                (name, definition, code_digest, json.dumps(list(layer_digests)), time.time()),
            )

    def remove_function(self, name: str) -> None:
        """Forget a function and its saved events."""
        with self._transaction(durable=True):
            self._db.execute("DELETE FROM functions WHERE name = ?", (name,))

    def functions(self) -> list[StoredFunction]:
        """All functions, by name."""
        rows = self._rows(
            "SELECT name, definition, code_digest, layer_digests, updated_wall FROM functions ORDER BY name"
        )
        return [StoredFunction(row[0], row[1], row[2], tuple(json.loads(row[3])), row[4]) for row in rows]

    # --- owners and instances

    def put_owner(self, owner_id: str) -> None:
        """Note an owner."""
        with self._transaction(durable=True):
            self._db.execute(_INSERT_OWNER, (owner_id, time.time()))

    def end_owner(self, owner_id: str) -> None:
        """Note an owner's end."""
        with self._transaction(durable=True):
            self._db.execute(
                "UPDATE owners SET ended_wall = ? WHERE id = ? AND ended_wall IS NULL", (time.time(), owner_id)
            )

    def owners(self) -> list[StoredOwner]:
        """All owners, oldest first."""
        rows = self._rows(
            "SELECT id, started_wall, ended_wall, "
            "(SELECT count(*) FROM instances WHERE owner_id = owners.id AND ended_wall IS NULL) "
            "FROM owners ORDER BY started_wall"
        )
        return [StoredOwner(*row) for row in rows]

    def put_instance(self, row: tuple[str, str, str, str, str, float]) -> None:
        """Note an instance that is about to be created."""
        # on the way of every cold start: one commit without fsync, no checkpoint
        with self._transaction():
            try:
                self._db.execute(_INSERT_INSTANCE, row)
            except sqlite3.IntegrityError:
                self._db.execute(_INSERT_OWNER, (row[1], row[5]))
                self._db.execute(_INSERT_INSTANCE, row)

    def instances_of(self, owner_ids: Collection[str]) -> list[StoredInstance]:
        """What these owners started and never ended."""
        rows = self._rows(
            "SELECT id, owner_id, function_name, backend, deploy_id, created_wall, ended_wall, reason, exit_code "
            "FROM instances WHERE ended_wall IS NULL ORDER BY created_wall"
        )
        wanted = set(owner_ids)
        return [StoredInstance(*row) for row in rows if row[1] in wanted]

    # --- history

    def invocations(
        self, name: str | None, limit: int, before_wall: float | None, bodies: bool
    ) -> list[InvocationRecord]:
        """The last invocations, newest first."""
        columns = f"{_FACTS}, {'payload, response' if bodies else 'NULL, NULL'}, log_tail, phases"
        where: list[str] = []
        values: list[object] = []
        if name is not None:
            where.append("function_name = ?")
            values.append(name)
        if before_wall is not None:
            where.append("started_wall < ?")
            values.append(before_wall)
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        rows = self._rows(
            f"SELECT {columns} FROM invocations {condition} ORDER BY started_wall DESC, seq DESC LIMIT ?",
            (*values, limit),
        )
        return [_invocation(row) for row in rows]

    def invocation(self, request_id: str) -> InvocationRecord | None:
        """The last invocation of a request id."""
        rows = self._rows(
            f"SELECT {_FACTS}, payload, response, log_tail, phases FROM invocations "
            "WHERE request_id = ? ORDER BY seq DESC LIMIT 1",
            (request_id,),
        )
        return _invocation(rows[0]) if rows else None

    def events(self, limit: int, kind: str | None) -> list[StoredEvent]:
        """The last events, newest first."""
        if kind is None:
            rows = self._rows("SELECT seq, wall, kind, payload FROM events ORDER BY seq DESC LIMIT ?", (limit,))
        else:
            rows = self._rows(
                "SELECT seq, wall, kind, payload FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, limit)
            )
        return [StoredEvent(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def event_count(self) -> int:
        """How many events are kept."""
        return int(self._rows("SELECT count(*) FROM events")[0][0])

    # --- saved events and notes

    def saved_events(self, name: str) -> list[SavedEvent]:
        """The saved events of a function, by title."""
        rows = self._rows(
            "SELECT function_name, title, payload, saved_wall FROM saved_events WHERE function_name = ? "
            "ORDER BY title COLLATE NOCASE",
            (name,),
        )
        return [SavedEvent(*row) for row in rows]

    def save_event(self, name: str, title: str, payload: str) -> None:
        """Keep a payload under a title."""
        with self._transaction(durable=True):
            try:
                self._db.execute(
                    "INSERT OR REPLACE INTO saved_events VALUES (?, ?, ?, ?)", (name, title, payload, time.time())
                )
            except sqlite3.IntegrityError as error:
                raise FunctionNotFoundError(name) from error

    def delete_event(self, name: str, title: str) -> None:
        """Forget a saved event."""
        with self._transaction(durable=True):
            self._db.execute("DELETE FROM saved_events WHERE function_name = ? AND title = ?", (name, title))

    def get_meta(self, key: str) -> str | None:
        """What is kept under a key."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Keep a value under a key."""
        with self._transaction(durable=True):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- retention

    def prune(self) -> bool:
        """Remove one batch of what is too old or too much; returns whether there may be more."""
        oldest = time.time() - self._limits.days * 86_400
        removed = 0
        with self._transaction():
            for table, wall, keep in (
                ("invocations", "started_wall", self._limits.invocations),
                ("events", "wall", self._limits.events),
            ):
                # rows come in about in order of time, so that the oldest have the lowest numbers
                removed = max(
                    removed,
                    self._changed(
                        f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} ORDER BY seq LIMIT {_PRUNE_ROWS}) "
                        f"AND ({wall} < ? OR seq <= (SELECT max(seq) FROM {table}) - ?)",
                        (oldest, keep),
                    ),
                )
            removed = max(
                removed,
                self._changed(
                    "DELETE FROM instances WHERE id IN (SELECT id FROM instances "
                    f"WHERE ended_wall < ? ORDER BY ended_wall LIMIT {_PRUNE_ROWS})",
                    (oldest,),
                ),
            )
            self._changed(
                "DELETE FROM owners WHERE ended_wall < ? AND NOT EXISTS "
                "(SELECT 1 FROM instances WHERE owner_id = owners.id)",
                (oldest,),
            )
            if self._used_bytes() > self._limits.disk_bytes:
                removed = max(removed, self._drop_bodies())
        if removed:
            self._db.execute("PRAGMA incremental_vacuum(1000)").fetchall()
            self._checkpoint()
        return removed >= _PRUNE_ROWS

    def _used_bytes(self) -> int:
        ((pages,), (free,), (size,)) = (
            self._db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _drop_bodies(self) -> int:
        """Too much disk: the oldest invocations keep their facts and lose payload and response."""
        changed = self._changed(
            "UPDATE invocations SET payload = NULL, response = NULL WHERE seq IN (SELECT seq FROM invocations "
            "WHERE payload IS NOT NULL OR response IS NOT NULL ORDER BY seq LIMIT 100)",
            (),
        )
        return _PRUNE_ROWS if changed else 0

    # --- the ground

    def _changed(self, statement: str, values: Sequence[object]) -> int:
        return self._db.execute(statement, values).rowcount

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise HomeUnusableError(str(self.path), why(error)) from error

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[None]:
        """All or nothing. `durable` also survives a power cut (an fsync); the rest survives a kill."""
        try:
            if durable:
                self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._wal_bytes += _COMMIT_BYTES
        except sqlite3.Error as error:
            raise HomeUnusableError(str(self.path), why(error)) from error
        finally:
            if durable:
                with suppress(sqlite3.Error):
                    self._db.execute("PRAGMA synchronous = NORMAL")


def _clean(text: str) -> str:
    """Text that UTF-8 can hold: what a function writes may contain half a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _clean_or_none(text: str | None) -> str | None:
    return None if text is None else _clean(text)


def _invocation_row(record: InvocationRecord) -> tuple[object, ...]:
    return (
        _clean(record.request_id),
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
        _clean(record.log_tail),
        json.dumps(record.phases),
    )


def _invocation(row: Sequence[Any]) -> InvocationRecord:
    values = list(row)
    values[5] = bool(values[5])
    values[-1] = json.loads(values[-1])
    return InvocationRecord(*values)
