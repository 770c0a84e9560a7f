"""Memory of a process tree: measured while busy, and held to the function's size."""

from __future__ import annotations

import asyncio
import json

import pytest

from core.errors import InitFailedError
from core.instances import MemoryUsage
from tests.core.backends.conftest import Bench
from tests.core.backends.support import eventually, invoke, with_environment

GREEDY = """
import subprocess, sys, time
def handler(event, context):
    if event.get("child"):
        code = "x = bytearray(%d << 20); import time; time.sleep(60)" % event["mb"]
        subprocess.run([sys.executable, "-S", "-c", code])
    block = bytearray(event.get("mb", 0) << 20)
    time.sleep(event.get("sleep", 0))
    return len(block)
"""


async def test_memory_over_the_functions_size_ends_it_as_lambda_would(bench: Bench) -> None:
    started = await bench.launch({"app.py": GREEDY}, memory_size=128, timeout=30)
    answer = await invoke(started.api, json.dumps({"mb": 300, "sleep": 30}).encode())
    assert answer.outcome.error_type == "Runtime.ExitError"
    assert (answer.outcome.error_message or "").endswith("Runtime exited with error: signal: killed")
    assert (answer.outcome.max_memory_mb or 0) >= 128
    [exit_] = started.recorder.exits
    assert exit_.out_of_memory
    await eventually(lambda: bench.directories() == [])


async def test_what_a_child_of_the_runtime_uses_counts_too(bench: Bench) -> None:
    started = await bench.launch({"app.py": GREEDY}, memory_size=128, timeout=30)
    answer = await invoke(started.api, json.dumps({"mb": 300, "child": True}).encode())
    assert answer.outcome.error_type == "Runtime.ExitError"
    assert started.recorder.exits[0].out_of_memory
    await eventually(lambda: with_environment(started.handle.token) == [])


async def test_an_init_that_takes_too_much_memory_is_ended(bench: Bench) -> None:
    with pytest.raises(InitFailedError, match="signal: killed"):
        await bench.launch({"app.py": "block = bytearray(400 << 20)\nimport time\ntime.sleep(30)\n"}, memory_size=128)


async def test_the_report_and_the_usage_have_real_figures(bench: Bench) -> None:
    started = await bench.launch({"app.py": GREEDY}, memory_size=512)
    before = bench.backend.usage(started.handle)
    assert isinstance(before, MemoryUsage)
    assert before.source == started.warm.details["memory"]
    assert 5 << 20 < before.current < 100 << 20
    answer = await invoke(started.api, b'{"mb": 200}')
    assert 200 <= (answer.outcome.max_memory_mb or 0) < 300
    after = bench.backend.usage(started.handle)
    assert after is not None
    assert after.peak >= 200 << 20
    await bench.backend.terminate(started.handle)
    assert bench.backend.usage(started.handle) is None


async def test_nothing_is_sampled_while_no_instance_is_busy(bench: Bench) -> None:
    started = await bench.launch({"app.py": GREEDY})
    await invoke(started.api)
    await eventually(lambda: not [t for t in asyncio.all_tasks() if t.get_name() == "stoker-memory-watch"])
