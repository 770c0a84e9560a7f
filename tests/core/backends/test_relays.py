"""Relays to services on loopback, with other addresses of loopback in the place of containers'."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio

from core.backends.container.relays import Relays, Service
from tests.core.ports import free_port, listening_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")

GATEWAY, PEER, OTHER = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class Instance:
    """One that has things relayed to it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def tell(self, line: str) -> None:
        self.log.append(line)


@pytest_asyncio.fixture
async def relays() -> AsyncIterator[Relays]:
    """None is left, and no connection either."""
    before = asyncio.all_tasks()
    made = Relays()
    yield made
    assert len(made) == 0
    left = {task.get_name() for task in asyncio.all_tasks() - before if task.get_name().startswith("relay")}
    assert left == set()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def service(address: str, port: int) -> AbstractAsyncContextManager[None]:
    """One that says everything again."""
    return listening_at(address, port, _echo)


async def said_again(port: int, peer: str = PEER, text: bytes = b"hello") -> bytes:
    """What comes back at a relay's port. Raises ConnectionError."""
    reader, writer = await asyncio.open_connection(GATEWAY, port, local_addr=(peer, 0))
    try:
        writer.write(text)
        writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def relayed(relays: Relays, instance: Instance, wanted: Service, peer: str = PEER) -> int:
    """The port at which it is."""
    ports, troubles = await relays.acquire(instance, GATEWAY, {wanted})
    assert troubles == []
    relays.let_in(instance, peer)
    return ports[wanted]


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
async def test_a_service_may_be_started_on_all_addresses_once_it_is_relayed(relays: Relays, everywhere: str) -> None:
    one = Instance()
    with free_port() as port:
        at = await relayed(relays, one, Service(port))
        async with service(everywhere, port):
            assert await said_again(at) == b"hello"
    await relays.release(one)
    with pytest.raises(ConnectionRefusedError):
        await said_again(at)


async def test_two_stokers_relay_the_same_service_each_to_its_own(relays: Relays) -> None:
    one, two, others = Instance(), Instance(), Relays()
    with free_port() as port:
        async with service("127.0.0.1", port):
            first = await relayed(relays, one, Service(port), PEER)
            second = await relayed(others, two, Service(port), OTHER)
            assert await said_again(first, PEER) == b"hello"
            assert await said_again(second, OTHER) == b"hello"
    await relays.release(one)
    await others.release(two)


async def test_instances_share_a_relay_until_the_last_has_gone(relays: Relays) -> None:
    one, two = Instance(), Instance()
    with free_port() as port:
        async with service("127.0.0.1", port):
            at = await relayed(relays, one, Service(port), PEER)
            assert await relayed(relays, two, Service(port), OTHER) == at
            assert len(relays) == 1
            await relays.release(one)
            assert await said_again(at, OTHER) == b"hello"
    await relays.release(two)


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_service_is_found_on_either_address_of_loopback(relays: Relays, address: str, ipv6: bool) -> None:
    one = Instance()
    with free_port() as port:
        at = await relayed(relays, one, Service(port, ipv6=ipv6))
        async with service(address, port):
            assert await said_again(at) == b"hello"
    assert one.log == []
    await relays.release(one)


@pytest.mark.parametrize("ipv6", [False, True])
async def test_of_two_services_the_one_that_is_named_answers(relays: Relays, ipv6: bool) -> None:
    async def name_it(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(writer.get_extra_info("sockname")[0]).encode())
        writer.close()

    one = Instance()
    with free_port() as port:
        at = await relayed(relays, one, Service(port, ipv6=ipv6))
        servers = [await asyncio.start_server(name_it, address, port) for address in ("127.0.0.1", "::1")]
        assert await said_again(at, text=b"") == (b"::1" if ipv6 else b"127.0.0.1")
        for each in servers:
            each.close()
    await relays.release(one)


async def test_where_nothing_listens_the_connection_is_reset_and_the_log_says_so_once(relays: Relays) -> None:
    one, two = Instance(), Instance()
    with free_port() as port:
        line = f"nothing listens at localhost:{port} on this machine: the function's connection was refused"
        at = await relayed(relays, one, Service(port), PEER)
        await relayed(relays, two, Service(port), OTHER)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await said_again(at)
        assert (one.log, two.log) == ([line], [])
        with pytest.raises(ConnectionError):
            await said_again(at, OTHER)
        assert (one.log, two.log) == ([line], [line])
        async with service("127.0.0.1", port):
            assert await said_again(at) == b"hello"
        # it worked: this is news again
        with pytest.raises(ConnectionError):
            await said_again(at)
        assert (one.log, two.log) == ([line, line], [line])
    await relays.release(one)
    await relays.release(two)


async def test_a_service_that_breaks_off_is_an_error_for_the_function_too(relays: Relays) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(b"half of")
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    one = Instance()
    with free_port() as port:
        at = await relayed(relays, one, Service(port))
        server = await asyncio.start_server(break_off, "127.0.0.1", port)
        with pytest.raises(ConnectionError):
            await said_again(at)
        server.close()
    await relays.release(one)


async def test_an_address_that_no_instance_has_gets_nothing(
    relays: Relays, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("core.backends.container.relays._PATIENCE", 0.1)
    one = Instance()
    with free_port() as port:
        async with service("127.0.0.1", port):
            at = await relayed(relays, one, Service(port))
            with pytest.raises(ConnectionError):
                await said_again(at, OTHER)
            assert await said_again(at) == b"hello"
    assert one.log == []
    assert f"a connection from {OTHER} to the relay to localhost:{port} was refused" in caplog.text
    await relays.release(one)


async def test_a_relay_ends_while_a_service_reads_nothing(relays: Relays) -> None:
    stalled = asyncio.Event()

    async def stall(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stalled.wait()
        writer.close()

    one = Instance()
    with free_port() as port:
        at = await relayed(relays, one, Service(port))
        server = await asyncio.start_server(stall, "127.0.0.1", port, limit=1024)
        _, writer = await asyncio.open_connection(GATEWAY, at, local_addr=(PEER, 0))
        writer.write(bytes(32 << 20))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await writer.drain()
        async with asyncio.timeout(5):
            await relays.release(one)
        stalled.set()
        writer.transport.abort()
        server.close()


async def test_where_no_relay_can_listen_the_reason_is_told_and_the_port_stays(relays: Relays) -> None:
    ports, troubles = await relays.acquire(Instance(), "not an address", {Service(9911)})
    assert ports == {}
    (trouble,) = troubles
    assert trouble.startswith(
        "a service on this machine's port 9911 may be out of reach: no relay can listen on not an address ("
    )
