"""The quick way through ordinary HTTP/1.1 heads: what it does not take is left to h11.

h11 judges everything, and that costs more than the rest of a small exchange. A head that is plainly
well-formed and asks for nothing special means the same to both, so only the others need it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import h11

__all__ = ["BODILESS", "REASONS", "RequestHead", "encoded", "judged", "last_chunk", "read_request", "write_response"]

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}

# a length would be wrong there: https://www.rfc-editor.org/rfc/rfc9110#section-8.6
BODILESS = frozenset({204, 304})

# each piece ends where the next begins with a sign it cannot have: no text makes them try long
_LINE = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n"
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE|PATCH|OPTIONS) (/[!-~]*) HTTP/1\.1\r\n((?:" + _LINE + rb")+)\r\n")
_LINES = re.compile(rb"(?:" + _LINE + rb")*")
_FIELD = re.compile(r"([^:]+):([^\r]*)\r\n")
_WATCHED = frozenset({"content-length", "host", "transfer-encoding", "connection", "expect", "upgrade"})
_MAX_DIGITS = 18
_FEW = 2  # headers of a response that is likely to be the same as one before


class RequestHead(NamedTuple):
    """A request's head; `headers` have lower-case names. `length` is None where the body is chunked.

    `end` is where the body begins.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    length: int | None
    end: int


def read_request(data: bytes) -> RequestHead | None:
    """The head that `data` begins with, or None where h11 must look at it."""
    match = _REQUEST.match(data)
    if match is None:
        return None
    headers = [(name.lower(), value.strip(" \t")) for name, value in _FIELD.findall(match[3].decode("latin-1"))]
    length: int | None = 0
    seen = 0  # Host, Content-Length, Transfer-Encoding: a bit each
    for name, value in headers:
        if name not in _WATCHED:
            continue
        if name == "content-length":
            if seen & 6 or not value.isascii() or not value.isdecimal() or len(value) > _MAX_DIGITS:
                return None
            seen |= 2
            length = int(value)
        elif name == "host":
            if seen & 1:
                return None
            seen |= 1
        elif name == "transfer-encoding":
            if seen & 6 or value.lower() != "chunked":
                return None
            seen |= 4
            length = None
        elif name != "connection" or value.lower() != "keep-alive":
            return None
    if not seen & 1:
        return None
    return RequestHead(match[1].decode(), match[2].decode(), headers, length, match.end())


def write_response(status: int, headers: Sequence[tuple[str, str]]) -> bytes | None:
    """The head of a response to a request that `read_request` took, or None where h11 must write it.

    It has a length or is chunked, unless it can have no body.
    """
    return _known_head(status, tuple(headers)) if len(headers) <= _FEW else _new_head(status, headers)


def _new_head(status: int, headers: Sequence[tuple[str, str]]) -> bytes | None:
    reason = REASONS.get(status)
    if reason is None or status < 200:
        return None
    framing = 0
    for name, value in headers:
        lower = name.lower()
        if lower not in _WATCHED:
            continue
        if lower == "content-length":
            plain = value.isascii() and value.isdecimal()
        else:
            plain = lower == "transfer-encoding" and value == "chunked"
        if not plain:
            return None
        framing += 1
    if framing != (status not in BODILESS):
        return None
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers]).encode("utf-8", "surrogateescape")
    if _LINES.fullmatch(lines) is None or lines.count(b"\r\n") != len(headers):
        return None
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, lines)


_known_head = lru_cache(256)(_new_head)


def encoded(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as they go over the wire."""
    return [(name.encode("ascii"), value.encode("utf-8", "surrogateescape")) for name, value in headers]


def judged(event: h11.Request) -> RequestHead:
    """A request that h11 has let through."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
    length: int | None = 0
    for name, value in headers:
        if name == "transfer-encoding":  # nothing but "chunked"; it goes before a length
            length = None
            break
        if name == "content-length":
            length = int(value)
    return RequestHead(event.method.decode("latin-1"), event.target.decode("latin-1"), headers, length, 0)


def last_chunk(trailers: list[tuple[bytes, bytes]]) -> bytes:
    """The end of a chunked body. Raises h11.LocalProtocolError for what is not a trailer."""
    if not trailers:
        return b"0\r\n\r\n"
    checked = h11.EndOfMessage(headers=trailers).headers.raw_items()
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % pair for pair in checked])
