"""Responses without a body, and those that break off."""

from __future__ import annotations

import asyncio

import pytest

from core.emulator.http_server import Exchange, in_tasks
from tests.core.emulator.test_http_server import serving

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_that_may_have_no_body_has_none_and_keeps_the_connection(status: int) -> None:
    async with serving(lambda exchange: exchange.respond(status, b"never sent")) as (_, client):
        await client.send(ASK)
        async with asyncio.timeout(5):
            head = (await client.reader.readuntil(b"\r\n\r\n")).lower()
            assert b"content-length" not in head
            assert b"transfer-encoding" not in head
            await client.send(ASK)
            assert (await client.reader.readline()).split()[1] == str(status).encode()


async def test_what_was_written_before_a_cut_arrives_and_the_end_does_not() -> None:
    size = 1024 * 1024

    @in_tasks
    async def break_off(exchange: Exchange) -> None:
        exchange.start(200)
        for _ in range(16):
            await exchange.write(b"x" * (size // 16))
        exchange.cut()

    async with serving(break_off) as (_, client):
        await client.send(ASK)
        async with asyncio.timeout(10):
            everything = await client.reader.read()
    body = everything.partition(b"\r\n\r\n")[2]
    assert body.count(b"x") == size
    assert not body.endswith(b"0\r\n\r\n")


async def test_a_peer_that_takes_a_close_for_the_end_is_reset_instead() -> None:
    @in_tasks
    async def break_off(exchange: Exchange) -> None:
        exchange.start(200)
        await exchange.write(b"x")
        exchange.cut()

    async with serving(break_off) as (_, client):
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError):
                await client.reader.read()


async def test_a_peer_that_does_not_read_a_cut_response_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.emulator.http_responses._LINGER_CUT", 0.05)
    much = b"x" * 32 * 1024 * 1024  # the kernel does not take as much for a peer that does not read

    @in_tasks
    async def break_off(exchange: Exchange) -> None:
        exchange.start(200)
        writing = asyncio.ensure_future(exchange.write(much))
        await asyncio.sleep(0)
        exchange.cut()
        await writing

    async with serving(break_off) as (server, client):
        await client.send(ASK)
        async with asyncio.timeout(10):
            await client.reader.readuntil(b"\r\n\r\n")
            while server.connections:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)
