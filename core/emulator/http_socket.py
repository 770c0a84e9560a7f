"""A connection's socket: when it is read, whether its peer takes what is sent, and how long that may last."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import cast

from .lazy_timer import LazyTimer

__all__ = ["HttpSocket"]


class HttpSocket(asyncio.BufferedProtocol):
    """The side of a connection that knows its transport, and nothing of what is said over it.

    `lost` is set once it is gone, whoever closed it; `peer` is the address of who has connected.
    """

    def __init__(self) -> None:
        self.lost = False
        self.peer = ""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._clock = LazyTimer()
        self._quiet_since = 0.0
        self._read_paused = False
        self._write_paused = False
        self._writers: list[asyncio.Future[None]] = []

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected."""
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = address[0] if isinstance(address, tuple) else ""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever closed it."""
        self.lost = True
        self._clock.close()
        self._wake_writers()

    def pause_writing(self) -> None:
        """The peer does not take what is sent."""
        self._write_paused = True
        self._quiet_since = self._loop.time()

    def resume_writing(self) -> None:
        """It takes it again."""
        self._write_paused = False
        self._wake_writers()

    async def writable(self) -> None:
        """Wait while the peer does not take what was written."""
        if self._write_paused and not self.lost:
            writer = self._loop.create_future()
            self._writers.append(writer)
            await writer

    def _wake_writers(self) -> None:
        for writer in self._writers:
            if not writer.done():
                writer.set_result(None)
        self._writers.clear()

    # an end without more ado

    def fileno(self) -> int:
        """The socket's descriptor, or -1 once it is closed."""
        if self._transport is None or self.lost:
            return -1
        sock = self._transport.get_extra_info("socket")
        return int(sock.fileno()) if sock is not None else -1

    def abort(self) -> None:
        """Close at once, without sending what is queued."""
        if self._transport is not None and not self.lost:
            self._transport.abort()

    def _reset(self) -> None:
        """The same, so that the peer takes it for a failure."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None and not self.lost:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    # reading on and off, and the clock

    def hold(self) -> None:
        """Read nothing until `let_go`."""
        self._pause()

    def let_go(self) -> None:
        """Read what was held back."""
        self._resume()

    def _pause(self) -> None:
        if self._transport is not None and not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    def _watch(self, seconds: float | None) -> None:
        """Give the peer so many seconds until `_too_slow`."""
        if seconds is None:
            self._clock.stop()
        elif not self.lost:
            self._clock.set(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self.abort()
