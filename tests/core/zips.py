"""Zips for tests: good ones by `zipfile`, bad ones record by record."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Record", "a_zip", "device", "link", "raw_zip"]

DEFLATED = zipfile.ZIP_DEFLATED


def a_zip(files: Mapping[str, bytes | str], method: int = DEFLATED, modes: Mapping[str, int] | None = None) -> bytes:
    """A zip as a well-behaved program makes it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2026, 11, 24, 12, 0, 0))
            info.compress_type = method
            info.create_system = 3
            info.external_attr = ((modes or {}).get(name, 0o644) | (0 if name.endswith("/") else stat.S_IFREG)) << 16
            opened.writestr(info, data)
    return target.getvalue()


@dataclass
class Record:
    """One entry, with every field free to lie. `claims` is the declared size, `packs` the compressed one."""

    name: bytes
    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    system: int = 3
    flags: int = 0x800
    method: int = 0
    claims: int | None = None
    packs: int | None = None
    crc: int | None = None
    local_name: bytes | None = None
    offset: int | None = None

    def packed(self) -> bytes:
        if self.method == DEFLATED:
            deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
            return deflate.compress(self.data) + deflate.flush()
        return self.data

    def fields(self) -> tuple[int, int, int]:
        crc = zlib.crc32(self.data) if self.crc is None else self.crc
        packs = len(self.packed()) if self.packs is None else self.packs
        return crc, packs, len(self.data) if self.claims is None else self.claims


def raw_zip(*records: Record, count: int | None = None) -> bytes:
    """Just these records, in this order, whatever they say."""
    body, directory = bytearray(), bytearray()
    for each in records:
        offset = len(body) if each.offset is None else each.offset
        local = each.name if each.local_name is None else each.local_name
        head = (20, each.flags, each.method, 0, 0x5B78, *each.fields())
        if each.offset is None:
            body += struct.pack("<4s5H3L2H", b"PK\x03\x04", *head, len(local), 0) + local + each.packed()
        directory += struct.pack(
            "<4s2B5H3L5H2L", b"PK\x01\x02", 20, each.system, *head, len(each.name), 0, 0, 0, 0, each.mode << 16, offset
        )
        directory += each.name
    number = len(records) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, number, number, len(directory), len(body), 0)
    return bytes(body + directory + end)


def link(name: str, target: str) -> Record:
    return Record(name.encode(), target.encode(), mode=stat.S_IFLNK | 0o777)


def device(name: str, kind: int) -> Record:
    return Record(name.encode(), mode=kind | 0o644)
