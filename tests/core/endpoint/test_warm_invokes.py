"""What the short way of a warm Invoke must not change: every answer is as that of a cold one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from core.emulator.runtime_api import RuntimeApi
from core.endpoint.endpoint import Endpoint
from core.events import CallEnded, CallStarted, Event, InvocationEnded, InvocationStarted
from core.runtime import LambdaRuntime
from tests.core.endpoint.support import ask_at_once, client_of, create
from tests.core.sources import Gate, python_function, scripted_function

Ask = Callable[..., Coroutine[Any, Any, Any]]

EVERY = """
import os, sys

def handler(event, context):
    what = event["what"]
    if what == "fail":
        raise ValueError("no")
    if what == "exit":
        os._exit(3)
    if what == "print":
        print("a line")
    if what == "large":
        return "x" * event["size"]
    return {"pid": os.getpid(), "what": what}
"""

PATH = "/2015-03-31/functions/every/invocations"


def invoke(url: str, what: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    """One by hand; it blocks."""
    return ask_at_once(url, PATH, json.dumps({"what": what, **more}).encode())


async def test_a_warm_answer_is_as_a_cold_one(endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(python_function(tmp_path, EVERY, "every"))
    told: list[Event] = []
    runtime.events.subscribe(told.append, CallStarted, CallEnded, InvocationEnded)
    for what, error in (("echo", None), ("print", None), ("fail", "Unhandled"), ("large", None), ("exit", "Unhandled")):
        # the first may be cold, after an exit; the second is not
        await asyncio.to_thread(invoke, endpoint.url, "echo")
        told.clear()
        status, headers, body = await asyncio.to_thread(invoke, endpoint.url, what, size=100_000)
        assert status == 200
        assert headers.get("x-amz-function-error") == error
        assert headers["x-amz-executed-version"] == "$LATEST"
        assert headers["content-type"] == "application/json"
        kinds = [type(event) for event in told]
        assert kinds == [CallStarted, InvocationEnded, CallEnded]
        assert len({getattr(event, "call_id", getattr(event, "request_id", None)) for event in told}) == 1
        assert headers["x-amzn-requestid"] == told[0].call_id  # type: ignore[attr-defined]
        assert told[1].result.cold_start is False  # type: ignore[attr-defined]
        assert told[2].status == 200  # type: ignore[attr-defined]
        if what == "fail":
            assert json.loads(body)["errorType"] == "ValueError"
        elif what == "large":
            assert body == json.dumps("x" * 100_000).encode()
            assert told[1].result.received == len(body)  # type: ignore[attr-defined]
    history = await runtime.history("every", 20)
    assert len(history) == 10
    assert {record.response for record in history if record.status == "ok"} != {None}


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{broken", "InvalidRequestContentException"), (b"[1, NaN]", "InvalidRequestContentException")],
)
async def test_an_event_that_is_no_json_is_refused_when_it_is_warm_too(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, body: bytes, code: str
) -> None:
    await runtime.add_function(python_function(tmp_path, EVERY, "every"))
    await runtime.launch("every", 1)
    ended: list[Event] = []
    runtime.events.subscribe(ended.append, CallEnded)
    status, headers, _ = await asyncio.to_thread(ask_at_once, endpoint.url, PATH, body)
    assert (status, headers["x-amzn-errortype"]) == (400, code)
    assert [event.error for event in ended] == [code]  # type: ignore[attr-defined]
    assert runtime.running() == 0
    assert (await asyncio.to_thread(invoke, endpoint.url, "echo"))[0] == 200


async def test_a_stream_that_is_asked_for_as_a_whole_comes_whole(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.launch("scripted", 1)
    path = "/2015-03-31/functions/scripted/invocations"
    for _ in range(2):
        steps = json.dumps([["chunk", "one"], ["chunk", "two"]]).encode()
        status, _, body = await asyncio.to_thread(ask_at_once, endpoint.url, path, steps)
        assert (status, body) == (200, b"onetwo")
    broken = json.dumps([["chunk", "one"], ["fail", "My.Error", "no"]]).encode()
    status, headers, body = await asyncio.to_thread(ask_at_once, endpoint.url, path, broken)
    assert (status, headers["x-amz-function-error"]) == (200, "Unhandled")
    assert json.loads(body)["errorType"] == "My.Error"


async def test_an_instance_that_dies_as_it_is_asked_costs_no_request(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, EVERY, "every"))
    pids = set()
    for _ in range(10):
        await runtime.launch("every", 1)
        for instance in runtime.instances():
            assert instance.pid is not None
            pids.add(instance.pid)
            os.kill(instance.pid, signal.SIGKILL)
        status, headers, body = await asyncio.to_thread(invoke, endpoint.url, "echo")
        assert status == 200
        if "x-amz-function-error" not in headers:
            assert json.loads(body)["pid"] not in pids
        else:
            # it was given the event before the news of its death
            assert json.loads(body)["errorType"] == "Runtime.ExitError"
    assert runtime.running() == 0


async def test_a_closing_endpoint_answers_a_warm_invocation_first(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.launch("scripted", 1)
    opened = Endpoint(runtime)
    await opened.open()
    path = "/2015-03-31/functions/scripted/invocations"
    steps = json.dumps([gate.step, ["chunk", "in the end"]]).encode()
    began = asyncio.Event()
    runtime.events.subscribe(lambda _: began.set(), InvocationStarted)
    asking = asyncio.ensure_future(asyncio.to_thread(ask_at_once, opened.url, path, steps))
    await began.wait()
    closing = asyncio.ensure_future(opened.close(drain=True))
    await asyncio.sleep(0)
    assert not closing.done()
    gate.open()
    status, _, body = await asking
    assert (status, body) == (200, b"in the end")
    await closing
    await opened.aclose()


async def test_a_token_is_asked_for_and_not_handed_on_when_it_is_warm_too(runtime: LambdaRuntime) -> None:
    opened = Endpoint(runtime, token="a-secret-token")
    await opened.open()
    try:
        client = client_of(opened.url)

        def prove(request: Any, **_: Any) -> None:
            request.headers["X-Stoker-Token"] = "a-secret-token"

        client.meta.events.register("before-send.lambda.*", prove)
        await asyncio.to_thread(create, client, "every", "def handler(event, context):\n    return event\n")
        for _ in range(3):
            answer = await asyncio.to_thread(client.invoke, FunctionName="every", Payload=b'"warm"')
            assert answer["Payload"].read() == b'"warm"'
        status, headers, _ = await asyncio.to_thread(ask_at_once, opened.url, PATH, b"{}")
        assert (status, headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
        client.close()
    finally:
        await opened.close()
        await runtime.close()
        await opened.aclose()


async def test_a_fault_of_stokers_own_is_an_answer_and_leaves_no_invocation_behind(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.add_function(python_function(tmp_path, EVERY, "every"))
    await runtime.launch("every", 1)

    def fail(*_: object) -> None:
        raise ValueError("a fault")

    with monkeypatch.context() as patched:
        patched.setattr(RuntimeApi, "begin", fail)
        status, headers, _ = await asyncio.to_thread(invoke, endpoint.url, "echo")
    assert (status, headers["x-amzn-errortype"]) == (500, "ServiceException")
    assert runtime.running() == 0
    assert (await asyncio.to_thread(invoke, endpoint.url, "echo"))[0] == 200
