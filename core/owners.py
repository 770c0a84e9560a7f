"""Who owns what: one random owner id a running Stoker, one lock file each; and one Stoker per home.

All homes of one user share the directory of lock files, so that one Stoker can tell whether
another's owner is alive without ever trusting a PID. The kernel lets a lock go when its process
ends, however it ends; the file stays until what the owner left behind has been reaped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
import warnings
from contextlib import suppress
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import filelock
import platformdirs

from core.errors import HomeInUseError, HomeUnusableError

__all__ = [
    "HomeLock",
    "Owner",
    "OwnerState",
    "forget_owner",
    "mark_owner_dead",
    "owner_facts",
    "owner_state",
    "owners_directory",
    "runtime_directory",
]

_OWNER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LOCK_NAME = "stoker.lock"
_SCRATCH = (".probe-*", ".salvage-*", ".settings.json-*")  # what a kill can leave in a home


class OwnerState(StrEnum):
    """What is known of an owner. Only what belongs to a DEAD one may be reaped unasked."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


def runtime_directory() -> Path:
    """Stoker's directory of this user for what lives no longer than a session; mode 0700.

    The environment's STOKER_RUNTIME_DIR replaces it. Raises HomeUnusableError where it is not
    ours alone.
    """
    chosen = os.environ.get("STOKER_RUNTIME_DIR")
    if chosen:
        return _private_directory(Path(chosen).absolute())
    candidates: list[Path] = []
    with warnings.catch_warnings(), suppress(OSError):
        # without a login session platformdirs warns and names a place under the temporary directory
        warnings.simplefilter("ignore")
        candidates.append(platformdirs.user_runtime_path("stoker"))
    candidates.append(Path(tempfile.gettempdir()) / f"stoker-{os.getuid()}")
    for candidate in candidates[:-1]:
        with suppress(HomeUnusableError):
            return _private_directory(candidate)
    return _private_directory(candidates[-1])


def owners_directory() -> Path:
    """Where the lock files of all owners of this user are (0700); see `runtime_directory`."""
    return _private_directory(runtime_directory() / "owners")


def owner_state(owner_id: str) -> OwnerState:
    """ALIVE if its lock is held, DEAD if its file is there and not held, UNKNOWN without a file.

    Asks with a shared lock, so that any number of Stokers may ask at the same moment without one
    taking another's question for a living owner. Never blocks.
    """
    try:
        path = _lock_path(owner_id)
        probe = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError, HomeUnusableError):
        return OwnerState.UNKNOWN
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        held = error.errno in {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
        return OwnerState.ALIVE if held else OwnerState.UNKNOWN
    else:
        return OwnerState.DEAD
    finally:
        os.close(probe)


def owner_facts(owner_id: str) -> dict[str, object]:
    """What an owner wrote about itself (home, started, version, pid), for people; empty if unknown."""
    try:
        facts = json.loads(_lock_path(owner_id).read_bytes())
    except (OSError, ValueError, HomeUnusableError):
        return {}
    return facts if isinstance(facts, dict) else {}


def forget_owner(owner_id: str) -> bool:
    """Remove a dead owner's lock file, once nothing of its is left. A living one's is kept.

    Returns whether there is no file any more.
    """
    match owner_state(owner_id):
        case OwnerState.ALIVE:
            return False
        case OwnerState.DEAD:
            # ids are random and never used again, so nobody can take the lock in between
            with suppress(FileNotFoundError):
                _lock_path(owner_id).unlink()
        case OwnerState.UNKNOWN:
            pass
    return not _exists(owner_id)


def mark_owner_dead(owner_id: str) -> None:
    """Make an owner whose file is gone (a reboot empties the runtime directory) DEAD and not UNKNOWN.

    Only whoever holds the owner's `HomeLock` may know that: one Stoker works in a home, so that
    every other owner in that home's journal has ended. A file that is there stays as it is.
    """
    with suppress(FileExistsError):
        os.close(os.open(_lock_path(owner_id), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


class Owner:
    """This process's own owner id and the lock that proves it lives."""

    def __init__(self, owner_id: str, lock: filelock.BaseFileLock, path: Path) -> None:
        self.id = owner_id
        self._lock = lock
        self._path = path
        self._keep = False

    @property
    def leaves(self) -> bool:
        """Whether something of its could not be taken down; see `keep`."""
        return self._keep

    @classmethod
    def acquire(cls, home: Path | None = None) -> Owner:
        """Take a new random id and hold its lock until `release`, or until this process ends.

        Raises HomeUnusableError where the runtime directory cannot be used.
        """
        owner_id = f"o-{secrets.token_hex(6)}"
        path = _lock_path(owner_id)
        lock = filelock.FileLock(path, mode=0o600, thread_local=False)
        facts = {"home": str(home) if home else None, "started": time.time(), "version": _version(), "pid": os.getpid()}
        try:
            # a moment's patience: someone who lists the directory may be asking just now
            lock.acquire(timeout=5.0, poll_interval=0.01)
            # through a descriptor of its own: closing it does not touch a flock held by another one
            path.write_text(json.dumps(facts), "utf-8")
        except (OSError, filelock.Timeout) as error:
            lock.release()
            raise HomeUnusableError(str(path.parent), _why(error)) from error
        return cls(owner_id, lock, path)

    def uses(self, backend: str) -> None:
        """Write down that something of its may be on this backend: asked when it is dead."""
        facts = owner_facts(self.id)
        known = facts.get("backends")
        used = [*known] if isinstance(known, list) else []
        if backend not in used:
            with suppress(OSError):
                self._path.write_text(json.dumps({**facts, "backends": [*used, backend]}), "utf-8")

    def keep(self) -> None:
        """At its release the file stays, so that it counts as dead and not as unknown.

        For an owner that could not take everything down with it.
        """
        self._keep = True

    def release(self, *, keep: bool = False) -> None:
        """Let the lock go; `keep` is as if `keep()` had been called. Idempotent."""
        if not self._lock.is_locked:
            return
        keep = keep or self._keep
        if not keep:
            with suppress(OSError):
                self._path.unlink()
        self._lock.release()
        if keep:
            # some releases of filelock remove the file they unlock
            with suppress(OSError):
                mark_owner_dead(self.id)


class HomeLock:
    """One Stoker per home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lock: filelock.BaseFileLock | None = None

    def acquire(self) -> None:
        """Make the home (0700) and hold it until `release`, or until this process ends.

        Raises HomeInUseError where another living Stoker holds it, and HomeUnusableError where it
        is a file, not ours, not writable, or on a full disk.
        """
        home = self.home.absolute()
        _refuse_shared(home)
        _private_directory(home)
        path = home / _LOCK_NAME
        lock = filelock.FileLock(path, mode=0o600, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout as error:
            raise HomeInUseError(str(home)) from error
        except OSError as error:
            raise HomeUnusableError(str(home), _why(error)) from error
        try:
            _write_probe(home)
        except OSError as error:
            lock.release()
            raise HomeUnusableError(str(home), _why(error)) from error
        _sweep(home)
        self._lock = lock

    def release(self) -> None:
        """Let the home go. Idempotent. The lock file stays: removing it would let two hold it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


def _lock_path(owner_id: str) -> Path:
    # ids come from labels that anybody may have written: nothing that could name another place
    if not _OWNER_ID.fullmatch(owner_id):
        raise ValueError(f"{owner_id!r} is not an owner id")
    return owners_directory() / f"{owner_id}.lock"


def _exists(owner_id: str) -> bool:
    try:
        return _lock_path(owner_id).exists()
    except (OSError, ValueError, HomeUnusableError):
        return False


def _private_directory(path: Path) -> Path:
    """Make `path` if need be, and make sure that it is a directory, ours, and closed to others."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # opened once and asked through the descriptor, so that nobody can swap it in between
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HomeUnusableError(str(path), _why(error)) from error
    try:
        facts = os.fstat(directory)
        if facts.st_uid != os.getuid():
            raise HomeUnusableError(str(path), f"it belongs to another user (uid {facts.st_uid}); choose another place")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            os.fchmod(directory, 0o700)
    except OSError as error:
        raise HomeUnusableError(str(path), _why(error)) from error
    finally:
        os.close(directory)
    return path


def _refuse_shared(home: Path) -> None:
    """A slip like `--home ~` or `--home /tmp` must not close that directory to everybody else."""
    shared = (Path("/"), Path("/tmp"), Path("/var/tmp"), Path(tempfile.gettempdir()), Path.home())
    if home.resolve() in {path.resolve() for path in shared}:
        raise HomeUnusableError(str(home), "it is not a directory of Stoker's own; choose one inside it")


def _write_probe(home: Path) -> None:
    """A lock file needs no block of a disk; a journal does. Find out now and not halfway."""
    with tempfile.NamedTemporaryFile(dir=home, prefix=".probe-") as probe:
        probe.write(b"\0" * 8192)
        probe.flush()
        os.fsync(probe.fileno())


def _sweep(home: Path) -> None:
    for pattern in _SCRATCH:
        for left in home.glob(pattern):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _why(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    match number:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "there is no room left on its disk; free some and start again"
        case errno.EACCES | errno.EPERM:
            return "permission denied; choose a directory that you may write, with --home"
        case errno.EROFS:
            return "it is on a read-only file system; choose another place, with --home"
        case errno.ENOTDIR | errno.EEXIST:
            return "there is a file where a directory must be"
        case _:
            return str(error) or type(error).__name__


def _version() -> str:
    try:
        return metadata.version("stoker")
    except metadata.PackageNotFoundError:
        return "checkout"
