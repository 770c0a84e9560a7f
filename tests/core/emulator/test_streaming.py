"""A response really streams: what is written is read while the function still runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from pathlib import Path

import psutil

from core.emulator.http_body import HIGH_WATER
from core.emulator.reply import InvokeReply
from tests.core.emulator.support import Process, bench, custom_runtime, read_all, request

_MIB = 1024 * 1024


async def test_the_first_chunk_is_read_while_the_later_ones_are_not_yet_written(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    for word in event:
        write(word.encode())
        wait()
"""
    async with bench() as it, custom_runtime(it, code, tmp_path) as process:
        await it.api.ready()
        reply = await it.api.invoke(request(payload=b'["one ", "two ", "three"]'))
        assert reply.streaming
        assert ("content-type", "text/plain") in reply.headers
        for word in (b"one ", b"two ", b"three"):
            assert await reply.next_chunk() == word
            assert reply.outcome is None
            process.let_go()  # only now may the function go on
        assert await reply.next_chunk() is None
        assert await reply.next_chunk() is None
        assert reply.outcome is not None
        assert reply.outcome.function_error is None
        assert reply.outcome.reusable


async def test_chunks_are_delivered_as_they_were_written(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    for size in event:
        write(b"x" * size)
"""
    sizes = [1, 2, 65536, 3, 1000, 65535, 1, 1]
    async with bench() as it, custom_runtime(it, code, tmp_path):
        await it.api.ready()
        for number in range(2):
            reply = await it.api.invoke(request(f"r{number}", json.dumps(sizes).encode()))
            found = []
            while (chunk := await reply.next_chunk()) is not None:
                found.append(len(chunk))
            assert found == sizes


async def test_an_error_in_the_middle_comes_by_the_trailers(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    write(b"so far")
    raise KeyError("gone")
"""
    async with bench() as it, custom_runtime(it, code, tmp_path):
        await it.api.ready()
        for number in range(2):
            reply = await it.api.invoke(request(f"r{number}"))
            assert reply.function_error is None
            assert await read_all(reply) == b"so far"
            assert reply.function_error == "Unhandled"
            outcome = reply.outcome
            assert outcome is not None
            assert outcome.error_type == "Function.KeyError"
            assert outcome.error_message == "'gone'"
            assert outcome.error_payload is not None
            assert json.loads(outcome.error_payload) == {"errorType": "KeyError", "errorMessage": "'gone'"}
            assert outcome.reusable


async def test_output_before_the_end_belongs_to_the_request(tmp_path: Path) -> None:
    code = """
import os
def respond(write, wait, event):
    write(b"chunk")
    os.write(1, b"a line\\nand half of one")
"""
    async with bench() as it, custom_runtime(it, code, tmp_path) as process:
        it.api._around.drain_output = process.read
        await it.api.ready()
        reply = await it.api.invoke(request())
        await read_all(reply)
        assert reply.outcome is not None
        assert "a line\nand half of one\nEND RequestId: r1\n" in reply.outcome.log_tail


_FLOOD = """
import hashlib, sys, zlib
def respond(write, wait, event):
    digest = hashlib.sha256()
    for number in range(event):
        block = number.to_bytes(8, "big") * 8192
        digest.update(block)
        write(block)
        print("written", number, flush=True)
    print("digest", digest.hexdigest(), flush=True)
"""


def _written(lines: list[str]) -> int:
    return sum(line.startswith("written ") for line in lines)


async def _until_quiet(it_lines: list[str]) -> int:
    """The number of blocks written once the function writes no more: it is blocked."""
    seen = -1
    while (now := _written(it_lines)) != seen or now == 0:
        seen = now
        await asyncio.sleep(0.3)
    return seen


async def test_a_reader_that_stops_stops_the_function_and_the_rest_arrives_whole(tmp_path: Path) -> None:
    blocks = 1600  # of 64 KiB: 100 MB
    async with bench(timeout=60) as it, custom_runtime(it, _FLOOD, tmp_path) as process:
        await it.api.ready()
        reply = await it.api.invoke(request(payload=b"%d" % blocks))
        digest = hashlib.sha256()
        first = await reply.next_chunk()
        assert first is not None
        digest.update(first)

        weight = psutil.Process().memory_info().rss
        stuck = await _until_quiet(it.lines)
        assert stuck < blocks // 4, "the function wrote on although nobody reads"
        assert reply.buffered <= _MIB
        assert reply.buffered >= HIGH_WATER
        await asyncio.sleep(0.3)
        assert _written(it.lines) == stuck

        received = len(first)
        largest = 0
        while (chunk := await reply.next_chunk()) is not None:
            received += len(chunk)
            digest.update(chunk)
            largest = max(largest, reply.buffered)
        assert largest <= _MIB
        assert psutil.Process().memory_info().rss - weight < 16 * _MIB
        assert received == blocks * 65536
        await _line(it.lines, "digest", process)
        assert f"digest {digest.hexdigest()}" in it.lines


async def _line(lines: list[str], start: str, process: Process) -> None:
    async with asyncio.timeout(10):
        while not any(line.startswith(start) for line in lines):
            process.read()
            await asyncio.sleep(0.01)


async def _grown(reply: InvokeReply) -> int:
    """What waits for a reader that has stopped, once it grows no more."""
    seen = -1
    while (now := reply.buffered) != seen or now == 0:
        seen = now
        await asyncio.sleep(0.3)
    return seen


async def test_one_enormous_chunk_is_held_back_as_well(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    write(b"z" * event)
"""
    async with bench(timeout=60) as it, custom_runtime(it, code, tmp_path):
        await it.api.ready()
        size = 50 * _MIB
        reply = await it.api.invoke(request(payload=b"%d" % size))
        first = await reply.next_chunk()
        assert first is not None
        assert await _grown(reply) >= HIGH_WATER
        assert reply.buffered <= _MIB
        received = len(first)
        while (chunk := await reply.next_chunk()) is not None:
            assert len(chunk) <= 65536
            received += len(chunk)
            assert reply.buffered <= _MIB
        assert received == size


async def test_a_flood_of_tiny_chunks_leaves_the_loop_its_turns(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    import builtins
    connection.sendall(b"1\\r\\nx\\r\\n" * event)
"""
    async with bench(timeout=60) as it, custom_runtime(it, code, tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request(payload=b"200000"))
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counter = asyncio.ensure_future(count())
        chunks = 0
        while await reply.next_chunk() is not None:
            chunks += 1
            assert reply.buffered <= _MIB
        counter.cancel()
        assert chunks == 200_000
        assert turns > 200_000 / 200


async def test_a_kill_in_the_middle_of_a_chunk_delivers_what_had_arrived(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    write(b"whole")
    connection.sendall(b"64\\r\\nhalf")
    print("half is written", flush=True)
    wait()
"""
    async with bench() as it, custom_runtime(it, code, tmp_path) as process:
        await it.api.ready()
        reply = await it.api.invoke(request())
        assert await reply.next_chunk() == b"whole"
        reading = asyncio.ensure_future(reply.next_chunk())
        await _line(it.lines, "half is written", process)
        process.popen.send_signal(signal.SIGKILL)
        assert await reading == b"half"
        assert await reply.next_chunk() is None
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.ExitError"
        assert reply.outcome.error_message == "RequestId: r1 Error: Runtime exited with error: signal: killed"
        assert not reply.outcome.reusable


async def test_a_stream_past_its_deadline_gives_what_had_come_and_then_the_timeout(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    write(b"so far")
    connection.sendall(b"64\\r\\nhalf")
    wait()
"""
    async with bench(timeout=0.3) as it, custom_runtime(it, code, tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request())
        assert await read_all(reply) == b"so farhalf"
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Sandbox.Timedout"
        assert reply.function_error == "Unhandled"
        assert not reply.outcome.reusable


async def test_closing_in_the_middle_leaves_the_runtime_unusable(tmp_path: Path) -> None:
    async with bench(timeout=60) as it, custom_runtime(it, _FLOOD, tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request(payload=b"1000"))
        await reply.next_chunk()
        await reply.aclose()
        await reply.aclose()
        assert reply.outcome is not None
        assert reply.outcome.function_error is None
        assert not reply.outcome.reusable
        assert reply.buffered == 0
        assert await reply.next_chunk() is None
        assert any(line.startswith("REPORT RequestId: r1") for line in it.lines)


async def test_what_is_discarded_runs_to_its_end_and_the_runtime_is_reused(tmp_path: Path) -> None:
    async with bench(timeout=60) as it, custom_runtime(it, _FLOOD, tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request("r1", b"500"))
        await reply.next_chunk()
        outcome = await reply.discard()
        assert outcome.function_error is None
        assert outcome.reusable
        assert reply.outcome is outcome
        assert _written(it.lines) > 0
        again = await it.api.invoke(request("r2", b"2"))
        assert len(await read_all(again)) == 2 * 65536
