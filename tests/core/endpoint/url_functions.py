"""Functions behind URLs, and an HTTP client for them."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.functions import LambdaFunction
from core.registry import UrlConfig
from core.runtime import LambdaRuntime
from tests.core.sources import python_function, scripted_function

__all__ = ["HTTP_INTEGRATION", "PRELUDE", "Answer", "ask", "connect", "put_python", "put_scripted", "reset", "steps"]

HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"

PRELUDE = '{"statusCode": 202, "headers": {"content-type": "text/plain", "x-a": "1"}, "cookies": ["c=1", "d=2"]}'

# echoes what it is asked to, and tells what it was given
ECHO = """
import json

def handler(event, context):
    body = event.get("body")
    if body is not None and not event["isBase64Encoded"] and event["rawPath"] == "/reply":
        return json.loads(body)
    return {"event": event, "request_id": context.aws_request_id, "arn": context.invoked_function_arn,
            "version": context.function_version}
"""


@dataclass(frozen=True)
class Answer:
    """A response that has come whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of all headers of this lower-case name."""
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:
        """The body as a JSON document."""
        return json.loads(self.body)


def connect(url: str) -> http.client.HTTPConnection:
    """A connection to an endpoint; it blocks."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    return http.client.HTTPConnection(host, int(port), timeout=60)


async def ask(
    url: str,
    path: str,
    method: str = "GET",
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    connection: http.client.HTTPConnection | None = None,
) -> Answer:
    """One request off the loop, and its whole response; on a `connection` that is kept, if one is given."""

    def blocking() -> Answer:
        used = connection or connect(url)
        try:
            used.request(method, path, body.encode() if isinstance(body, str) else body, dict(headers or {}))
            response = used.getresponse()
            return Answer(response.status, [(k.lower(), v) for k, v in response.getheaders()], response.read())
        finally:
            if connection is None:
                used.close()

    return await asyncio.to_thread(blocking)


async def put_python(
    runtime: LambdaRuntime, folder: Path, source: str = ECHO, *, name: str = "echo", fields: Any = None, **url: Any
) -> LambdaFunction:
    """A Python function with a URL; `url` are fields of its UrlConfig."""
    added = await runtime.add_function(python_function(folder, source, name=name, **(fields or {})))
    await runtime.registry.urls.put(UrlConfig(name=name, **url))
    return added


async def put_scripted(
    runtime: LambdaRuntime, folder: Path, *, content_type: str = "text/plain", fields: Any = None, **url: Any
) -> LambdaFunction:
    """A custom runtime with a URL that streams, and carries out the steps that a request's body lists."""
    function = scripted_function(folder, **(fields or {}))
    assert isinstance(function.code, Path)
    bootstrap = function.code / "bootstrap"
    source = bootstrap.read_text()
    changes = {
        'event if isinstance(event, list) else [["chunk", json.dumps(event)]]': 'json.loads(event["body"])',
        '"Content-Type: text/plain': f'"Content-Type: {content_type}',
    }
    for before, after in changes.items():
        assert source.count(before) == 1
        source = source.replace(before, after)
    bootstrap.write_text(source)
    added = await runtime.add_function(function)
    await runtime.registry.urls.put(UrlConfig(name="scripted", **{"invoke_mode": "RESPONSE_STREAM", **url}))
    return added


def steps(*wanted: Sequence[object]) -> tuple[str, dict[str, str]]:
    """The body that asks for these steps, and the headers that make it text."""
    return json.dumps(list(wanted)), {"content-type": "application/json"}


def reset(writer: asyncio.StreamWriter) -> None:
    """Go away so that the other side notices at once, not merely when it writes."""
    sock = writer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
