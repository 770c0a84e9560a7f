"""The window by itself: from start to its first picture, memory and processor use when nothing happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.benchmarks.report import Figure, percentile

__all__ = ["figures"]

_STARTS = 5
_SETTLE = 5.0
_IDLE = 20.0


def figures() -> list[Figure]:
    """Off screen, so without the work of a display server; a home with the samples in it."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        home = Path(folder) / "home"
        first, _ = _start(home, idle=0.0)
        starts = [_start(home, idle=0.0)[0] for _ in range(_STARTS)]
        _, (resident, busy) = _start(home, idle=_IDLE)
    return [
        Figure(
            "window up, first start (installs the samples)",
            first,
            "s",
            note="from the start of the process to its first paint",
        ),
        Figure(f"window up, median of {_STARTS}", percentile(starts, 0.5), "s", at_most=1.0),
        Figure("resident memory, idle window", resident, "MB", at_most=200.0, note="Stoker's own process"),
        Figure(f"processor use, idle for {_IDLE:.0f} s", busy, "%", at_most=1.0, note="of one core"),
    ]


def _start(home: Path, idle: float) -> tuple[float, tuple[float, float]]:
    """Start it, wait for its first paint, watch it for `idle` seconds, end it."""
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.window_child", "--home", home],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            if not line.startswith("painted "):
                raise RuntimeError(f"the window did not come up: {line!r}, exit {child.wait(10)}")
            up = float(line.split()[1]) - started
            return up, _watch(child.pid, idle)
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


def _watch(pid: int, seconds: float) -> tuple[float, float]:
    if not seconds:
        return 0.0, 0.0
    process = psutil.Process(pid)
    time.sleep(_SETTLE)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return process.memory_info().rss / 1e6, max(0.0, used) / seconds * 100
