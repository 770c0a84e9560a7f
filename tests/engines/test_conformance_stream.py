"""On every backend: responses arrive as the function writes them, whole, and no faster than they are read."""

from __future__ import annotations

import hashlib

import psutil
import pytest

from core.events import InvocationStreaming
from core.instances import InstanceState
from core.invocation import StreamingInvocation
from tests.engines.conformance import Bench, in_containers, steps

_PIECES = 1024
_PIECE = 64 * 1024


async def test_chunks_arrive_while_the_function_waits_to_write_the_next(bench: Bench) -> None:
    await bench.scripted()
    event = steps(["chunk", "first"], bench.wait_at(), ["chunk", "second"], bench.wait_at(), ["chunk", "third"])
    invocation = await bench.runtime.invoke_streaming("scripted", event)
    async with invocation:
        # nothing but the test opens the gate: what arrives before has been streamed
        assert await invocation.next_chunk() == b"first"
        assert bench.runtime.instances()[0].state is InstanceState.BUSY
        bench.gate.open()
        assert await invocation.next_chunk() == b"second"
        bench.gate.open()
        assert await invocation.next_chunk() == b"third"
        assert await invocation.next_chunk() is None
    result = bench.result(invocation)
    assert (result.function_error, result.chunks, result.streamed) == (None, 3, True)
    assert invocation.complete is not None
    assert invocation.complete.error_code is None
    assert bench.runtime.instances()[0].state is InstanceState.IDLE
    assert [event.request_id for event in bench.told(InvocationStreaming)] == [result.request_id]


@in_containers
async def test_streams_by_the_rule_of_the_images_own_entrypoint(bench: Bench) -> None:
    await bench.scripted()
    invocation = await bench.started(["chunk", "end"])
    (instance,) = bench.runtime.instances()
    # the entrypoint is the image's: it leaves its emulator out where a Runtime API is named
    assert bench.inspect(instance)["Config"]["Entrypoint"] == ["/lambda-entrypoint.sh"]
    assert bench.runtime_api(instance)
    pid = bench.inspect(instance)["State"]["Pid"]
    assert "/var/runtime/bootstrap" in psutil.Process(pid).cmdline()
    assert "transport" not in instance.details
    bench.gate.open()
    assert [chunk async for chunk in invocation] == [b"end"]


async def test_an_error_in_the_middle_of_a_stream_comes_after_the_chunks(bench: Bench) -> None:
    await bench.scripted()
    invocation = await bench.started(["chunk", "more"], ["fail", "Half.Done", "gave up"])
    bench.gate.open()
    assert await invocation.next_chunk() == b"more"
    assert await invocation.next_chunk() is None
    result = bench.result(invocation)
    assert (result.function_error, result.error_type, result.error_message) == ("Unhandled", "Half.Done", "gave up")
    assert await bench.serves() == result.instance_id


async def test_64_mib_arrive_intact(bench: Bench) -> None:
    await bench.scripted()
    expected = hashlib.sha256()
    for number in range(_PIECES):
        expected.update(b"%08d" % number + b"x" * (_PIECE - 8))
    invocation = await bench.runtime.invoke_streaming("scripted", steps(["flood", _PIECES, _PIECE]))
    arrived = hashlib.sha256()
    async for chunk in invocation:
        arrived.update(chunk)
    assert bench.result(invocation).received == _PIECES * _PIECE
    assert arrived.hexdigest() == expected.hexdigest()


async def test_a_reader_that_stops_stops_the_functions_writes(bench: Bench) -> None:
    await bench.scripted()
    slow = await bench.runtime.invoke_streaming("scripted", steps(["flood", _PIECES, _PIECE], bench.wait_at("slow")))
    assert await slow.next_chunk() is not None
    before = psutil.Process().memory_info().rss
    # an equal stream that is read passes meanwhile: time enough for the one that is not
    quick = await bench.runtime.invoke_streaming("scripted", steps(["flood", _PIECES, _PIECE], bench.wait_at("quick")))
    await _read(quick, _PIECES * _PIECE)
    await bench.gate.reached("quick")
    assert bench.gate.waiting("slow") == 0
    grown = psutil.Process().memory_info().rss - before
    assert grown < 32 << 20, f"{grown >> 20} MiB more are in memory"
    bench.gate.open("quick")
    assert await quick.next_chunk() is None
    # read again, it goes on to its end
    bench.gate.open("slow")
    assert (await slow.discard()).received == _PIECES * _PIECE
    assert bench.result(slow).function_error is None


async def _read(invocation: StreamingInvocation, size: int) -> None:
    left = size
    while left:
        chunk = await invocation.next_chunk()
        assert chunk is not None
        left -= len(chunk)


@pytest.mark.parametrize("how", ["cancel", "leave", "close"])
async def test_a_stream_that_is_given_up_ends_its_instance(bench: Bench, how: str) -> None:
    await bench.scripted()
    invocation = await bench.started(["chunk", "never"])
    (instance,) = bench.runtime.instances()
    await bench.gate.reached()
    if how == "cancel":
        result = await invocation.cancel()
        assert f"START RequestId: {result.request_id}" in result.log_tail
    elif how == "close":
        await invocation.aclose()
    else:
        async with invocation:
            pass
    result = bench.result(invocation)
    assert (result.cancelled, result.function_error, result.received) == (True, None, len(b"arrived"))
    await bench.gone(instance.id)
    assert not bench.exists(instance)
    # nothing of the function runs on: what it had open has been closed
    await bench.gate.reached(count=0)
    assert await bench.serves() != instance.id
