"""Warm invocations through the facade, on both loops, and AWS's own emulator where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from core.runtime import LambdaRuntime
from tests.benchmarks.functions import echo
from tests.benchmarks.loops import LOOPS
from tests.benchmarks.report import Figure, percentile

__all__ = ["figures"]

_WARM_UP = 200
_COUNT = 2000
_EVENT = b'{"key1": "value1", "key2": "value2"}'


def figures() -> list[Figure]:
    """p50 and p99 of one invocation after the other, in milliseconds."""
    found = []
    for loop, run in LOOPS.items():
        times = run(_facade)
        found += [
            Figure(
                f"warm invoke, {loop}, p50", percentile(times, 0.5), "ms", at_most=1.2 if loop == "Qt loop" else None
            ),
            Figure(f"warm invoke, {loop}, p99", percentile(times, 0.99), "ms"),
        ]
    return found + _rie_figures()


async def _facade() -> list[float]:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        root = Path(folder)
        async with LambdaRuntime.open(home=root / "home") as runtime:
            await runtime.add_function(echo(root))
            for _ in range(_WARM_UP):
                await runtime.invoke("echo", _EVENT)
            times = []
            for _ in range(_COUNT):
                started = time.perf_counter()
                result = await runtime.invoke("echo", _EVENT)
                times.append((time.perf_counter() - started) * 1000)
                assert result.payload
                assert not result.function_error
            assert {len(runtime.instances("echo"))} == {1}
            return times


def _rie_figures() -> list[Figure]:
    """AWS's Runtime Interface Emulator with the same handler and the same HTTP client, if it is there."""
    what = "AWS's emulator (RIE), same client, p50"
    found = importlib.util.find_spec("samcli")
    if found is None or found.origin is None:
        return [Figure(what, None, "ms", note="skipped: aws-sam-cli, which ships it, is not installed")]
    arch = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    binary = Path(found.origin).parent / "local" / "rapid" / f"aws-lambda-rie-{arch}"
    if not binary.exists():
        return [Figure(what, None, "ms", note=f"skipped: no {binary.name} in aws-sam-cli")]
    times = asyncio.run(_rie(binary))
    return [
        Figure(what, percentile(times, 0.5), "ms"),
        Figure(what.replace("p50", "p99"), percentile(times, 0.99), "ms"),
    ]


async def _rie(binary: Path) -> list[float]:
    import httpx

    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        code = echo(Path(folder)).code
        invoke_port, runtime_port = _free_port(), _free_port()
        program = Path(folder) / "rie"
        program.write_bytes(binary.read_bytes())
        program.chmod(0o755)
        process = subprocess.Popen(
            [
                program,
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{invoke_port}",
                "--runtime-api-address",
                f"127.0.0.1:{runtime_port}",
                sys.executable,
                "-m",
                "awslambdaric",
                "app.handler",
            ],
            cwd=code,
            env={"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(code)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{invoke_port}/2015-03-31/functions/function/invocations"
        try:
            async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
                for _ in range(100):
                    try:
                        await client.post(url, content=_EVENT)
                        break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.05)
                for _ in range(_WARM_UP):
                    await client.post(url, content=_EVENT)
                times = []
                for _ in range(_COUNT):
                    started = time.perf_counter()
                    await client.post(url, content=_EVENT)
                    times.append((time.perf_counter() - started) * 1000)
                return times
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
