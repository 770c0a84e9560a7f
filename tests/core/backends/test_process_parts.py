"""The small parts: output pipe, exit watch, control groups, names of emulators; on Qt's loop too."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.backends import exits
from core.backends.cgroups import Cgroup, delegated_parent
from core.backends.environment import SearchPaths, lambda_environment
from core.backends.killing import to_the_end
from core.backends.output import OutputPipe
from core.functions import LambdaFunction
from core.local_emulators import LocalEmulators
from tests.core.backends.conftest import Bench
from tests.core.backends.support import invoke


async def test_output_is_fed_in_order_and_a_drain_takes_what_is_there_now() -> None:
    got = bytearray()
    pipe = OutputPipe(got.extend)
    os.write(pipe.write_end, b"one ")
    os.write(pipe.write_end, b"two")
    pipe.drain()
    assert got == b"one two"
    os.write(pipe.write_end, b" three")
    await asyncio.sleep(0.01)
    assert got == b"one two three"
    os.write(pipe.write_end, b" four")
    pipe.close()
    pipe.close()
    assert got == b"one two three four"


async def test_a_pipe_whose_writers_are_gone_wakes_nobody_any_more() -> None:
    pipe = OutputPipe(lambda _: None)
    pipe.opened()
    await asyncio.sleep(0.01)
    assert not pipe._watched
    pipe.close()


async def test_a_flood_does_not_hold_a_drain_for_ever() -> None:
    got = 0

    def sink(data: bytes) -> None:
        nonlocal got
        got += len(data)

    pipe = OutputPipe(sink)
    flood = subprocess.Popen([sys.executable, "-c", "while True: print('x' * 1000)"], stdout=pipe.write_end)
    pipe.opened()
    while got == 0:
        pipe.drain()
    pipe.drain()
    flood.kill()
    flood.wait()
    pipe.close()


@pytest.mark.parametrize("pidfd", [True, False])
async def test_an_exit_is_heard_of_with_and_without_a_pidfd(pidfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    ended = asyncio.Event()
    process = subprocess.Popen(["/bin/sh", "-c", "exit 3"])
    stop = exits.watch_exit(process, ended.set)
    await asyncio.wait_for(ended.wait(), 5)
    stop()
    assert process.wait() == 3


@pytest.mark.parametrize("pidfd", [True, False])
async def test_a_stopped_watch_says_nothing(pidfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    calls: list[int] = []
    process = subprocess.Popen(["/bin/sleep", "600"])
    stop = exits.watch_exit(process, lambda: calls.append(1))
    stop()
    stop()
    process.kill()
    await asyncio.to_thread(process.wait)
    await asyncio.sleep(0.05)
    assert calls == []


async def test_an_instance_comes_up_and_goes_where_there_is_no_pidfd(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    started = await bench.launch({"app.py": "import os\ndef handler(e, c):\n    os._exit(4) if e else None\n"})
    assert (await invoke(started.api, b"0")).outcome.function_error is None
    answer = await invoke(started.api, b"1")
    assert "exit status 4" in (answer.outcome.error_message or "")
    await asyncio.wait_for(started.recorder.exited.wait(), 5)
    other = await bench.launch({"app.py": "def handler(e, c):\n    return e\n"})
    await bench.backend.terminate(other.handle)


async def test_what_must_run_to_its_end_does_whatever_its_waiter_suffers() -> None:
    gate = asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        await gate.wait()
        done.append("done")

    task = asyncio.create_task(work())
    waiter = asyncio.create_task(to_the_end(task))
    for _ in range(3):
        await asyncio.sleep(0)
        waiter.cancel()
    await asyncio.sleep(0)
    assert not waiter.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert done == ["done"]


def tree(root: Path, controllers: str) -> Path:
    """Files as a cgroup mount has them; the kernel's part is not played."""
    root.mkdir(parents=True)
    (root / "cgroup.subtree_control").write_text(controllers)
    (root / "cgroup.procs").touch()
    return root


def test_without_the_memory_controller_no_group_is_chosen(tmp_path: Path) -> None:
    top = tree(tmp_path / "top", "cpu io")
    own = tree(top / "app.slice" / "scope", "")
    tree(top / "other", "memory")
    assert delegated_parent(own, top) is None
    # ordinary files are no groups: a directory made there has no limit to write
    (top / "cgroup.subtree_control").write_text("cpu memory pids")
    assert delegated_parent(own, top) is None
    assert sorted(path.name for path in top.iterdir() if path.is_dir()) == ["app.slice", "other"]


def test_a_group_reads_and_writes_what_the_kernel_documents(tmp_path: Path) -> None:
    group = Cgroup(tree(tmp_path / "group", ""))
    for name, text in {
        "memory.current": "1000\n",
        "memory.peak": "5000\n",
        "memory.events": "low 0\noom 1\noom_kill 1\n",
        "cgroup.kill": "",
    }.items():
        (group.path / name).write_text(text)
    assert (group.current(), group.peak(), group.ran_out()) == (1000, 5000, True)
    group.add(42)
    assert (group.path / "cgroup.procs").read_text() == "42"
    assert group.kill()
    assert (group.path / "cgroup.kill").read_text() == "1"
    (group.path / "memory.peak").unlink()
    assert group.peak() == 1000
    gone = Cgroup(tmp_path / "gone")
    assert (gone.current(), gone.ran_out(), gone.kill(), gone.remove()) == (0, False, False, True)
    with pytest.raises(OSError):
        Cgroup.create(tmp_path / "nowhere", "x", 1)


def test_emulators_are_found_by_the_host_of_their_url() -> None:
    local, api = LocalEmulators(), object()
    endpoint = local.register("i-1a2b", api)  # type: ignore[arg-type]
    assert endpoint == "emulator://i-1a2b"
    assert local.get("I-1A2B") is api
    with pytest.raises(ValueError):
        local.register("i-1a2b", api)  # type: ignore[arg-type]
    local.remove("i-1a2b")
    local.remove("i-1a2b")
    assert local.get("i-1a2b") is None


def environment(**fields: Any) -> dict[str, str]:
    function = LambdaFunction(function_name="f", runtime="python3.13", handler="a.b", **fields)
    paths = SearchPaths(programs=("/interpreter/bin", "/layer/bin"), python=("/layer/python",))
    return lambda_environment(
        function,
        runtime_api="127.0.0.1:9",
        token="t" * 32,
        task_root=Path("/code"),
        runtime_directory=Path("/runtime"),
        tmp=Path("/tmp/x"),
        paths=paths,
    )


def test_search_paths_have_lambdas_order_and_give_way_to_the_functions_own() -> None:
    assert environment()["PATH"] == "/interpreter/bin:/usr/local/bin:/usr/bin:/bin:/layer/bin"
    changed = environment(environment={"PATH": "/mine", "PYTHONPATH": "/also/mine"})
    assert (changed["PATH"], changed["PYTHONPATH"]) == ("/mine", "/also/mine")


def test_credentials_are_dummies_and_the_region_is_a_real_one() -> None:
    found = environment()
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-1"
    assert all(
        "stoker" in found[name].lower() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    )


QT = """
import asyncio, sys
from pathlib import Path
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop
from tests.core.backends.conftest import Bench
from tests.core.backends.support import invoke

async def main():
    bench = Bench(Path(sys.argv[1]))
    code = "import os\\ndef handler(e, c):\\n    print('said')\\n    os._exit(5) if e else None\\n"
    started = await bench.launch({"app.py": code})
    first = await invoke(started.api, b"0")
    assert first.outcome.function_error is None and "said" in first.outcome.log_tail, first
    second = await invoke(started.api, b"1")
    assert "exit status 5" in second.outcome.error_message, second
    await asyncio.wait_for(started.recorder.exited.wait(), 5)
    other = await bench.launch({"app.py": "def handler(e, c):\\n    return e\\n"})
    await bench.backend.terminate(other.handle)
    await bench.backend.aclose()
    assert bench.directories() == []
    print("all well")

app = QApplication([])
with asyncio.Runner(loop_factory=lambda: QEventLoop(app)) as runner:
    runner.run(main())
"""


def test_it_all_works_on_qts_event_loop(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QT, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "all well", done.stderr
