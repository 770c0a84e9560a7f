"""On every backend: how instances come up, and how they go when somebody or something asks them to."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import ContainerStartFailedError, UnsupportedRuntimeError
from core.events import InstanceChanged
from core.functions import LambdaFunction
from core.instances import ContainerHandle, InstanceState, ProcessHandle
from tests.engines.conformance import Bench, in_containers, in_processes

_PHASES = {
    "process": ["prepare", "spawn", "init"],
    "docker": ["prepare", "create", "start", "init"],
    "podman": ["prepare", "create", "start", "init"],
}


async def test_launch_warms_as_many_as_it_is_asked_for(bench: Bench) -> None:
    await bench.scripted()
    launched = await bench.runtime.launch("scripted", count=2)
    assert len({instance.id for instance in launched}) == 2
    assert {i.id: i.state for i in bench.runtime.instances()} == {i.id: InstanceState.IDLE for i in launched}
    assert all(bench.exists(instance) for instance in launched)
    assert {i.backend for i in launched} == {bench.backend}
    first, second = await asyncio.gather(bench.started(), bench.started())
    assert {first.instance_id, second.instance_id} == {instance.id for instance in launched}
    assert len(bench.runtime.instances()) == 2
    for _ in range(2):
        bench.gate.open()
    assert [(await each.discard()).cold_start for each in (first, second)] == [False, False]


async def test_a_cold_start_goes_through_its_phases_in_order(bench: Bench) -> None:
    await bench.scripted()
    (instance,) = await bench.runtime.launch("scripted")
    assert [phase.name for phase in instance.phases] == _PHASES[bench.backend]
    lengths = [phase.seconds for phase in instance.phases]
    assert all(length is not None and length >= 0 for length in lengths)
    starts = [phase.started for phase in instance.phases]
    assert starts == sorted(starts)


async def test_a_launch_is_one_change_of_state_after_the_other(bench: Bench) -> None:
    await bench.scripted()
    result = await bench.runtime.invoke("scripted")
    assert result.instance_id is not None
    await bench.runtime.terminate(result.instance_id)
    assert [(event.old, event.new) for event in bench.told(InstanceChanged)] == [
        (None, "starting"),
        ("starting", "busy"),
        ("busy", "idle"),
        ("idle", "terminating"),
        ("terminating", "dead"),
    ]


async def test_an_instance_can_be_found_by_its_handle(bench: Bench) -> None:
    await bench.scripted()
    (instance,) = await bench.runtime.launch("scripted")
    if bench.contained:
        assert isinstance(instance.handle, ContainerHandle)
        assert bench.inspect(instance)["State"]["Running"]
        assert instance.where == instance.details["container"] == instance.handle.id[:12]
        assert instance.pid is None
    else:
        assert isinstance(instance.handle, ProcessHandle)
        assert instance.where == f"pid {instance.pid}"


@in_containers
async def test_a_containers_labels_say_whose_it_is_and_what_for(bench: Bench) -> None:
    await bench.scripted()
    (instance,) = await bench.runtime.launch("scripted")
    config = bench.inspect(instance)["Config"]
    labels = {key: value for key, value in config["Labels"].items() if key.startswith("stoker.")}
    assert labels == {
        "stoker.owner": bench.runtime.owner_id,
        "stoker.instance": instance.id,
        "stoker.function": "scripted",
        "stoker.deploy": instance.deploy_id,
    }
    assert config["Image"] == "public.ecr.aws/lambda/provided:al2023"


async def test_terminate_lets_a_busy_instance_finish(bench: Bench) -> None:
    await bench.scripted()
    invocation = await bench.started(["chunk", "the end"])
    (instance,) = bench.runtime.instances()
    await bench.runtime.terminate(instance.id)
    assert bench.runtime.instances()[0].state is InstanceState.DRAINING
    bench.gate.open()
    assert await invocation.next_chunk() == b"the end"
    assert await invocation.next_chunk() is None
    assert bench.result(invocation).function_error is None
    await bench.gone(instance.id)
    assert not bench.exists(instance)


async def test_kill_ends_a_busy_instance_at_once(bench: Bench) -> None:
    await bench.scripted()
    invocation = await bench.started(["chunk", "never"])
    (instance,) = bench.runtime.instances()
    await bench.runtime.terminate(instance.id, force=True)
    assert not bench.exists(instance)
    assert bench.runtime.instances() == []
    assert await invocation.next_chunk() is None
    assert bench.result(invocation).error_type == "Runtime.ExitError"


async def test_evict_ends_all_instances_of_one_function(bench: Bench) -> None:
    await bench.scripted("one")
    await bench.scripted("other")
    evicted = await bench.runtime.launch("one", count=2)
    (kept,) = await bench.runtime.launch("other")
    assert await bench.runtime.evict("one") == 2
    assert [instance.id for instance in bench.runtime.instances()] == [kept.id]
    assert [bench.exists(instance) for instance in (*evicted, kept)] == [False, False, True]


async def test_reap_idle_ends_what_is_idle_and_nothing_that_is_busy_or_pinned(bench: Bench) -> None:
    await bench.scripted()
    busy = await bench.started()
    idle, pinned = await bench.runtime.launch("scripted", count=2)
    bench.runtime.pin(pinned.id)
    assert [instance.id for instance in await bench.runtime.reap_idle(ttl=0)] == [idle.id]
    assert not bench.exists(idle)
    assert {instance.id for instance in bench.runtime.instances()} == {busy.instance_id, pinned.id}
    bench.gate.open()
    assert (await busy.discard()).function_error is None


async def test_an_idle_instance_goes_by_itself_when_its_time_is_up(bench: Bench) -> None:
    await bench.scripted(idle_ttl=0.05)
    (instance,) = await bench.runtime.launch("scripted")
    await bench.gone(instance.id)
    assert not bench.exists(instance)


async def test_a_new_deploy_drains_the_busy_and_replaces_the_idle(bench: Bench) -> None:
    await bench.scripted()
    old = await bench.started(["chunk", "old end"])
    (idle,) = await bench.runtime.launch("scripted")
    await bench.scripted(environment={"NEW": "1"})
    await bench.gone(idle.id)
    assert not bench.exists(idle)
    assert {i.id: i.state for i in bench.runtime.instances()} == {old.instance_id: InstanceState.DRAINING}
    assert await bench.serves() != old.instance_id
    bench.gate.open()
    assert await old.next_chunk() == b"old end"
    assert await old.next_chunk() is None
    assert bench.result(old).function_error is None
    await bench.gone(old.instance_id)


async def test_a_launch_that_is_cancelled_leaves_nothing(bench: Bench) -> None:
    source = """
        import os, urllib.request
        urllib.request.urlopen(os.environ["GATE_URL"]).read()

        def handler(event, context):
            return event
    """
    await bench.python(source)
    launching = asyncio.create_task(bench.runtime.launch("python"))
    await bench.gate.reached()
    (instance,) = bench.runtime.instances()
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    await bench.gone(instance.id)
    # the function's process is gone with it, and its connection with that
    await bench.gate.reached(count=0)


@in_processes
async def test_a_process_cannot_run_an_image_and_says_who_could(bench: Bench) -> None:
    await bench.runtime.add_function(
        LambdaFunction(function_name="image", package_type="Image", image_uri="somewhere/image:1")
    )
    with pytest.raises(UnsupportedRuntimeError) as refused:
        await bench.runtime.invoke("image")
    assert refused.value.backend == "process"
    assert bench.runtime.unsupported("image") == refused.value.reason
    assert bench.runtime.instances() == []


async def test_a_runtime_that_the_backend_cannot_run_is_refused_by_name(bench: Bench) -> None:
    # AWS has no image of the first; nothing on this machine could run the second
    runtime = "nodejs4.3-edge" if bench.contained else "java21"
    await bench.python("", runtime=runtime)
    with pytest.raises(UnsupportedRuntimeError, match=f"the {bench.backend} backend cannot run {runtime}"):
        await bench.runtime.invoke("python")
    assert bench.runtime.unsupported("python")
    assert bench.runtime.instances() == []


@in_containers
async def test_an_image_that_is_not_there_is_named(bench: Bench) -> None:
    # nobody serves images on port 1
    uri = "localhost:1/stoker-test/missing:1"
    await bench.runtime.add_function(LambdaFunction(function_name="image", package_type="Image", image_uri=uri))
    with pytest.raises(ContainerStartFailedError, match=r"localhost:1/stoker-test/missing:1"):
        await bench.runtime.invoke("image")
    assert bench.runtime.instances() == []
    assert bench.engine is not None
    assert bench.engine.containers(bench.runtime.owner_id) == set()
