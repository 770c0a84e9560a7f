"""How instances end: asked, killed, by themselves, in the middle of their launch."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from core.backends.base import launching
from core.emulator.runtime_api import InvokeRequest, RuntimeGoneError
from core.errors import ContainerStartFailedError, InitFailedError, NoCodeZipError, UnsupportedRuntimeError
from core.functions import LambdaFunction
from core.instances import ProcessHandle
from tests.core.backends.conftest import OWNER, Bench
from tests.core.backends.support import Recorder, alive, eventually, invoke, with_environment

ECHO = "def handler(event, context):\n    return event\n"
# ignores SIGTERM, and leaves a child that is two forks and a session away
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(600)
    os._exit(0)
QUIET = subprocess.Popen(["/bin/sleep", "600"], env={}, start_new_session=True)
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return os.getpid(), QUIET.pid
"""


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_an_instance_is_gone_with_its_directory_and_guard_entry_after_terminate(bench: Bench) -> None:
    started = await bench.launch({"app.py": ECHO})
    assert bench.backend.guarded() == [started.handle.pid]
    assert len(bench.directories()) == 1
    await bench.backend.terminate(started.handle)
    assert not alive(started.handle.pid)
    assert bench.directories() == []
    assert bench.backend.guarded() == []
    assert started.recorder.exits == []
    with pytest.raises(RuntimeError):
        await invoke(started.api)


async def test_terminate_is_idempotent_and_concurrent_calls_join(bench: Bench) -> None:
    started = await bench.launch({"app.py": ECHO})
    await asyncio.gather(*(bench.backend.terminate(started.handle) for _ in range(5)))
    await bench.backend.terminate(started.handle)
    await bench.backend.kill(started.handle)
    await bench.backend.terminate(ProcessHandle(pid=os.getpid(), token="f" * 32))
    assert bench.directories() == []


async def test_a_tree_that_resists_goes_whole(bench: Bench) -> None:
    started = await bench.launch({"app.py": STUBBORN})
    leader, quiet = json.loads((await invoke(started.api)).payload)
    assert len(with_environment(started.handle.token)) == 2
    assert alive(quiet)
    await bench.backend.kill(started.handle)
    assert with_environment(started.handle.token) == []
    assert not alive(leader)
    assert not alive(quiet)


async def test_kill_cuts_the_grace_of_a_terminate_short(bench: Bench) -> None:
    started = await bench.launch({"app.py": STUBBORN})
    polite = asyncio.create_task(bench.backend.terminate(started.handle))
    await asyncio.sleep(0)
    assert not polite.done()
    await bench.backend.kill(started.handle)
    await polite
    assert not alive(started.handle.pid)


async def test_a_cancelled_terminate_still_ends_the_instance(bench: Bench) -> None:
    started = await bench.launch({"app.py": ECHO})
    task = asyncio.create_task(bench.backend.terminate(started.handle))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: bench.directories() == [] and not alive(started.handle.pid))


async def test_an_idle_instance_that_is_killed_from_outside_is_heard_of_at_once(bench: Bench) -> None:
    started = await bench.launch({"app.py": ECHO})
    os.kill(started.handle.pid, signal.SIGKILL)
    await asyncio.wait_for(started.recorder.exited.wait(), 5)
    [exit_] = started.recorder.exits
    assert (exit_.code, exit_.signal, exit_.reason) == (None, signal.SIGKILL, "signal: killed")
    assert not exit_.out_of_memory
    with pytest.raises(RuntimeGoneError):
        await invoke(started.api)
    await bench.backend.terminate(started.handle)
    assert bench.directories() == []


async def test_a_runtime_killed_in_an_invocation_is_lambdas_exit_error(bench: Bench) -> None:
    # one that left its session, but not its environment: that much is found without control groups
    started = await bench.launch({"app.py": STUBBORN.replace(", env={}", "")})
    running = asyncio.create_task(invoke(started.api, b'{"sleep": 60}', timeout=60))
    await asyncio.sleep(0.05)
    os.kill(started.handle.pid, signal.SIGKILL)
    answer = await running
    assert answer.outcome.error_type == "Runtime.ExitError"
    assert (answer.outcome.error_message or "").endswith("Runtime exited with error: signal: killed")
    # what it had started does not outlive it
    await eventually(lambda: with_environment(started.handle.token) == [])


async def test_what_a_dead_runtime_had_streamed_is_read_to_its_end(bench: Bench) -> None:
    script = """#!/usr/bin/env python3
import http.client, os, signal
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
api.request("GET", "/2018-06-01/runtime/invocation/next")
answer = api.getresponse(); answer.read()
identity = answer.headers["Lambda-Runtime-Aws-Request-Id"]
def chunks():
    for _ in range(8):
        yield b"x" * 65536
    os.kill(os.getpid(), signal.SIGKILL)
api.request("POST", f"/2018-06-01/runtime/invocation/{identity}/response", body=chunks(), encode_chunked=True,
            headers={"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked"})
"""
    started = await bench.launch({"bootstrap": script}, runtime="provided.al2023", handler="bootstrap", timeout=10)
    reply = await started.api.invoke(InvokeRequest("slow-reader", b"{}"))
    await asyncio.wait_for(started.recorder.exited.wait(), 5)
    received = 0
    while (chunk := await reply.next_chunk()) is not None:
        received += len(chunk)
        await asyncio.sleep(0.02)
    assert received == 8 * 65536
    assert reply.outcome is not None
    assert reply.outcome.error_type == "Runtime.ExitError"
    await eventually(lambda: bench.directories() == [])


@pytest.mark.parametrize("phase", ["spawn", "init"])
async def test_a_launch_cancelled_in_any_phase_leaves_nothing(bench: Bench, phase: str) -> None:
    recorder = Recorder()
    task = asyncio.create_task(bench.launch({"app.py": "import time\ntime.sleep(60)\n"}, recorder=recorder))

    def cancel(name: str) -> None:
        if name == phase:
            task.cancel()

    recorder.on_phase = cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.directories() == []
    assert bench.backend.guarded() == []
    assert len(bench.local) == 0
    assert with_environment(str(bench.root)) == []


async def test_a_launch_cancelled_at_any_moment_leaves_nothing(bench: Bench) -> None:
    before = descriptors()
    tasks = asyncio.all_tasks()
    for milliseconds in (0, 1, 2, 4, 8, 15, 25, 40, 60):
        task = asyncio.create_task(bench.launch({"app.py": "import time\ntime.sleep(0.1)\n" + ECHO}))
        await asyncio.sleep(milliseconds / 1000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert bench.directories() == []
    assert bench.backend.guarded() == []
    assert with_environment(str(bench.root)) == []
    assert asyncio.all_tasks() - tasks == set()
    assert descriptors() == before


async def test_launches_that_fail_leave_no_process_descriptor_or_directory(bench: Bench) -> None:
    before = descriptors()
    for source in ("import nothing_like_this\n", "import os\nos._exit(1)\n", "import time\ntime.sleep(60)\n"):
        with pytest.raises(InitFailedError):
            await bench.launch({"app.py": source}, init_timeout=0.3)
    assert bench.directories() == []
    assert with_environment(str(bench.root)) == []
    assert descriptors() == before


async def test_a_home_without_room_is_a_failed_start(bench: Bench) -> None:
    (bench.home / "instances").write_text("in the way")
    with pytest.raises(ContainerStartFailedError, match="could not be started"):
        await bench.launch({"app.py": ECHO})
    (bench.home / "instances").unlink()


async def test_many_launches_at_once_come_up_and_go(bench: Bench) -> None:
    code = bench.archive({"app.py": ECHO})
    all_started = await asyncio.gather(*(bench.launch(code) for _ in range(12)))
    answers = await asyncio.gather(*(invoke(each.api, b"[%d]" % n) for n, each in enumerate(all_started)))
    assert [answer.payload for answer in answers] == [b"[%d]" % n for n in range(12)]
    await asyncio.gather(*(bench.backend.terminate(each.handle) for each in all_started))
    assert bench.directories() == []


@pytest.mark.parametrize("runtime", ["java21", "dotnet8", "ruby3.4", "go1.x"])
async def test_other_runtimes_are_refused_with_the_backends_that_could_run_them(bench: Bench, runtime: str) -> None:
    function = LambdaFunction(function_name="f", runtime=runtime, handler="x")
    assert bench.backend.unsupported(function) is not None
    with pytest.raises(UnsupportedRuntimeError) as caught:
        await bench.backend.launch(function, bench.archive({"x": ""}), (), "d")
    assert caught.value.could_run == ("docker", "podman", "kubernetes")


async def test_images_and_missing_code_are_refused(bench: Bench) -> None:
    image = LambdaFunction(function_name="f", package_type="Image", image_uri="example/image:1")
    with pytest.raises(UnsupportedRuntimeError):
        await bench.backend.launch(image, None, (), "d")
    with pytest.raises(NoCodeZipError):
        await bench.backend.launch(
            LambdaFunction(function_name="f", runtime="python3.11", handler="a.b"), None, (), "d"
        )


async def test_closing_the_backend_ends_every_instance_and_the_guard(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    started = [await bench.launch({"app.py": STUBBORN}) for _ in range(3)]
    await bench.backend.aclose()
    await bench.backend.aclose()
    assert [pid for each in started for pid in with_environment(each.handle.token)] == []
    assert bench.directories() == []
    with pytest.raises(ContainerStartFailedError):
        await bench.launch({"app.py": ECHO})


async def test_outside_of_a_facade_launches_get_names_of_their_own(bench: Bench) -> None:
    function = LambdaFunction(function_name="f", runtime="python3.11", handler="app.handler")
    code = bench.archive({"app.py": ECHO})
    one = await bench.backend.launch(function, code, (), "d")
    two = await bench.backend.launch(function, code, (), "d")
    assert one.endpoint != two.endpoint
    with launching(Recorder().launch(OWNER)):
        three = await bench.backend.launch(function, code, (), "d")
    for warm in (one, two, three):
        await bench.backend.terminate(warm.handle)
