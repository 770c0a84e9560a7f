"""Zips, folders and layers: a content-addressed store that unpacks each archive once.

What lies under the store's root:

    incoming/    copies that are being taken in; each is locked by who writes it
    zips/        DIGEST.zip, complete and checked
    unpacked/    DIGEST/, read-only, whole: renamed into place when its last file was written
                 .DIGEST.TOKEN/, being written or removed under the digest's lock
    locks/       one lock file for each first digit of a digest; never removed

A process that is killed leaves only what the next start recognises as nobody's, by a free lock.
Files are not synced one by one: after a power cut a directory that lost data no longer matches its
zip, which was synced, and is unpacked again.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import io
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from filelock import FileLock, Timeout

from core.archives.extraction import contents_of
from core.archives.packing import pack, pack_together
from core.archives.unpacking import digest_of, matches, remove_tree, sync_folder, tree_size, unpack
from core.archives.zip_entries import BOUNDS, Bounds, Checkpoint, Contents
from core.errors import HomeUnusableError, ZipExtractionFailedError

__all__ = ["Archive", "ArchiveStore"]

_T = TypeVar("_T")

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEFTOVER = re.compile(r"\.([0-9a-f]{64})\.[0-9a-f]+")
_CHUNK = 1024 * 1024
_PATIENCE = 0.2  # seconds between looks at whether the caller still wants a lock
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip in the store and its one unpacked, read-only directory. Sizes are in bytes."""

    digest: str
    path: Path
    directory: Path
    size: int
    unpacked_size: int

    def open(self) -> BinaryIO:
        """The zip's bytes, for backends that must ship them."""
        return self.path.open("rb")


class ArchiveStore:
    """All archives of one home, under `root`. Blocking work runs on `executor`.

    Any number of tasks and processes may use one root at once. A call that is cancelled returns
    once its work has stopped and cleaned up behind itself.
    """

    def __init__(self, root: Path, executor: Executor, bounds: Bounds = BOUNDS) -> None:
        root = root.absolute()
        self._incoming = root / "incoming"
        self._zips = root / "zips"
        self._unpacked = root / "unpacked"
        self._locks = root / "locks"
        self._executor = executor
        self._bounds = bounds
        self._contents: dict[str, Contents] = {}
        self._mutexes = {digit: threading.Lock() for digit in "0123456789abcdef"}
        self._starting = threading.Lock()
        self._started = False

    async def add(self, source: Path | str | bytes) -> Archive:
        """Take a zip file, a zip's bytes or a folder; check and unpack it once.

        Of a folder, everything is taken but byte code and version control (`core.archives.packing.LEFT_OUT`).
        Raises ZipExtractionFailedError with the entry and the reason, and HomeUnusableError where the
        store itself cannot be used; nothing is kept then.
        """
        if not isinstance(source, bytes):
            source = Path(source)
        return await self._run(lambda checkpoint: self._add(source, checkpoint))

    async def merge(self, layers: Sequence[Archive]) -> Archive:
        """An archive of all `layers`, each unpacked over those before it.

        Raises ZipExtractionFailedError, HomeUnusableError.
        """
        folders = [layer.directory for layer in layers]
        return await self._run(lambda checkpoint: self._add(folders, checkpoint))

    async def get(self, digest: str) -> Archive:
        """An archive that was added before; one whose directory was damaged or went is unpacked again.

        Raises KeyError for one that is not there, ZipExtractionFailedError where its zip is damaged.
        """
        return await self._run(lambda checkpoint: self._get(digest, checkpoint))

    async def collect(self, used: Collection[str]) -> int:
        """Remove every archive whose digest is not in `used`; returns bytes freed.

        `used` is to hold what functions name and what any living instance, also of an old deploy,
        was launched with.
        """
        keep = frozenset(used)
        return await self._run(lambda checkpoint: self._collect(keep, checkpoint))

    async def _run(self, work: Callable[[Checkpoint], _T]) -> _T:
        cancelled = threading.Event()

        def checkpoint() -> None:
            if cancelled.is_set():
                raise _StoppedError

        def guarded() -> _T:
            checkpoint()
            try:
                self._prepare()
            except OSError as error:
                where = error.filename or self._zips.parent
                raise HomeUnusableError(str(where), f"archives cannot be kept there ({error.strerror})") from error
            return work(checkpoint)

        job = self._executor.submit(guarded)
        future = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled.set()
            if not job.cancel():
                await _settled(future)
            raise

    # --- from here on, on the executor

    def _prepare(self) -> None:
        for folder in (self._incoming, self._zips, self._unpacked, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        with self._starting:
            if not self._started:
                self._sweep()
                self._started = True

    def _add(self, source: Path | bytes | Sequence[Path], checkpoint: Checkpoint) -> Archive:
        name = str(source) if isinstance(source, Path) else "the archive"
        try:
            with self._new_file() as (file, path):
                self._take_in(source, name, file, checkpoint)
                file.flush()
                digest, size = digest_of(file, checkpoint)
                with self._locked(digest, checkpoint):
                    found = self._find(digest)
                    if found is None or found.size != size:
                        found = self._install(name, digest, file, path, checkpoint)
                    return found
        except OSError as error:
            raise _disk_trouble(name, error) from error

    def _take_in(
        self, source: Path | bytes | Sequence[Path], name: str, file: BinaryIO, checkpoint: Checkpoint
    ) -> None:
        if isinstance(source, bytes):
            self._copy(io.BytesIO(source), name, file, checkpoint)
            return
        if not isinstance(source, Path):
            pack_together(source, file, self._bounds, checkpoint)
            return
        try:
            if stat.S_ISDIR(source.stat().st_mode):
                pack(source, file, self._bounds, checkpoint)
                return
            # without O_NONBLOCK a pipe would be waited for here
            opened = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ZipExtractionFailedError(name, "there is no such file or folder") from None
        except PermissionError as error:
            raise ZipExtractionFailedError(name, f"cannot be read: {error.strerror}") from error
        with os.fdopen(opened, "rb", buffering=0) as zipped:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise ZipExtractionFailedError(name, "is neither a zip file nor a folder")
            self._copy(zipped, name, file, checkpoint)

    def _copy(self, source: io.RawIOBase | BinaryIO, name: str, into: BinaryIO, checkpoint: Checkpoint) -> None:
        total = 0
        while block := source.read(_CHUNK):
            checkpoint()
            total += len(block)
            if total > self._bounds.packed:
                raise ZipExtractionFailedError(name, f"has more than {self._bounds.packed:,} bytes")
            into.write(block)

    def _get(self, digest: str, checkpoint: Checkpoint) -> Archive:
        if not _DIGEST.fullmatch(digest):
            raise KeyError(digest)
        found = self._find(digest)
        if found is not None:
            return found
        name = f"archive {digest[:12]}"
        with self._locked(digest, checkpoint):
            found = self._find(digest)
            if found is not None:
                return found
            path = self._zips / f"{digest}.zip"
            try:
                with path.open("rb") as file:
                    if digest_of(file, checkpoint)[0] != digest:
                        reason = "its stored copy is damaged; add the function's code again"
                        raise ZipExtractionFailedError(name, reason)
                    return self._install(name, digest, file, path, checkpoint)
            except FileNotFoundError:
                raise KeyError(digest) from None
            except OSError as error:
                raise _disk_trouble(name, error) from error

    def _find(self, digest: str) -> Archive | None:
        """The archive if it is here and whole."""
        path = self._zips / f"{digest}.zip"
        directory = self._unpacked / digest
        try:
            size = path.stat().st_size
            contents = self._contents.get(digest)
            if contents is None:
                with path.open("rb") as file:
                    contents = contents_of(file, path.name, self._bounds)
                self._contents[digest] = contents
        except (OSError, ZipExtractionFailedError):
            return None
        if not matches(contents, directory):
            return None
        return Archive(digest, path, directory, size, contents.unpacked_size)

    def _install(self, name: str, digest: str, file: BinaryIO, path: Path, checkpoint: Checkpoint) -> Archive:
        """Unpack `file` and put both into place. The digest's lock is held."""
        contents = contents_of(file, name, self._bounds, checkpoint)
        directory = self._unpacked / digest
        fresh = self._beside(digest)
        try:
            unpack(file, name, contents, fresh, checkpoint)
            old = self._beside(digest)
            with suppress(FileNotFoundError):
                # a damaged one: instances that run from it keep what they have open
                directory.rename(old)
            fresh.rename(directory)
        except BaseException:
            with suppress(OSError):
                remove_tree(fresh)
            raise
        remove_tree(old)
        stored = self._zips / f"{digest}.zip"
        if path != stored:
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
            path.replace(stored)
        sync_folder(self._unpacked)
        sync_folder(self._zips)
        self._contents[digest] = contents
        return Archive(digest, stored, directory, stored.stat().st_size, contents.unpacked_size)

    def _collect(self, used: frozenset[str], checkpoint: Checkpoint) -> int:
        freed = 0
        for path in sorted(self._zips.glob("*.zip")):
            digest = path.stem
            if digest in used or not _DIGEST.fullmatch(digest):
                continue
            with self._locked(digest, checkpoint):
                self._contents.pop(digest, None)
                with suppress(FileNotFoundError):
                    size = path.stat().st_size
                    # first the zip: without it the archive is gone, whatever is left of the directory
                    path.unlink()
                    freed += size
                freed += self._discard(digest)
        return freed

    def _discard(self, digest: str) -> int:
        gone = self._beside(digest)
        try:
            (self._unpacked / digest).rename(gone)
        except FileNotFoundError:
            return 0
        freed = tree_size(gone)
        remove_tree(gone)
        return freed

    def _sweep(self) -> None:
        """Remove what a killed process left; what is locked is somebody's, and stays."""
        for path in self._incoming.iterdir():
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        for path in self._unpacked.iterdir():
            leftover = _LEFTOVER.fullmatch(path.name)
            digest = leftover[1] if leftover else path.name
            if not _DIGEST.fullmatch(digest):
                continue
            with suppress(OSError, Timeout), FileLock(self._lock_path(digest)).acquire(timeout=0):
                if leftover:
                    remove_tree(path)
                elif not (self._zips / f"{digest}.zip").exists():
                    self._discard(digest)

    @contextmanager
    def _new_file(self) -> Iterator[tuple[BinaryIO, Path]]:
        while True:
            path = self._incoming / f"{secrets.token_hex(8)}.zip"
            file = path.open("x+b")
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                break
            # a sweep came between the two calls
            file.close()
        with file:
            try:
                yield file, path
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, digest: str, checkpoint: Checkpoint) -> Iterator[None]:
        """Be the only one, of all threads and processes, who changes this archive."""
        mutex = self._mutexes[digest[0]]
        while not mutex.acquire(timeout=_PATIENCE):
            checkpoint()
        try:
            lock = FileLock(self._lock_path(digest))
            while True:
                checkpoint()
                try:
                    lock.acquire(timeout=_PATIENCE)
                    break
                except Timeout:
                    continue
            try:
                yield
            finally:
                lock.release()
        finally:
            mutex.release()

    def _lock_path(self, digest: str) -> Path:
        return self._locks / f"{digest[0]}.lock"

    def _beside(self, digest: str) -> Path:
        return self._unpacked / f".{digest}.{secrets.token_hex(8)}"


class _StoppedError(Exception):
    """The caller of the work was cancelled."""


async def _settled(future: asyncio.Future[_T]) -> None:
    """Wait for work that was told to stop, however often this task is cancelled meanwhile."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()  # seen: it is the stop, or came too late to matter


def _disk_trouble(name: str, error: OSError) -> ZipExtractionFailedError:
    if error.errno in _FULL:
        reason = f"the disk is full ({error.strerror}); nothing of it was kept"
    else:
        reason = f"could not be stored: {error}"
    return ZipExtractionFailedError(name, reason)
