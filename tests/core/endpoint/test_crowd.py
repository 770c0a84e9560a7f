"""Many connections, many functions, and every kind of client at once."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.eventstream import EventStreamBuffer

from core.endpoint.endpoint import Endpoint
from core.events import Event, InvocationEnded
from core.runtime import LambdaRuntime
from tests.core.endpoint.wire import Wire
from tests.core.sources import python_function, scripted_function

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.conftest import Leftovers

_REQUESTS = 1_000
_CONNECTIONS = 50

_ECHO = "def handler(event, context): return event"
_FAILS = "def handler(event, context): raise ValueError(event['n'])"


def _path(name: str, *, streaming: bool = False) -> str:
    if streaming:
        return f"/2021-11-15/functions/{name}/response-streaming-invocations"
    return f"/2015-03-31/functions/{name}/invocations"


class _Crowd:
    """Sends numbered requests, and keeps what each got."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.numbers = itertools.count()
        self.answered: Counter[str] = Counter()
        self.left: list[int] = []
        self.ids: Counter[str] = Counter()

    async def client(self) -> None:
        wire = await Wire(self.address).__aenter__()
        try:
            while (number := next(self.numbers)) < _REQUESTS:
                kind = ("echo", "fails", "streams", "exits", "leaves")[number % 5]
                await getattr(self, kind)(wire, number)
                self.answered[kind] += 1
                if kind == "leaves":
                    await wire.aclose()
                    wire = await Wire(self.address).__aenter__()
        finally:
            await wire.aclose()

    async def echo(self, wire: Wire, number: int) -> None:
        sent = {"n": number, "padding": "x" * (number % 7 * 1_000)}
        answer = await wire.ask("POST", _path("echo"), json.dumps(sent).encode())
        assert (answer.status, json.loads(answer.body)) == (200, sent)
        assert "x-amz-function-error" not in answer.headers
        self.ids[answer.headers["x-amzn-requestid"]] += 1

    async def fails(self, wire: Wire, number: int) -> None:
        answer = await wire.ask("POST", _path("fails"), json.dumps({"n": number}).encode())
        assert (answer.status, answer.headers["x-amz-function-error"]) == (200, "Unhandled")
        assert json.loads(answer.body)["errorMessage"] == str(number)
        self.ids[answer.headers["x-amzn-requestid"]] += 1

    async def streams(self, wire: Wire, number: int) -> None:
        """Every other reader is slow: it takes what the kernel holds for it only piece by piece."""
        steps = [
            ["chunk", f"{number} "],
            ["flood", 40, 8_192],
            *([["fail", "Late", "said"]] if number % 3 == 0 else []),
        ]
        await wire.send("POST", _path("streams", streaming=True), json.dumps(steps).encode())
        answer = await wire.head()
        assert answer.status == 200
        while await wire.piece(answer) is not None:
            if number % 2:
                await asyncio.sleep(0.001)
        payload, complete = _frames(answer.body)
        assert payload.startswith(f"{number} ".encode())
        assert len(payload) == len(f"{number} ") + 40 * 8_192
        assert complete.get("ErrorCode") == ("Unhandled" if number % 3 == 0 else None)
        self.ids[answer.headers["x-amzn-requestid"]] += 1

    async def exits(self, wire: Wire, number: int) -> None:
        steps: list[Any] = [["chunk", str(number)]] if number % 10 else [["exit", 3]]
        answer = await wire.ask("POST", _path("exits"), json.dumps(steps).encode())
        assert answer.status == 200
        if number % 10:
            assert answer.body == str(number).encode()
        else:
            assert answer.headers["x-amz-function-error"] == "Unhandled"
            assert json.loads(answer.body)["errorType"] == "Runtime.ExitError"
        self.ids[answer.headers["x-amzn-requestid"]] += 1

    async def leaves(self, wire: Wire, number: int) -> None:
        """A client that goes away in the middle: the function runs to its end all the same."""
        steps = [["chunk", "begun"], ["sleep", 0.02], ["chunk", str(number)]]
        await wire.send("POST", _path("leaves", streaming=True), json.dumps(steps).encode())
        answer = await wire.head()
        assert answer.status == 200
        await wire.piece(answer)
        self.ids[answer.headers["x-amzn-requestid"]] += 1
        wire.cut()


def _frames(data: bytes) -> tuple[bytes, dict[str, Any]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    payload, complete = b"", None
    for message in buffer:
        kind = message.headers[":event-type"]
        if kind == "PayloadChunk":
            assert complete is None
            payload += message.payload
        else:
            assert kind == "InvokeComplete"
            assert complete is None
            complete = json.loads(message.payload)
    assert complete is not None
    return payload, complete


@pytest.mark.any_python
async def test_a_thousand_requests_of_every_kind_are_each_answered_once(
    home: Path, tmp_path: Path, leftovers: type[Leftovers]
) -> None:
    before = leftovers()
    async with LambdaRuntime.open(home=home, max_instances=3) as runtime:
        await runtime.add_function(python_function(tmp_path, _ECHO, name="echo"))
        await runtime.add_function(python_function(tmp_path, _FAILS, name="fails"))
        for name in ("streams", "exits", "leaves"):
            await runtime.add_function(scripted_function(tmp_path, name=name))
        ended: dict[str, InvocationEnded] = {}
        twice: list[str] = []

        def take(event: Event) -> None:
            if isinstance(event, InvocationEnded):
                if event.request_id in ended:
                    twice.append(event.request_id)
                ended[event.request_id] = event

        runtime.events.subscribe(take)
        endpoint = Endpoint(runtime)
        crowd = _Crowd(await endpoint.open())
        async with asyncio.TaskGroup() as clients:
            for _ in range(_CONNECTIONS):
                clients.create_task(crowd.client())
        assert crowd.answered == dict.fromkeys(("echo", "fails", "streams", "exits", "leaves"), _REQUESTS // 5)
        events = runtime.events.stream()
        while runtime.running():
            await anext(events)
        assert twice == []
        assert sorted(ended) == sorted(crowd.ids)
        assert set(crowd.ids.values()) == {1}
        # those whose client left were not cancelled
        assert [e for e in ended.values() if e.result is None or e.result.cancelled] == []
        assert runtime.waiting() == 0
        assert all(instance.state == "idle" for instance in runtime.instances())
        await endpoint.close()
        await endpoint.aclose()
    assert await before.settle() == {}
