"""A folder as a zip: the same folder gives the same bytes, on every machine and Python."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from core.archives.zip_entries import BOUNDS, Bounds, Checkpoint
from core.errors import ZipExtractionFailedError

__all__ = ["LEFT_OUT", "pack", "pack_together"]

LEFT_OUT = frozenset({"__pycache__", ".git", ".hg", ".svn", ".DS_Store"})
"""Names that are left out wherever they stand: byte code and version control change without the
code changing (the digest would too), and a repository's history is no part of a function."""

_CHUNK = 1024 * 1024
_TIME = (1980, 1, 1, 0, 0, 0)
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def pack(folder: Path, into: BinaryIO, bounds: Bounds = BOUNDS, checkpoint: Checkpoint = lambda: None) -> None:
    """Write `folder` to `into` as a zip: sorted names, one fixed time, modes 0644 and 0755, links as links.

    Files are stored, not compressed: what deflate makes differs between versions of zlib, and with
    it the digest would. Everything but `LEFT_OUT` is taken, hidden files too. Whether a link stays
    inside is for the reader of the zip to check, as for any other zip.

    Raises ZipExtractionFailedError for what cannot be in a zip or is too much; OSError for a full disk.
    """
    _write(folder, _walk(folder), into, bounds, checkpoint)


def pack_together(
    folders: Sequence[Path], into: BinaryIO, bounds: Bounds = BOUNDS, checkpoint: Checkpoint = lambda: None
) -> None:
    """Write several folders to `into` as one zip, as if each had been unpacked over those before it.

    That is how Lambda puts layers into `/opt`: https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
    Raises what `pack` raises.
    """
    found: dict[str, tuple[Path, os.stat_result]] = {}
    for folder in folders:
        for name, path, status in _walk(folder):
            before = found.get(name)
            if before is not None and stat.S_ISDIR(before[1].st_mode) and not stat.S_ISDIR(status.st_mode):
                # what replaces a directory replaces all in it
                for below in [each for each in found if each.startswith(f"{name}/")]:
                    del found[below]
            for above in _above(name):
                if above in found and not stat.S_ISDIR(found[above][1].st_mode):
                    del found[above]
            found[name] = (path, status)
    _write(Path("layers"), ((name, *found[name]) for name in sorted(found)), into, bounds, checkpoint)


def _above(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _write(
    folder: Path,
    entries: Iterable[tuple[str, Path, os.stat_result]],
    into: BinaryIO,
    bounds: Bounds,
    checkpoint: Checkpoint,
) -> None:
    total = count = 0
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED, strict_timestamps=True) as opened:
        for name, path, status in entries:
            checkpoint()
            count += 1
            if count > bounds.entries:
                raise ZipExtractionFailedError(str(folder), f"has more than {bounds.entries:,} files and folders")
            if stat.S_ISDIR(status.st_mode):
                opened.writestr(_info(f"{name}/", stat.S_IFDIR | 0o755), b"")
            elif stat.S_ISLNK(status.st_mode):
                opened.writestr(_info(name, stat.S_IFLNK | 0o777), _target(path))
            elif stat.S_ISREG(status.st_mode):
                try:
                    source = _regular(path)
                except OSError as error:
                    raise ZipExtractionFailedError(str(folder), f"cannot be read: {error.strerror}", name) from error
                info = _info(name, stat.S_IFREG | (0o755 if status.st_mode & 0o111 else 0o644))
                with source, opened.open(info, "w") as target:
                    while piece := source.read(_CHUNK):
                        checkpoint()
                        total += len(piece)
                        if total > bounds.unpacked:
                            reason = f"is too much: the folder holds more than {bounds.unpacked:,} bytes"
                            raise ZipExtractionFailedError(str(folder), reason, name)
                        target.write(piece)
            else:
                raise ZipExtractionFailedError(
                    str(folder), "is a device, pipe or socket, not a file, directory or link", name
                )


def _walk(folder: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Everything below `folder`, parents first, in an order that depends on the names only."""
    todo = [("", folder)]
    while todo:
        name, path = todo.pop()
        try:
            status = path.lstat() if name else path.stat()
            if name:
                yield name, path, status
            if not stat.S_ISDIR(status.st_mode):
                continue
            below = sorted(each.name for each in path.iterdir() if each.name not in LEFT_OUT)
        except OSError as error:
            raise ZipExtractionFailedError(str(folder), f"cannot be read: {error.strerror}", name or None) from error
        for each in below:
            try:
                each.encode()
            except UnicodeEncodeError:
                raise ZipExtractionFailedError(str(folder), "has a name that is not UTF-8", repr(each)) from None
        todo.extend((f"{name}/{each}" if name else each, path / each) for each in reversed(below))


def _target(path: Path) -> bytes:
    return os.fsencode(os.readlink(path))  # noqa: PTH115  (a Path would tidy it)


def _regular(path: Path) -> BinaryIO:
    """Open a file that was one a moment ago; never follow a link or wait for a pipe."""
    opened = os.open(path, _READ_FILE)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EBUSY, "it was replaced while the folder was read")
    return os.fdopen(opened, "rb")


def _info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.create_system = 3  # Unix: the modes count
    info.external_attr = mode << 16
    if stat.S_ISDIR(mode):
        info.external_attr |= 0x10  # the same for readers that only know DOS
    return info
