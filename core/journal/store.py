"""The journal's SQL. Everything here blocks and runs on the journal's one thread."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from core.errors import FunctionNotFoundError, HomeUnusableError
from core.journal import queued_events
from core.journal.records import (
    InvocationRecord,
    QueuedEvent,
    QueuedHead,
    SavedEvent,
    StoredEvent,
    StoredFunction,
    StoredInstance,
    StoredOwner,
    StoredResource,
)
from core.journal.retention import Limits, prune
from core.journal.rows import (
    END_INSTANCE,
    FACTS,
    INSERT_EVENT,
    INSERT_INSTANCE,
    INSERT_INVOCATION,
    INSERT_OWNER,
    Batch,
    InstanceRow,
    InvocationDraft,
    clean,
    ending_row,
    event_row,
    from_row,
    ready,
    to_row,
)
from core.journal.schema import open_database, why

__all__ = ["Store"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_BAD_ROW = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
_CHECKPOINT_BYTES = 8 * 1024 * 1024
_COMMIT_BYTES = 16 * 1024  # what a commit adds to the WAL besides its bodies, roughly


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
                self._db.execute(INSERT_OWNER, owner_id)
            refused += self._insert(INSERT_INSTANCE, batch.instances, ready)
            refused += self._insert(END_INSTANCE, batch.endings, ending_row)
            refused += self._insert(INSERT_INVOCATION, batch.invocations, self._invocation_row)
            refused += self._insert(INSERT_EVENT, batch.events, event_row)
        self._checkpoint_if_due()
        return refused

    def _invocation_row(self, draft: InvocationDraft) -> Sequence[object]:
        _, make, ended = draft
        record = make(ended)
        self._wal_bytes += len(record.payload or b"") + len(record.response or b"")
        return to_row(record)

    def _insert(self, statement: str, drafts: Sequence[_T], make: Callable[[_T], Sequence[Any]]) -> int:
        refused = 0
        for draft in drafts:
            # each made just before it is written: SQLite lets the loop's thread run in between
            try:
                row = make(draft)
            except Exception:
                _log.exception("a row of the journal could not be made")
                refused += 1
                continue
            try:
                self._db.execute(statement, row)
            except (UnicodeError, OverflowError, *_BAD_ROW):
                # this row would hold up all later ones for ever
                _log.exception("a row of the journal was refused")
                refused += 1
        return refused

    def _checkpoint_if_due(self) -> None:
        if self._wal_bytes >= _CHECKPOINT_BYTES:
            self._checkpoint()

    def _checkpoint(self) -> None:
        self._wal_bytes = 0
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    # --- functions

    def put_function(self, name: str, definition: str, code_digest: str | None, layer_digests: Sequence[str]) -> float:
        """Keep a function or its new definition; returns when."""
        wall = time.time()
        with self._transaction(durable=True):
            # an upsert: REPLACE would delete the row first, and the saved events with it
            self._db.execute(
                "INSERT INTO functions VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "definition = excluded.definition, code_digest = excluded.code_digest, "
                "layer_digests = excluded.layer_digests, updated_wall = excluded.updated_wall",
                (name, clean(definition), code_digest, json.dumps(list(layer_digests)), wall),
            )
        return wall

    def remove_functions(self, names: Sequence[str], resources: Sequence[tuple[str, str, str]]) -> None:
        """Forget functions with their saved events, and what else hung on them, all in one step."""
        with self._transaction(durable=True):
            self._db.executemany("DELETE FROM functions WHERE name = ?", [(name,) for name in names])
            self._db.executemany("DELETE FROM resources WHERE kind = ? AND name = ? AND qualifier = ?", resources)

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
            self._db.execute(INSERT_OWNER, (owner_id, time.time()))

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

    def put_instance(self, row: InstanceRow) -> None:
        """Note an instance that is about to be created."""
        # on the way of every cold start: one commit without fsync, no checkpoint
        with self._transaction():
            try:
                self._db.execute(INSERT_INSTANCE, row)
            except sqlite3.IntegrityError:
                self._db.execute(INSERT_OWNER, (row[1], row[5]))
                self._db.execute(INSERT_INSTANCE, row)

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
        columns = f"{FACTS}, {'payload, response' if bodies else 'NULL, NULL'}, log_tail, phases"
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
        return [from_row(row) for row in rows]

    def invocation(self, request_id: str) -> InvocationRecord | None:
        """The last invocation of a request id."""
        rows = self._rows(
            f"SELECT {FACTS}, payload, response, log_tail, phases FROM invocations "
            "WHERE request_id = ? ORDER BY seq DESC LIMIT 1",
            (request_id,),
        )
        return from_row(rows[0]) if rows else None

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
                    "INSERT OR REPLACE INTO saved_events VALUES (?, ?, ?, ?)",
                    (name, clean(title), clean(payload), time.time()),
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

    def prune(self) -> bool:
        """Remove one step of what is too old or too much; returns whether there may be more."""
        with self._transaction():
            removed, more = prune(self._db, self._limits)
        if removed:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA incremental_vacuum(1000)").fetchall()
            self._checkpoint()
        return more

    # --- resources

    def put_resource(self, kind: str, name: str, qualifier: str, document: str) -> float:
        """Keep a document, in place of the one of that kind and name; returns when."""
        wall = time.time()
        with self._transaction(durable=True):
            self._db.execute(
                "INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?)",
                (kind, name, qualifier, clean(document), wall),
            )
        return wall

    def remove_resources(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """Forget documents, all in one step."""
        with self._transaction(durable=True):
            self._db.executemany("DELETE FROM resources WHERE kind = ? AND name = ? AND qualifier = ?", keys)

    def resources(self) -> list[StoredResource]:
        """All documents."""
        rows = self._rows("SELECT kind, name, qualifier, document, updated_wall FROM resources")
        return [StoredResource(*row) for row in rows]

    # --- queued events

    def put_queued_event(self, event: QueuedEvent) -> None:
        """Keep an accepted event. Survives a kill."""
        with self._transaction():
            queued_events.put(self._db, event)
        self._wal_bytes += len(event.payload)
        self._checkpoint_if_due()

    def put_back_queued_event(self, request_id: str, attempts: int, due_wall: float) -> None:
        """Note that an event was tried, and when it is due again."""
        with self._transaction():
            queued_events.put_back(self._db, request_id, attempts, due_wall)

    def remove_queued_events(self, request_ids: Sequence[str], instead: QueuedEvent | None) -> None:
        """Events have been delivered or given up, and `instead` takes their place, in one step."""
        with self._transaction():
            queued_events.remove(self._db, request_ids)
            if instead is not None:
                queued_events.put(self._db, instead)
                self._wal_bytes += len(instead.payload)
        self._checkpoint_if_due()

    def queued_events(self) -> list[QueuedHead]:
        """All that wait, oldest first, without their payloads."""
        with self._reading():
            return queued_events.heads(self._db)

    def queued_payload(self, request_id: str) -> bytes | None:
        """A queued event's payload; None where it is not there any more."""
        with self._reading():
            return queued_events.payload(self._db, request_id)

    # --- the ground

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._reading():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HomeUnusableError(str(self.path), why(error)) from error

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[None]:
        """All or nothing. `durable` also survives a power cut (an fsync); the rest survives a kill."""
        if not self.path.exists():
            # SQLite would go on writing to a file that nobody can find any more
            raise HomeUnusableError(str(self.path), "it was removed while Stoker worked: close it and open it again")
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
                self._checkpoint_if_due()
