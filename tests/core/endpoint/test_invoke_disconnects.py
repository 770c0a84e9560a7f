"""A client that goes away does not stop the function: its instance ends the work and serves the next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from core.endpoint import stalled_readers
from core.endpoint.endpoint import Endpoint
from core.events import CallEnded, Event, InvocationEnded
from core.runtime import LambdaRuntime
from tests.core.endpoint.wire import Answer, Wire
from tests.core.sources import Gate, scripted_function

INVOKE = "/2015-03-31/functions/scripted/invocations"
STREAM = "/2021-11-15/functions/scripted/response-streaming-invocations"
BOTH = pytest.mark.parametrize("path", [INVOKE, STREAM], ids=["invoke", "stream"])


def steps(*wanted: Any) -> bytes:
    return json.dumps(wanted).encode()


def events(data: bytes) -> list[tuple[str, bytes]]:
    """The frames in `data`: what each is, and its payload."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers[":event-type"], message.payload) for message in buffer]


class Heard:
    """What the bus has told so far, and a way to wait for more."""

    def __init__(self) -> None:
        self.calls: list[CallEnded] = []
        self.invocations: list[InvocationEnded] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallEnded):
            self.calls.append(event)
        elif isinstance(event, InvocationEnded):
            self.invocations.append(event)
        self._changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def listening(runtime: LambdaRuntime) -> AsyncIterator[Heard]:
    heard = Heard()
    unsubscribe = runtime.events.subscribe(heard)
    try:
        yield heard
    finally:
        unsubscribe()


async def serves_next(runtime: LambdaRuntime, endpoint: Endpoint) -> None:
    """The one instance there is serves another invocation."""
    (instance,) = runtime.instances("scripted")
    async with Wire(endpoint.address or "") as wire:
        answer = await wire.ask("POST", INVOKE, steps(["chunk", "next"]))
    assert (answer.status, answer.body) == (200, b"next")
    assert [(i.id, i.served) for i in runtime.instances("scripted")] == [(instance.id, instance.served + 1)]


async def first_chunk(wire: Wire) -> Answer:
    answer = await wire.head()
    assert answer.status == 200
    while not events(answer.body):
        assert await wire.piece(answer) is not None
    return answer


@BOTH
async def test_a_client_that_goes_while_the_function_works_does_not_stop_it(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path, gate: Gate, path: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    async with listening(runtime) as heard, Wire(endpoint.address or "") as wire:
        await wire.send("POST", path, steps(gate.step, ["chunk", "to the end"], ["say", "done"]))
        await heard.until(lambda: any(i.state == "busy" for i in runtime.instances()))
        wire.cut()
        gate.open()
        await heard.until(lambda: bool(heard.calls))
        (ended,) = heard.invocations
        assert ended.result is not None
        assert (ended.result.function_error, ended.result.cancelled) == (None, False)
        assert ended.result.received == len(b"to the end")
        assert "\ndone\n" in ended.result.log_tail
    await serves_next(runtime, endpoint)


async def test_a_client_that_goes_in_the_middle_of_a_stream_does_not_stop_it(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    async with listening(runtime) as heard, Wire(endpoint.address or "") as wire:
        # more than all buffers on the way hold: it ends only if somebody reads on
        await wire.send("POST", STREAM, steps(["chunk", "first"], gate.step, ["flood", 200, 65_536], ["say", "done"]))
        assert events((await first_chunk(wire)).body) == [("PayloadChunk", b"first")]
        wire.cut()
        gate.open()
        await heard.until(lambda: bool(heard.calls))
        (ended,) = heard.invocations
        assert ended.result is not None
        assert (ended.result.function_error, ended.result.cancelled) == (None, False)
        assert ended.result.received == len(b"first") + 200 * 65_536
        assert "\ndone\n" in ended.result.log_tail
        assert (heard.calls[0].status, heard.calls[0].gone) == (200, True)
    await serves_next(runtime, endpoint)


async def test_a_client_that_goes_while_it_holds_the_function_back_lets_it_go_on(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    async with listening(runtime) as heard, Wire(endpoint.address or "") as wire:
        await wire.send("POST", STREAM, steps(["flood", 400, 65_536]))
        await first_chunk(wire)
        # it reads no more, so that the function cannot have come to its end
        assert not heard.invocations
        wire.cut()
        await heard.until(lambda: bool(heard.calls))
        (ended,) = heard.invocations
        assert ended.result is not None
        assert (ended.result.function_error, ended.result.received) == (None, 400 * 65_536)
    await serves_next(runtime, endpoint)


@BOTH
async def test_a_client_that_goes_while_it_waits_in_the_queue_is_served_all_the_same(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path, gate: Gate, path: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path, max_instances=1))
    first = await runtime.invoke_streaming("scripted", steps(["chunk", "busy"], gate.step))
    async with listening(runtime) as heard, Wire(endpoint.address or "") as wire:
        await wire.send("POST", path, steps(["say", "was here"], ["chunk", "x"]))
        await heard.until(lambda: runtime.waiting("scripted") == 1)
        wire.cut()
        gate.open()
        await first.discard()
        await heard.until(lambda: bool(heard.calls))
        result = heard.invocations[-1].result
        assert result is not None
        assert "\nwas here\n" in result.log_tail
        assert not result.cancelled
    await serves_next(runtime, endpoint)


@BOTH
async def test_a_client_that_sends_no_more_still_reads_the_answer(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path, gate: Gate, path: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    reader, writer = await asyncio.open_connection(*(endpoint.address or "").split(":"))
    body = steps(["chunk", "first"], gate.step, ["chunk", "second"])
    head = f"POST {path} HTTP/1.1\r\nHost: {endpoint.address}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with listening(runtime) as heard:
        writer.write(head.encode() + body)
        writer.write_eof()
        await heard.until(lambda: any(i.state == "busy" for i in runtime.instances()))
        gate.open()
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"first" in answer
    assert b"second" in answer
    writer.close()
    await writer.wait_closed()


async def test_one_that_takes_nothing_for_long_is_cut_off_and_the_function_goes_on(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalled_readers, "STALLED", 0.2)
    await runtime.add_function(scripted_function(tmp_path))
    async with listening(runtime) as heard, Wire(endpoint.address or "") as wire:
        await wire.send("POST", STREAM, steps(["flood", 400, 65_536]))
        await first_chunk(wire)
        await heard.until(lambda: bool(heard.calls))
        (ended,) = heard.invocations
        assert ended.result is not None
        assert (ended.result.function_error, ended.result.received) == (None, 400 * 65_536)
    await serves_next(runtime, endpoint)


async def test_a_reader_too_slow_for_the_functions_timeout_is_told_of_it(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path, timeout=1))
    async with listening(runtime) as heard, Wire(endpoint.address or "") as wire:
        await wire.send("POST", STREAM, steps(["flood", 400, 65_536]))
        answer = await first_chunk(wire)
        # past the deadline the instance goes, whoever reads
        await heard.until(lambda: not runtime.instances("scripted"))
        assert not heard.invocations
        while await wire.piece(answer) is not None:
            pass
    *chunks, (last, payload) = events(answer.body)
    assert {kind for kind, _ in chunks} == {"PayloadChunk"}
    whole = [int(chunk[:8]) for _, chunk in chunks if len(chunk) == 65_536]
    assert whole == list(range(len(whole)))
    assert len(chunks) - len(whole) <= 1  # the one that it was writing
    assert 0 < len(whole) < 400
    assert last == "InvokeComplete"
    assert json.loads(json.loads(payload)["ErrorDetails"])["errorType"] == "Sandbox.Timedout"


@BOTH
async def test_an_endpoint_that_is_switched_off_does_not_stop_the_function(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path, gate: Gate, path: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    async with listening(runtime) as heard, Wire(endpoint.address or "") as wire:
        await wire.send("POST", path, steps(["chunk", "first"], gate.step, ["say", "done"]))
        await heard.until(lambda: any(i.state == "busy" for i in runtime.instances()))
        await endpoint.close()
        gate.open()
        await heard.until(lambda: bool(heard.calls))
        result = heard.invocations[0].result
        assert result is not None
        assert (result.function_error, result.cancelled) == (None, False)
        assert "\ndone\n" in result.log_tail
    await endpoint.open()
    await serves_next(runtime, endpoint)


@BOTH
async def test_nothing_is_left_of_clients_that_went(
    runtime: LambdaRuntime, endpoint: Endpoint, tmp_path: Path, leftovers: Any, path: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path, max_instances=2))
    await runtime.launch("scripted", 2)
    before = leftovers()
    async with listening(runtime) as heard:
        for _ in range(10):
            async with Wire(endpoint.address or "") as wire:
                await wire.send("POST", path, steps(["flood", 20, 65_536]))
                wire.cut()
        await heard.until(lambda: len(heard.calls) == 10)
    assert runtime.running() == 0
    assert await before.settle() == {}
    assert {i.state for i in runtime.instances()} == {"idle"}
