"""The HTTP server by itself: streamed bodies both ways, keep-alive, limits."""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from core.emulator.http_body import HIGH_WATER, BodyTooLargeError
from core.emulator.http_exchange import Exchange
from core.emulator.http_server import HttpServer, Limits, in_tasks
from tests.core.emulator.support import Client


@asynccontextmanager
async def serving(handler: Callable[[Exchange], None], **more: object) -> AsyncIterator[tuple[HttpServer, Client]]:
    server = HttpServer(handler, **more)  # type: ignore[arg-type]
    address = await server.start()
    client = await Client.connect(address)
    try:
        yield server, client
    finally:
        await client.close()
        await server.aclose()
        if isinstance(handler, in_tasks):
            await handler.aclose()


@in_tasks
async def echo(exchange: Exchange) -> None:
    """Send the body back as it comes, and its trailers with it."""
    exchange.start(200, [("content-type", "text/plain")])
    while (chunk := await exchange.body.next_chunk()) is not None:
        await exchange.write(chunk)
    exchange.end(exchange.body.trailers)


def hello(exchange: Exchange) -> None:
    exchange.respond(200, f"{exchange.method} {exchange.path} {exchange.query}".encode())


async def test_a_start_that_is_cancelled_leaves_the_descriptor_to_the_next() -> None:
    for turns in range(3):
        cancelled = HttpServer(hello)
        starting = asyncio.create_task(cancelled.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        async with serving(hello) as (_, client):
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(5):
                assert b"200" in await client.reader.readuntil(b"\r\n\r\n")
        await cancelled.aclose()


async def test_bodies_and_trailers_stream_both_ways() -> None:
    async with serving(echo) as (_, client):
        for word in (b"one", b"two"):  # the second by the same connection
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert b"200" in head
            await client.send(b"3\r\n" + word + b"\r\n")
            assert await client.reader.readexactly(8) == b"3\r\n" + word + b"\r\n"  # before the rest is sent
            await client.send(b"0\r\nX-Sum: 5\r\n\r\n")
            assert await client.reader.readuntil(b"\r\n\r\n") == b"0\r\nx-sum: 5\r\n\r\n"


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    async with serving(hello) as (_, client):
        count = 3000
        await client.send(b"".join(b"GET /%d?q HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count)))
        for number in range(count):
            assert (await client.answer()).body == b"GET /%d q" % number


async def test_an_absolute_target_is_a_path() -> None:
    async with serving(hello) as (_, client):
        await client.send(b"GET http://host:9001/a/b?c=d HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).body == b"GET /a/b c=d"


async def test_a_body_that_nobody_wants_goes_by_and_the_connection_is_kept() -> None:
    async with serving(hello) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        assert (await client.answer()).status == 200
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_http_1_0_and_connection_close_are_closed_after_the_answer() -> None:
    for head in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
        async with serving(hello) as (_, client):
            await client.send(head)
            assert (await client.answer()).status == 200
            assert await client.reader.read() == b""


async def test_a_stream_to_http_1_0_has_neither_chunks_nor_trailers() -> None:
    async with serving(echo) as (_, client):
        await client.send(b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
        answer = await client.reader.read()
        assert answer.endswith(b"\r\n\r\nhello")


async def test_a_client_that_has_sent_all_may_close_its_side_and_still_gets_the_answer() -> None:
    release = asyncio.Event()

    @in_tasks
    async def later(exchange: Exchange) -> None:
        await release.wait()
        exchange.respond(200, b"late")

    async with serving(later) as (_, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.writer.write_eof()
        await asyncio.sleep(0.05)
        release.set()
        assert (await client.answer()).body == b"late"
        assert await client.reader.read() == b""


async def test_a_head_request_gets_no_body() -> None:
    async with serving(hello) as (_, client):
        await client.send(b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\nGET /y HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"200" in head
        assert (await client.answer()).body == b"GET /y "


async def test_expect_continue_is_answered_before_the_body() -> None:
    async with serving(echo) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"ok")
        assert b"200" in await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"2\r\nok\r\n0\r\n\r\n"


async def test_a_head_that_takes_too_long_is_refused() -> None:
    async with serving(hello, limits=Limits(head_timeout=0.05)) as (_, client):
        await client.send(b"GET / HTT")
        assert (await client.answer()).status == 408
        assert await client.closed()


async def test_a_head_that_is_too_large_is_refused() -> None:
    async with serving(hello, limits=Limits(head_size=1000)) as (_, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 2000)
        assert (await client.answer()).status == 431
        assert await client.closed()


@pytest.mark.parametrize("special", [b"", b"Connection: keep-alive, x\r\n"], ids=["plain", "left to h11"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_head_that_comes_whole_is_held_to_the_same_size(special: bytes, pieces: int) -> None:
    def head(size: int) -> bytes:
        start, end = b"GET / HTTP/1.1\r\nHost: x\r\n" + special + b"A: ", b"\r\n\r\n"
        return start + b"x" * (size - len(start) - len(end)) + end

    async with serving(hello, limits=Limits(head_size=1000)) as (server, client):
        for size, status in ((1000, 200), (1000, 200), (1001, 431)):
            data = head(size)
            if pieces == 2:
                await client.send(data[:900])
                async with asyncio.timeout(5):
                    while not any(each._heads.partial for each in server._connections):  # noqa: ASYNC110 - nothing tells of half a head
                        await asyncio.sleep(0)
                data = data[900:]
            await client.send(data)
            assert (await client.answer()).status == status
        assert await client.closed()


async def test_an_idle_connection_is_closed_where_there_is_a_limit_and_only_there() -> None:
    async with serving(hello, limits=Limits(idle_timeout=0.05)) as (_, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.answer()
        assert await client.closed()
    async with serving(hello, limits=Limits(head_timeout=0.05)) as (_, client):
        await asyncio.sleep(0.15)
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_a_handler_that_fails_is_a_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken(exchange: Exchange) -> None:
        raise ValueError("oh")

    @in_tasks
    async def broken_later(exchange: Exchange) -> None:
        raise ValueError("oh")

    @in_tasks
    async def broken_midway(exchange: Exchange) -> None:
        exchange.start(200)
        await exchange.write(b"some")
        raise ValueError("oh")

    with caplog.at_level(logging.ERROR):
        for handler in (broken, broken_later):
            async with serving(handler) as (_, client):
                await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await client.answer()).status == 500
        async with serving(broken_midway) as (_, client):
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.reader.readuntil(b"0\r\n\r\n")
    assert len([record for record in caplog.records if "could not be answered" in record.message]) == 3


async def test_a_reader_of_the_response_that_stops_holds_the_writer_back() -> None:
    sent = 0

    @in_tasks
    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        exchange.start(200)
        for _ in range(1000):
            await exchange.write(b"x" * 65536)
            sent += 65536
        exchange.end()

    async with serving(flood) as (_, client):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        before = -1
        while before != sent or sent == 0:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 30_000_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        body = await client.reader.readuntil(b"\r\n\r\n")
        total = 0
        while not body.endswith(b"0\r\n\r\n"):
            body = body[-5:] + await client.reader.read(1 << 20)
            total += len(body) - 5
        assert sent == 65_536_000
        assert total > sent


async def test_a_reader_of_the_body_that_stops_holds_the_client_back() -> None:
    got: asyncio.Queue[Exchange] = asyncio.Queue()

    async with serving(got.put_nowait) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        client.writer.write(b"x" * 50_000_000)
        await asyncio.sleep(0.3)
        exchange = await got.get()
        body = exchange.body
        assert HIGH_WATER <= body.buffered <= 1024 * 1024
        assert body.paused
        total = 0
        while (chunk := await body.next_chunk()) is not None:
            total += len(chunk)
        assert total == 50_000_000
        exchange.respond(200)
        assert (await client.answer()).status == 200


async def test_a_body_is_read_whole_up_to_a_limit() -> None:
    @in_tasks
    async def measure(exchange: Exchange) -> None:
        try:
            exchange.respond(200, b"%d" % len(await exchange.body.read(1000)))
        except BodyTooLargeError:
            exchange.respond(413)

    async with serving(measure) as (_, client):
        for size, status in ((0, 200), (1000, 200), (1001, 413)):
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            answer = await client.answer()
            assert answer.status == status
        assert await client.closed()


async def test_a_cancelled_read_loses_nothing() -> None:
    got: asyncio.Queue[Exchange] = asyncio.Queue()

    async with serving(got.put_nowait) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = (await got.get()).body
        reading = asyncio.ensure_future(body.next_chunk())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        await client.send(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        assert [await body.next_chunk() for _ in range(3)] == [b"one", b"two", None]


async def test_a_client_that_goes_is_told_to_the_one_who_answers() -> None:
    gone = asyncio.Event()

    def wait(exchange: Exchange) -> None:
        exchange.on_gone = gone.set

    async with serving(wait) as (server, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.02)
        client.abort()
        async with asyncio.timeout(2):
            await gone.wait()
        await asyncio.sleep(0)
        assert server.connections == 0


async def test_only_those_who_are_allowed_may_connect() -> None:
    async with serving(hello, allow=lambda peer: peer != "127.0.0.1") as (_, client):
        assert await client.closed()


async def test_the_standard_clients_understand_it() -> None:
    server = HttpServer(echo)
    host, _, port = (await server.start()).rpartition(":")

    def talk() -> list[bytes]:
        connection = http.client.HTTPConnection(host, int(port))
        found = []
        for body in (b"", b"x", b"y" * 500_000):
            connection.request("POST", "/", body=body)
            found.append(connection.getresponse().read())
        connection.request("POST", "/", body=iter([b"a", b"bc"]), encode_chunked=True)
        found.append(connection.getresponse().read())
        connection.close()
        return found

    assert await asyncio.to_thread(talk) == [b"", b"x", b"y" * 500_000, b"abc"]
    await server.aclose()


async def test_an_address_that_is_taken_is_an_error_and_leaks_nothing() -> None:
    async with serving(hello) as (server, _):
        port = int(client_port(server))
        with pytest.raises(OSError, match="in use"):
            await HttpServer(hello).start("127.0.0.1", port)


def client_port(server: HttpServer) -> str:
    assert server.address is not None
    return server.address.rpartition(":")[2]


async def test_it_listens_on_ipv6_as_well() -> None:
    server = HttpServer(hello)
    try:
        address = await server.start("::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    reader, writer = await asyncio.open_connection("::1", int(address.rpartition(":")[2]))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await Client(reader, writer).answer()).status == 200
    writer.close()
    await server.aclose()


async def test_a_peer_of_whom_nothing_is_known_yet_waits_until_it_is_asked_about_again() -> None:
    known: list[bool] = []
    served: list[str] = []

    def note(exchange: Exchange) -> None:
        served.append(exchange.path)
        hello(exchange)

    server = HttpServer(note, allow=lambda _: known[0] if known else None)
    host, _, port = (await server.start()).rpartition(":")
    try:
        for answer in (True, False):
            known.clear()
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /%a HTTP/1.1\r\nHost: x\r\n\r\n" % answer)
            server.recheck()
            while not server.connections:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0)
            # everything that a server which reads would have read has arrived by now
            for _ in range(50):
                await asyncio.sleep(0)
            assert served == ([] if answer else ["/True"])
            known.append(answer)
            server.recheck()
            if answer:
                assert await reader.read(12) == b"HTTP/1.1 200"
            else:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            writer.close()
            while server.connections:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert served == ["/True"]
    finally:
        await server.aclose()
