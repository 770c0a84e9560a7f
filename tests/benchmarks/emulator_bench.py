"""What the Runtime API can move: `python -m tests.benchmarks.emulator_bench [--qasync] [--rounds N]`.

Its figures, each through `RuntimeApi.invoke` and `reply.next_chunk` on one loop, with the writer in
a process of its own: MB/s in 64 KiB chunks, small chunks a second, and the warm round trip of AWS's
own Python client. `--qasync` runs the same on the window's loop. Either tells how long a 60 Hz timer
was held up at most.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from core.emulator.runtime_api import FunctionFacts, InvokeRequest, RuntimeApi

_FACTS = FunctionFacts("bench", "$LATEST", "arn:aws:lambda:us-east-1:012345678912:function:bench", "fn.echo", 60, 128)
_STREAMED = 180 * 1024 * 1024  # below Lambda's 200 MB
_SMALL = 100_000


def write_stream(address: str, size: int, count: int, batch: int) -> None:
    """A runtime that answers one event with `count` chunks of `size` bytes, `batch` of them a write."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        head = connection.recv(65536).decode()
        request_id = next(
            line.partition(": ")[2]
            for line in head.split("\r\n")
            if line.lower().startswith("lambda-runtime-aws-request-id")
        )
        connection.sendall(
            f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\nHost: x\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
        block = chunk * batch
        for _ in range(count // batch):
            connection.sendall(block)
        connection.sendall(b"0\r\n\r\n")
        connection.recv(4096)


async def _stream(size: int, count: int, batch: int) -> tuple[float, int, int]:
    api = RuntimeApi(_FACTS, log=lambda lines: None)
    address = await api.start()
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.emulator_bench", "--write", address, str(size), str(count), str(batch)]
    )
    try:
        await api.ready()
        reply = await api.invoke(InvokeRequest("bench", b"{}"))
        began = time.perf_counter()
        received = chunks = 0
        while (chunk := await reply.next_chunk()) is not None:
            received += len(chunk)
            chunks += 1
        seconds = time.perf_counter() - began
        assert reply.outcome is not None
        assert reply.outcome.function_error is None, reply.outcome
        assert (received, chunks) == (size * count, count), (received, chunks)
        return seconds, received, chunks
    finally:
        writer.kill()
        writer.wait()
        await api.aclose()


async def _warm(rounds: int) -> list[float]:
    api = RuntimeApi(_FACTS, log=lambda lines: None)
    address = await api.start()
    with tempfile.TemporaryDirectory() as code:
        Path(code, "fn.py").write_text("def echo(event, context):\n    return event\n")
        runtime = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "fn.echo"],
            cwd=code,
            env={**os.environ, "AWS_LAMBDA_RUNTIME_API": address},
        )
        try:
            await api.ready()
            took = []
            for number in range(rounds + 50):
                began = time.perf_counter()
                reply = await api.invoke(InvokeRequest(f"bench-{number}", b'{"key": "value"}'))
                while await reply.next_chunk() is not None:
                    pass
                took.append((time.perf_counter() - began) * 1000)
            return sorted(took[50:])
        finally:
            runtime.kill()
            runtime.wait()
            await api.aclose()


async def _longest_gap(stop: asyncio.Event) -> float:
    longest = 0.0
    while not stop.is_set():
        began = time.perf_counter()
        await asyncio.sleep(1 / 60)
        longest = max(longest, time.perf_counter() - began - 1 / 60)
    return longest * 1000


async def measure(rounds: int = 2000) -> None:
    """Take all figures and print them."""
    stop = asyncio.Event()
    gap = asyncio.ensure_future(_longest_gap(stop))
    seconds, received, _ = await _stream(64 * 1024, _STREAMED // (64 * 1024), 1)
    print(f"64 KiB chunks      {received / seconds / 1e6:10,.0f} MB/s")
    seconds, _, chunks = await _stream(1024, _SMALL, 1)
    print(f"1 KiB chunks       {chunks / seconds:10,.0f} /s")
    seconds, _, chunks = await _stream(1024, _SMALL, 50)
    print(f"1 KiB, 50 a write  {chunks / seconds:10,.0f} /s")
    seconds, _, chunks = await _stream(1, _SMALL, 10_000)
    print(f"1-byte chunks      {chunks / seconds:10,.0f} /s")
    stop.set()
    print(f"longest loop gap   {await gap:10.1f} ms")
    took = await _warm(rounds)
    print(f"warm p50           {statistics.median(took):10.2f} ms")
    print(f"warm p99           {took[int(len(took) * 0.99)]:10.2f} ms")


def _run(main: Coroutine[Any, Any, None], qasync_loop: bool) -> None:
    if not qasync_loop:
        asyncio.run(main)
        return
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from gui.loop import make_loop

    app = QApplication([])
    with asyncio.Runner(loop_factory=lambda: make_loop(app)) as runner:
        runner.run(main)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qasync", action="store_true", help="measure on a Qt event loop")
    parser.add_argument("--rounds", type=int, default=2000, help="warm invocations")
    parser.add_argument("--write", nargs=4, metavar=("ADDRESS", "SIZE", "COUNT", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        address, size, count, batch = options.write
        write_stream(address, int(size), int(count), int(batch))
        return
    _run(measure(options.rounds), options.qasync)


if __name__ == "__main__":
    main()
