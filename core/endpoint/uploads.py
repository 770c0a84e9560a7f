"""Requests that carry a zip: tens of megabytes of base64 inside a JSON document.

Parsed in one go such a document holds the loop up for half a second and more. So the base64 is cut
out before the rest is parsed, and decoded piece by piece.
"""

from __future__ import annotations

import asyncio
import binascii
import io
import json
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from core.emulator.http_body import BodyTooLargeError
from core.endpoint.call import MAX_JSON
from core.endpoint.errors import ApiError
from core.endpoint.read_json import read_json

if TYPE_CHECKING:
    from core.endpoint.call import Call

__all__ = ["MAX_UPLOAD", "MAX_ZIP", "read_upload"]

MAX_ZIP = 50 * 1024 * 1024
"""Bytes of a zip inside a request.

Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#function-configuration-deployment-and-execution
"""

MAX_UPLOAD = (MAX_ZIP + 2) // 3 * 4 + 64 * 1024
"""Bytes of a request with the largest zip, in base64."""

_MEMBER = b'"ZipFile"'
_VALUE = re.compile(rb'\s*:\s*"')
_SMALL = 64 * 1024  # base64 that is not worth cutting out
_PIECE = 1024 * 1024  # characters decoded at a time, a multiple of 4

M = TypeVar("M", bound=BaseModel)


async def read_upload(call: Call, model: type[M], zip_of: Callable[[M], str | None]) -> tuple[M, bytes | None]:
    """A request's document, and the zip that its member `ZipFile` is; `zip_of` says where that stands.

    None where there is no such member. Raises ApiError and BodyError.
    """
    declared = call.exchange.header("content-length") or ""
    if declared.isdecimal() and int(declared[:12]) > MAX_UPLOAD:
        raise _too_large(call)  # before it has been sent
    try:
        body = await call.body(MAX_UPLOAD)
    except BodyTooLargeError:
        raise _too_large(call) from None
    token = secrets.token_hex(16)
    place = _long_member(body)
    if place is None:
        document = body
    else:
        start, end = place
        document = b"".join((body[:start], token.encode(), body[end:]))
    if len(document) > MAX_JSON:
        raise _too_large(call)
    shape = read_json(document, model)
    given = zip_of(shape)
    if place is not None and given != token:
        # it stood somewhere else: what looks like the member is part of another
        shape = read_json(body, model)
        given = zip_of(shape)
        place = None
    if given is None:
        return shape, None
    text = memoryview(given.encode(errors="replace")) if place is None else _unescaped(body, *place)
    zipped = await _decoded(text)
    if len(zipped) > MAX_ZIP:
        raise _too_large(call)
    return shape, zipped


def _long_member(body: bytes) -> tuple[int, int] | None:
    """Where the text of a long `ZipFile` begins and ends in a document."""
    at = body.find(_MEMBER)
    while at >= 0:
        value = _VALUE.match(body, at + len(_MEMBER))
        if value is not None:
            start, end = value.end(), _end_of_string(body, value.end())
            if end - start > _SMALL:
                return start, end
        at = body.find(_MEMBER, at + 1)
    return None


def _end_of_string(body: bytes, start: int) -> int:
    """Where the quote is that ends a string; -1 where there is none."""
    end = body.find(b'"', start)
    while end >= 0:
        before = end
        while body[before - 1 : before] == b"\\":
            before -= 1
        if (end - before) % 2 == 0:
            return end
        end = body.find(b'"', end + 1)
    return -1


def _unescaped(body: bytes, start: int, end: int) -> memoryview:
    # every copy of so much takes its time
    if body.find(b"\\", start, end) < 0:
        return memoryview(body)[start:end]
    # some clients write every / as \/
    text = body[start:end].replace(b"\\/", b"/")
    if b"\\" not in text:
        return memoryview(text)
    try:
        return memoryview(str(json.loads(b'"' + text + b'"')).encode())
    except ValueError:
        raise _not_base64() from None


async def _decoded(text: memoryview) -> bytes:
    """Raises ApiError."""
    decoded = io.BytesIO()
    try:
        for at in range(0, len(text), _PIECE):
            piece = text[at : at + _PIECE]
            whole = binascii.a2b_base64(piece, strict_mode=True)
            if at + _PIECE < len(text) and len(whole) != _PIECE // 4 * 3:
                raise _not_base64()  # it is padded in the middle
            decoded.write(whole)
            await asyncio.sleep(0)
    except ValueError:
        raise _not_base64() from None
    return decoded.getvalue()


def _not_base64() -> ApiError:
    return ApiError(400, "SerializationException", "ZipFile is not base64")


def _too_large(call: Call) -> ApiError:
    # the code that Lambda's front answers, which the service's own model does not have
    message = f"Request must be smaller than {MAX_UPLOAD} bytes for the {call.operation} operation"
    return ApiError(413, "RequestEntityTooLargeException", message)
