"""Frames of `application/vnd.amazon.eventstream`, written only.

A frame is: its length, the length of its headers, a CRC of those eight bytes, headers, payload, and a CRC
of all before it; numbers are big-endian. A header is: length of the name, name, type (7: a string), length
of the value, value. Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from zlib import crc32

__all__ = ["CONTENT_TYPE", "MAX_PAYLOAD", "chunk", "complete", "failure", "frame", "string_headers"]

CONTENT_TYPE = "application/vnd.amazon.eventstream"

MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes of a payload that every client takes."""

_STRING = 7
_MAX_NAME = 255
_MAX_VALUE = 32 * 1024 - 1
_MAX_HEADERS = 128 * 1024
_AROUND = 16  # bytes of a frame that are neither headers nor payload
_TWO = struct.Struct("!II").pack
_ONE = struct.Struct("!I").pack


def string_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as they stand in a frame. Raises ValueError for what does not fit."""
    out = bytearray()
    for name, value in headers:
        name_bytes, value_bytes = name.encode(), value.encode()
        if not 0 < len(name_bytes) <= _MAX_NAME or len(value_bytes) > _MAX_VALUE:
            raise ValueError(f"header {name[:80]!r} has {len(name_bytes)} and {len(value_bytes)} bytes")
        out += struct.pack("!B", len(name_bytes)) + name_bytes
        out += struct.pack("!BH", _STRING, len(value_bytes)) + value_bytes
    if len(out) > _MAX_HEADERS:
        raise ValueError(f"headers of {len(out):,} bytes; the limit is {_MAX_HEADERS:,}")
    return bytes(out)


def frame(headers: bytes, payload: bytes) -> bytes:
    """One frame; `headers` are `string_headers`. Raises ValueError for a payload above MAX_PAYLOAD."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload):,} bytes; the limit is {MAX_PAYLOAD:,}")
    lengths = _TWO(_AROUND + len(headers) + len(payload), len(headers))
    head = lengths + _ONE(crc32(lengths)) + headers
    return b"".join((head, payload, _ONE(crc32(payload, crc32(head)))))


def chunk(payload: bytes) -> bytes:
    """PayloadChunk: a piece of the function's response, at most MAX_PAYLOAD bytes."""
    return frame(_CHUNK, payload)


def complete(error_code: str | None, error_details: str | None, log_result: str | None) -> bytes:
    """InvokeComplete, the last frame of every stream. What is None is left out.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStreamCompleteEvent.html
    """
    fields = {"ErrorCode": error_code, "ErrorDetails": error_details, "LogResult": log_result}
    document = {name: value for name, value in fields.items() if value is not None}
    return frame(_COMPLETE, json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))


def failure(code: str, message: str) -> bytes:
    """An error that is not the function's: it ends a stream in place of InvokeComplete."""
    short = message.encode("utf-8", "replace")[:_MAX_MESSAGE].decode("utf-8", "ignore")
    return frame(string_headers(((":message-type", "error"), (":error-code", code), (":error-message", short))), b"")


_MAX_MESSAGE = 2048
_CHUNK = string_headers(
    (
        (":event-type", "PayloadChunk"),
        (":content-type", "application/octet-stream"),
        (":message-type", "event"),
    )
)
_COMPLETE = string_headers(
    (
        (":event-type", "InvokeComplete"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    )
)
