"""What a function behind a URL replied, as the HTTP response it stands for.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-response-payload and, for
streams, https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

__all__ = ["HTTP_INTEGRATION", "MAX_PRELUDE", "MalformedReplyError", "ReplyHead", "StreamedReply", "read_reply"]

HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"
"""The content type of a stream that begins with a prelude."""

MAX_PRELUDE = 64 * 1024
"""Bytes of a prelude: more than the head of a response that clients take."""

_DELIMITER = b"\0" * 8
_JSON = "application/json"
_OCTETS = "application/octet-stream"
_FIRST_STATUS, _LAST_STATUS = 200, 599  # an interim response cannot be a reply's last word
_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# those that say how this very message travels are this server's to set; as on AWS the function's
# own go under another name
_REMAPPED = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class MalformedReplyError(Exception):
    """The function's reply is no HTTP response. Lambda answers 502 then; `reason` says what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """Status and headers, names in lower case, each cookie a `set-cookie` of its own."""

    status: int
    headers: tuple[tuple[str, str], ...]

    @property
    def bodiless(self) -> bool:
        """Whether HTTP allows this response no body."""
        return self.status in {204, 205, 304}


def read_reply(payload: bytes) -> tuple[ReplyHead, bytes]:
    """A buffered reply: its head and its body.

    JSON without a `statusCode` is the body itself, with status 200 and the type application/json; of a
    JSON string, the text it stands for. Raises MalformedReplyError.
    """
    if not payload:
        return ReplyHead(200, (("content-type", _JSON),)), b""
    reply = _json(payload)
    if isinstance(reply, dict) and reply.get("statusCode") is not None:
        return _head(reply, _JSON), _body(reply)
    text = reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
    return ReplyHead(200, (("content-type", _JSON),)), _encoded(text)


class StreamedReply:
    """A reply that streams, taken chunk by chunk as the function writes it.

    A stream of the type HTTP_INTEGRATION begins with a prelude: a JSON object with `statusCode`,
    `headers` and `cookies`, up to eight NUL bytes. Any other is a body as it comes, with status 200
    and the type the function gave. `head` is None until it is known.
    """

    def __init__(self, content_type: str) -> None:
        self.head: ReplyHead | None = None
        self._prelude = bytearray()
        if content_type.partition(";")[0].strip().lower() != HTTP_INTEGRATION:
            self.head = ReplyHead(200, (("content-type", _value("content-type", content_type or _OCTETS)),))

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; returns what of it belongs to the body. Raises MalformedReplyError."""
        if self.head is not None:
            return chunk
        start = max(0, len(self._prelude) - len(_DELIMITER) + 1)
        self._prelude += chunk
        at = self._prelude.find(_DELIMITER, start)
        if (at if at >= 0 else len(self._prelude)) > MAX_PRELUDE:
            self._prelude.clear()
            raise MalformedReplyError(f"its prelude is longer than {MAX_PRELUDE:,} bytes")
        if at < 0:
            return b""
        prelude = _json(bytes(self._prelude[:at]))
        rest = bytes(self._prelude[at + len(_DELIMITER) :])
        self._prelude.clear()
        if not isinstance(prelude, dict):
            raise MalformedReplyError("its prelude is not a JSON object")
        self.head = _head(prelude, _OCTETS)
        return rest

    def finish(self) -> ReplyHead:
        """The stream has ended. Raises MalformedReplyError where its prelude had not."""
        if self.head is None:
            raise MalformedReplyError("its prelude is not followed by eight NUL bytes")
        return self.head


def _json(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MalformedReplyError("it is not JSON") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _head(reply: Mapping[str, Any], default_type: str) -> ReplyHead:
    headers = _headers(reply.get("headers"))
    headers.setdefault("content-type", default_type)
    cookies = _cookies(reply.get("cookies"))
    return ReplyHead(
        _status(reply.get("statusCode", 200)), (*headers.items(), *(("set-cookie", each) for each in cookies))
    )


def _status(value: object) -> int:
    # a string of digits is taken too, as AWS does
    if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedReplyError("its statusCode is not an integer")
    if not _FIRST_STATUS <= value <= _LAST_STATUS:
        raise MalformedReplyError(f"its statusCode is not between {_FIRST_STATUS} and {_LAST_STATUS}")
    return value


def _headers(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedReplyError("its headers are not an object")
    found: dict[str, str] = {}
    for name, content in value.items():
        if content is None:
            continue
        if not _NAME.fullmatch(name):
            raise MalformedReplyError("a header's name is not a token")
        lower = name.lower()
        written = json.dumps(content) if isinstance(content, bool | int | float) else content
        found[f"x-amzn-remapped-{lower}" if lower in _REMAPPED else lower] = _value(lower, written)
    return found


def _cookies(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedReplyError("its cookies are not a list")
    return [_value("set-cookie", each) for each in value]


def _value(name: str, content: object) -> str:
    if not isinstance(content, str):
        raise MalformedReplyError(f"its header {name} is not a string")
    content = content.strip(" \t")
    # a line break would let whoever wrote the value write headers and responses of his own
    if _UNSENDABLE.search(content):
        raise MalformedReplyError(f"its header {name} has a control character")
    _encoded(content)
    return content


def _body(reply: Mapping[str, Any]) -> bytes:
    body = reply.get("body")
    encoded = reply.get("isBase64Encoded")
    if encoded is not None and not isinstance(encoded, bool):
        raise MalformedReplyError("its isBase64Encoded is neither true nor false")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedReplyError("its body is not a string")
    if not encoded:
        return _encoded(body)
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedReplyError("its body is not base64") from None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MalformedReplyError("it has text that is not valid Unicode") from None
