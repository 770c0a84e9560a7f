"""Reading a zip that may be hostile: what is in it, or why it is refused, before a byte is unpacked.

The central directory is read by `zipfile`; everything that decides what would be written (names,
kinds, sizes, links, where the data lies) is checked here. The data is inflated by `content`, which
catches a size or a checksum that lies at the first byte too many.
"""

from __future__ import annotations

import calendar
import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from typing import BinaryIO, NoReturn

from core.archives.zip_entries import BOUNDS, Bounds, Checkpoint, Contents, Entry, Kind, content
from core.errors import ZipExtractionFailedError

__all__ = ["contents_of"]

_EARLIEST = 315_532_800  # 1980-01-01, where a zip's calendar begins
_LATEST = 2_147_483_646  # some file systems know no later time, and what is written must be found again
_LINK_STEPS = 500_000  # names looked at, over all links: work that no real archive comes near
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS = frozenset({0, 10, 14})  # FAT, NTFS, VFAT: systems without an executable bit
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def contents_of(
    file: BinaryIO, archive: str, bounds: Bounds = BOUNDS, checkpoint: Checkpoint = lambda: None
) -> Contents:
    """Check a whole zip, short of inflating its files.

    Raises ZipExtractionFailedError, naming `archive`, the entry and the reason.
    """
    return _Reader(file, archive, bounds, checkpoint).read()


class _Directory:
    """The zip as `zipfile` sees it while it reads the directory: stops a huge one before it is parsed."""

    def __init__(self, file: BinaryIO, most: int, refuse: Callable[[str], NoReturn]) -> None:
        self._file = file
        self._most = most
        self._refuse = refuse
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        # a directory record has at least 46 bytes, and rarely 1,000
        if size > self._most * 1_000 + 0x20000:
            self._refuse(f"its directory claims {size:,} bytes")
        data = self._file.read(size)
        if data.count(b"PK\x01\x02") > self._most:
            self._refuse(f"has more than {self._most:,} entries")
        return data


class _Reader:
    """One pass over one zip's directory."""

    def __init__(self, file: BinaryIO, archive: str, bounds: Bounds, checkpoint: Checkpoint) -> None:
        self._file = file
        self._archive = archive
        self._bounds = bounds
        self._checkpoint = checkpoint
        self._entries: dict[str, Entry] = {}
        self._explicit: set[str] = set()
        self._folded: dict[str, str] = {}

    def read(self) -> Contents:
        records, end = self._records()
        if not records:
            self._refuse("is empty")
        if len(records) > self._bounds.entries:
            self._refuse(f"has more than {self._bounds.entries:,} entries")
        declared = sum(record.file_size for record in records)
        if declared > self._bounds.unpacked:
            self._refuse(f"unpacks to {declared:,} bytes; at most {self._bounds.unpacked:,} are allowed")
        starts = self._data_starts(records, end)
        for record in records:
            self._checkpoint()
            self._add(record, starts[id(record)])
        if not self._entries:
            self._refuse("is empty")
        _Links(self._entries, self._bounds.link_hops, self._refuse).check(self._checkpoint)
        size = sum(entry.size for entry in self._entries.values() if entry.kind is Kind.FILE)
        return Contents(entries=self._entries, unpacked_size=size)

    def _records(self) -> tuple[list[zipfile.ZipInfo], int]:
        self._file.seek(0)
        magic = self._file.read(4)
        view = _Directory(self._file, self._bounds.entries, self._refuse)
        try:
            with zipfile.ZipFile(view) as opened:
                return opened.infolist(), opened.start_dir
        except zipfile.BadZipFile as error:
            if magic == b"PK\x03\x04":
                self._refuse(f"is a damaged zip, or cut off ({error})")
            self._refuse("is not a zip")
        except (ValueError, struct.error, NotImplementedError, OverflowError, EOFError, IndexError, OSError) as error:
            # what zipfile lets through from a directory that makes no sense
            self._refuse(f"is a damaged zip ({error})")

    def _data_starts(self, records: list[zipfile.ZipInfo], end: int) -> dict[int, int]:
        """Where each entry's data begins, once it is certain that no two share a byte."""
        starts = {}
        free = 0
        for record in sorted(records, key=lambda each: each.header_offset):
            self._checkpoint()
            name = record.orig_filename
            if record.header_offset < free:
                self._refuse("overlaps another entry", name)
            start = self._after_local_header(record)
            free = start + record.compress_size
            if free > end:
                self._refuse("its data lies outside the zip", name)
            starts[id(record)] = start
        return starts

    def _after_local_header(self, record: zipfile.ZipInfo) -> int:
        name = record.orig_filename
        self._file.seek(record.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            self._refuse("its header is cut off", name)
        magic, _, flags, method, _, _, _, _, _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        if magic != b"PK\x03\x04":
            self._refuse("its header is missing", name)
        if (flags | record.flag_bits) & 0x2041:
            self._refuse("is encrypted", name)
        if record.flag_bits & 0x20:
            self._refuse("is a patch to another archive", name)
        if record.compress_type not in _METHODS:
            self._refuse(f"is compressed by method {record.compress_type}; stored and deflated can be read", name)
        raw = self._file.read(name_size)
        if method != record.compress_type or raw != name.encode("utf-8" if record.flag_bits & 0x800 else "cp437"):
            self._refuse("its header and the zip's directory disagree", name)
        return int(record.header_offset + _LOCAL_HEADER.size + name_size + extra_size)

    def _add(self, record: zipfile.ZipInfo, start: int) -> None:
        shown = record.orig_filename
        name = self._clean(shown)
        kind, mode = self._kind(record, name)
        if not name:
            if shown in {"./", "."}:  # the root itself
                return
            self._refuse("has no name", shown)
        if name in self._explicit:
            self._refuse("is there twice", shown)
        self._explicit.add(name)
        self._claim(name, kind, shown)
        if kind is Kind.DIRECTORY:
            if record.file_size:
                self._refuse("is a directory with content", shown)
            return
        entry = Entry(
            name=name,
            kind=kind,
            mode=mode,
            modified=_time(record),
            size=record.file_size,
            crc=record.CRC,
            start=start,
            packed=record.compress_size,
            deflated=record.compress_type == zipfile.ZIP_DEFLATED,
        )
        if kind is Kind.LINK:
            entry = Entry(name=name, kind=kind, mode=0o777, modified=0, target=self._target(entry, shown))
        self._entries[name] = entry

    def _clean(self, shown: str) -> str:
        """The entry's path inside the archive, or a refusal."""
        if "\0" in shown:
            self._refuse("has a NUL in its name", shown)
        if "\\" in shown:
            self._refuse("has a backslash in its name", shown)
        if shown.startswith("/"):
            self._refuse("is an absolute path", shown)
        if _DRIVE.match(shown):
            self._refuse("names a drive", shown)
        parts = [part for part in shown.split("/") if part not in {"", "."}]
        for part in parts:
            if part == "..":
                self._refuse("leaves the archive (..)", shown)
            if len(part.encode()) > self._bounds.name_bytes:
                self._refuse(f"has a name longer than {self._bounds.name_bytes} bytes", shown)
        name = "/".join(parts)
        if len(name.encode()) > self._bounds.path_bytes:
            self._refuse(f"has a path longer than {self._bounds.path_bytes:,} bytes", shown)
        return name

    def _kind(self, record: zipfile.ZipInfo, name: str) -> tuple[Kind, int]:
        mode = record.external_attr >> 16
        slash = record.orig_filename.endswith("/")
        match stat.S_IFMT(mode):
            case stat.S_IFLNK if not slash:
                return Kind.LINK, 0o777
            case stat.S_IFDIR:
                return Kind.DIRECTORY, 0o555
            case 0 | stat.S_IFREG if slash or not name:
                return Kind.DIRECTORY, 0o555
            case 0 | stat.S_IFREG:
                # Lambda starts a custom runtime by its file `bootstrap`. A zip made where there is no
                # executable bit cannot carry it, and nothing but an executable can be meant.
                unmarked = record.create_system in _WINDOWS or mode == 0
                executable = bool(mode & 0o111) or (name == "bootstrap" and unmarked)
                return Kind.FILE, 0o555 if executable else 0o444
            case stat.S_IFLNK:
                reason = "is a link with the name of a directory"
            case _:
                reason = "is a device, pipe or socket, not a file, directory or link"
        raise ZipExtractionFailedError(self._archive, reason, record.orig_filename)

    def _claim(self, name: str, kind: Kind, shown: str) -> None:
        """Enter `name` and the directories above it; refuse what another name already stands for."""
        parts = name.split("/")
        path = ""
        for depth, part in enumerate(parts, 1):
            path = f"{path}/{part}" if path else part
            last = depth == len(parts)
            found = self._entries.get(path)
            if found is None:
                other = self._folded.setdefault(_folded(path), path)
                if other != path:
                    self._refuse(f"differs from {other!r} only by case, or by how Unicode spells it", shown)
                if not last or kind is Kind.DIRECTORY:
                    if len(self._entries) >= self._bounds.entries:
                        self._refuse(f"makes more than {self._bounds.entries:,} files and directories", shown)
                    self._entries[path] = Entry(path, Kind.DIRECTORY, 0o555, 0)
            elif found.kind is Kind.LINK and not last:
                self._refuse(f"lies behind the link {path!r}", shown)
            elif found.kind is not Kind.DIRECTORY:
                self._refuse(f"uses the file {path!r} as a directory", shown)
            elif last and kind is Kind.LINK:
                self._refuse("is a link where another entry needs a directory", shown)
            elif last and kind is Kind.FILE:
                self._refuse("is a file where another entry needs a directory", shown)

    def _target(self, entry: Entry, shown: str) -> str:
        if entry.size > self._bounds.path_bytes:
            self._refuse(f"is a link to a path longer than {self._bounds.path_bytes:,} bytes", shown)
        raw = b"".join(content(self._file, self._archive, entry, self._checkpoint))
        try:
            target = raw.decode()
        except UnicodeDecodeError:
            self._refuse("is a link to a path that is not UTF-8", shown)
        if not target or "\0" in target:
            self._refuse("is a link to nothing", shown)
        if target.startswith("/"):
            self._refuse(f"is a link to an absolute path ({target})", shown)
        return target

    def _refuse(self, reason: str, entry: str | None = None) -> NoReturn:
        raise ZipExtractionFailedError(self._archive, reason, entry)


class _Links:
    """Follows every link as a kernel would, with the archive as the whole world.

    Names are compared as a file system that ignores case would: there `L/..` may be a link `l`.
    """

    def __init__(self, entries: Mapping[str, Entry], hops: int, refuse: Callable[[str, str], NoReturn]) -> None:
        self._links = {_folded(entry.name): entry for entry in entries.values() if entry.kind is Kind.LINK}
        self._hops = hops
        self._refuse = refuse
        self._steps = 0

    def check(self, checkpoint: Checkpoint) -> None:
        for entry in self._links.values():
            checkpoint()
            self._follow(entry)

    def _follow(self, link: Entry) -> None:
        at = link.name.split("/")[:-1]
        todo = link.target.split("/")[::-1]
        hops = 0
        while todo:
            part = todo.pop()
            self._steps += 1
            if self._steps > _LINK_STEPS:
                self._refuse("is one link too many to follow", link.name)
            if part in {"", "."}:
                continue
            if part == "..":
                if not at:
                    self._refuse(f"is a link that leaves the archive ({link.target})", link.name)
                at.pop()
                continue
            at.append(part)
            found = self._links.get(_folded("/".join(at)))
            if found is not None:
                hops += 1
                if hops > self._hops:
                    self._refuse(f"is a link in a loop or a chain of over {self._hops}", link.name)
                at.pop()
                todo.extend(found.target.split("/")[::-1])


def _folded(path: str) -> str:
    # what a file system that ignores case and Unicode's spelling (macOS) takes for one name
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def _time(record: zipfile.ZipInfo) -> int:
    year, month, day, hour, minute, second = record.date_time
    try:
        seconds = calendar.timegm((year, month, day, hour, minute, second))
    except (ValueError, OverflowError):
        return _EARLIEST
    return min(max(seconds, _EARLIEST), _LATEST)
