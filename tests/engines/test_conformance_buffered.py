"""On both engines: where containers cannot reach this machine, the emulator in their image serves them, marked so.

The path is blocked for real: a rule of the firewall that names this one Runtime API's port, so that no other
container on the machine feels it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import pytest
import pytest_asyncio

from core.errors import ContainerStartFailedError
from core.events import Event, InstanceLogged, InstancePhaseChanged
from core.functions import ImageConfig, LambdaFunction
from core.instances import InstanceState
from tests.engines.base_image import image_names
from tests.engines.conformance import ECHO_RUNTIME, BackendUnderTest, Bench, in_containers, limits, steps

pytestmark = in_containers

BUFFERED = "buffered by RIE"


@pytest_asyncio.fixture
async def forced(backend: BackendUnderTest) -> AsyncIterator[Bench]:
    """A Stoker that was told to leave events to the image's own emulator."""
    async with backend.open(container_transport="image") as opened:
        yield opened


async def test_a_stream_comes_as_a_whole_and_its_instance_says_why(forced: Bench) -> None:
    await forced.scripted()
    invoking = asyncio.create_task(
        forced.runtime.invoke_streaming("scripted", steps(["chunk", "one "], forced.wait_at(), ["chunk", "two"]))
    )
    await forced.gate.reached()
    (instance,) = forced.runtime.instances()
    assert instance.details["transport"] == BUFFERED
    assert forced.runtime_api(instance) is None
    # the first chunk is written, and nothing of it has come
    assert instance.state is InstanceState.BUSY
    assert not invoking.done()
    forced.gate.open()
    async with await invoking as invocation:
        assert await invocation.next_chunk() == b"one two"
        assert await invocation.next_chunk() is None
    result = forced.result(invocation)
    assert (result.function_error, result.streamed, result.chunks) == (None, False, 1)


async def test_invocations_are_served_one_after_the_other_each_with_its_own_log(forced: Bench) -> None:
    await forced.python("def handler(event, context):\n    print('line', event)\n    return event\n", max_instances=1)
    results = await asyncio.gather(*(forced.runtime.invoke("python", str(number)) for number in range(12)))
    assert [json.loads(result.payload) for result in results] == list(range(12))
    assert len({result.instance_id for result in results}) == 1
    for number, result in enumerate(results):
        lines = result.log_tail.splitlines()
        assert lines[0] == f"START RequestId: {result.request_id} Version: $LATEST"
        assert [line for line in lines if line.startswith("line ")] == [f"line {number}"]
        assert lines[-1].startswith(f"REPORT RequestId: {result.request_id}\tDuration: ")
    # the emulator writes lines of its own for each, which are not passed on
    told = [line for event in forced.told(InstanceLogged) for line in event.lines]
    assert len([line for line in told if line.startswith("START ")]) == 12


async def test_a_handler_error_is_lambdas_and_the_instance_serves_on(forced: Bench) -> None:
    await forced.python("def handler(event, context):\n    return event if event else 1 / event\n")
    failed = await forced.runtime.invoke("python", b"0")
    assert (failed.function_error, failed.error_type) == ("Unhandled", "ZeroDivisionError")
    assert json.loads(failed.payload)["errorMessage"] == "division by zero"
    assert await forced.serves("python") == failed.instance_id


async def test_a_timeout_is_lambdas_and_ends_the_instance(forced: Bench) -> None:
    await forced.scripted(timeout=1)
    result = await forced.runtime.invoke("scripted", steps(forced.wait_at()))
    assert (result.function_error, result.error_type) == ("Unhandled", "Sandbox.Timedout")
    assert result.error_message == f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
    assert f"{result.request_id} Task timed out after 1.00 seconds" in result.log_tail
    await forced.gone(result.instance_id)
    assert await forced.serves() != result.instance_id


async def test_a_result_that_reads_like_the_emulators_timeout_is_a_result(forced: Bench) -> None:
    await forced.scripted()
    text = "Task timed out after 3.00 seconds"
    result = await forced.runtime.invoke("scripted", json.dumps(text))
    # the emulator sends its own without quotation marks, which no JSON result lacks
    assert (result.function_error, json.loads(result.payload)) == (None, text)


async def test_an_exit_is_lambdas_and_ends_the_instance(forced: Bench) -> None:
    await forced.scripted()
    result = await forced.runtime.invoke("scripted", steps(["say", "the last words"], ["exit", 3]))
    assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.ExitError")
    assert "Runtime exited with error: exit status 3" in (result.error_message or "")
    assert "the last words" in result.log_tail
    await forced.gone(result.instance_id)
    assert await forced.serves() != result.instance_id


async def test_an_init_error_is_lambdas(forced: Bench) -> None:
    await forced.python("import no_such_module_anywhere\n")
    result = await forced.runtime.invoke("python")
    assert (result.function_error, result.error_type) == ("Unhandled", "Runtime.ImportModuleError")
    await forced.gone(result.instance_id)


async def test_a_cancelled_invocation_ends_the_instance(forced: Bench) -> None:
    await forced.scripted()
    invoking = asyncio.create_task(forced.runtime.invoke("scripted", steps(forced.wait_at())))
    await forced.gate.reached()
    (instance,) = forced.runtime.instances()
    invoking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await invoking
    await forced.gone(instance.id)
    assert not forced.exists(instance)
    await forced.gate.reached(count=0)
    await forced.serves()


# --- a path that is blocked

ways_to_block = pytest.mark.parametrize(
    ("how", "reason"),
    [
        (["-j", "DROP"], "gets no answer"),
        (["-j", "REJECT", "--reject-with", "tcp-reset"], "is refused"),
    ],
    ids=["dropped", "refused"],
)


class Firewall:
    """Rules of this machine's firewall that can be told from all others by their comment."""

    def __init__(self) -> None:
        self.mark = f"stoker-test-{uuid.uuid4().hex}"

    def block(self, host: str, port: int, how: Sequence[str]) -> None:
        """Let nobody connect to this port."""
        match = ["-p", "tcp", "-d", host, "--dport", str(port), "-m", "comment", "--comment", self.mark]
        self._run("-I", "INPUT", "1", *match, *how)

    def clear(self) -> None:
        """Take the rules away again."""
        for line in self._run("-S", "INPUT").splitlines():
            if self.mark in line:
                self._run("-D", *line.split()[1:])

    def _run(self, *arguments: str) -> str:
        command = ["iptables", "-w", "10", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def firewall() -> Iterator[Firewall]:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        pytest.skip("needs root and iptables: it blocks a port")
    if os.environ.get("STOKER_TEST_DAEMONS") != "1":
        pytest.skip("changes this machine's firewall: set STOKER_TEST_DAEMONS=1 to allow it")
    made = Firewall()
    try:
        yield made
    finally:
        made.clear()


@contextmanager
def blocked(bench: Bench, firewall: Firewall, how: Sequence[str]) -> Iterator[list[str]]:
    """Block each container's way to its Runtime API after it was created and before it starts.

    Gives the addresses that were blocked.
    """
    assert bench.engine is not None
    engine = bench.engine
    addresses: list[str] = []

    def created(event: Event) -> None:
        if not isinstance(event, InstancePhaseChanged) or event.phase.name != "start" or event.phase.seconds:
            return
        for container in engine.containers(bench.runtime.owner_id):
            found = engine.inspect(container)
            if found["State"]["Running"]:
                continue
            variables = dict(each.split("=", 1) for each in found["Config"]["Env"])
            if address := variables.get("AWS_LAMBDA_RUNTIME_API"):
                host, _, port = address.rpartition(":")
                firewall.block(host, int(port), how)
                addresses.append(address)

    unsubscribe = bench.runtime.events.subscribe(created)
    try:
        yield addresses
    finally:
        unsubscribe()


@ways_to_block
async def test_where_the_way_to_this_machine_is_blocked_it_falls_back_and_remembers(
    bench: Bench, firewall: Firewall, how: Sequence[str], reason: str
) -> None:
    await bench.scripted()
    with blocked(bench, firewall, how) as addresses:
        (first,) = await bench.runtime.launch("scripted")
        assert first.details["transport"].startswith(BUFFERED)
        assert len(addresses) == 1
        assert f"{addresses[0]} {reason}" in first.details["transport"]
        (second,) = await bench.runtime.launch("scripted")
        # it was not tried again
        assert len(addresses) == 1
    assert second.details["transport"] == BUFFERED
    assert [bench.runtime_api(each) for each in (first, second)] == [None, None]
    # nothing is left of the attempt
    assert bench.engine is not None
    assert len(bench.engine.containers(bench.runtime.owner_id)) == 2
    result = await bench.runtime.invoke("scripted", steps(["chunk", "one "], ["chunk", "two"]))
    assert (result.function_error, result.streamed, result.payload) == (None, False, b"one two")


@ways_to_block
async def test_where_the_way_is_forced_and_blocked_the_launch_fails_and_says_why(
    backend: BackendUnderTest, firewall: Firewall, how: Sequence[str], reason: str
) -> None:
    async with backend.open(container_transport="host") as bench:
        await bench.scripted()
        with blocked(bench, firewall, how) as addresses, pytest.raises(ContainerStartFailedError) as failed:
            await bench.runtime.launch("scripted")
        assert f"{addresses[0]} {reason}" in str(failed.value)
        assert bench.runtime.instances() == []


@pytest.fixture
def without_bash(backend: BackendUnderTest) -> Iterator[str]:
    """An image in which nothing can find out by a connection of its own whether there is a way."""
    assert backend.engine is not None
    client = backend.engine.client
    name = f"stoker-test/{uuid.uuid4().hex[:12]}"
    made = client.create_container(
        image_names("provided.al2023")[0], entrypoint=["/bin/rm", "-f", "/bin/bash", "/usr/bin/bash"], command=[],
        host_config=client.create_host_config(ulimits=limits()),
    )  # fmt: skip
    try:
        client.start(made["Id"])
        assert client.wait(made["Id"])["StatusCode"] == 0
        client.commit(made["Id"], name, "1")
    finally:
        client.remove_container(made["Id"], force=True)
    yield f"{name}:1"
    client.remove_image(f"{name}:1", force=True)


async def test_a_slow_runtime_is_not_taken_for_one_that_cannot_connect(
    backend: BackendUnderTest, without_bash: str
) -> None:
    async with backend.open(init_timeout=2) as bench:
        slow = LambdaFunction(
            function_name="slow",
            package_type="Image",
            image_uri=without_bash,
            image_config=ImageConfig(entry_point=("/usr/bin/python3", "-IS", "-c", _SLOW), command=("none",)),
            timeout=30,
            memory_size=256,
        )
        await bench.runtime.add_function(slow)
        result = await bench.runtime.invoke("slow", b"1")
        assert (result.function_error, result.payload) == (None, b"1")
        (instance,) = bench.runtime.instances()
        assert "transport" not in instance.details
        assert "started once more" in instance.details["init"]
        await bench.scripted()
        (other,) = await bench.runtime.launch("scripted")
        assert bench.runtime_api(other) is not None


_SLOW = f"import time\ntime.sleep(4)\n{ECHO_RUNTIME}"


async def test_where_the_way_is_open_it_is_taken_and_remembered(bench: Bench) -> None:
    await bench.scripted()
    first, second = await bench.runtime.launch("scripted", count=2)
    assert all(bench.runtime_api(each) for each in (first, second))
    assert not any("transport" in each.details for each in (first, second))
