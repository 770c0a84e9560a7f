"""A way to a registry that lets only so much through until it is opened: a pull takes as long as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["Narrow", "narrow_way"]

_PIECE = 64 * 1024


class Narrow:
    """Lets `most` bytes of answers through, all connections together, and the rest once it is `open`."""

    def __init__(self, port: int, most: int) -> None:
        self.address = ""
        self.open = asyncio.Event()
        self._port = port
        self._left = most

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(_PIECE):
                if held:
                    self._left -= len(data)
                    if self._left < 0:
                        await self.open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        answers, inner = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(reader, inner, held=False), self._pass(answers, writer, held=True))


@asynccontextmanager
async def narrow_way(port: int, most: int) -> AsyncIterator[Narrow]:
    """In front of what listens on loopback's `port`."""
    way = Narrow(port, most)
    tasks: set[asyncio.Task[None]] = set()

    def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(way.taken(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(taken, "127.0.0.1", 0)
    way.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        way.open.set()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
