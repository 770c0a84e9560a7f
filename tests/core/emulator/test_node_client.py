"""Stoker's Node client against a Runtime API that is spoken by hand, packet by packet."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

from tests.core.emulator.support import PREFIX

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.any_python,
]

_WITHIN = 10.0
_A_WHILE = 0.15  # in which what must not be sent would have come
_TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nOK"
_NEXT = f"GET {PREFIX}/invocation/next"
_ECHO = "exports.handler = async (event) => event;"


def _event(request_id: str, body: str) -> bytes:
    data = body.encode()
    head = f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {request_id}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


@dataclass
class _Request:
    line: str
    headers: dict[str, str]
    body: bytes


class _Peer:
    """One connection that the client has made."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> _Request:
        async with asyncio.timeout(_WITHIN):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            if headers.get("transfer-encoding") == "chunked":
                body = await self.reader.readuntil(b"0\r\n\r\n")
            else:
                body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return _Request(head[0].removesuffix(" HTTP/1.1"), headers, body)

    async def asked(self) -> None:
        assert (await self.request()).line == _NEXT

    async def result(self, request_id: str) -> _Request:
        request = await self.request()
        assert request.line == f"POST {PREFIX}/invocation/{request_id}/response"
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_in_pieces(self, data: bytes, size: int) -> None:
        for at in range(0, len(data), size):
            await self.send(data[at : at + size])
            await asyncio.sleep(0.001)

    async def silent(self) -> bool:
        """Whether nothing comes for a while."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), _A_WHILE)
            return False
        return True

    def close(self) -> None:
        self.writer.close()


class _Hand:
    """The listener, and the runtime that talks to it."""

    def __init__(self, process: asyncio.subprocess.Process, peers: asyncio.Queue[_Peer]) -> None:
        self.process = process
        self.peers = peers

    async def peer(self) -> _Peer:
        return await asyncio.wait_for(self.peers.get(), _WITHIN)

    async def exit(self) -> tuple[int, str]:
        """Its status and all its output."""
        out, _ = await asyncio.wait_for(self.process.communicate(), _WITHIN)
        return self.process.returncode or 0, out.decode()


@asynccontextmanager
async def _runtime(folder: Path, code: str = _ECHO) -> AsyncIterator[_Hand]:
    (folder / "index.js").write_text(code)
    peers: asyncio.Queue[_Peer] = asyncio.Queue()
    made: list[_Peer] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(_Peer(reader, writer))
        peers.put_nowait(made[-1])

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
    host, port = server.sockets[0].getsockname()
    process = await asyncio.create_subprocess_exec(
        "node",
        str(resources.files("resources") / "runtimes" / "nodejs" / "bootstrap.mjs"),
        env={
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}",
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": "index.handler",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield _Hand(process, peers)
    finally:
        server.close()
        for peer in made:
            peer.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


_TEXT = json.dumps({"text": "grüße, 世界 🚀"}, ensure_ascii=False)


def _chunked(body: str, sizes: Sequence[int]) -> bytes:
    data, chunks = body.encode(), b""
    for size in sizes:
        piece, data = data[:size], data[size:]
        chunks += b"%X;note=1\r\n%b\r\n" % (len(piece), piece)
    assert not data
    head = b"HTTP/1.1 200 OK\r\nLAMBDA-RUNTIME-AWS-REQUEST-ID:r1\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\nA-Trailer: 1\r\n\r\n"


@pytest.mark.parametrize("size", [1, 3, 50, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        _event("r1", _TEXT),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _event("r1", _TEXT),
        # 12 bytes end in the middle of a character
        _chunked(_TEXT, [12, len(_TEXT.encode()) - 12]),
    ],
    ids=["by length", "after 103", "chunked"],
)
async def test_an_event_is_read_however_it_is_split(tmp_path: Path, answer: bytes, size: int) -> None:
    async with _runtime(tmp_path) as hand:
        peer = await hand.peer()
        for _ in range(2):
            await peer.asked()
            await peer.send_in_pieces(answer, size)
            assert json.loads((await peer.result("r1")).body) == json.loads(_TEXT)
            await peer.send(_TAKEN)


async def test_an_event_of_many_packets_arrives_whole(tmp_path: Path) -> None:
    code = "exports.handler = async (event) => [event.length, new Set(event).size];"
    async with _runtime(tmp_path, code) as hand:
        peer = await hand.peer()
        await peer.asked()
        await peer.send(_event("r1", json.dumps("ü€" * 600_000, ensure_ascii=False)))
        assert (await peer.result("r1")).body == b"[1200000,2]"


async def test_the_next_event_is_asked_for_with_the_result_and_both_answers_may_come_at_once(tmp_path: Path) -> None:
    async with _runtime(tmp_path) as hand:
        peer = await hand.peer()
        await peer.asked()
        await peer.send(_event("r0", "0"))
        for number in range(1, 4):
            posted = await peer.result(f"r{number - 1}")
            assert posted.body == str(number - 1).encode()
            assert posted.headers["stoker-asked-ahead"] == "next"
            assert posted.headers["content-type"] == "application/json"
            await peer.asked()
            await peer.send(_TAKEN + _event(f"r{number}", str(number)))
        assert hand.peers.empty()


async def test_a_result_that_is_refused_ends_the_runtime(tmp_path: Path) -> None:
    async with _runtime(tmp_path) as hand:
        peer = await hand.peer()
        await peer.asked()
        await peer.send(_event("r1", "1"))
        await peer.result("r1")
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        error = await (await hand.peer()).request()
        assert error.line == f"POST {PREFIX}/invocation/r1/error"
        assert json.loads(error.body)["errorMessage"] == "the Runtime API answered 400 to a result"


async def test_a_large_result_is_answered_before_the_next_event_is_asked_for(tmp_path: Path) -> None:
    async with _runtime(tmp_path, "exports.handler = async (event) => 'ü'.repeat(event);") as hand:
        peer = await hand.peer()
        await peer.asked()
        for size, alone in ((32 * 1024 - 2, False), (32 * 1024 - 1, True), (3_000_000, True), (1, False)):
            await peer.send(_event("r1", str(size)))
            posted = await peer.result("r1")
            assert json.loads(posted.body) == "ü" * size
            assert ("stoker-asked-ahead" not in posted.headers) == alone
            if alone:
                assert await peer.silent()
            await peer.send(_TAKEN)
            await peer.asked()


async def test_after_a_large_result_that_is_refused_the_next_event_is_asked_for_anew(tmp_path: Path) -> None:
    async with _runtime(tmp_path, "exports.handler = async (event) => 'x'.repeat(event);") as hand:
        peer = await hand.peer()
        await peer.asked()
        await peer.send(_event("r1", "500000"))
        await peer.result("r1")
        await peer.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        await (await hand.peer()).asked()


async def test_the_next_event_is_asked_for_anew_where_the_connection_was_closed_while_idle(tmp_path: Path) -> None:
    async with _runtime(tmp_path) as hand:
        first = await hand.peer()
        await first.asked()
        await first.send(_event("r1", "1"))
        await first.result("r1")
        await first.asked()
        await first.send(_TAKEN)
        first.close()
        second = await hand.peer()
        await second.asked()
        await second.send(_event("r2", "2"))
        await second.result("r2")
        await second.asked()
        await second.send(_TAKEN.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        third = await hand.peer()
        await third.asked()
        await third.send(_event("r3", "3"))
        assert (await third.result("r3")).body == b"3"


async def test_a_connection_that_was_closed_while_the_function_ran_is_made_anew(tmp_path: Path) -> None:
    async with _runtime(tmp_path, "exports.handler = (event, _, done) => setTimeout(done, 300, null, event);") as hand:
        first = await hand.peer()
        await first.asked()
        await first.send(_event("r1", "1"))
        first.close()
        second = await hand.peer()
        assert (await second.result("r1")).body == b"1"
        await second.asked()


@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 2", _TAKEN + _event("r2", "22")[:-1]])
async def test_a_result_is_never_posted_again_nor_an_event_that_broke_off_asked_for(
    tmp_path: Path, answered: bytes
) -> None:
    async with _runtime(tmp_path) as hand:
        peer = await hand.peer()
        await peer.asked()
        await peer.send(_event("r1", "1"))
        await peer.result("r1")
        await peer.asked()
        await peer.send(answered)
        peer.close()
        error = await hand.peer()
        request = await error.request()
        assert request.line == f"POST {PREFIX}/invocation/r1/error"
        assert json.loads(request.body)["errorMessage"] == "the connection to the Runtime API was closed"
        await error.send(_TAKEN)
        status, output = await hand.exit()
        assert status == 129
        assert "the connection to the Runtime API was closed" in output
        assert hand.peers.empty()


async def test_what_is_not_http_ends_the_runtime(tmp_path: Path) -> None:
    async with _runtime(tmp_path) as hand:
        peer = await hand.peer()
        await peer.asked()
        await peer.send(b"SSH-2.0-other\r\n\r\n")
        error = await (await hand.peer()).request()
        assert error.line == f"POST {PREFIX}/init/error"
        assert "not an answer of HTTP/1.1: SSH-2.0-other" in json.loads(error.body)["errorMessage"]


async def test_a_stream_is_answered_before_the_next_event_is_asked_for(tmp_path: Path) -> None:
    code = "exports.handler = awslambda.streamifyResponse(async (event, stream) => { stream.end(event); });"
    async with _runtime(tmp_path, code) as hand:
        peer = await hand.peer()
        await peer.asked()
        stream: _Peer | None = None
        for _ in range(2):
            await peer.send(_event("r1", '"streamed"'))
            stream = stream or await hand.peer()
            assert (await stream.result("r1")).body == b"8\r\nstreamed\r\n0\r\n\r\n"
            assert await peer.silent()
            await stream.send(_TAKEN)
            await peer.asked()


async def test_an_event_that_comes_while_the_function_still_works_is_not_lost(tmp_path: Path) -> None:
    code = """
exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  if (event === 1) {
    let turns = 0;
    const work = setInterval(() => {
      const until = Date.now() + 20;
      while (Date.now() < until);
      if (++turns === 10) clearInterval(work);
    }, 1);
  }
  callback(null, event);
};
"""
    async with _runtime(tmp_path, code) as hand:
        peer = await hand.peer()
        await peer.asked()
        await peer.send(_event("r1", "1"))
        for number in range(1, 6):
            assert (await peer.result(f"r{number}")).body == str(number).encode()
            await peer.asked()
            await peer.send(_TAKEN + _event(f"r{number + 1}", str(number + 1)))


async def test_the_connection_does_not_keep_a_handler_waiting_that_has_nothing_left_to_do(tmp_path: Path) -> None:
    async with _runtime(tmp_path, "exports.handler = (event, context) => {};") as hand:
        peer = await hand.peer()
        await peer.asked()
        for number in range(3):
            await peer.send(_event(f"r{number}", "{}"))
            assert (await peer.result(f"r{number}")).body == b"null"
            await peer.asked()
            await peer.send(_TAKEN)
            # the wait itself is what keeps it alive
            await asyncio.sleep(_A_WHILE)
            assert hand.process.returncode is None
