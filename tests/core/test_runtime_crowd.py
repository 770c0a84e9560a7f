"""Many at once: two hundred invocations on ten instances, and a reader that stops."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from itertools import pairwise
from typing import TYPE_CHECKING

import psutil
import pytest

from core.events import InstanceChanged, InvocationStarted
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.sources import python_function, scripted_function

if TYPE_CHECKING:
    from pathlib import Path

    from core.events import Event


async def test_two_hundred_at_once_with_thirty_cancelled_on_ten_instances(home: Path, tmp_path: Path) -> None:
    source = """
        import time

        def handler(event, context):
            began = time.monotonic()
            time.sleep(event["seconds"])
            return {"n": event["n"], "began": began, "ended": time.monotonic(), "stream": context.log_stream_name}
    """
    rng = random.Random(20261124)
    order: list[str] = []
    most = 0

    async with LambdaRuntime.open(home=home, max_instances=10, start_limit=4) as runtime:

        def watch(event: Event) -> None:
            nonlocal most
            if isinstance(event, InvocationStarted):
                order.append(event.request_id)
            elif isinstance(event, InstanceChanged):
                most = max(most, sum(not i.state.final for i in runtime.instances()))

        await runtime.add_function(python_function(tmp_path, source))
        runtime.events.subscribe(watch)
        calls = [
            asyncio.create_task(
                runtime.invoke(
                    "python",
                    json.dumps({"n": n, "seconds": rng.uniform(0.0, 0.03)}).encode(),
                    request_id=f"r{n:03}",
                )
            )
            for n in range(200)
        ]
        await asyncio.sleep(0)
        assert runtime.waiting("python") == 200
        cancelled = sorted(rng.sample(range(20, 200), 30))
        for n in cancelled:
            calls[n].cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        instances = runtime.instances()

    served = [n for n in range(200) if n not in set(cancelled)]
    assert [n for n in range(200) if isinstance(outcomes[n], asyncio.CancelledError)] == cancelled
    results = {}
    for n in served:
        outcome = outcomes[n]
        assert not isinstance(outcome, BaseException), outcome
        assert outcome.function_error is None
        results[n] = json.loads(outcome.payload)
        assert results[n]["n"] == n
    assert order == [f"r{n:03}" for n in served]  # in order of arrival, each exactly once
    assert most <= 10
    assert len(instances) <= 10
    assert sum(i.served for i in instances) == len(served)
    assert {i.state for i in instances} == {InstanceState.IDLE}
    by_instance: dict[str, list[tuple[float, float]]] = {}
    for result in results.values():
        by_instance.setdefault(result["stream"], []).append((result["began"], result["ended"]))
    for spans in by_instance.values():
        spans.sort()
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), "served two at once"


@pytest.mark.any_python
async def test_a_reader_that_stops_for_ten_seconds_stops_the_function_and_loses_nothing(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    count, size = 1600, 65536  # 100 MiB
    await runtime.add_function(scripted_function(tmp_path, timeout=60))
    invocation = await runtime.invoke_streaming("scripted", json.dumps([["flood", count, size]]).encode())
    process = psutil.Process()
    digest = hashlib.sha256()
    received = 0
    async with invocation:
        for _ in range(10):
            chunk = await invocation.next_chunk()
            assert chunk is not None
            digest.update(chunk)
            received += len(chunk)
        pid = runtime.instances()[0].pid
        assert pid is not None
        writer = psutil.Process(pid)
        before = process.memory_info().rss
        await asyncio.sleep(1)  # time for what fits into the buffers
        spent = writer.cpu_times()
        peak = before
        for _ in range(90):
            await asyncio.sleep(0.1)
            peak = max(peak, process.memory_info().rss)
        assert writer.cpu_times() == spent, "the function went on writing"
        assert peak - before < 4 * 1024 * 1024
        while (chunk := await invocation.next_chunk()) is not None:
            digest.update(chunk)
            received += len(chunk)
    expected = hashlib.sha256()
    for number in range(count):
        expected.update(b"%08d" % number + b"x" * (size - 8))
    assert received == count * size
    assert digest.hexdigest() == expected.hexdigest()
    assert invocation.result is not None
    assert invocation.result.function_error is None
    assert runtime.instances()[0].state is InstanceState.IDLE
