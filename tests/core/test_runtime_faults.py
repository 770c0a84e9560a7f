"""What goes wrong, goes wrong alone: the caller gets what had arrived, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.sources import Gate, scripted_function

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from core.invocation import StreamingInvocation
    from tests.core.conftest import Leftovers


def steps(*wanted: Sequence[object]) -> bytes:
    return json.dumps(list(wanted)).encode()


async def started(runtime: LambdaRuntime, gate: Gate, *more: Sequence[object]) -> StreamingInvocation:
    """An invocation whose first chunk has arrived and whose function waits at the gate."""
    invocation = await runtime.invoke_streaming("scripted", steps(["chunk", "arrived"], gate.step, *more))
    assert await invocation.next_chunk() == b"arrived"
    return invocation


async def serves(runtime: LambdaRuntime) -> str | None:
    """The next invocation works; returns who served it."""
    result = await runtime.invoke("scripted", b'{"ok": 1}')
    assert result.payload == b'{"ok": 1}'
    assert result.function_error is None
    return result.instance_id


async def gone(runtime: LambdaRuntime, instance_id: str | None) -> None:
    """Wait until the pool has no such instance."""
    async with asyncio.timeout(10):
        await until(runtime, lambda: all(i.id != instance_id for i in runtime.instances()))


async def until(runtime: LambdaRuntime, true: Callable[[], bool]) -> None:
    """Wait for the event after which `true` holds."""
    changed = asyncio.Event()
    unsubscribe = runtime.events.subscribe(lambda _: changed.set())
    try:
        while not true():
            changed.clear()
            await changed.wait()
    finally:
        unsubscribe()


async def test_cancel_ends_the_instance_and_says_so(runtime: LambdaRuntime, tmp_path: Path, gate: Gate) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    invocation = await started(runtime, gate)
    pid = runtime.instances()[0].pid
    reader = asyncio.create_task(invocation.next_chunk())
    await asyncio.sleep(0)
    result = await invocation.cancel()
    assert result.cancelled
    assert result.received == len(b"arrived")
    assert result.function_error is None
    assert f"START RequestId: {result.request_id}" in result.log_tail
    assert await reader is None
    await gone(runtime, invocation.instance_id)
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert await serves(runtime) != invocation.instance_id


async def test_cancelling_the_reading_task_cancels_the_invocation(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    invocation = await started(runtime, gate)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await invocation.next_chunk()
    assert invocation.result is not None
    assert invocation.result.cancelled
    await gone(runtime, invocation.instance_id)
    await serves(runtime)


async def test_cancelling_while_the_function_has_not_answered_ends_its_instance(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.launch("scripted")
    (before,) = runtime.instances()
    # the event is no list of steps but a huge wait: the head of the reply is written at once, so
    # the cancel has to come before the runtime has had its turn
    task = asyncio.create_task(runtime.invoke("scripted", steps(["sleep", 30])))
    async with asyncio.timeout(5):
        await until(runtime, lambda: runtime.instances()[0].state is InstanceState.BUSY)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(runtime, before.id)
    assert runtime.running() == 0
    await serves(runtime)


async def test_cancelling_in_the_queue_leaves_the_queue(runtime: LambdaRuntime, tmp_path: Path, gate: Gate) -> None:
    await runtime.add_function(scripted_function(tmp_path, max_instances=1))
    invocation = await started(runtime, gate)
    waiting = asyncio.create_task(runtime.invoke("scripted"))
    await asyncio.sleep(0)
    assert runtime.waiting("scripted") == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert runtime.waiting("scripted") == 0
    gate.open()
    assert (await invocation.discard()).function_error is None
    assert await serves(runtime) == invocation.instance_id


async def test_a_timeout_gives_what_had_arrived_and_ends_the_instance(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path, timeout=1))
    result = await runtime.invoke("scripted", steps(["chunk", "arrived"], gate.step))
    assert result.payload == b"arrived"
    assert result.function_error == "Unhandled"
    assert result.error_type == "Sandbox.Timedout"
    assert result.error_message == f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
    assert f"{result.request_id} Task timed out after 1.00 seconds" in result.log_tail
    await gone(runtime, result.instance_id)
    await serves(runtime)


async def test_a_timeout_ends_the_runtime_also_when_nobody_reads(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path, timeout=1))
    invocation = await started(runtime, gate)
    await gone(runtime, invocation.instance_id)
    assert await invocation.next_chunk() is None
    assert invocation.result is not None
    assert invocation.result.function_error == "Unhandled"
    await serves(runtime)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (["exit", 3], "Runtime exited with error: exit status 3"),
        (["kill"], "Runtime exited with error: signal: killed"),
        (["cut"], ""),
    ],
)
async def test_a_runtime_that_ends_in_the_middle_gives_what_had_arrived_and_why(
    runtime: LambdaRuntime, tmp_path: Path, step: Sequence[object], message: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    invocation = await runtime.invoke_streaming("scripted", steps(["chunk", "arrived"], step))
    received = b"".join([chunk async for chunk in invocation])
    result = invocation.result
    assert result is not None
    assert received.startswith(b"arrived")
    assert result.function_error == "Unhandled"
    assert message in (result.error_message or "")
    if message:
        assert result.error_type == "Runtime.ExitError"
    await gone(runtime, invocation.instance_id)
    await serves(runtime)


async def test_a_runtime_killed_from_outside_in_the_middle_of_a_stream(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    invocation = await started(runtime, gate)
    pid = runtime.instances()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await invocation.next_chunk() is None
    assert invocation.result is not None
    assert invocation.result.error_type == "Runtime.ExitError"
    await gone(runtime, invocation.instance_id)
    await serves(runtime)


async def test_an_idle_runtime_that_is_killed_leaves_the_pool_at_once(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    (instance,) = await runtime.launch("scripted")
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGKILL)
    await gone(runtime, instance.id)
    assert await serves(runtime) != instance.id


@pytest.mark.parametrize("how", ["break", "forget", "close"])
async def test_an_invocation_that_is_left_early_frees_its_slot(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate, how: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path, max_instances=1))
    invocation = await runtime.invoke_streaming("scripted", steps(["chunk", "arrived"], gate.step))
    instance_id = invocation.instance_id
    if how == "break":
        async for _ in invocation:
            break
    elif how == "close":
        await invocation.aclose()
        assert invocation.result is not None
        assert invocation.result.cancelled
    else:
        del invocation
        gc.collect()
    await gone(runtime, instance_id)
    assert runtime.running() == 0
    await serves(runtime)


async def test_a_discarded_invocation_finishes_and_its_instance_serves_on(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    invocation = await started(runtime, gate, ["chunk", "unread"], ["flood", 100, 65536])
    discarding = asyncio.create_task(invocation.discard())
    gate.open()
    result = await discarding
    assert result.function_error is None
    assert not result.cancelled
    assert await serves(runtime) == invocation.instance_id


async def test_terminate_lets_a_busy_instance_finish_and_kill_does_not(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    polite = await started(runtime, gate, ["chunk", "the end"])
    assert polite.instance_id is not None
    await runtime.terminate(polite.instance_id)
    gate.open()
    assert await polite.next_chunk() == b"the end"
    assert await polite.next_chunk() is None
    await gone(runtime, polite.instance_id)
    hard = await started(runtime, gate)
    assert hard.instance_id is not None
    await runtime.terminate(hard.instance_id, force=True)
    assert runtime.instances() == []
    assert await hard.next_chunk() is None
    assert hard.result is not None
    assert hard.result.function_error == "Unhandled"


async def test_nothing_is_left_of_all_this(home: Path, tmp_path: Path, gate: Gate, leftovers: type[Leftovers]) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        # once before the count: helpers that live as long as the process, caches, imports
        await runtime.add_function(scripted_function(tmp_path, timeout=2))
        await serves(runtime)
    left = leftovers()
    async with LambdaRuntime.open(home=home) as runtime:
        await (await started(runtime, gate)).cancel()
        await runtime.invoke("scripted", steps(["exit", 1]))
        await runtime.invoke("scripted", steps(["kill"]))
        await runtime.invoke("scripted", steps(["cut"]))
        await runtime.invoke("scripted", steps(["spawn"], ["chunk", "left a child"]))
        await runtime.invoke("scripted", steps(["chunk", "too late"], ["sleep", 30]))
        async for _ in await runtime.invoke_streaming("scripted", steps(["chunk", "a"], gate.step)):
            break
        abandoned = await started(runtime, gate)
        del abandoned
        gc.collect()
        await runtime.launch("scripted", count=3)
        await serves(runtime)
    assert await left.settle() == {}
    assert not list((home / "instances").rglob("*"))
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["/bin/sleep", "600"]]
