"""A few seconds of everything at once, on both kinds of loop; then the books are compared with the machine."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from core.errors import LambdaRuntimeError
from core.events import InstanceChanged, InvocationEnded
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.sources import scripted_function

if TYPE_CHECKING:
    from pathlib import Path

    from core.events import Event

CAP, BUDGET, COUNT = 3, 5, 160
COUNTED = {InstanceState.STARTING, InstanceState.IDLE, InstanceState.BUSY}
ENDS = [[], [], [], [], ["exit", 1], ["kill"], ["cut"], ["fail", "E", "m"], ["sleep", 0.02], ["flood", 30, 65536]]


async def soak(home: Path, tmp_path: Path) -> None:
    rng = random.Random(20261124)
    ended: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    beyond: list[str] = []
    names = ["a", "b", "c"]

    async with LambdaRuntime.open(
        home=home, max_instances=CAP, instance_budget=BUDGET, start_limit=3, queue_timeout=20
    ) as runtime:

        def hear(event: Event) -> None:
            if isinstance(event, InvocationEnded):
                ended[event.request_id] += 1
            elif isinstance(event, InstanceChanged):
                counted = Counter(i.function_name for i in runtime.instances() if i.state in COUNTED)
                if counted.total() > BUDGET or any(count > CAP for count in counted.values()):
                    beyond.append(f"{event.new}: {counted}")

        runtime.events.subscribe(hear)
        for name in names:
            await runtime.add_function(scripted_function(tmp_path, name, timeout=5))

        async def invoke(request_id: str) -> None:
            steps = [["chunk", request_id], *filter(None, [rng.choice(ENDS)])]
            call = asyncio.ensure_future(
                runtime.invoke(rng.choice(names), json.dumps(steps).encode(), request_id=request_id)
            )
            if rng.random() < 0.25:
                asyncio.get_running_loop().call_later(rng.random() * 0.15, call.cancel)
            try:
                result = await call
            except (asyncio.CancelledError, LambdaRuntimeError):
                answered[request_id] += 1
            else:
                answered[request_id] += 1
                assert result.function_error or result.payload.startswith(request_id.encode())

        async def client(number: int) -> None:
            for turn in range(COUNT // 16):
                await invoke(f"r{number}-{turn}")

        async def meddle() -> None:
            for turn in range(25):
                await asyncio.sleep(rng.random() * 0.1)
                instances = runtime.instances()
                try:
                    match turn % 5:
                        case 0 if instances and (pid := rng.choice(instances).pid):
                            os.kill(pid, 9)
                        case 1 if instances:
                            await runtime.terminate(rng.choice(instances).id, force=turn % 2 == 0)
                        case 2:
                            function = runtime.function(rng.choice(names))
                            await runtime.add_function(function.replace(environment={"TURN": str(turn)}))
                        case 3:
                            await runtime.launch(rng.choice(names), 2)
                        case _:
                            await runtime.reap_idle(0)
                except (LambdaRuntimeError, ProcessLookupError):
                    continue  # it had gone, or there was no room: as it may be

        async with asyncio.timeout(60):
            await asyncio.gather(meddle(), *(client(n) for n in range(16)))
            while any(i.state is not InstanceState.IDLE for i in runtime.instances()):
                changed = asyncio.Event()
                unsubscribe = runtime.events.subscribe(lambda _, changed=changed: changed.set())  # type: ignore[misc]
                await changed.wait()
                unsubscribe()
        assert set(answered.values()) == {1}
        assert set(ended.values()) == {1}
        assert len(answered) == COUNT == len(ended)
        assert beyond == []
        assert (runtime.running(), runtime.waiting()) == (0, 0)
        assert len(await runtime.history(limit=COUNT * 2)) == COUNT
        # what the pool believes is what the machine runs
        assert bootstraps() == sorted(i.pid or 0 for i in runtime.instances())
        assert await runtime.stop_all() >= 0
        assert bootstraps() == []
    assert list((home / "instances").rglob("*")) == []


def bootstraps() -> list[int]:
    """The processes that run functions."""
    found = []
    for process in psutil.Process().children():
        # one that has just ended has no command line any more
        with suppress(psutil.Error):
            if any("bootstrap" in part for part in process.cmdline()):
                found.append(process.pid)
    return sorted(found)


async def test_under_a_mixed_load_each_invocation_is_answered_once_and_nothing_is_left(
    home: Path, tmp_path: Path
) -> None:
    await soak(home, tmp_path)


@pytest.mark.any_python
def test_the_same_on_the_loop_of_the_window(home: Path, tmp_path: Path, qapp: object) -> None:
    from PySide6.QtWidgets import QApplication

    from gui.loop import make_loop

    assert isinstance(qapp, QApplication)
    with asyncio.Runner(loop_factory=lambda: make_loop(qapp)) as runner:
        runner.run(soak(home, tmp_path))


@pytest.mark.parametrize("unit", ["x" * 199 + "\n", "y" * 200])
async def test_a_flood_of_log_is_kept_within_bounds(runtime: LambdaRuntime, tmp_path: Path, unit: str) -> None:
    await runtime.add_function(scripted_function(tmp_path, timeout=60))
    event = json.dumps([["say", unit * 20_000]]).encode()  # 4 MB
    for _ in range(8):
        result = await runtime.invoke("scripted", event)
        assert result.function_error is None
    (instance,) = runtime.instances()
    lines = runtime.log_lines(instance.id)
    assert 300_000 < sum(map(len, lines)) <= 1_000_000
    assert lines[-1].startswith("REPORT")
