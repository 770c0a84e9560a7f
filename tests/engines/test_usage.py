"""Memory and processor use of containers: told while somebody looks, and held to what the function has."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from core.backends.base import NOT_ASKED
from core.backends.container import usage
from core.functions import LambdaFunction
from core.instances import InstanceState, MemoryUsage
from core.runtime import LambdaRuntime
from tests.core.waiting import until

_MIB = 1024 * 1024
_CODE = """\
import time

def handler(event, context):
    held = bytearray(event["hold"] * 1024 * 1024)
    end = time.monotonic() + event["burn"]
    while time.monotonic() < end:
        pass
    return len(held)
"""


@pytest.fixture
async def greedy(runtime: LambdaRuntime, tmp_path: Path) -> LambdaFunction:
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text(_CODE)
    return await runtime.add_function(
        LambdaFunction(
            function_name="greedy", runtime="python3.11", handler="app.handler", code=code, timeout=60, memory_size=128
        )
    )


def followed() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("usage ")]


async def figures(runtime: LambdaRuntime, instance: str) -> MemoryUsage:
    """As a table asks: now and then, until there is something."""
    async with asyncio.timeout(30):
        while (found := runtime.memory(instance)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def test_figures_come_from_the_engine_while_somebody_asks_and_take_no_thread(
    runtime: LambdaRuntime, greedy: LambdaFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_PATIENCE", 0.5)
    (instance,) = await runtime.launch("greedy")
    assert followed() == []
    # whichever other engine is found meanwhile has a thread for its events
    await until(runtime, lambda: all(health.detail != NOT_ASKED for health in runtime.backends().values()))
    threads = {thread.name for thread in threading.enumerate()}
    found = await figures(runtime, instance.id)
    assert found.source == "engine"
    assert _MIB < found.current < 128 * _MIB
    assert len(followed()) == 1
    assert {thread.name for thread in threading.enumerate()} - threads == set()

    async with asyncio.timeout(30):
        while followed():  # noqa: ASYNC110 - the engine's next figures end it
            await asyncio.sleep(0.1)


async def test_a_busy_instance_uses_its_processor_and_its_memory(
    runtime: LambdaRuntime, greedy: LambdaFunction
) -> None:
    running = asyncio.ensure_future(runtime.invoke("greedy", '{"hold": 60, "burn": 6}'))
    await until(runtime, lambda: any(i.state is InstanceState.BUSY for i in runtime.instances()))
    (instance,) = runtime.instances()
    async with asyncio.timeout(30):
        while not (  # noqa: ASYNC110
            (found := runtime.memory(instance.id)) and found.current > 60 * _MIB and found.cpu and found.cpu > 1
        ):
            await asyncio.sleep(0.1)
    result = await running
    assert result.payload == str(60 * _MIB).encode()
    assert result.max_memory_mb is not None
    assert 60 < result.max_memory_mb < 128
    assert f"Max Memory Used: {result.max_memory_mb} MB" in result.log_tail


async def test_an_instance_that_ends_is_followed_no_more(runtime: LambdaRuntime, greedy: LambdaFunction) -> None:
    (instance,) = await runtime.launch("greedy")
    await figures(runtime, instance.id)
    await runtime.terminate(instance.id)
    assert followed() == []


async def test_more_than_the_function_has_ends_the_instance_though_the_room_of_tmp_is_free(
    runtime: LambdaRuntime, greedy: LambdaFunction
) -> None:
    result = await runtime.invoke("greedy", '{"hold": 300, "burn": 20}')
    assert result.error_type == "Runtime.ExitError"
    assert (result.error_message or "").endswith("signal: killed")
    await until(runtime, lambda: not runtime.instances())
    assert (await runtime.invoke("greedy", '{"hold": 1, "burn": 0}')).payload == str(_MIB).encode()
