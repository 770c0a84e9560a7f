"""A service on this machine's loopback at which functions wait until the test lets them go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["GateService", "gate_service"]

_ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\ngo"


class GateService:
    """Answers a request once the gate of its path is opened. Every opening lets one request through.

    A function finds it by its URL, wherever it runs: what listens on loopback alone is for the backend to
    make reachable.
    """

    def __init__(self) -> None:
        self.port = 0
        self._tickets: dict[str, asyncio.Semaphore] = {}
        self._waiting: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._asking: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """For a function's environment."""
        return f"http://127.0.0.1:{self.port}"

    def open(self, path: str = "", *, times: int = 1) -> None:
        """Let as many requests through: those that wait, then the next ones."""
        for _ in range(times):
            self._gate(path).release()

    def waiting(self, path: str = "") -> int:
        """How many requests wait there now."""
        return self._waiting.get(path, 0)

    async def reached(self, path: str = "", *, count: int = 1) -> None:
        """Wait until exactly `count` requests wait there."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: self.waiting(path) == count)

    def _gate(self, path: str) -> asyncio.Semaphore:
        return self._tickets.setdefault(path, asyncio.Semaphore(0))

    async def start(self) -> None:
        """Listen, on loopback alone."""
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def aclose(self) -> None:
        """Listen no more, and leave those that wait without an answer."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(reader, writer), name="gate")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = ""
        ticket: asyncio.Task[bool] | None = None
        gone: asyncio.Task[bytes] | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode().strip("/")
            await self._count(path, 1)
            ticket = asyncio.ensure_future(self._gate(path).acquire())
            # one that dies while it waits must not take the ticket of one that lives
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({ticket, gone}, return_when=asyncio.FIRST_COMPLETED)
            if ticket.done():
                writer.write(_ANSWER)
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            for task in (ticket, gone):
                if task is not None:
                    task.cancel()
            if ticket is not None:
                await self._count(path, -1)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _count(self, path: str, by: int) -> None:
        async with self._changed:
            self._waiting[path] = self.waiting(path) + by
            self._changed.notify_all()


@asynccontextmanager
async def gate_service() -> AsyncIterator[GateService]:
    """One that listens for as long as the block lasts."""
    service = GateService()
    await service.start()
    try:
        yield service
    finally:
        await service.aclose()
