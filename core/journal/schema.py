"""Opening the journal's file: its version, its migrations, and what happens when it is broken.

The version only ever changes in rollback mode, never in WAL mode. So it always stands in the
file's own header, and a journal of a newer Stoker is recognised without SQLite touching it.
File format: https://www.sqlite.org/fileformat2.html#the_database_header
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import struct
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

from core.errors import HomeUnusableError, JournalTooNewError
from core.journal import queued_events

__all__ = ["VERSION", "open_database", "why"]

_log = logging.getLogger(__name__)

_APPLICATION_ID = 0x53746F6B  # "Stok"
_MAGIC = b"SQLite format 3\0"
_CHECKED_SIZE = 32 * 1024 * 1024  # a full check of more than this would be felt at start
_SALVAGED_SIZE = 512 * 1024 * 1024
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE functions (
            name TEXT PRIMARY KEY, definition TEXT NOT NULL, code_digest TEXT, layer_digests TEXT NOT NULL,
            updated_wall REAL NOT NULL)""",
        """CREATE TABLE saved_events (
            function_name TEXT NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
            title TEXT NOT NULL, payload TEXT NOT NULL, saved_wall REAL NOT NULL,
            PRIMARY KEY (function_name, title))""",
        "CREATE TABLE owners (id TEXT PRIMARY KEY, started_wall REAL NOT NULL, ended_wall REAL)",
        """CREATE TABLE instances (
            id TEXT PRIMARY KEY, owner_id TEXT NOT NULL REFERENCES owners (id), function_name TEXT NOT NULL,
            backend TEXT NOT NULL, deploy_id TEXT NOT NULL, created_wall REAL NOT NULL, ended_wall REAL,
            reason TEXT NOT NULL DEFAULT '', exit_code INTEGER)""",
        "CREATE INDEX instances_of_owner ON instances (owner_id) WHERE ended_wall IS NULL",
        """CREATE TABLE invocations (
            seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL, function_name TEXT NOT NULL, instance_id TEXT,
            source TEXT NOT NULL, started_wall REAL NOT NULL, cold_start INTEGER NOT NULL, status TEXT NOT NULL,
            error_type TEXT, error_message TEXT, duration_ms REAL, init_ms REAL, queued_ms REAL NOT NULL,
            first_byte_ms REAL, total_ms REAL NOT NULL, max_memory_mb INTEGER, payload_size INTEGER NOT NULL,
            response_size INTEGER NOT NULL, log_tail TEXT NOT NULL, phases TEXT NOT NULL,
            payload BLOB, response BLOB)""",
        "CREATE INDEX invocations_by_request ON invocations (request_id)",
        "CREATE INDEX invocations_by_time ON invocations (started_wall)",
        "CREATE INDEX invocations_of_function ON invocations (function_name, started_wall)",
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, wall REAL NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL)",
    ),
    (
        """CREATE TABLE resources (
            kind TEXT NOT NULL, name TEXT NOT NULL, qualifier TEXT NOT NULL, document TEXT NOT NULL,
            updated_wall REAL NOT NULL, PRIMARY KEY (kind, name, qualifier)) WITHOUT ROWID""",
        """CREATE TABLE queued_events (
            request_id TEXT PRIMARY KEY, function_name TEXT NOT NULL, qualifier TEXT, payload BLOB NOT NULL,
            client_context TEXT, source TEXT NOT NULL, queued_wall REAL NOT NULL, attempts INTEGER NOT NULL,
            due_wall REAL NOT NULL)""",
    ),
)
VERSION = len(_MIGRATIONS)

_SALVAGED = {
    "functions": ("name", "definition", "code_digest", "layer_digests", "updated_wall"),
    "saved_events": ("function_name", "title", "payload", "saved_wall"),
    "meta": ("key", "value"),
    "resources": ("kind", "name", "qualifier", "document", "updated_wall"),
    "queued_events": (
        *("request_id", "function_name", "qualifier", "payload", "client_context", "source"),
        *("queued_wall", "attempts", "due_wall"),
    ),
}


def open_database(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """Open or make the journal at `path` and bring it to this version.

    Returns the connection and what a person should be told. A broken file is moved aside, never
    removed, and what can still be read of its functions goes into the new one. Blocks.
    Raises JournalTooNewError (the file is left as it was, byte for byte) and HomeUnusableError.
    """
    try:
        if not _header_is_sound(path):
            return _start_anew(path, "it is not an SQLite file")
        try:
            return _open(path), []
        except sqlite3.DatabaseError as error:
            if _code(error) not in _BROKEN:
                raise
            return _start_anew(path, str(error))
    except sqlite3.Error as error:
        raise HomeUnusableError(str(path), why(error)) from error
    except OSError as error:
        raise HomeUnusableError(str(path), error.strerror or str(error)) from error


def why(error: sqlite3.Error) -> str:
    """What an SQLite error means to a person, and what helps."""
    match _code(error):
        case sqlite3.SQLITE_FULL:
            return "there is no room left on its disk; free some"
        case sqlite3.SQLITE_READONLY:
            return "it may not be written (read-only file or file system)"
        case sqlite3.SQLITE_IOERR:
            return f"its disk reports an error ({error})"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another program holds it locked"
        case code if code in _BROKEN:
            return f"it is damaged ({error}); start Stoker again to set it aside and begin a new one"
        case _:
            return str(error)


def _code(error: sqlite3.Error) -> int:
    # the low byte is the kind; the rest says which of its kinds
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _header_is_sound(path: Path) -> bool:
    """Whether SQLite may open it. Reads the header only; raises where the file is not for us."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return True
    if not stat.S_ISREG(facts.st_mode):
        raise HomeUnusableError(str(path), "it is not a file")
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return True
    if len(header) < 100 or not header.startswith(_MAGIC):
        return False
    (found,) = struct.unpack_from(">I", header, 60)
    (application,) = struct.unpack_from(">I", header, 68)
    if application == _APPLICATION_ID and found > VERSION:
        raise JournalTooNewError(str(path), found, VERSION)
    if application != _APPLICATION_ID and not _has_rollback_journal(path):
        raise HomeUnusableError(str(path), "it is another program's database; choose another home, with --home")
    return True


def _has_rollback_journal(path: Path) -> bool:
    # a kill while the file was being made: SQLite rolls it back when it opens it
    try:
        return path.with_name(f"{path.name}-journal").stat().st_size > 0
    except OSError:
        return False


def _open(path: Path) -> sqlite3.Connection:
    # made by us, because SQLite would make it readable by others; -wal and -shm take its mode
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)
        size = os.fstat(handle).st_size
    finally:
        os.close(handle)
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, cached_statements=64)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        _migrate(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # the writer checkpoints between batches, so that no cold start waits for one
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        _check(connection, size)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise JournalTooNewError(str(path), found, VERSION)
    if found == VERSION:
        return
    if found == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for statements in _MIGRATIONS[found:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _check(connection: sqlite3.Connection, size: int) -> None:
    if size <= _CHECKED_SIZE:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            error = sqlite3.DatabaseError(answer.splitlines()[-1])
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return
    # what a start needs, and both ends of what grows
    for table in ("meta", "functions", "saved_events", "owners", "instances", "resources"):
        for _ in connection.execute(f"SELECT * FROM {table}"):
            pass
    # the payloads of queued events may be many, and each is read when it is needed
    queued_events.heads(connection)
    for table in ("invocations", "events"):
        connection.execute(f"SELECT min(seq), max(seq) FROM {table}").fetchall()


def _start_anew(path: Path, reason: str) -> tuple[sqlite3.Connection, list[str]]:
    aside = _move_aside(path)
    connection = _open(path)
    saved = _salvage(aside, connection)
    functions = (
        f"{saved} function{'' if saved == 1 else 's'} could be read from it and {'is' if saved == 1 else 'are'} kept"
    )
    message = f"{path} was damaged ({reason}). It is kept as {aside.name}; a new one was begun: {functions}."
    _log.error("%s", message)
    return connection, [message]


def _move_aside(path: Path) -> Path:
    """Rename the file and what belongs to it, so that SQLite still finds them together."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.broken-{stamp}-{number}")
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    path.rename(aside)
    return aside


def _salvage(broken: Path, into: sqlite3.Connection) -> int:
    """Copy what can be read of functions, saved events and notes; returns how many functions."""
    with tempfile.TemporaryDirectory(dir=broken.parent, prefix=".salvage-") as scratch:
        # SQLite writes to what it opens, and the broken file is to stay what it is
        copy = Path(scratch) / "copy"
        try:
            if broken.stat().st_size > _SALVAGED_SIZE:
                return 0
            shutil.copyfile(broken, copy)
            with suppress(FileNotFoundError):
                shutil.copyfile(broken.with_name(f"{broken.name}-wal"), copy.with_name("copy-wal"))
        except OSError:
            return 0
        with closing(sqlite3.connect(copy, isolation_level=None)) as source:
            for table, columns in _SALVAGED.items():
                _copy_rows(source, into, table, columns)
    (functions,) = into.execute("SELECT count(*) FROM functions").fetchone()
    return int(functions)


def _copy_rows(source: sqlite3.Connection, into: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> None:
    names = ", ".join(columns)
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"
    with suppress(sqlite3.DatabaseError):
        for row in source.execute(f"SELECT {names} FROM {table}"):
            with suppress(sqlite3.DatabaseError):
                into.execute(insert, row)
