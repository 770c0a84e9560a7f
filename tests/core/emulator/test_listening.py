"""Listening sockets, and what the connections they take are like."""

from __future__ import annotations

import asyncio
import socket

import pytest

from core.emulator.listening import listening_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_no_small_piece_waits_for_the_one_before(host: str) -> None:
    try:
        sock = listening_socket(host, 0)
    except OSError as error:
        pytest.skip(f"no {host} here: {error}")
    delays: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def taken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        option = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        delays.set_result(option)
        writer.close()

    server = await asyncio.start_server(taken, sock=sock)
    async with server:
        reader, writer = await asyncio.open_connection(*sock.getsockname()[:2])
        try:
            async with asyncio.timeout(5):
                assert await delays == 1
                assert await reader.read() == b""
        finally:
            writer.close()
            await writer.wait_closed()
