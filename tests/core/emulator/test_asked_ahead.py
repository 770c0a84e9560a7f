"""A runtime that asks for its next event together with a result, and gets one answer to both."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.core.emulator.support import PREFIX, Bench, Client, bench, read_all

_RUNTIME = Path(__file__).parents[3] / "resources" / "runtimes" / "python"
_PAUSE = b"<pause>"
_AHEAD = b"Stoker-Asked-Ahead: next\r\n"


async def _post_and_ask(client: Client, request_id: str, body: bytes, header: bytes = _AHEAD) -> None:
    post = f"POST {PREFIX}/invocation/{request_id}/response HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    ask = f"GET {PREFIX}/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
    await client.send(post.encode() + header + b"\r\n" + body + ask.encode())


async def _served(it: Bench, client: Client, request_id: str = "r1", header: bytes = _AHEAD) -> None:
    """One invocation to the end, the next event asked for with its result."""
    running = await it.invoke(request_id)
    await client.next()
    await _post_and_ask(client, request_id, b'"done"', header)
    reply = await running
    assert await read_all(reply) == b'"done"'
    assert all(name != "stoker-asked-ahead" for name, _ in reply.headers)


async def test_the_answer_to_the_result_comes_with_the_next_event() -> None:
    async with bench() as it:
        client = await it.client()
        await _served(it, client)
        waits = asyncio.ensure_future(client.reader.read(65536))
        running = await it.invoke("r2", b'"second"')
        both = await waits
        assert both.startswith(b"HTTP/1.1 202 ")
        assert both.count(b"HTTP/1.1 ") == 2
        assert both.endswith(b'"second"')
        assert (await client.respond("r2", b"2")).status == 202
        assert await read_all(await running) == b"2"


async def test_without_the_header_the_answer_comes_at_once() -> None:
    async with bench() as it:
        client = await it.client()
        await _served(it, client, header=b"")
        assert (await client.answer()).status == 202


async def test_with_the_header_and_nothing_behind_it_the_answer_comes_at_once() -> None:
    async with bench() as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        assert (await client.post("/invocation/r1/response", b"1", Stoker_Asked_Ahead="next")).status == 202
        assert await read_all(await running) == b"1"


async def test_a_refusal_comes_at_once() -> None:
    async with bench() as it:
        client = await it.client()
        await it.invoke()
        await client.next()
        await _post_and_ask(client, "someone-else", b"1")
        assert (await client.answer()).status == 400


async def test_an_answer_that_waits_goes_out_when_the_connection_is_closed_for_another_reason() -> None:
    async with bench() as it:
        client = await it.client()
        await _served(it, client)
        # what follows is not HTTP: the connection closes
        running = await it.invoke("r2", b"{}")
        assert [(await client.answer()).status, (await client.answer()).status] == [202, 200]
        await _post_and_ask(client, "r2", b"2")
        assert await read_all(await running) == b"2"
        await client.send(b"\0\0\0 rubbish\r\n\r\n")
        await it.invoke("r3")
        assert [(await client.answer()).status, (await client.answer()).status] == [202, 200]


@asynccontextmanager
async def _scripted(answers: list[list[bytes]]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends `answers`, one list to a connection, one for each request; and the requests."""
    got: list[bytes] = []
    scripts = iter(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in next(scripts):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            got.append(head + await reader.readexactly(int(length[1]) if length else 0))
            for piece in answer.split(_PAUSE):
                writer.write(piece)
                await writer.drain()
                # the next is to come in a packet of its own
                await asyncio.sleep(0.02 if _PAUSE in answer else 0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", got
    finally:
        server.close()
        await server.wait_closed()


_POSTING = """
import sys
sys.path.insert(0, sys.argv[1])
import runtime_client
runtime_client.initialize_client("test")
body, headers = runtime_client.next()
try:
    for _ in range(int(sys.argv[3])):
        runtime_client.post_invocation_result(headers["Lambda-Runtime-Aws-Request-Id"], "x" * int(sys.argv[2]))
        body, headers = runtime_client.next()
    print("next", body)
except Exception as error:
    print(type(error).__name__, error)
"""


async def _client_says(address: str, size: int = 5, rounds: int = 1) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _POSTING,
        str(_RUNTIME),
        str(size),
        str(rounds),
        env={**os.environ, "AWS_LAMBDA_RUNTIME_API": address},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return said.decode().strip()


def _event(number: int) -> bytes:
    body = b"event %d" % number
    return b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r%d\r\nContent-Length: %d\r\n\r\n%b" % (
        number,
        len(body),
        body,
    )


_TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
_REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"


async def test_the_python_client_reads_both_answers_however_they_come() -> None:
    async with _scripted([[_event(1), b"", _TAKEN + _event(2)]]) as (address, got):
        assert await _client_says(address) == "next b'event 2'"
        assert [request.split()[0] for request in got] == [b"GET", b"POST", b"GET"]


async def test_the_python_client_knows_the_answer_again_in_whatever_pieces_it_comes() -> None:
    answers = [_event(1), b"", _PAUSE.join((_TAKEN[:20], _TAKEN[20:], _event(2)))]
    for number, cut in ((3, 1), (4, len(_TAKEN)), (5, 20), (6, len(_TAKEN) + 30), (7, len(_TAKEN) - 1)):
        both = _TAKEN + _event(number)
        answers += [b"", both[:cut] + _PAUSE + both[cut:]]
    async with _scripted([answers]) as (address, _):
        assert await _client_says(address, rounds=6) == "next b'event 7'"


async def test_the_python_client_asks_anew_where_the_connection_ends_behind_its_result() -> None:
    async with _scripted([[_event(1), _TAKEN], [_event(2)]]) as (address, got):
        assert await _client_says(address) == "next b'event 2'"
        assert [request.split()[0] for request in got] == [b"GET", b"POST", b"GET"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (_REFUSED, "RuntimeError Failed to post invocation response, error code: 400"),
        (b"", "ConnectionResetError "),
    ],
)
async def test_the_python_client_says_that_a_result_was_not_taken(answer: bytes, error: str) -> None:
    async with _scripted([[_event(1), answer, b""]]) as (address, _):
        assert (await _client_says(address)).startswith(error)


async def test_the_python_client_posts_a_large_result_before_it_asks() -> None:
    # a question that went with it would be read as the request behind it, and answered with nothing
    async with _scripted([[_event(1), _TAKEN, _event(2)]]) as (address, got):
        assert await _client_says(address, 65536) == "next b'event 2'"
        assert b"Asked-Ahead" not in got[1]
