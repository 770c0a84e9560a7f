"""A small asyncio HTTP/1.1 client on h11, for tests that must see or break a connection themselves."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import h11

__all__ = ["Answer", "Wire"]


@dataclass
class Answer:
    """A response: its head, and its body as far as it was read."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    complete: bool = False
    chunks: list[bytes] = field(default_factory=list)


class Wire:
    """One connection to `address` ("host:port"), kept alive between requests."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._parser = h11.Connection(h11.CLIENT)

    async def __aenter__(self) -> Wire:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    def cut(self) -> None:
        """Close at once, as a client that was killed."""
        assert self._writer is not None
        self._writer.transport.abort()

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Send a whole request. Underscores in header names stand for hyphens."""
        assert self._writer is not None
        if self._parser.our_state is h11.DONE and self._parser.their_state is h11.DONE:
            self._parser.start_next_cycle()
        fields = {"host": f"{self._host}:{self._port}", "content-length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = h11.Request(method=method, target=path, headers=list(fields.items()))
        data = b"".join(self._parser.send(e) or b"" for e in (request, h11.Data(data=body), h11.EndOfMessage()))
        self._writer.write(data)
        await self._writer.drain()

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        assert self._reader is not None
        while True:
            event = self._parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._parser.receive_data(await self._reader.read(65_536))

    async def head(self) -> Answer:
        """Read the head of the response."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                headers = {name.decode().lower(): value.decode("latin-1") for name, value in event.headers}
                return Answer(event.status_code, headers)
            assert isinstance(event, h11.InformationalResponse), event

    async def piece(self, answer: Answer) -> bytes | None:
        """Read a piece of its body, None at its end. Raises h11.RemoteProtocolError where it was cut."""
        event = await self._event()
        if isinstance(event, h11.Data):
            piece = bytes(event.data)
            answer.chunks.append(piece)
            answer.body += piece
            return piece
        assert isinstance(event, h11.EndOfMessage), event
        answer.complete = True
        return None

    async def read(self) -> Answer:
        """Read a whole response."""
        answer = await self.head()
        while await self.piece(answer) is not None:
            pass
        return answer

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request and read the whole response."""
        await self.send(method, path, body, **headers)
        return await self.read()
