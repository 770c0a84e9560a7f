"""One request to the endpoint while it is being answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs

from pydantic import BaseModel

from core.endpoint.errors import ApiError
from core.endpoint.read_json import read_json
from core.names import Target, new_request_id, parse_function

if TYPE_CHECKING:
    from core.emulator.http_server import Exchange
    from core.endpoint.admission import Upload
    from core.runtime import LambdaRuntime

__all__ = ["MAX_JSON", "Call"]

MAX_JSON = 1024 * 1024
"""Bytes of a request's JSON, where it carries no archive."""

_BODY_TIMEOUT = 60.0  # seconds in which a body must have come
_CALLER = 80
_AGENT = 512
_QUERY_FIELDS = 100

M = TypeVar("M", bound=BaseModel)


class Call:
    """A request with what its path says, and the ways to answer it.

    `parameters` are the path's, decoded. `id` goes into `x-amzn-RequestId`; an operation may choose
    another before it answers. `error` is the code that was answered, for the events.
    """

    def __init__(
        self,
        exchange: Exchange,
        runtime: LambdaRuntime,
        *,
        url: str,
        operation: str,
        parameters: Mapping[str, str],
    ) -> None:
        self.exchange = exchange
        self.runtime = runtime
        self.url = url
        """The endpoint's own, as in http://127.0.0.1:9001."""
        self.operation = operation
        self.parameters = parameters
        self.upload: Upload | None = None
        """What reads the body, where that is so large that it needs room."""
        self.id = new_request_id()
        self.function_name: str | None = None
        self.status = 0
        self.error: str | None = None
        self._query: Mapping[str, list[str]] | None = None
        self._caller: str | None = None

    @property
    def caller(self) -> str:
        """The client's program as it names itself, without the details."""
        if self._caller is None:
            self._caller = _program((self.exchange.header("user-agent") or "")[:_AGENT])
        return self._caller

    @property
    def base(self) -> str:
        """Where this client reaches the endpoint, as in http://localhost:9001: what it is told to fetch is there."""
        host = self.exchange.header("host")
        return f"http://{host}" if host else self.url

    def query(self, name: str) -> str | None:
        """A parameter of the query string, the first of that name; None where it is not there. Raises ApiError."""
        return next(iter(self.queries(name)), None)

    def queries(self, name: str) -> Sequence[str]:
        """All parameters of that name in the query string. Raises ApiError."""
        if not self.exchange.query:
            return ()
        if self._query is None:
            try:
                self._query = parse_qs(self.exchange.query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS)
            except ValueError:
                raise ApiError(400, "ValidationException", "the query string has too many parameters") from None
        return self._query.get(name, ())

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query string. Raises ApiError."""
        text = self.query(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdecimal() or not least <= int(text[:12]) <= most:
            raise ApiError(400, "ValidationException", f"{name} must be a whole number from {least} to {most}")
        return int(text)

    def target(self, *, qualifier: str | None = None) -> Target:
        """The function that path and `Qualifier` name. Raises InvalidRequestError."""
        given = qualifier if qualifier is not None else self.query("Qualifier")
        target = parse_function(self.parameters["FunctionName"], given)
        self.function_name = target.name if target.qualifier is None else f"{target.name}:{target.qualifier}"
        return target

    async def body(self, limit: int) -> bytes:
        """The request's whole body. Raises ApiError for one that does not come, BodyError for other faults."""
        body = self.exchange.body
        if body.ended:  # as a small one has, before anybody asks for it
            return await body.read(limit)
        try:
            if self.upload is not None:
                return await self.upload.read(body, limit, _BODY_TIMEOUT)
            async with asyncio.timeout(_BODY_TIMEOUT):
                return await body.read(limit)
        except TimeoutError:
            raise ApiError(408, "RequestTimeoutException", "the request's body did not come in time") from None

    async def json(self, model: type[M], limit: int = MAX_JSON) -> M:
        """The request's body as `model`; an empty one counts as `{}`. Raises ApiError."""
        return read_json(await self.body(limit), model)

    def reply(
        self,
        document: object = None,
        status: int = 200,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Answer with a JSON document, or with nothing where it is None."""
        body = b"" if document is None else _written(document)
        kind = [("content-type", "application/json")] if document is not None else []
        self.send(status, body, [*kind, *headers])

    def send(self, status: int, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> None:
        """Answer with these bytes."""
        self.status = status
        self.exchange.respond(status, body, [("x-amzn-RequestId", self.id), *headers])

    def send_ours(self, lines: str, body: bytes) -> None:
        """Answer with 200 and header lines that are sure to be well-formed; see `Exchange.respond_ours`."""
        self.status = 200
        self.exchange.respond_ours(f"x-amzn-RequestId: {self.id}\r\n{lines}", body)

    def start(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Begin an answer whose body follows by `exchange.write` and `exchange.end`."""
        self.status = status
        self.exchange.start(status, [("x-amzn-RequestId", self.id), *headers])

    def refuse(self, error: ApiError) -> None:
        """Answer with an error."""
        self.error = error.code
        self.reply(error.document, error.status, [("x-amzn-ErrorType", error.code), *error.headers])


@lru_cache(64)
def _program(agent: str) -> str:
    name = agent.split(" ", 1)[0]
    if not name.isprintable():
        name = "".join(c for c in name if c.isprintable())
    return name[:_CALLER] or "unknown"


def _written(document: object) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # half of a surrogate pair, as a home may have that is older than the check of what is taken
        return json.dumps(document).encode()
