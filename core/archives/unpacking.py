"""Writing a checked zip to disk, recognising what was written, and removing it again."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

from core.archives.zip_entries import Checkpoint, Contents, Entry, Kind, content

__all__ = ["digest_of", "matches", "remove_tree", "sync_folder", "tree_size", "unpack"]

_CHUNK = 1024 * 1024
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(file: BinaryIO, archive: str, contents: Contents, into: Path, checkpoint: Checkpoint = lambda: None) -> None:
    """Make the directory `into` and fill it; at the end all of it is read-only, for every user.

    Links come last, so that nothing can be written through one. Raises ZipExtractionFailedError
    for data that is not what the directory promised, OSError for a full disk and the like; what was
    written by then is the caller's to remove.
    """
    into.mkdir(mode=0o700)
    directories, files, links = _by_kind(contents)
    for entry in directories:
        (into / entry.name).mkdir(mode=0o700)
    for entry in files:
        checkpoint()
        _write(file, archive, entry, into / entry.name, checkpoint)
    for entry in links:
        (into / entry.name).symlink_to(entry.target)
    for entry in reversed(directories):
        (into / entry.name).chmod(entry.mode)
    into.chmod(0o555)


def matches(contents: Contents, directory: Path) -> bool:
    """Whether `directory` still holds just what was unpacked: names, kinds, modes, sizes, times, links.

    A change of the same length that also puts the time back is not seen. Byte code that a runtime
    left (only root can, through the modes) is no damage: to replace the directory for it would pull
    it from under the instances that run from it.
    """
    todo = [(directory, "")]
    seen = 0
    try:
        if stat.S_IMODE(directory.lstat().st_mode) != 0o555:
            return False
        while todo:
            at, above = todo.pop()
            with os.scandir(at) as found:
                for each in found:
                    name = above + each.name
                    entry = contents.entries.get(name)
                    if entry is None and "__pycache__" in name.split("/"):
                        continue
                    if entry is None or not _same(entry, each):
                        return False
                    seen += 1
                    if entry.kind is Kind.DIRECTORY:
                        todo.append((Path(each.path), f"{name}/"))
    except OSError:
        return False
    return seen == len(contents.entries)


def remove_tree(path: Path) -> None:
    """Remove a directory that may be read-only in every part. One that is gone is fine."""
    try:
        path.chmod(0o700)
    except FileNotFoundError:
        return
    for at, directories, _ in os.walk(path):
        for name in directories:
            below = Path(at, name)
            if not below.is_symlink():
                below.chmod(0o700)
    shutil.rmtree(path)


def tree_size(path: Path) -> int:
    """Bytes in all regular files under `path`."""
    total = 0
    for at, _, names in os.walk(path):
        for name in names:
            found = Path(at, name).lstat()
            if stat.S_ISREG(found.st_mode):
                total += found.st_size
    return total


def digest_of(file: BinaryIO, checkpoint: Checkpoint = lambda: None) -> tuple[str, int]:
    """The SHA-256 of a whole file, in hex, and its size."""
    found = hashlib.sha256()
    size = 0
    file.seek(0)
    while block := file.read(_CHUNK):
        checkpoint()
        found.update(block)
        size += len(block)
    return found.hexdigest(), size


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _by_kind(contents: Contents) -> tuple[list[Entry], list[Entry], list[Entry]]:
    found: dict[Kind, list[Entry]] = {kind: [] for kind in Kind}
    for entry in contents.entries.values():
        found[entry.kind].append(entry)
    return found[Kind.DIRECTORY], found[Kind.FILE], found[Kind.LINK]


def _write(file: BinaryIO, archive: str, entry: Entry, path: Path, checkpoint: Checkpoint) -> None:
    target = os.open(path, _NEW_FILE, 0o600)
    try:
        for piece in content(file, archive, entry, checkpoint):
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
        os.fchmod(target, entry.mode)
        os.utime(target, (entry.modified, entry.modified))
    finally:
        os.close(target)


def _same(entry: Entry, found: os.DirEntry[str]) -> bool:
    status = found.stat(follow_symlinks=False)
    if entry.kind is Kind.LINK:
        return stat.S_ISLNK(status.st_mode) and os.readlink(found.path) == entry.target  # noqa: PTH115  (a Path would tidy it)
    if stat.S_IMODE(status.st_mode) != entry.mode:
        return False
    if entry.kind is Kind.DIRECTORY:
        return stat.S_ISDIR(status.st_mode)
    return stat.S_ISREG(status.st_mode) and status.st_size == entry.size and int(status.st_mtime) == entry.modified
