"""What a checked zip consists of, and the bytes of its files; the checks are `core.archives.extraction`'s."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, NoReturn

from core.errors import ZipExtractionFailedError
from core.limits import MOST_UNZIPPED_BYTES

__all__ = ["BOUNDS", "Bounds", "Checkpoint", "Contents", "Entry", "Kind", "content"]

Checkpoint = Callable[[], None]
"""Called often during long work; raises where the work should stop."""

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an archive may hold. `unpacked` is Lambda's own limit; the others only stop bombs."""

    unpacked: int = MOST_UNZIPPED_BYTES
    packed: int = 2 * MOST_UNZIPPED_BYTES
    entries: int = 100_000
    name_bytes: int = 255
    path_bytes: int = 1024
    link_hops: int = 40


BOUNDS = Bounds()


class Kind(StrEnum):
    """What an entry becomes."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be unpacked: its path with forward slashes, and where its data lies in the zip.

    `mode` is what it gets (read-only, executable or not), `modified` its time in seconds.
    """

    name: str
    kind: Kind
    mode: int
    modified: int
    size: int = 0
    crc: int = 0
    start: int = 0
    packed: int = 0
    deflated: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """A zip that was found to be harmless. `entries` has every directory, parents first."""

    entries: Mapping[str, Entry]
    unpacked_size: int


def content(file: BinaryIO, archive: str, entry: Entry, checkpoint: Checkpoint = lambda: None) -> Iterator[bytes]:
    """The bytes of one file, in pieces; never more than the entry declares.

    Raises ZipExtractionFailedError where data is missing, damaged, or more than was declared.
    """

    def refuse(reason: str) -> NoReturn:
        raise ZipExtractionFailedError(archive, reason, entry.name)

    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.deflated else None
    total = crc = 0
    left = entry.packed
    file.seek(entry.start)
    while left:
        checkpoint()
        block = file.read(min(left, _CHUNK))
        if not block:
            refuse("the zip ends in the middle of its data")
        left -= len(block)
        try:
            for piece in _inflated(inflate, block):
                total += len(piece)
                if total > entry.size:
                    refuse(f"holds more than the {entry.size:,} bytes it declares")
                crc = zlib.crc32(piece, crc)
                yield piece
        except zlib.error as error:
            refuse(f"its compressed data is damaged ({error})")
        if inflate is not None and inflate.eof and (left or inflate.unused_data):
            refuse("has data after its end")
    if inflate is not None and not inflate.eof:
        refuse("its compressed data breaks off")
    if total != entry.size:
        refuse(f"holds {total:,} bytes where it declares {entry.size:,}")
    if crc != entry.crc:
        refuse("its checksum (CRC) does not fit its data")


def _inflated(inflate: zlib._Decompress | None, block: bytes) -> Iterator[bytes]:
    if inflate is None:
        yield block
        return
    while True:
        piece = inflate.decompress(block, _CHUNK)
        block = inflate.unconsumed_tail
        if piece:
            yield piece
        # a full piece may mean that more output is waiting, though all input is taken
        if inflate.eof or (not block and len(piece) < _CHUNK):
            return
