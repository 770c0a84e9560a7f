"""`kill -9` of Stoker: its runtimes end, the next start clears what is left, and nobody else's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from core.runtime import LambdaRuntime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.backends.base import StaleCandidate

ROOT = Path(__file__).parents[2]


@contextmanager
def stoker(home: Path, folder: Path, idle: int, busy: int) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A Stoker in a process of its own, with its instances up."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.core.stoker_to_kill", str(home), str(folder), str(idle), str(busy)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, json.loads(_stream(process.stdout).readline())
    finally:
        if process.poll() is None:
            _stream(process.stdin).write("\n")
            _stream(process.stdin).close()
            process.wait(60)
        _stream(process.stdout).close()
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            pass
    return found


def tree(pids: list[int]) -> list[int]:
    return sorted({p.pid for pid in pids for p in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))})


async def stale(runtime: LambdaRuntime) -> list[StaleCandidate]:
    """What may be reaped here: other Stokers' containers, on an engine that all share, are not this test's."""
    return [each for each in await runtime.reap_stale(dry_run=True) if each.backend == "process"]


async def test_ten_warm_instances_end_with_a_killed_stoker_and_the_next_start_clears_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with stoker(home, tmp_path / "functions", idle=6, busy=4) as (process, facts):
        pids = tree(facts["pids"])
        assert len(facts["pids"]) == 10
        assert len(pids) >= 14, "the busy ones left a child each"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        psutil.wait_procs([psutil.Process(pid) for pid in alive(pids)], timeout=10)
        assert alive(pids) == []
    assert len(list((home / "instances").glob(f"{facts['owner']}/*/"))) == 10
    async with LambdaRuntime.open(home=home) as runtime:
        candidates = await stale(runtime)
        assert len(candidates) >= 10
        assert all(c.reap and c.owner == facts["owner"] for c in candidates)
        assert len(list((home / "instances").glob(f"{facts['owner']}/*/"))) == 10, "a dry run removes nothing"
        await runtime.reap_stale()
        assert not (home / "instances" / facts["owner"]).exists()
        assert await stale(runtime) == []


async def test_another_living_stoker_keeps_its_instances(tmp_path: Path) -> None:
    with stoker(tmp_path / "one", tmp_path / "f1", idle=2, busy=1) as (_, facts):
        with stoker(tmp_path / "two", tmp_path / "f2", idle=1, busy=1) as (victim, _):
            victim.send_signal(signal.SIGKILL)
            victim.wait(10)
        async with LambdaRuntime.open(home=tmp_path / "two") as runtime:
            reaped = await runtime.reap_stale()
            assert facts["owner"] not in {c.owner for c in reaped if c.reap}
            assert await stale(runtime) == []
        assert alive(facts["pids"]) == facts["pids"]
        assert len(list((tmp_path / "one" / "instances").glob(f"{facts['owner']}/*/"))) == 3
    assert alive(facts["pids"]) == []
