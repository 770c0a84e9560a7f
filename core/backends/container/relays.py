"""Makes services that listen on this machine's loopback alone reachable for the containers that name them.

A relay listens on the address by which containers find this machine, on the service's own port, and passes
bytes on to loopback. It serves only the containers that asked for it. Where that port is taken there, the
service itself listens there, and no relay is needed.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from contextlib import suppress

from core.emulator.listening import listening_socket

__all__ = ["Relays"]

_log = logging.getLogger(__name__)

_PIECE = 64 * 1024
_PATIENCE = 2.0  # seconds in which the engine must have told whose address a peer's is


class _Relay:
    """One port. `peers` are the addresses that may use it, each with how many want it."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.holders: set[object] = set()
        self.peers: dict[object, str] = {}
        self.known = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen. Raises OSError."""
        sock = listening_socket(self.host, self.port, ahead=True)
        try:
            self._server = await asyncio.start_server(self._taken, sock=sock)
        except BaseException:
            sock.close()
            raise

    async def aclose(self) -> None:
        """Listen no more, and cut what goes through."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._pass_on(reader, writer), name=f"relay {self.port}")
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        inner: asyncio.StreamWriter | None = None
        try:
            if not await self._may(peer):
                _log.warning(
                    "a connection from %s to port %d was refused: no instance has that address", peer, self.port
                )
                return
            answers, inner = await asyncio.open_connection("127.0.0.1", self.port)
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, inner))
                both.create_task(_copy(answers, writer))
        except* (OSError, EOFError):
            # either side has gone, or nobody listens on loopback: the other sees its connection closed
            pass
        finally:
            for each in (writer, inner):
                if each is not None:
                    each.close()
                    with suppress(OSError, asyncio.CancelledError):
                        await each.wait_closed()

    async def _may(self, peer: str) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while peer not in self.peers.values():
                    self.known.clear()
                    await self.known.wait()
        return peer in self.peers.values()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class Relays:
    """The relays of one engine, shared by the instances that want the same port."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], _Relay] = {}
        self._opening = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._open)

    async def acquire(self, holder: object, host: str, ports: frozenset[int]) -> list[str]:
        """Have these ports relayed for `holder`; returns a sentence for each that cannot be."""
        troubles = []
        async with self._opening:
            for port in sorted(ports):
                relay = self._open.get((host, port))
                if relay is None:
                    relay = _Relay(host, port)
                    try:
                        await relay.open()
                    except OSError as error:
                        if error.errno != errno.EADDRINUSE:
                            troubles.append(
                                f"a service on this machine's port {port} may be out of reach: no relay can listen on "
                                f"{host} ({error.strerror})"
                            )
                        continue
                    self._open[host, port] = relay
                relay.holders.add(holder)
        return troubles

    def let_in(self, holder: object, address: str) -> None:
        """The holder's container has this address."""
        for relay in self._open.values():
            if holder in relay.holders:
                relay.peers[holder] = address
                relay.known.set()

    async def release(self, holder: object) -> None:
        """The holder wants none any more; relays that nobody wants are closed."""
        async with self._opening:
            for key, relay in tuple(self._open.items()):
                relay.holders.discard(holder)
                relay.peers.pop(holder, None)
                if not relay.holders:
                    del self._open[key]
                    await relay.aclose()
