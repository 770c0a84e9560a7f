"""One stream through the facade: megabytes a second, chunks a second, and the gaps it leaves in the Qt loop."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from core.runtime import LambdaRuntime
from tests.benchmarks.functions import writer, writer_program
from tests.benchmarks.loops import LOOPS
from tests.benchmarks.report import Figure

__all__ = ["figures"]

_BIG = (65536, 2400)  # 157 MB: Lambda's streamed responses end at 200 MB
_SMALL = (1024, 60_000)
_TINY = (64, 60_000)
_ROUNDS = 3


def figures() -> list[Figure]:
    """Best of three rounds each; the writer alone against a bare socket says where the function is the limit."""
    found = []
    for size, count in (_BIG, _SMALL, _TINY):
        seconds = min(_writer_alone(size, count) for _ in range(_ROUNDS))
        found.append(_figure("the writer alone, bare socket", size, count, seconds, None))
    for loop, run in LOOPS.items():
        seconds_of, gap = run(lambda loop=loop: _facade(loop == "Qt loop"))  # type: ignore[misc]
        for (size, count), (seconds, chunks) in seconds_of.items():
            found.append(_figure(f"one stream, {loop}", size, chunks, seconds, (size, count)))
        if loop == "Qt loop":
            found.append(Figure("longest gap in the Qt loop while streaming", gap, "ms", at_most=100.0))
    return found


def _figure(what: str, size: int, chunks: int, seconds: float, asked: tuple[int, int] | None) -> Figure:
    note = "" if asked is None or asked[1] == chunks else f"read as {chunks:,} pieces of {asked[1]:,} written"
    if size >= 65536:
        written = asked[1] if asked else chunks
        return Figure(
            f"{what}, 64 KiB chunks",
            size * written / seconds / 1e6,
            "MB/s",
            at_least=200.0 if asked else None,
            note=note,
        )
    least = 30_000.0 if asked else None
    written = asked[1] if asked else chunks
    return Figure(f"{what}, chunks of {size:,} bytes", written / seconds, "chunks/s", at_least=least, note=note)


async def _facade(watch_gaps: bool) -> tuple[dict[tuple[int, int], tuple[float, int]], float]:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        root = Path(folder)
        async with LambdaRuntime.open(home=root / "home") as runtime:
            await runtime.add_function(writer(root))
            await runtime.launch("writer")
            best: dict[tuple[int, int], tuple[float, int]] = {}
            longest = 0.0
            for size, count in (_BIG, _SMALL, _TINY):
                for _ in range(_ROUNDS):
                    gaps = _Gaps() if watch_gaps else None
                    event = json.dumps({"size": size, "count": count}).encode()
                    started = time.perf_counter()
                    received = chunks = 0
                    invocation = await runtime.invoke_streaming("writer", event)
                    async for chunk in invocation:
                        received += len(chunk)
                        chunks += 1
                    seconds = time.perf_counter() - started
                    assert received == size * count, f"{received:,} of {size * count:,} bytes arrived"
                    if gaps is not None:
                        longest = max(longest, gaps.stop())
                    if (size, count) not in best or seconds < best[size, count][0]:
                        best[size, count] = (seconds, chunks)
            return best, longest


class _Gaps:
    """The longest time between two ticks of a 5 ms timer, as a person's click would have to wait."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self._last = time.perf_counter()
        self._longest = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def stop(self) -> float:
        """End the watch; returns milliseconds."""
        self._tick()
        self._timer.stop()
        return self._longest * 1000


def _writer_alone(size: int, count: int) -> float:
    """Seconds that the same writer takes against a socket that only reads, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, writer_program()],
            env={"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": address},
            stdin=subprocess.DEVNULL,
        )
        try:
            listener.settimeout(30)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(30)
                connection.recv(65536)
                event = json.dumps({"size": size, "count": count}).encode()
                head = f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: one\r\nContent-Length: {len(event)}\r\n\r\n"
                started = time.perf_counter()
                connection.sendall(head.encode() + event)
                view = memoryview(bytearray(1 << 20))
                tail = b""
                while not tail.endswith(b"\r\n0\r\n\r\n"):
                    read = connection.recv_into(view)
                    if read == 0:
                        raise ConnectionError("the writer went away")
                    tail = (tail + bytes(view[max(0, read - 16) : read]))[-16:]
                return time.perf_counter() - started
        finally:
            process.kill()
            process.wait()
