"""Two things in the same moment: whatever comes first, nothing is lost and nothing is left."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import psutil
import pytest

from core.errors import ContainerStartFailedError, InvalidRequestError, NoCodeZipError, RuntimeClosedError
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.sources import Gate, python_function, scripted_function

if TYPE_CHECKING:
    from pathlib import Path


def children() -> list[int]:
    """The processes that run functions (the guard's one is not among them)."""
    return [p.pid for p in psutil.Process().children() if any("bootstrap" in part for part in p.cmdline())]


async def one_is_left(runtime: LambdaRuntime) -> None:
    changed = asyncio.Event()
    unsubscribe = runtime.events.subscribe(lambda _: changed.set())
    try:
        async with asyncio.timeout(10):
            while len(runtime.instances()) > 1:
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()


async def test_an_instance_that_is_given_up_as_it_comes_up_is_ended(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, instance_budget=1) as runtime:
        for name in ("a", "b"):
            await runtime.add_function(scripted_function(tmp_path, name))
        warming = asyncio.create_task(runtime.launch("a"))
        await asyncio.sleep(0)
        # waits for the budget: the instance of `a` goes in the same step in which it is ready
        result = await runtime.invoke("b", b'{"ok": 1}')
        assert result.payload == b'{"ok": 1}'
        assert [i.function_name for i in await warming] == ["a"]
        await one_is_left(runtime)
        assert [i.function_name for i in runtime.instances()] == ["b"]
        assert len(children()) == 1
        assert await runtime.reap_idle(0)
        assert children() == []


async def test_a_cancelled_prewarming_leaves_nothing(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    for turns in (1, 2, 5, 20, 80):
        warming = asyncio.create_task(runtime.launch("scripted", 3))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
        await runtime.evict("scripted", force=True)
        assert runtime.instances() == []
        assert children() == []
    with pytest.raises(ContainerStartFailedError, match="evicted by hand"):
        await asyncio.gather(runtime.launch("scripted"), runtime.evict("scripted"))


async def test_a_function_that_is_removed_and_added_again_while_its_instance_drains(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    function = scripted_function(tmp_path, max_instances=1)
    await runtime.add_function(function)
    event = json.dumps([["chunk", "a"], gate.step]).encode()
    draining = await runtime.invoke_streaming("scripted", event)
    assert await draining.next_chunk() == b"a"
    await runtime.remove_function("scripted")
    await runtime.add_function(function)
    result = await runtime.invoke("scripted", b'{"ok": 1}')
    assert result.instance_id != draining.instance_id
    gate.open()
    assert (await draining.discard()).function_error is None
    await one_is_left(runtime)
    assert [i.id for i in runtime.instances()] == [result.instance_id]


async def test_closing_while_instances_start_and_invocations_wait_tells_each_and_writes_it_down(
    home: Path, tmp_path: Path
) -> None:
    async with LambdaRuntime.open(home=home, max_instances=2) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        calls = [asyncio.create_task(runtime.invoke("scripted", request_id=f"r{n}")) for n in range(5)]
        warming = asyncio.create_task(runtime.launch("scripted"))
        await asyncio.sleep(0.01)
        await runtime.close()
        assert runtime.running() == 0
        outcomes = await asyncio.gather(*calls, warming, return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    assert all(isinstance(outcome, RuntimeClosedError) for outcome in outcomes[:5])
    assert children() == []
    async with LambdaRuntime.open(home=home) as runtime:
        history = await runtime.history()
    assert sorted(record.request_id for record in history) == [f"r{n}" for n in range(5)]
    assert {record.status for record in history} == {"failed"}


async def test_a_second_invocation_of_one_request_id_is_refused_and_harms_nothing(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    first = asyncio.create_task(runtime.invoke("scripted", b'{"n": 1}', request_id="same"))
    await asyncio.sleep(0)
    with pytest.raises(InvalidRequestError, match=r"same.*under way"):
        await runtime.invoke("scripted", request_id="same")
    with pytest.raises(InvalidRequestError, match="request_id"):
        await runtime.invoke("scripted", request_id="a/b\r\nX-Header: c")
    assert (await first).payload == b'{"n": 1}'
    assert (await runtime.invoke("scripted", b'{"n": 2}', request_id="same")).payload == b'{"n": 2}'


async def test_a_client_context_of_any_letters_reaches_the_function(runtime: LambdaRuntime, tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            return context.client_context.custom
    """
    await runtime.add_function(python_function(tmp_path, source))
    result = await runtime.invoke("python", b"{}", client_context='{"custom": {"greeting": "grüß\\u00df\\n"}}')
    assert json.loads(result.payload) == {"greeting": "grüßß\n"}


async def test_force_ends_the_politeness_that_is_under_way(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(scripted_function(tmp_path, environment={"IGNORE_TERM": "1"}))
    await runtime.invoke("scripted")
    (instance,) = runtime.instances()
    polite = asyncio.create_task(runtime.terminate(instance.id))
    await asyncio.sleep(0)
    assert runtime.instances()[0].state is InstanceState.TERMINATING
    assert len(children()) == 1
    await runtime.terminate(instance.id, force=True)
    await runtime.terminate(instance.id, force=True) if runtime.instances() else None
    await polite
    assert children() == []


async def test_archives_that_vanish_are_unpacked_again_or_missed_in_words(
    runtime: LambdaRuntime, home: Path, tmp_path: Path
) -> None:
    function = scripted_function(tmp_path)
    await runtime.add_function(function)
    (unpacked,) = (home / "archives" / "unpacked").iterdir()
    unpacked.rename(tmp_path / "elsewhere")
    assert (await runtime.invoke("scripted", b'{"ok": 1}')).payload == b'{"ok": 1}'
    await runtime.evict("scripted")
    unpacked.rename(tmp_path / "elsewhere too")
    for stored in (home / "archives" / "zips").iterdir():
        stored.unlink()
    with pytest.raises(NoCodeZipError, match="add it again"):
        await runtime.invoke("scripted")
    await runtime.add_function(function)
    assert (await runtime.invoke("scripted", b'{"ok": 1}')).payload == b'{"ok": 1}'


async def test_code_that_is_not_there_is_missed_by_its_name(runtime: LambdaRuntime, tmp_path: Path) -> None:
    function = scripted_function(tmp_path)
    assert function.code is not None
    function.code.rename(tmp_path / "moved")
    with pytest.raises(NoCodeZipError, match="scripted-code does not exist"):
        await runtime.add_function(function)
    assert runtime.functions() == []
