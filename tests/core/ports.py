"""Ports of this machine for tests: such as are free, and services at them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

__all__ = ["free_port", "listening_at"]


@contextmanager
def free_port() -> Iterator[int]:
    """A port at which nobody listens; it is given to nobody else, but may be taken by its number."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.9", 0))
        yield int(held.getsockname()[1])


@asynccontextmanager
async def listening_at(
    address: str, port: int, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[None]:
    """A service there."""
    server = await asyncio.start_server(serve, address, port)
    try:
        yield
    finally:
        server.close()
