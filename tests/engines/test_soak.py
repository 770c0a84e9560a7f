"""Fifty instances up and down, five times over, while some are killed: nothing may be left of any."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from core.errors import LambdaRuntimeError
from core.instances import InstanceSnapshot
from core.runtime import LambdaRuntime
from tests.engines.conformance import listening
from tests.engines.engine import EngineUnderTest
from tests.engines.test_stale import another, line_of
from tests.engines.trouble import contained, container_of, nothing_left, online, serves

COUNT, ROUNDS = 50, 5


@pytest.mark.timeout(300)
async def test_up_and_down_with_random_kills(engine: EngineUnderTest, tmp_path: Path) -> None:
    chosen = random.Random(20)
    ports = listening()
    async with nothing_left(engine):
        async with LambdaRuntime.open(
            home=tmp_path / "home", default_backend=engine.name, max_instances=COUNT, instance_budget=2 * COUNT
        ) as runtime:
            await online(runtime, engine.name)
            await runtime.add_function(contained(tmp_path, memory_size=128, max_instances=COUNT))
            for _ in range(ROUNDS):
                await _round(runtime, engine, chosen)
            await serves(runtime)
        assert engine.containers(runtime.owner_id) == set()
        assert listening() == ports


async def _round(runtime: LambdaRuntime, engine: EngineUnderTest, chosen: random.Random) -> None:
    """All up, one invocation each while some are killed, all down."""
    launched = await runtime.launch("scripted", COUNT)
    assert len({each.id for each in launched}) == COUNT
    assert len(engine.containers(runtime.owner_id)) == COUNT
    by_stoker = chosen.sample(launched, COUNT // 10)
    behind = chosen.sample([each for each in launched if each not in by_stoker], COUNT // 10)
    invocations = [runtime.invoke("scripted", json.dumps({"n": n}).encode()) for n in range(COUNT)]
    kills = [_terminate(runtime, each) for each in by_stoker]
    blows = [asyncio.to_thread(_blow, engine.client, container_of(each), chosen.random() < 0.5) for each in behind]
    results: list[Any] = await asyncio.gather(*invocations, *kills, *blows, return_exceptions=True)
    served = 0
    for number, result in enumerate(results[:COUNT]):
        if isinstance(result, LambdaRuntimeError):
            continue
        assert not isinstance(result, BaseException), result
        if result.function_error is None:
            assert result.payload == json.dumps({"n": number}).encode()
            served += 1
    assert served >= COUNT - len(by_stoker) - len(behind), "only what was killed may fail"
    assert [each for each in results[COUNT:] if isinstance(each, BaseException)] == []
    await runtime.evict("scripted")


async def _terminate(runtime: LambdaRuntime, instance: InstanceSnapshot) -> None:
    await runtime.terminate(instance.id, force=True)


def _blow(client: Any, container: str, remove: bool) -> None:
    try:
        if remove:
            client.remove_container(container, force=True)
        else:
            client.kill(container)
    except APIError as error:
        # Stoker may have ended it in this moment
        if error.status_code not in {404, 409, 500}:
            raise


async def test_two_side_by_side_reap_only_their_own(engine: EngineUnderTest, tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    with another(tmp_path / "three", tmp_path / "f3", engine, 2) as (_, third):
        with (
            another(homes[0], tmp_path / "f1", engine, 3) as (first, one),
            another(homes[1], tmp_path / "f2", engine, 3) as (second, two),
        ):
            for process in (first, second):
                assert len(json.loads(line_of(process))) == 3
            first.send_signal(signal.SIGKILL)
            first.wait(10)
            async with LambdaRuntime.open(home=homes[0]) as runtime:
                await online(runtime, engine.name)
                await runtime.reap_stale()
            assert engine.containers(one) == set()
            assert len(engine.containers(two)) == 3
        assert engine.containers(two) == set(), "closed properly, it took its own along"
        assert engine.containers(third)
    assert engine.containers(third) == set()
