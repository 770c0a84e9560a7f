"""Many invocations at once: how fast ten instances come up, and how many invocations they serve a second."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from core.runtime import LambdaRuntime
from core.settings import Settings
from tests.benchmarks.functions import echo
from tests.benchmarks.loops import LOOPS
from tests.benchmarks.report import Figure

__all__ = ["figures"]

_INSTANCES = 10
_COUNT = 3000


def figures() -> list[Figure]:
    """On both loops; there are no budgets for these."""
    found = []
    for loop, run in LOOPS.items():
        up, rate = run(_measure)
        found.append(Figure(f"ten instances from nothing, {loop}", up, "ms"))
        found.append(Figure(f"{_COUNT:,} invocations at once on ten, {loop}", rate, "per s"))
    return found


async def _measure() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        root = Path(folder)
        settings = Settings(max_instances=_INSTANCES, queue_limit=_COUNT, queue_timeout=120.0)
        async with LambdaRuntime.open(home=root / "home", settings=settings) as runtime:
            await runtime.add_function(echo(root))
            await runtime.launch("echo")
            await runtime.evict("echo")
            started = time.perf_counter()
            await runtime.launch("echo", _INSTANCES)
            up = time.perf_counter() - started
            started = time.perf_counter()
            await asyncio.gather(*(runtime.invoke("echo", b"{}") for _ in range(_COUNT)))
            return up * 1000, _COUNT / (time.perf_counter() - started)
