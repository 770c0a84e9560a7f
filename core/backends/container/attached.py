"""What a container writes, read on the loop from the socket that the engine attaches: no thread is needed.

The stream is cut into frames: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["AttachedOutput"]

_HEADER = 8
_READ = 65_536
_AT_ONCE = 16  # reads in one turn of the loop


class AttachedOutput:
    """Gives every piece of stdout and stderr to `feed`, in the engine's order, until the container has ended."""

    def __init__(self, stream: Any, feed: Callable[[bytes], None]) -> None:
        self._stream = stream  # holds the response, and with it the socket, open
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._feed = feed
        self._header = bytearray()
        self._left = 0
        self._last = 0.0  # when something came last, by the loop's clock
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._ended.done()

    def drain(self) -> None:
        """Take in what has come so far."""
        if not self._ended.done():
            self._readable()

    def settled(self, then: Callable[[], None], quiet: float) -> None:
        """Call `then` once nothing has come for `quiet` seconds; at the latest after ten times that."""
        started = self._loop.time()

        def look() -> None:
            self.drain()
            now = self._loop.time()
            left = max(self._last, started) + quiet - now
            if left <= 0 or self._ended.done() or now - started >= 10 * quiet:
                then()
            else:
                self._loop.call_later(left, look)

        self._loop.call_later(quiet, look)

    async def ended(self) -> None:
        """Wait until the engine has closed the stream, after the last line."""
        await asyncio.shield(self._ended)

    def close(self) -> None:
        """Read no more. Idempotent."""
        if not self._ended.done():
            self._ended.set_result(None)
            self._loop.remove_reader(self._socket.fileno())
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._socket.close()

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = self._socket.recv(_READ)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
                return
            except OSError:
                data = b""
            if not data:
                self._ended.set_result(None)
                self._loop.remove_reader(self._socket.fileno())
                return
            self._take(data)
            if self._ended.done():
                return
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            # deciphered already: the socket itself tells of nothing more
            self._loop.call_soon(self.drain)

    def _take(self, data: bytes) -> None:
        self._last = self._loop.time()
        at = 0
        while at < len(data):
            if self._left == 0:
                missing = _HEADER - len(self._header)
                self._header += data[at : at + missing]
                at += missing
                if len(self._header) < _HEADER:
                    return
                self._left = int.from_bytes(self._header[4:8], "big")
                self._header.clear()
                continue
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            self._feed(piece)
