"""Reserved and provisioned concurrency in the facade."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import TooManyRequestsError
from core.events import Event, InvocationThrottled, QueueChanged
from core.registry import Alias, Provisioned, Reserved
from core.runtime import LambdaRuntime
from tests.core.sources import python_function, scripted_function
from tests.core.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from core.invocation import StreamingInvocation
    from core.journal import InvocationRecord
    from tests.core.conftest import Leftovers
    from tests.core.sources import Gate


async def _reserve(runtime: LambdaRuntime, name: str, count: int | None) -> None:
    async with runtime.holding(name):
        if count is None:
            await runtime.registry.reserved.remove(name)
        else:
            await runtime.registry.reserved.put(Reserved(name=name, count=count))
        runtime.limits_changed(name)


async def _provision(runtime: LambdaRuntime, name: str, qualifier: str, count: int | None) -> None:
    async with runtime.holding(name):
        if count is None:
            await runtime.registry.provisioned.remove(name, qualifier)
        else:
            await runtime.registry.provisioned.put(Provisioned(name=name, qualifier=qualifier, count=count))
        runtime.limits_changed(name)


async def _versions(runtime: LambdaRuntime, tmp_path: Path, count: int, **fields: Any) -> None:
    """The function `scripted` with so many published versions."""
    function = await runtime.add_function(scripted_function(tmp_path, **fields))
    for number in range(count):
        await runtime.publish_version("scripted")
        await runtime.add_function(function.replace(timeout=21 + number))


def _idle(runtime: LambdaRuntime, name: str) -> int:
    return sum(each.state == "idle" for each in runtime.instances(name))


class _Held:
    """Invocations that wait at a gate, and that end with the block."""

    def __init__(self, runtime: LambdaRuntime, gate: Gate) -> None:
        self._runtime = runtime
        self._gate = gate
        self._stack = AsyncExitStack()
        self._open = 0

    async def __aenter__(self) -> _Held:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def begin(self, name: str) -> StreamingInvocation:
        """Begin one and wait until the function runs."""
        steps = [["chunk", "begun"], self._gate.step]
        invocation = await self._runtime.invoke_streaming(name, json.dumps(steps))
        await self._stack.enter_async_context(invocation)
        assert await invocation.next_chunk() == b"begun"
        return invocation

    async def finish(self, invocation: StreamingInvocation) -> None:
        """Let one go that is the only one to wait at the gate, or any of them where all are the same."""
        self._gate.open()
        assert await invocation.next_chunk() is None
        assert invocation.result is not None
        assert invocation.result.function_error is None


async def _throttled(runtime: LambdaRuntime, name: str) -> None:
    with pytest.raises(TooManyRequestsError) as refused:
        await runtime.invoke(name, b"[]")
    assert refused.value.reserved


# --- reserved


async def test_reserved_concurrency_counts_all_versions_together(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await _versions(runtime, tmp_path, 2)
    await _reserve(runtime, "scripted", 3)
    await runtime.add_function(python_function(tmp_path, "def handler(event, context): return 1\n"))
    async with _Held(runtime, gate) as held:
        for name in ("scripted", "scripted:1", "scripted:2"):
            await held.begin(name)
        for name in ("scripted", "scripted:1", "scripted:2"):
            await _throttled(runtime, name)
        assert runtime.running_of("scripted") == 3
        # others are not concerned
        assert (await runtime.invoke("python")).payload == b"1"
    assert runtime.running_of("scripted") == 0


async def test_an_invocation_that_waits_for_an_instance_counts_too(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, instance_budget=1) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        await _reserve(runtime, "scripted", 2)
        async with _Held(runtime, gate) as held:
            first = await held.begin("scripted")
            waiting = asyncio.ensure_future(runtime.invoke("scripted", json.dumps([["chunk", "later"]])))
            await until(runtime, lambda: runtime.waiting("scripted") == 1)
            await _throttled(runtime, "scripted")
            await held.finish(first)
            assert (await waiting).payload == b"later"
        assert (await runtime.invoke("scripted", json.dumps([["chunk", "free"]]))).payload == b"free"


async def test_nothing_reserved_throttles_everything_and_taking_it_back_nothing(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await _versions(runtime, tmp_path, 1)
    await _reserve(runtime, "scripted", 0)
    for name in ("scripted", "scripted:1"):
        await _throttled(runtime, name)
    assert runtime.instances() == []
    await _reserve(runtime, "scripted", None)
    for name in ("scripted", "scripted:1"):
        assert (await runtime.invoke(name, json.dumps([["chunk", "x"]]))).payload == b"x"


async def test_a_throttled_invocation_leaves_nothing_behind(
    runtime: LambdaRuntime, tmp_path: Path, leftovers: type[Leftovers]
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await _reserve(runtime, "scripted", 0)
    heard: list[Event] = []
    unsubscribe = runtime.events.subscribe(heard.append)
    before = leftovers()
    for _ in range(50):
        await _throttled(runtime, "scripted")
    unsubscribe()
    # it is told of, and that is all
    assert [type(event) for event in heard] == [InvocationThrottled] * 50
    assert await before.settle() == {}
    assert (runtime.running(), runtime.waiting(), runtime.instances()) == (0, 0, [])
    history: list[InvocationRecord] = await runtime.history()
    assert history == []
    # and the id is free again
    with pytest.raises(TooManyRequestsError):
        await runtime.invoke("scripted", b"[]", request_id="the-same")
    await _reserve(runtime, "scripted", 1)
    assert (await runtime.invoke("scripted", json.dumps([]), request_id="the-same")).request_id == "the-same"


async def test_cancelled_and_failed_invocations_give_their_place_back(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await _reserve(runtime, "scripted", 1)
    async with _Held(runtime, gate) as held:
        await held.begin("scripted")
        await _throttled(runtime, "scripted")
    for steps in ([["exit", 3]], [["fail", "Wrong", "it is"]], [["cut"]]):
        await runtime.invoke("scripted", json.dumps(steps))
    waiting = asyncio.ensure_future(runtime.invoke("scripted", json.dumps([gate.step])))
    await until(runtime, lambda: any(each.state == "busy" for each in runtime.instances()))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(runtime, lambda: runtime.running_of("scripted") == 0)
    assert (await runtime.invoke("scripted", json.dumps([["chunk", "x"]]))).payload == b"x"


async def test_a_reservation_raises_the_number_of_instances(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, max_instances=1) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        await _reserve(runtime, "scripted", 3)
        async with _Held(runtime, gate) as held:
            for _ in range(3):
                await held.begin("scripted")
            await _throttled(runtime, "scripted")


async def test_a_reservation_survives_a_restart(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        await _reserve(runtime, "scripted", 0)
    async with LambdaRuntime.open(home=home) as runtime:
        await _throttled(runtime, "scripted")


# --- provisioned


async def test_an_invocation_of_a_provisioned_version_finds_it_warm(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await _versions(runtime, tmp_path, 1)
    await _provision(runtime, "scripted", "1", 1)
    await until(runtime, lambda: _idle(runtime, "scripted:1") == 1)
    assert not (await runtime.invoke("scripted:1", b"[]")).cold_start
    assert (await runtime.invoke("scripted", b"[]")).cold_start


async def test_provisioned_instances_come_back_however_they_ended(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await _versions(runtime, tmp_path, 1)
    await _provision(runtime, "scripted", "1", 2)
    await until(runtime, lambda: _idle(runtime, "scripted:1") == 2)

    async def all_new(before: set[str]) -> set[str]:
        def now() -> set[str]:
            return {each.id for each in runtime.instances("scripted:1") if each.state == "idle"}

        await until(runtime, lambda: len(now()) == 2 and not now() & before)
        return now()

    ids = {each.id for each in runtime.instances("scripted:1")}
    for each in runtime.instances("scripted:1"):
        assert each.pid is not None
        os.kill(each.pid, signal.SIGKILL)
    ids = await all_new(ids)
    for each in runtime.instances("scripted:1"):
        await runtime.terminate(each.id, force=True)
    ids = await all_new(ids)
    assert await runtime.evict("scripted:1") == 2
    ids = await all_new(ids)
    for _ in ids:
        # one that exits in the middle of its invocation
        await runtime.invoke("scripted:1", json.dumps([["exit", 1]]))
    await until(runtime, lambda: _idle(runtime, "scripted:1") == 2)


async def test_they_are_not_reaped_for_idleness(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await _versions(runtime, tmp_path, 1, idle_ttl=0.0)
    await _provision(runtime, "scripted", "1", 2)
    await until(runtime, lambda: _idle(runtime, "scripted:1") == 2)
    kept = {each.id for each in runtime.instances("scripted:1")}
    assert await runtime.reap_idle(ttl=0) == []
    await runtime.invoke("scripted:1", b"[]")
    assert {each.id for each in runtime.instances("scripted:1")} == kept
    assert {each.reap_at for each in runtime.instances("scripted:1")} == {None}


async def test_they_go_when_the_configuration_is_deleted_but_one_that_is_used_finishes(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await _versions(runtime, tmp_path, 1)
    await _provision(runtime, "scripted", "1", 3)
    await until(runtime, lambda: _idle(runtime, "scripted:1") == 3)
    async with _Held(runtime, gate) as held:
        used = await held.begin("scripted:1")
        await _provision(runtime, "scripted", "1", None)
        await until(runtime, lambda: [each.state for each in runtime.instances()] == ["busy"])
        await held.finish(used)
    assert [each.state for each in runtime.instances()] == ["idle"]
    assert runtime.instances()[0].reap_at is not None


async def test_those_that_still_start_go_too(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await _versions(runtime, tmp_path, 1)
    await _provision(runtime, "scripted", "1", 3)
    assert [each.state for each in runtime.instances()] == ["starting"] * 3
    await _provision(runtime, "scripted", "1", 1)
    await until(runtime, lambda: [each.state for each in runtime.instances()] == ["idle"])
    await runtime.remove_function("scripted")
    await until(runtime, lambda: not runtime.instances())


async def test_what_a_person_or_an_invocation_waits_for_is_not_taken_with_them(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await _versions(runtime, tmp_path, 1)
    await _provision(runtime, "scripted", "1", 2)
    asked = asyncio.ensure_future(runtime.invoke("scripted:1", json.dumps([["chunk", "served"]])))
    wished = asyncio.ensure_future(runtime.launch("scripted:1"))
    await until(runtime, lambda: len(runtime.instances()) == 3)
    await _provision(runtime, "scripted", "1", None)
    assert (await asked).payload == b"served"
    assert [each.function_name for each in await wished] == ["scripted:1"]


async def test_they_survive_a_restart_of_the_home(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        await _versions(runtime, tmp_path, 2)
        await runtime.registry.aliases.put(Alias(name="scripted", qualifier="live", function_version="2"))
        await _provision(runtime, "scripted", "1", 1)
        await _provision(runtime, "scripted", "live", 2)
        await until(runtime, lambda: _idle(runtime, "scripted:1") == 1 and _idle(runtime, "scripted:2") == 2)
    async with LambdaRuntime.open(home=home) as runtime:
        await until(runtime, lambda: _idle(runtime, "scripted:1") == 1 and _idle(runtime, "scripted:2") == 2)
        assert not (await runtime.invoke("scripted:2", b"[]")).cold_start


async def test_beyond_what_is_provisioned_a_version_runs_as_any_other(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await _versions(runtime, tmp_path, 1)
    await _provision(runtime, "scripted", "1", 1)
    await until(runtime, lambda: _idle(runtime, "scripted:1") == 1)
    async with _Held(runtime, gate) as held:
        first, second = await held.begin("scripted:1"), await held.begin("scripted:1")
        assert (first.result, second.result) == (None, None)
        assert len(runtime.instances("scripted:1")) == 2


async def test_what_is_provisioned_is_set_aside_from_what_is_reserved(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await _versions(runtime, tmp_path, 2)
    await _reserve(runtime, "scripted", 4)
    await _provision(runtime, "scripted", "1", 2)
    async with _Held(runtime, gate) as held:
        # two are for all versions
        await held.begin("scripted")
        await held.begin("scripted:2")
        for name in ("scripted", "scripted:2"):
            await _throttled(runtime, name)
        # and two for the first alone
        await held.begin("scripted:1")
        await held.begin("scripted:1")
        await _throttled(runtime, "scripted:1")
    async with _Held(runtime, gate) as held:
        # which may use the others as well
        for _ in range(4):
            await held.begin("scripted:1")
        for name in ("scripted", "scripted:1", "scripted:2"):
            await _throttled(runtime, name)


# --- the budget of all functions


async def test_they_give_way_to_no_other_function(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, instance_budget=3) as runtime:
        await _versions(runtime, tmp_path, 1)
        await _provision(runtime, "scripted", "1", 2)
        await until(runtime, lambda: _idle(runtime, "scripted:1") == 2)
        kept = {each.id for each in runtime.instances("scripted:1")}
        await runtime.add_function(scripted_function(tmp_path, "other"))
        async with _Held(runtime, gate) as held:
            first = await held.begin("other")
            waits: list[QueueChanged] = []
            unsubscribe = runtime.events.subscribe(
                lambda event: waits.append(event) if isinstance(event, QueueChanged) else None
            )
            second = asyncio.ensure_future(runtime.invoke("other", json.dumps([["chunk", "its turn"]])))
            await until(runtime, lambda: runtime.waiting("other") == 1)
            await held.finish(first)
            assert (await second).payload == b"its turn"
            unsubscribe()
        assert waits
        assert {each.id for each in runtime.instances("scripted:1")} == kept


async def test_idle_instances_of_other_functions_give_way_to_them(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, instance_budget=3) as runtime:
        await runtime.add_function(scripted_function(tmp_path, "other"))
        await runtime.launch("other", 3)
        await _versions(runtime, tmp_path, 1)
        await _provision(runtime, "scripted", "1", 2)
        await until(runtime, lambda: _idle(runtime, "scripted:1") == 2)
        assert _idle(runtime, "other") == 1


async def test_a_large_function_waits_for_memory_that_is_not_provisioned(
    home: Path, tmp_path: Path, gate: Gate
) -> None:
    async with LambdaRuntime.open(home=home, memory_budget_mb=1024) as runtime:
        await _versions(runtime, tmp_path, 1)
        await _provision(runtime, "scripted", "1", 2)
        await until(runtime, lambda: _idle(runtime, "scripted:1") == 2)
        kept = {each.id for each in runtime.instances("scripted:1")}
        await runtime.add_function(scripted_function(tmp_path, "small"))
        await runtime.add_function(scripted_function(tmp_path, "large", memory_size=512))
        async with _Held(runtime, gate) as held:
            first = await held.begin("small")
            large = asyncio.ensure_future(runtime.invoke("large", json.dumps([["chunk", "at last"]])))
            await until(runtime, lambda: runtime.waiting("large") == 1)
            await held.finish(first)
            assert (await large).payload == b"at last"
        assert {each.id for each in runtime.instances("scripted:1")} == kept
