"""Cold starts through the facade, and what the runtime needs by itself, turn by turn in one run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from core.emulator.runtime_api import FunctionFacts, InvokeRequest, RuntimeApi
from core.runtime import LambdaRuntime
from tests.benchmarks.functions import echo
from tests.benchmarks.loops import LOOPS
from tests.benchmarks.report import Figure, percentile

__all__ = ["figures"]

_ROUNDS = 25


def figures() -> list[Figure]:
    """From nothing to the first answer, in milliseconds, medians of interleaved rounds."""
    found = []
    for loop, run in LOOPS.items():
        through, alone, bare = run(_measure)
        mine, by_itself = percentile(through, 0.5), percentile(alone, 0.5)
        found += [
            Figure(f"cold start to first answer, {loop}, p50", mine, "ms", note=f"p95 {percentile(through, 0.95):.1f}"),
            Figure(
                f"the runtime by itself, {loop}, p50", by_itself, "ms", note="python -m awslambdaric, same interpreter"
            ),
            Figure(f"cold start above the runtime, {loop}", mine - by_itself, "ms", at_most=25.0),
        ]
        found.append(
            Figure(f"an empty Python process, {loop}, p50", percentile(bare, 0.5), "ms", note="python -c pass")
        )
    return found


async def _measure() -> tuple[list[float], list[float], list[float]]:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        root = Path(folder)
        function = echo(root)
        assert function.code is not None
        async with LambdaRuntime.open(home=root / "home") as runtime:
            await runtime.add_function(function)
            through, alone, bare = [], [], []
            for number in range(_ROUNDS + 2):
                await runtime.evict("echo", force=True)
                started = time.perf_counter()
                result = await runtime.invoke("echo", b"{}")
                took = time.perf_counter() - started
                assert result.cold_start
                own = await _alone(function.code)
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", "pass"], check=True)
                empty = time.perf_counter() - started
                if number >= 2:  # the first rounds fill caches
                    through.append(took * 1000)
                    alone.append(own * 1000)
                    bare.append(empty * 1000)
            return through, alone, bare


async def _alone(code: Path) -> float:
    """Seconds from spawning AWS's client to its first answer, with the Runtime API listening before."""
    api = RuntimeApi(FunctionFacts("echo", "$LATEST", "arn", "app.handler", 30.0, 128), log=lambda lines: None)
    address = await api.start()
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": address,
        "LAMBDA_TASK_ROOT": str(code),
        "AWS_LAMBDA_FUNCTION_NAME": "echo",
        "AWS_REGION": "us-east-1",
        "_HANDLER": "app.handler",
    }
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "app.handler"],
        cwd=code,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            await api.ready()
            reply = await api.invoke(InvokeRequest("first", b"{}"))
            while await reply.next_chunk() is not None:
                pass
        return time.perf_counter() - started
    finally:
        process.kill()
        process.wait()
        await api.aclose()
