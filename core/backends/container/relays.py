"""Makes services that listen on this machine's loopback alone reachable for the containers that name them.

A relay listens on the address by which containers find this machine, on a port of its own: the service's stays
free there for whoever starts it on all addresses, and for the relay of another Stoker. It passes bytes on to
loopback, for the containers that asked for it and nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from core.emulator.listening import listening_socket

__all__ = ["Holder", "Relays", "Service"]

_log = logging.getLogger(__name__)

_PIECE = 64 * 1024
_PATIENCE = 2.0  # seconds in which the engine must have told whose address a peer's is
_IPV4, _IPV6 = "127.0.0.1", "::1"
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: what is not sent yet is dropped, and the peer told by a reset


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """What listens at a port of this machine's loopback, `ipv6` where it is named by its address there."""

    port: int
    ipv6: bool = False

    def __str__(self) -> str:
        """As a URL has it."""
        return f"[::1]:{self.port}" if self.ipv6 else f"localhost:{self.port}"

    @property
    def addresses(self) -> tuple[str, str]:
        """Where it may be found, in this order: many a service listens on one of the two only."""
        return (_IPV6, _IPV4) if self.ipv6 else (_IPV4, _IPV6)


class Holder(Protocol):
    """An instance that services are relayed to."""

    def tell(self, line: str) -> None:
        """Write a line about it to its log."""


class _Relay:
    """To one service. `peers` are the addresses that may use it, by who has them."""

    def __init__(self, host: str, service: Service) -> None:
        self.host = host
        self.port = 0  # its own, once it listens
        self.service = service
        self.holders: set[Holder] = set()
        self.peers: dict[Holder, str] = {}
        self.known = asyncio.Event()
        self._told: set[Holder] = set()  # those that know that nothing listens
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen. Raises OSError."""
        sock = listening_socket(self.host, 0, ahead=True)
        try:
            self._server = await asyncio.start_server(self._taken, sock=sock)
        except BaseException:
            sock.close()
            raise
        self.port = int(sock.getsockname()[1])

    def forget(self, holder: Holder) -> None:
        """It wants nothing any more."""
        self.holders.discard(holder)
        self.peers.pop(holder, None)
        self._told.discard(holder)

    async def aclose(self) -> None:
        """Listen no more, and cut what goes through."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._pass_on(reader, writer), name=f"relay to {self.service}")
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end; one that does not end by itself is reset on both sides."""
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        ends = [writer]
        try:
            holder = await self._whose(peer)
            if holder is None:
                _log.warning(
                    "a connection from %s to the relay to %s was refused: no instance has that address",
                    peer,
                    self.service,
                )
                return
            answers, inner = await self._connect(holder)
            ends.append(inner)
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, inner))
                both.create_task(_copy(answers, writer))
            for each in ends:
                each.close()
                await each.wait_closed()
        except* OSError:
            # either side has broken off, or nobody listens: the other is to see an error too
            pass
        finally:
            for each in ends:
                _reset(each)

    async def _connect(self, holder: Holder) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the service, wherever on loopback it listens. Raises OSError, once its holder has been told."""
        failed: OSError | None = None
        for address in self.service.addresses:
            try:
                found = await asyncio.open_connection(address, self.service.port)
            except OSError as error:
                failed = failed or error
            else:
                self._told.clear()
                return found
        assert failed is not None
        if holder not in self._told:
            self._told.add(holder)
            refused = isinstance(failed, ConnectionRefusedError)
            what = (
                f"nothing listens at {self.service} on this machine"
                if refused
                else f"{self.service} on this machine is out of reach ({failed.strerror or failed})"
            )
            holder.tell(f"{what}: the function's connection was refused")
        raise failed

    async def _whose(self, peer: str) -> Holder | None:
        """Who has this address, which the engine may be about to tell; None where nobody has."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while (holder := self._holder(peer)) is None:
                    self.known.clear()
                    await self.known.wait()
                return holder
        return None

    def _holder(self, peer: str) -> Holder | None:
        # the last: an engine gives an address away again before the former holder is all gone
        return next((holder for holder, address in reversed(self.peers.items()) if address == peer), None)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, so that its peer sees an error; nothing happens to one that is closed."""
    found = writer.get_extra_info("socket")
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


class Relays:
    """The relays of one engine, shared by the instances that want the same service."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, Service], _Relay] = {}
        self._opening = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._open)

    async def acquire(
        self, holder: Holder, host: str, services: Collection[Service]
    ) -> tuple[dict[Service, int], list[str]]:
        """Have these relayed for `holder`; returns at which ports of `host`, and a sentence for each that cannot be."""
        ports: dict[Service, int] = {}
        troubles = []
        async with self._opening:
            for service in sorted(services):
                relay = self._open.get((host, service))
                if relay is None:
                    relay = _Relay(host, service)
                    try:
                        await relay.open()
                    except OSError as error:
                        troubles.append(
                            f"a service on this machine's port {service.port} may be out of reach: no relay can listen "
                            f"on {host} ({error.strerror})"
                        )
                        continue
                    self._open[host, service] = relay
                relay.holders.add(holder)
                ports[service] = relay.port
        return ports, troubles

    def let_in(self, holder: Holder, address: str) -> None:
        """The holder's container has this address."""
        for relay in self._open.values():
            if holder in relay.holders:
                relay.peers[holder] = address
                relay.known.set()

    async def release(self, holder: Holder) -> None:
        """The holder wants none any more; relays that nobody wants are closed."""
        async with self._opening:
            for key, relay in tuple(self._open.items()):
                relay.forget(holder)
                if not relay.holders:
                    del self._open[key]
                    await relay.aclose()
