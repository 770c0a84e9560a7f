"""On every backend: what a function does wrong is a result with Lambda's words, and nothing of it is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from core.events import InstanceExited
from tests.core.waiting import until
from tests.engines.conformance import BackendUnderTest, Bench, steps

# it waits at the gate before its handler is known
_WAITING_INIT = """
    import os, urllib.request
    urllib.request.urlopen(os.environ["GATE_URL"]).read()

    def handler(event, context):
        return event
"""


async def test_an_init_error_is_the_invocations_result_and_the_next_one_tries_again(bench: Bench) -> None:
    function = await bench.python("print('importing')\nimport no_such_module_anywhere\n")
    for _ in range(2):
        result = await bench.runtime.invoke("python")
        assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.ImportModuleError")
        assert "no_such_module_anywhere" in (result.error_message or "")
        assert json.loads(result.payload)["errorType"] == "Runtime.ImportModuleError"
        assert bench.runtime.instances() == []
    assert function.code is not None
    (function.code / "app.py").write_text("def handler(event, context):\n    return event\n")
    assert await bench.runtime.refresh_code("python")
    await bench.serves("python")


async def test_an_exit_in_init_is_told_with_its_code(bench: Bench) -> None:
    await bench.python("import os\nprint('giving up', flush=True)\nos._exit(3)\n")
    result = await bench.runtime.invoke("python")
    assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.ExitError")
    assert "exit status 3" in (result.error_message or "")
    assert bench.runtime.instances() == []


async def test_an_init_that_takes_too_long_is_started_once_more(backend: BackendUnderTest) -> None:
    async with backend.open(init_timeout=1.0) as bench:
        await bench.python(_WAITING_INIT)
        invoking = asyncio.create_task(bench.runtime.invoke("python", b"1"))
        await until(bench.runtime, lambda: any("init" in each.details for each in bench.runtime.instances()))
        bench.gate.open(times=10)
        result = await invoking
        assert (result.function_error, result.payload) == (None, b"1")
        (instance,) = bench.runtime.instances()
        assert instance.details["init"] == "took longer than 1 s; started once more"
        assert "transport" not in instance.details


async def test_an_init_that_takes_too_long_twice_is_a_timeout(backend: BackendUnderTest) -> None:
    async with backend.open(init_timeout=0.5) as bench:
        await bench.python(_WAITING_INIT, timeout=1)
        result = await bench.runtime.invoke("python", b"1")
        assert (result.function_error, result.error_type) == ("Unhandled", "Sandbox.Timedout")
        assert result.error_message == f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
        assert bench.runtime.instances() == []
        await bench.gate.reached(count=0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (["exit", 3], "Runtime exited with error: exit status 3"),
        (["exit", 0], "Runtime exited without providing a reason"),
    ],
)
async def test_an_exit_in_the_middle_gives_what_had_arrived_and_how_it_ended(
    bench: Bench, step: Sequence[object], message: str
) -> None:
    await bench.scripted()
    invocation = await bench.started(["chunk", "and more"], ["say", "the last words"], step)
    (instance,) = bench.runtime.instances()
    bench.gate.open()
    assert b"".join([chunk async for chunk in invocation]) == b"and more"
    result = bench.result(invocation)
    assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.ExitError")
    assert result.error_message == f"RequestId: {result.request_id} Error: {message}"
    assert "the last words" in result.log_tail.splitlines()
    assert "Status: error" in result.log_tail
    await bench.gone(instance.id)
    await bench.vanished(instance)
    assert await bench.serves() != instance.id


async def test_an_exit_while_idle_leaves_the_pool_at_once_with_code_and_last_lines(bench: Bench) -> None:
    await bench.scripted()
    result = await bench.runtime.invoke(
        "scripted", steps(["say", "I shall go"], ["later", "exit", 7], ["chunk", "fine"])
    )
    assert (result.function_error, result.payload) == (None, b"fine")
    (instance,) = bench.runtime.instances()
    bench.gate.open("exit")
    await bench.gone(instance.id)
    (exited,) = bench.told(InstanceExited)
    assert (exited.instance_id, exited.exit.code, exited.exit.signal) == (instance.id, 7, None)
    assert exited.exit.reason == "exit status 7"
    assert "I shall go" in exited.exit.log_tail
    assert not exited.exit.out_of_memory
    assert await bench.serves() != instance.id
    await bench.vanished(instance)


async def test_an_idle_instance_that_is_killed_leaves_the_pool_at_once(bench: Bench) -> None:
    await bench.scripted()
    (instance,) = await bench.runtime.launch("scripted")
    bench.kill(instance)
    await bench.gone(instance.id)
    (exited,) = bench.told(InstanceExited)
    assert (exited.exit.signal, exited.exit.reason) == (9, "signal: killed")
    assert await bench.serves() != instance.id
    await bench.vanished(instance)


async def test_a_busy_instance_that_is_killed_ends_its_invocation(bench: Bench) -> None:
    await bench.scripted()
    invocation = await bench.started(["chunk", "never"])
    (instance,) = bench.runtime.instances()
    bench.kill(instance)
    assert await invocation.next_chunk() is None
    result = bench.result(invocation)
    assert result.error_type == "Runtime.ExitError"
    assert (result.error_message or "").endswith("Runtime exited with error: signal: killed")
    await bench.gone(instance.id)
    assert await bench.serves() != instance.id
    await bench.vanished(instance)


async def test_a_timeout_gives_what_had_arrived_and_ends_the_instance_for_good(bench: Bench) -> None:
    await bench.scripted(timeout=1)
    invocation = await bench.started(["chunk", "too late"])
    (instance,) = bench.runtime.instances()
    assert await invocation.next_chunk() is None
    result = bench.result(invocation)
    assert (result.function_error, result.error_type, result.received) == ("Unhandled", "Sandbox.Timedout", 7)
    assert result.error_message == f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
    assert f"{result.request_id} Task timed out after 1.00 seconds" in result.log_tail
    assert invocation.complete is not None
    assert invocation.complete.error_code == "Unhandled"
    await bench.gone(instance.id)
    assert not bench.exists(instance)
    await bench.gate.reached(count=0)
    assert await bench.serves() != instance.id


async def test_a_buffered_timeout_has_lambdas_payload(bench: Bench) -> None:
    source = """
        import os, urllib.request

        def handler(event, context):
            urllib.request.urlopen(os.environ["GATE_URL"]).read()
    """
    await bench.python(source, timeout=1)
    result = await bench.runtime.invoke("python")
    assert json.loads(result.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds",
    }
    await bench.gone(result.instance_id)


async def test_more_memory_than_the_function_has_ends_it_and_is_told(bench: Bench) -> None:
    # a container's limit has room for a full /tmp beside the function's memory
    source = """
        def handler(event, context):
            if isinstance(event, int):
                block = bytearray(event << 20)
                return len(block)
            return event
    """
    await bench.python(source, memory_size=128)
    fits = await bench.runtime.invoke("python", b"40")
    assert json.loads(fits.payload) == 40 << 20
    (instance,) = bench.runtime.instances()
    result = await bench.runtime.invoke("python", b"1500")
    assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.ExitError")
    assert (result.error_message or "").endswith("Runtime exited with error: signal: killed")
    await bench.gone(instance.id)
    (exited,) = bench.told(InstanceExited)
    assert exited.exit.out_of_memory
    assert "memory" in exited.exit.reason
    assert await bench.serves("python") != instance.id
    await bench.vanished(instance)


async def test_a_connection_that_is_cut_in_the_middle_of_a_chunk_is_told_as_such(bench: Bench) -> None:
    await bench.scripted()
    result = await bench.runtime.invoke("scripted", steps(["chunk", "arrived"], ["cut"]))
    assert result.payload.startswith(b"arrived")
    assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.TruncatedResponse")
    await bench.gone(result.instance_id)
    await bench.serves()


async def test_what_a_function_left_running_ends_with_its_instance(bench: Bench) -> None:
    await bench.scripted(environment={"IGNORE_TERM": "1"})
    result = await bench.runtime.invoke("scripted", steps(["spawn"], ["later", "never", 0], ["chunk", "fine"]))
    assert result.function_error is None
    await bench.gate.reached("never")
    (instance,) = bench.runtime.instances()
    await bench.runtime.terminate(instance.id, force=True)
    await bench.gate.reached("never", count=0)
    assert not bench.exists(instance)
