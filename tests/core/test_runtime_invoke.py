"""Invocations through the facade, on real processes: what comes back, and when."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from core.errors import FunctionNotFoundError, RequestTooLargeError, TooManyRequestsError
from core.events import InstanceChanged, InvocationEnded, InvocationStreaming
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.sources import Gate, python_function, scripted_function

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def steps(*wanted: Sequence[object]) -> bytes:
    return json.dumps(list(wanted)).encode()


async def test_a_python_function_answers_cold_and_then_warm(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(
        python_function(tmp_path, "def handler(event, context):\n    print('hello log')\n    return {'got': event}\n")
    )
    cold = await runtime.invoke("python", b'{"a": 1}')
    warm = await runtime.invoke("python", b'{"a": 2}')
    assert json.loads(cold.payload) == {"got": {"a": 1}}
    assert json.loads(warm.payload) == {"got": {"a": 2}}
    assert (cold.cold_start, warm.cold_start) == (True, False)
    assert cold.instance_id == warm.instance_id
    assert cold.phases.keys() >= {"spawn", "init"}
    assert warm.phases == {}
    assert cold.log_tail.startswith(f"START RequestId: {cold.request_id}")
    assert "hello log" in cold.log_tail
    assert f"REPORT RequestId: {cold.request_id}" in cold.log_tail
    assert "Init Duration" in cold.log_tail
    assert cold.max_memory_mb is not None
    assert cold.max_memory_mb > 5
    (instance,) = runtime.instances()
    assert instance.state is InstanceState.IDLE
    assert instance.served == 2
    assert instance.pid is not None


async def test_the_first_chunk_arrives_while_the_function_waits_to_write_the_next(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    event = steps(["chunk", "first"], gate.step, ["chunk", "second"], gate.step, ["chunk", "third"])
    invocation = await runtime.invoke_streaming("scripted", event)
    async with invocation:
        # nothing but the test opens the gate: what arrives before has been streamed
        assert await invocation.next_chunk() == b"first"
        assert runtime.instances()[0].state is InstanceState.BUSY
        gate.open()
        assert await invocation.next_chunk() == b"second"
        gate.open()
        assert await invocation.next_chunk() == b"third"
        assert await invocation.next_chunk() is None
    assert invocation.result is not None
    assert invocation.result.function_error is None
    assert invocation.result.chunks == 3
    assert invocation.complete is not None
    assert invocation.complete.error_code is None
    assert runtime.instances()[0].state is InstanceState.IDLE


async def test_a_handler_error_is_a_result_and_the_instance_serves_on(runtime: LambdaRuntime, tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            if event.get("fail"):
                raise ValueError("no such luck")
            return "fine"
    """
    await runtime.add_function(python_function(tmp_path, source))
    failed = await runtime.invoke("python", b'{"fail": true}')
    assert failed.function_error == "Unhandled"
    assert failed.error_type == "ValueError"
    assert failed.error_message == "no such luck"
    assert json.loads(failed.payload)["errorType"] == "ValueError"
    fine = await runtime.invoke("python", b"{}")
    assert json.loads(fine.payload) == "fine"
    assert fine.instance_id == failed.instance_id


async def test_an_error_in_the_middle_of_a_stream_comes_after_the_chunks(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    result = await runtime.invoke("scripted", steps(["chunk", "so far"], ["fail", "Half.Done", "gave up"]))
    assert result.payload == b"so far"
    assert result.function_error == "Unhandled"
    assert result.error_type == "Half.Done"
    assert result.error_message == "gave up"


async def test_a_function_that_cannot_be_imported_is_a_result_and_the_next_one_tries_again(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    function = python_function(tmp_path, "import no_such_module_anywhere\n")
    await runtime.add_function(function)
    result = await runtime.invoke("python")
    assert result.function_error == "Unhandled"
    assert result.error_type == "Runtime.ImportModuleError"
    assert "no_such_module_anywhere" in (result.error_message or "")
    assert runtime.instances() == []
    assert function.code is not None
    (function.code / "app.py").write_text("def handler(event, context):\n    return 'mended'\n")
    assert await runtime.refresh_code("python")
    assert json.loads((await runtime.invoke("python")).payload) == "mended"


async def test_an_init_that_takes_too_long_is_tried_again_within_the_functions_timeout(
    home: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "second"
    source = f"""
        import os, time
        if not os.path.exists({str(mark)!r}):
            open({str(mark)!r}, "w").close()
            time.sleep(60)

        def handler(event, context):
            return "at the second try"
    """
    async with LambdaRuntime.open(home=home, init_timeout=1.0) as runtime:
        await runtime.add_function(python_function(tmp_path, source))
        result = await runtime.invoke("python")
        assert json.loads(result.payload) == "at the second try"
        mark.unlink()
        await runtime.add_function(python_function(tmp_path / "b", source.replace("60", "61"), timeout=1, name="slow"))
        mark.unlink(missing_ok=True)
        (tmp_path / "b" / "slow-code" / "app.py").write_text("import time\ntime.sleep(60)\n")
        await runtime.refresh_code("slow")
        late = await runtime.invoke("slow")
        assert late.error_type == "Sandbox.Timedout"
        assert late.error_message == f"RequestId: {late.request_id} Error: Task timed out after 1.00 seconds"
        assert [i.function_name for i in runtime.instances()] == ["python"]


async def test_unknown_functions_and_events_too_large_are_refused(runtime: LambdaRuntime, tmp_path: Path) -> None:
    with pytest.raises(FunctionNotFoundError, match="nobody"):
        await runtime.invoke("nobody")
    await runtime.add_function(scripted_function(tmp_path))
    with pytest.raises(RequestTooLargeError):
        await runtime.invoke("scripted", b" " * (6 * 1024 * 1024 + 1))
    assert runtime.running() == 0


async def test_waiting_longer_than_the_queue_allows_is_a_throttle(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, max_instances=1, queue_timeout=0.2, queue_limit=1) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        # a cold start may take longer than that on a busy machine
        await runtime.launch("scripted")
        busy = await runtime.invoke_streaming("scripted", steps(["chunk", "x"], gate.step))
        first = asyncio.create_task(runtime.invoke("scripted"))
        await asyncio.sleep(0)
        assert runtime.waiting("scripted") == 1
        with pytest.raises(TooManyRequestsError, match="1 invocations wait"):
            await runtime.invoke("scripted")
        with pytest.raises(TooManyRequestsError, match="no instance was free"):
            await first
        gate.open()
        result = await busy.discard()
        assert result.function_error is None
        assert runtime.waiting() == 0


async def test_history_keeps_what_happened_and_payloads_only_where_allowed(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.add_function(scripted_function(tmp_path, "private", record_payloads=False))
    await runtime.invoke("scripted", b'{"secret": 1}')
    await runtime.invoke("private", b'{"secret": 2}')
    await runtime.journal.flush()
    private, open_ = await runtime.history()
    assert open_.payload == b'{"secret": 1}'
    assert open_.response == b'{"secret": 1}'
    assert (private.payload, private.response) == (None, None)
    assert private.payload_size == len(b'{"secret": 2}')
    assert (open_.status, open_.cold_start) == ("ok", True)
    kinds = [event.kind for event in await runtime.journal.events(100)]
    assert "InstanceChanged" in kinds


async def test_functions_are_there_again_when_the_home_is_opened_again(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        function = await runtime.add_function(scripted_function(tmp_path, environment={"SECRET": "s3cret"}))
        await runtime.save_event("scripted", "hello", "{}")
    assert function.code is not None
    (function.code / "bootstrap").unlink()  # the store has it
    async with LambdaRuntime.open(home=home) as runtime:
        (again,) = runtime.functions()
        assert again == function
        assert (await runtime.invoke("scripted", b'{"x": 1}')).payload == b'{"x": 1}'
        assert [event.title for event in await runtime.saved_events("scripted")] == ["hello"]


async def test_a_new_deploy_drains_the_busy_and_replaces_the_idle(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    old = await runtime.invoke_streaming("scripted", steps(["chunk", "old"], gate.step, ["chunk", "old end"]))
    assert await old.next_chunk() == b"old"
    await runtime.launch("scripted")
    await runtime.add_function(scripted_function(tmp_path / "new", environment={"NEW": "1"}))
    states = {i.id: i.state for i in runtime.instances()}
    assert old.instance_id is not None
    assert states[old.instance_id] is InstanceState.DRAINING
    assert InstanceState.IDLE not in states.values()
    new = await runtime.invoke("scripted")
    assert new.instance_id not in states
    gate.open()
    assert await old.next_chunk() == b"old end"
    assert await old.next_chunk() is None
    assert old.result is not None
    assert old.result.function_error is None


async def test_every_change_of_state_is_one_event_in_order(runtime: LambdaRuntime, tmp_path: Path) -> None:
    seen: list[tuple[str | None, str]] = []
    ended: list[InvocationEnded] = []

    def take(event: object) -> None:
        if isinstance(event, InstanceChanged):
            seen.append((event.old, event.new))
        elif isinstance(event, InvocationEnded):
            ended.append(event)

    runtime.events.subscribe(take)
    await runtime.add_function(scripted_function(tmp_path))
    result = await runtime.invoke("scripted", source="test")
    assert result.instance_id is not None
    await runtime.terminate(result.instance_id)
    assert seen == [
        (None, "starting"),
        ("starting", "busy"),
        ("busy", "idle"),
        ("idle", "terminating"),
        ("terminating", "dead"),
    ]
    assert [(e.request_id, e.source, e.error) for e in ended] == [(result.request_id, "test", None)]


async def test_archives_that_no_function_uses_any_more_are_collected(home: Path, tmp_path: Path, gate: Gate) -> None:
    def stored() -> int:
        return sum(1 for path in (home / "archives").rglob("bootstrap"))

    async with LambdaRuntime.open(home=home) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        old = await runtime.invoke_streaming("scripted", steps(["chunk", "x"], gate.step))
        (tmp_path / "scripted-code" / "more").write_text("another deploy")
        assert await runtime.refresh_code("scripted")
        assert not await runtime.refresh_code("scripted")
        assert stored() == 2
        gate.open()
        assert (await old.discard()).function_error is None  # its code was still there
        await runtime.invoke("scripted")
        await runtime.remove_function("scripted")
        assert runtime.functions() == []
    async with LambdaRuntime.open(home=home):
        pass
    assert stored() == 0


async def test_the_head_of_a_stream_is_an_event_and_a_buffered_reply_has_none(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    streaming: list[InvocationStreaming] = []
    runtime.events.subscribe(lambda e: streaming.append(e) if isinstance(e, InvocationStreaming) else None)
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.add_function(python_function(tmp_path, "def handler(event, context):\n    return 1\n"))
    await runtime.invoke("python")
    result = await runtime.invoke("scripted")
    assert [(e.request_id, e.instance_id) for e in streaming] == [(result.request_id, result.instance_id)]


async def test_a_definition_that_cannot_be_read_is_told_and_keeps_its_code(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        (stored,) = await runtime.journal.functions()
        broken = stored.definition.replace("provided.al2023", "from-the-future9")
        await runtime.journal.put_function("scripted", broken, stored.code_digest, stored.layer_digests)
    async with LambdaRuntime.open(home=home) as runtime:
        assert runtime.functions() == []
        assert ["scripted could not be read" in message for message in runtime.news] == [True]
    assert len(list((home / "archives").rglob("bootstrap"))) == 1
