"""On every backend: what an invocation gives, what its function is told, and what is written down of it."""

from __future__ import annotations

import asyncio
import functools
import json

import pytest

from core.emulator.limits import MAX_REQUEST
from core.errors import RequestTooLargeError
from core.events import InstanceLogged
from core.instances import InstanceState
from core.invocation import InvocationResult
from tests.core.waiting import until
from tests.engines.conformance import Bench, in_containers, in_processes, steps

ECHO = """
    def handler(event, context):
        return event
"""


async def test_a_buffered_invocation_answers_cold_and_then_warm(bench: Bench) -> None:
    await bench.python("def handler(event, context):\n    print('hello log')\n    return {'got': event}\n")
    cold = await bench.runtime.invoke("python", b'{"a": 1}')
    warm = await bench.runtime.invoke("python", b'{"a": 2}')
    assert json.loads(cold.payload) == {"got": {"a": 1}}
    assert json.loads(warm.payload) == {"got": {"a": 2}}
    assert (cold.cold_start, warm.cold_start) == (True, False)
    assert (cold.streamed, cold.function_error, cold.status_code) == (False, None, 200)
    assert cold.instance_id == warm.instance_id
    assert "init" in cold.phases
    assert warm.phases == {}
    (instance,) = bench.runtime.instances()
    assert (instance.state, instance.served) == (InstanceState.IDLE, 2)


def check_log(result: InvocationResult, *said: str) -> None:
    """The log of this invocation holds these lines of its function, and nobody else's."""
    lines = result.log_tail.splitlines()
    assert lines[0] == f"START RequestId: {result.request_id} Version: $LATEST"
    assert [line for line in lines if line.startswith("line ")] == list(said)
    assert lines[-2] == f"END RequestId: {result.request_id}"
    assert lines[-1].startswith(f"REPORT RequestId: {result.request_id}\tDuration: ")


async def test_the_log_of_an_invocation_is_whole_and_its_own(bench: Bench) -> None:
    await bench.scripted()

    def told(line: str) -> bool:
        return any(line in event.lines for event in bench.told(InstanceLogged))

    for number in range(5):
        line = f"line {number}"
        invoking = asyncio.create_task(bench.runtime.invoke("scripted", steps(["say", line], bench.wait_at())))
        # an engine passes on what a container writes when it likes; the function answers after that
        await until(bench.runtime, functools.partial(told, line))
        bench.gate.open()
        result = await invoking
        check_log(result, line)
        assert ("Init Duration" in result.log_tail) == (number == 0)


@in_processes
async def test_what_was_written_just_before_the_response_is_in_its_log(bench: Bench) -> None:
    # an engine may pass it on after the response; a process's own pipe is read before
    await bench.python("def handler(event, context):\n    print('line', event)\n    return event\n")
    for number in range(20):
        check_log(await bench.runtime.invoke("python", str(number)), f"line {number}")


@in_containers
async def test_what_an_engine_passes_on_late_is_not_lost(bench: Bench) -> None:
    await bench.python("def handler(event, context):\n    print('line', event)\n    return event\n")
    for number in range(20):
        await bench.runtime.invoke("python", str(number))
    (instance,) = bench.runtime.instances()

    def said() -> list[str]:
        return [line for line in bench.runtime.log_lines(instance.id) if line.startswith("line ")]

    await until(bench.runtime, lambda: len(said()) == 20)
    assert said() == [f"line {number}" for number in range(20)]


async def test_log_lines_are_told_while_the_function_runs(bench: Bench) -> None:
    await bench.scripted()
    invocation = await bench.runtime.invoke_streaming(
        "scripted", steps(["say", "so far"], bench.wait_at(), ["chunk", "end"])
    )
    await bench.gate.reached()

    def said() -> list[str]:
        return [line for event in bench.told(InstanceLogged) for line in event.lines]

    await until(bench.runtime, lambda: "so far" in said())
    assert bench.runtime.running() == 1
    assert bench.runtime.log_lines(str(invocation.instance_id)) == said()
    bench.gate.open()
    assert (await invocation.discard()).function_error is None


async def test_the_context_tells_the_function_of_its_invocation(bench: Bench) -> None:
    source = """
        import time

        def handler(event, context):
            return {
                "request": context.aws_request_id,
                "remaining": context.get_remaining_time_in_millis(),
                "name": context.function_name,
                "version": context.function_version,
                "arn": context.invoked_function_arn,
                "memory": int(context.memory_limit_in_mb),
                "client": context.client_context.custom if context.client_context else None,
            }
    """
    await bench.python(source, timeout=17, memory_size=192)
    result = await bench.runtime.invoke(
        "python", request_id="11111111-2222-3333-4444-555555555555", client_context='{"custom": {"who": "the test"}}'
    )
    told = json.loads(result.payload)
    assert 0 < told.pop("remaining") <= 17_000
    assert told == {
        "request": "11111111-2222-3333-4444-555555555555",
        "name": "python",
        "version": "$LATEST",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:python",
        "memory": 192,
        "client": {"who": "the test"},
    }
    assert result.request_id == "11111111-2222-3333-4444-555555555555"


async def test_a_handler_error_is_a_result_and_the_instance_serves_on(bench: Bench) -> None:
    source = """
        def handler(event, context):
            if event.get("fail"):
                raise ValueError("no such luck")
            return event
    """
    await bench.python(source)
    failed = await bench.runtime.invoke("python", b'{"fail": true}')
    assert (failed.function_error, failed.error_type, failed.error_message) == (
        "Unhandled",
        "ValueError",
        "no such luck",
    )
    payload = json.loads(failed.payload)
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "no such luck")
    assert "app.py" in payload["stackTrace"][0]
    assert await bench.serves("python") == failed.instance_id


async def test_the_largest_event_and_response_pass_unchanged(bench: Bench) -> None:
    await bench.python(ECHO)
    payload = b'"' + b"x" * (MAX_REQUEST - 2) + b'"'
    result = await bench.runtime.invoke("python", payload)
    assert result.function_error is None
    assert result.payload == payload
    with pytest.raises(RequestTooLargeError):
        await bench.runtime.invoke("python", payload + b" ")


async def test_a_response_that_is_too_large_is_an_error_and_the_next_one_is_served(bench: Bench) -> None:
    await bench.python("def handler(event, context):\n    return 'x' * event if isinstance(event, int) else event\n")
    result = await bench.runtime.invoke("python", str(MAX_REQUEST + 200).encode())
    assert (result.function_error, result.error_type) == ("Unhandled", "Function.ResponseSizeTooLarge")
    # AWS's client ends itself when its response is refused
    await bench.serves("python")


async def test_invocations_that_overlap_are_served_side_by_side_and_never_mixed(bench: Bench) -> None:
    await bench.python(ECHO, max_instances=2)
    # started for the first invocations, the second could come when the first has served them all
    await bench.runtime.launch("python", 2)
    results = await asyncio.gather(*(bench.runtime.invoke("python", str(number)) for number in range(40)))
    assert [json.loads(result.payload) for result in results] == list(range(40))
    assert {result.instance_id for result in results} == {each.id for each in bench.runtime.instances()}
    assert len(bench.runtime.instances()) == 2
