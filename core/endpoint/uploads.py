"""Requests that carry a zip: tens of megabytes of base64 inside a JSON document.

Parsed in one go such a document holds the loop up for half a second and more. So the base64 is cut
out before the rest is parsed, and decoded piece by piece.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from core.emulator.http_body import BodyTooLargeError
from core.endpoint.call import MAX_JSON, read_json
from core.endpoint.errors import ApiError

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
    try:
        body = await call.body(MAX_UPLOAD)
    except BodyTooLargeError:
        raise _too_large(call) from None
    token = secrets.token_hex(16)
    document, text = _cut_out(body, token)
    if len(document) > MAX_JSON:
        raise _too_large(call)
    shape = read_json(document, model)
    given = zip_of(shape)
    if text is not None and given != token:
        # it stood somewhere else: what looks like the member is part of another
        shape = read_json(body, model)
        given = zip_of(shape)
        text = None
    if given is None:
        return shape, None
    zipped = await _decoded(text if text is not None else given.encode())
    if len(zipped) > MAX_ZIP:
        raise _too_large(call)
    return shape, zipped


def _cut_out(body: bytes, token: str) -> tuple[bytes, bytes | None]:
    """The document with `token` in place of a long `ZipFile`, and that; None where there is none."""
    at = body.find(_MEMBER)
    while at >= 0:
        value = _VALUE.match(body, at + len(_MEMBER))
        if value is not None:
            start, end = value.end(), _end_of_string(body, value.end())
            if end - start > _SMALL:
                return body[:start] + token.encode() + body[end:], _unescaped(body[start:end])
        at = body.find(_MEMBER, at + 1)
    return body, None


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


def _unescaped(text: bytes) -> bytes:
    # some clients write every / as \/
    text = text.replace(b"\\/", b"/")
    if b"\\" not in text:
        return text
    try:
        return str(json.loads(b'"' + text + b'"')).encode()
    except ValueError:
        raise _not_base64() from None


async def _decoded(text: bytes) -> bytes:
    """Raises ApiError."""
    if b"=" in text[:-2]:
        raise _not_base64()
    decoded: list[bytes] = []
    try:
        for at in range(0, len(text), _PIECE):
            decoded.append(binascii.a2b_base64(text[at : at + _PIECE], strict_mode=True))
            await asyncio.sleep(0)
    except ValueError:
        raise _not_base64() from None
    return b"".join(decoded)


def _not_base64() -> ApiError:
    return ApiError(400, "SerializationException", "ZipFile is not base64")


def _too_large(call: Call) -> ApiError:
    # the code that Lambda's front answers, which the service's own model does not have
    message = f"Request must be smaller than {MAX_UPLOAD} bytes for the {call.operation} operation"
    return ApiError(413, "RequestEntityTooLargeException", message)
