"""What happens to a container behind Stoker's back: its instance leaves the pool, and the next invocation works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from core.errors import ContainerStartFailedError
from core.events import InstancePhaseChanged
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.waiting import until
from tests.engines.engine import EngineUnderTest
from tests.engines.trouble import busy, contained, container_of, gone, serves, until_removed

Blow = Callable[[Any, str], None]


def _remove(client: Any, container: str) -> None:
    client.remove_container(container, force=True)


def _kill(client: Any, container: str) -> None:
    client.kill(container)


def _stop(client: Any, container: str) -> None:
    client.stop(container, timeout=0)


def _pause(client: Any, container: str) -> None:
    client.pause(container)


def _restart(client: Any, container: str) -> None:
    # Stoker removes it as soon as it has died: an engine may find nothing to start again
    with suppress(APIError):
        client.restart(container, timeout=0)


BLOWS: tuple[Blow, ...] = (_remove, _kill, _stop, _pause, _restart)


async def test_idle_ones_leave_the_pool(engine: EngineUnderTest, runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(contained(tmp_path))
    before = await runtime.launch("scripted", len(BLOWS))
    for blow, instance in zip(BLOWS, before, strict=True):
        await asyncio.to_thread(blow, engine.client, container_of(instance))
        await gone(runtime, instance.id)
    assert await serves(runtime) not in {each.id for each in before}
    await runtime.evict("scripted")
    await until_removed(engine, engine.containers(runtime.owner_id))
    assert engine.containers(runtime.owner_id) == set()


async def test_busy_ones_end_their_invocations_with_what_had_arrived(
    engine: EngineUnderTest, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(contained(tmp_path, timeout=600))
    invocations = await asyncio.gather(*(busy(runtime) for _ in BLOWS))
    for blow, invocation in zip(BLOWS, invocations, strict=True):
        before = runtime.instance(invocation.instance_id)
        await asyncio.to_thread(blow, engine.client, container_of(before))
        assert await invocation.next_chunk() is None
        result = invocation.result
        assert result.instance_id == before.id
        assert result.received == len(b"arrived")
        assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.ExitError")
        if blow is _pause:
            assert "somebody paused its container" in result.error_message
        await gone(runtime, before.id)
    await serves(runtime)
    await runtime.evict("scripted")
    await until_removed(engine, engine.containers(runtime.owner_id))
    assert engine.containers(runtime.owner_id) == set()


async def test_starting_ones_fail_their_launches_only(
    engine: EngineUnderTest, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    function = contained(tmp_path)
    bootstrap = tmp_path / "scripted" / "scripted-code" / "bootstrap"
    ready = bootstrap.read_text()
    bootstrap.write_text("#!/bin/sh\nsleep 600\n")
    await runtime.add_function(function)
    in_init: set[str] = set()

    def note(event: object) -> None:
        if isinstance(event, InstancePhaseChanged) and event.phase.name == "init":
            in_init.add(event.instance_id)

    runtime.events.subscribe(note)
    for blow in BLOWS[:4]:
        in_init.clear()
        launching = asyncio.ensure_future(runtime.launch("scripted"))
        await until(runtime, lambda: in_init)
        (before,) = runtime.instances()
        assert before.state is InstanceState.STARTING
        (container,) = engine.containers(runtime.owner_id)
        await asyncio.to_thread(blow, engine.client, container)
        with pytest.raises(ContainerStartFailedError, match="an instance of scripted did not start"):
            await launching
        await gone(runtime, before.id)
        assert engine.containers(runtime.owner_id) == set()
    bootstrap.write_text(ready)
    await runtime.add_function(function)
    await serves(runtime)


async def test_many_at_once(engine: EngineUnderTest, runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(contained(tmp_path))
    before = await runtime.launch("scripted", 4)
    await asyncio.gather(*(asyncio.to_thread(_remove, engine.client, container_of(each)) for each in before))
    for each in before:
        await gone(runtime, each.id)
    await serves(runtime)


async def test_one_that_is_deleted_while_it_is_ended_is_no_trouble(
    engine: EngineUnderTest, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(contained(tmp_path))
    for each in await runtime.launch("scripted", 3):
        both = asyncio.to_thread(engine.client.remove_container, container_of(each), force=True, v=True)
        await asyncio.gather(runtime.terminate(each.id), both, return_exceptions=True)
        await gone(runtime, each.id)
    assert engine.containers(runtime.owner_id) == set()
