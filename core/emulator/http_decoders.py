"""Decoders that take an HTTP/1.1 body apart: by chunks, or by length.

h11 parses and checks the head; these take over for the body, because they keep the chunks as they
were written and cost about a microsecond for each.
Source of the framing: RFC 9112, sections 6 and 7.1.
"""

from __future__ import annotations

import re
from typing import Protocol

import h11

__all__ = [
    "PIECE",
    "BodyError",
    "BodyTooLargeError",
    "ChunkedDecoder",
    "Decoder",
    "LengthDecoder",
    "TruncatedBodyError",
]

PIECE = 64 * 1024
"""A chunk up to this size is passed on whole; a larger one in pieces as they come."""

_MAX_LINE = 4096
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


class BodyError(Exception):
    """A body that cannot be read to its end; `status` is what to answer it with."""

    status = 400


class TruncatedBodyError(BodyError):
    """The peer closed the connection before the body was complete."""


class BodyTooLargeError(BodyError):
    """The body is larger than what is taken."""

    status = 413


class Decoder(Protocol):
    """What takes a body apart; `done` once its end has been seen, with its `trailers`."""

    done: bool
    trailers: list[tuple[str, str]]

    def decode(self, data: bytes | bytearray, start: int, end: int, out: list[bytes], *, room: int, most: int) -> int:
        """Put the chunks found in `data[start:end]` into `out`; return how far it came.

        It stops early at the end of the body, or once `room` bytes or `most` chunks were put out.
        Raises BodyError where the framing is wrong.
        """

    def rest(self) -> bytes:
        """What has come of a chunk that is not complete."""


class LengthDecoder:
    """A body of known length, passed on as it comes."""

    def __init__(self, length: int) -> None:
        self.done = length == 0
        self.trailers: list[tuple[str, str]] = []
        self._left = length

    def decode(self, data: bytes | bytearray, start: int, end: int, out: list[bytes], *, room: int, most: int) -> int:
        """See Decoder."""
        stop = min(end, start + self._left)
        if stop > start:
            out.append(bytes(memoryview(data)[start:stop]))
            self._left -= stop - start
            self.done = self._left == 0
        return stop

    def rest(self) -> bytes:
        """See Decoder."""
        return b""


class ChunkedDecoder:
    """A chunked body: one chunk of the peer is one chunk put out, up to PIECE bytes.

    `trailer_limit` bounds the trailer section, in bytes.
    """

    def __init__(self, trailer_limit: int = 64 * 1024) -> None:
        self.done = False
        self.trailers: list[tuple[str, str]] = []
        self._trailer_limit = trailer_limit
        self._line = bytearray()  # of a size line or the trailer section, when it is cut between two reads
        self._left = 0  # of the chunk that is being read
        self._whole = False  # whether that chunk is to be put out in one piece
        self._held: list[bytes] = []
        self._closing = b""  # what must follow the chunk's data
        self._in_trailers = False

    def decode(self, data: bytes | bytearray, start: int, end: int, out: list[bytes], *, room: int, most: int) -> int:
        """See Decoder."""
        view = memoryview(data)
        at = start
        put = 0
        first = len(out)
        while at < end and not self.done and put < room and len(out) - first < most:
            if self._left:
                stop = min(end, at + self._left)
                put += self._data(bytes(view[at:stop]), out)
                at = stop
            elif self._closing:
                take = min(len(self._closing), end - at)
                if data[at : at + take] != self._closing[:take]:
                    raise BodyError("a chunk is not followed by CRLF")
                self._closing = self._closing[take:]
                at += take
            elif self._in_trailers:
                at = self._trailer_lines(data, at, end)
            else:
                if self._line or (match := _SIZE_LINE.match(data, at, end)) is None:
                    at = self._size_line(data, at, end)
                    continue
                size = int(match[1], 16)
                at = match.end()
                stop = at + size
                if size and stop + 2 <= end:
                    # the common case: all of the chunk is here
                    if data[stop : stop + 2] != b"\r\n":
                        raise BodyError("a chunk is not followed by CRLF")
                    out.append(bytes(view[at:stop]))
                    put += size
                    at = stop + 2
                else:
                    self._begin(size)
        return at

    def rest(self) -> bytes:
        """See Decoder."""
        held, self._held = b"".join(self._held), []
        return held

    def _begin(self, size: int) -> None:
        if size == 0:
            self._in_trailers = True
        else:
            self._left = size
            self._whole = size <= PIECE

    def _data(self, piece: bytes, out: list[bytes]) -> int:
        self._left -= len(piece)
        if self._left == 0:
            self._closing = b"\r\n"
        if not self._whole:
            out.append(piece)
            return len(piece)
        self._held.append(piece)
        if self._left:
            return 0
        chunk = b"".join(self._held)
        self._held.clear()
        out.append(chunk)
        return len(chunk)

    def _size_line(self, data: bytes | bytearray, at: int, end: int) -> int:
        newline = data.find(b"\n", at, end)
        stop = newline + 1 if newline >= 0 else end
        self._line += data[at:stop]
        if newline >= 0:
            match = _SIZE_LINE.fullmatch(self._line)
            if match is None:
                raise BodyError(f"not a chunk's size: {bytes(self._line[:40])!r}")
            size = int(match[1], 16)  # before the line goes, which the match still looks into
            self._line.clear()
            self._begin(size)
        elif len(self._line) > _MAX_LINE:
            raise BodyError("a chunk's size line is too long")
        return stop

    def _trailer_lines(self, data: bytes | bytearray, at: int, end: int) -> int:
        # the section ends at an empty line, which may be its first and may be cut anywhere
        while at < end:
            newline = data.find(b"\n", at, end)
            stop = newline + 1 if newline >= 0 else end
            self._line += data[at:stop]
            at = stop
            if self._line == b"\r\n" or self._line.endswith(b"\n\r\n"):
                self._end(bytes(self._line))
                break
            if len(self._line) > self._trailer_limit:
                raise BodyError("the trailers are too long")
        return at

    def _end(self, section: bytes) -> None:
        fields = []
        for line in section.split(b"\r\n"):
            if line:
                name, colon, value = line.partition(b":")
                if not colon:
                    raise BodyError(f"not a trailer: {line[:40]!r}")
                fields.append((name, value.strip(b" \t")))
        try:
            checked = h11.EndOfMessage(headers=fields).headers
        except h11.LocalProtocolError as error:
            raise BodyError(f"not a trailer: {error}") from None
        self.trailers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in checked]
        self._line.clear()
        self.done = True
