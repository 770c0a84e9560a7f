"""What an engine tells over a long time, read on the loop: one JSON object after the other, without a thread.

The SDK reads such answers by blocking a thread each. Here a connection is a task's, and cancelling the task,
or closing the iterator, ends it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import h11

__all__ = ["StreamRefusedError", "engine_stream"]

_READ = 64 * 1024
_LONGEST = 1024 * 1024  # bytes of one object


class StreamRefusedError(Exception):
    """The engine answered with an error, or with something that is no stream of objects. `status` is HTTP's."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


async def engine_stream(
    url: str,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[dict[str, Any], None]:
    """Every object of the answer as it comes. Raises StreamRefusedError, and OSError where nobody answers."""
    reader, writer = await _connect(url, tls)
    try:
        connection = h11.Connection(h11.CLIENT)
        sent = [("Host", "engine"), ("Content-Length", "0"), *(headers or {}).items()]
        writer.write(connection.send(h11.Request(method=method, target=target, headers=sent)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        rest = b""
        status = 0
        try:
            async for event in _events(connection, reader):
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    rest += event.data
                    if status >= 400:
                        continue
                    *lines, rest = rest.split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield _object(line)
                    if len(rest) > _LONGEST:
                        raise StreamRefusedError("an answer without an end")
        except h11.RemoteProtocolError as error:
            raise StreamRefusedError(f"an answer that is not HTTP ({error})") from error
        if status >= 400:
            raise StreamRefusedError(_message(rest), status)
        if rest.strip():
            yield _object(rest)
    finally:
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()


async def _connect(url: str, tls: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    if parts.scheme in {"unix", "http+unix"}:
        return await asyncio.open_unix_connection(parts.path)
    if parts.hostname is None:
        raise StreamRefusedError(f"{url} is no address")
    secure = tls is not None or parts.scheme == "https"
    port = parts.port or (2376 if secure else 2375)
    return await asyncio.open_connection(parts.hostname, port, ssl=tls or secure)


async def _events(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[h11.Response | h11.Data]:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Response | h11.Data):
            yield event
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StreamRefusedError("an answer that is not JSON") from error
    if not isinstance(found, dict):
        raise StreamRefusedError("an answer that is no JSON object")
    return found


def _message(body: bytes) -> str:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace").strip()[:500]
    return str(found.get("message", found)) if isinstance(found, dict) else str(found)
