"""A process tree's memory as /proc tells it, and the descriptors that this takes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.backends.leader import LeaderFiles
from core.backends.memory import TreeMemory

MB = 1024 * 1024

# does what each line of its standard input says, and answers with a line
SERVANT = """
import subprocess, sys
kept = children = None
for line in sys.stdin:
    exec(line)
    print(flush=True)
"""
CHILD = f"children = subprocess.Popen([{sys.executable!r}, '-S', '-c', 'x = bytearray(60 << 20); print(); input()'], "
CHILD += "stdin=subprocess.PIPE, stdout=subprocess.PIPE); children.stdout.readline()"


class Servant:
    """A process that grows, shrinks and starts children when it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", SERVANT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.does("pass")

    def does(self, line: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "\n"

    def end(self, *, reap: bool = True) -> None:
        self._process.kill()
        if reap:
            self._process.communicate()
        else:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def servant() -> Iterator[Servant]:
    servant = Servant()
    yield servant
    servant.end()


@pytest.fixture
def memory(servant: Servant) -> Iterator[TreeMemory]:
    memory = TreeMemory(servant.pid)
    memory.open()
    yield memory
    memory.close()


@contextmanager
def descriptors(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def held(pid: int) -> list[str]:
    """The files of this process that are open here."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except OSError:
            continue
    return sorted(each.partition(f"/proc/{pid}/")[2] for each in found if f"/proc/{pid}/" in each)


def test_what_it_used_at_its_highest_is_told_after_it_has_shrunk(servant: Servant, memory: TreeMemory) -> None:
    for thorough in (True, False, False):
        memory.sample(thorough=thorough)
    assert memory.peak < 60 * MB
    servant.does("kept = bytearray(100 << 20)")
    assert 100 * MB < memory.sample(thorough=False) < 160 * MB
    servant.does("kept = None")
    servant.does("kept = bytearray(200 << 20); kept = None")
    assert memory.sample(thorough=False) < 60 * MB
    assert 200 * MB < memory.peak < 260 * MB


def test_a_child_that_comes_between_two_samples_is_counted_and_one_that_went_is_not(
    servant: Servant, memory: TreeMemory
) -> None:
    for _ in range(3):
        assert memory.sample(thorough=False) < 60 * MB
    servant.does(CHILD)
    both = memory.sample(thorough=False)
    assert 60 * MB < both <= memory.peak
    assert len(memory.processes()) == 2
    servant.does("children.communicate()")
    assert memory.sample(thorough=False) < 60 * MB
    assert [pid for pid, _ in memory.processes()] == [servant.pid]
    assert memory.peak >= both


def test_two_files_are_held_open_from_open_to_close_and_none_before_or_afterwards(servant: Servant) -> None:
    memory = TreeMemory(servant.pid)
    memory.sample()
    memory.sample(thorough=False)
    assert held(servant.pid) == []
    for _ in range(2):
        memory.open()
        memory.sample(thorough=False)
        assert held(servant.pid) == ["status", f"task/{servant.pid}/children"]
    peak = memory.peak
    for _ in range(2):
        memory.close()
        memory.open()
        assert held(servant.pid) == []
    assert memory.sample(thorough=False) > 0
    assert memory.peak >= peak


def test_a_zombie_uses_nothing_and_stays_known_until_it_is_reaped(servant: Servant, memory: TreeMemory) -> None:
    for _ in range(2):
        memory.sample(thorough=False)
    peak, known = memory.peak, memory.processes()
    servant.end(reap=False)
    assert memory.sample(thorough=False) == 0
    assert memory.processes() == known
    servant.end()
    assert memory.sample(thorough=False) == 0
    assert memory.processes() == ()
    assert memory.peak == peak


def test_what_is_held_open_tells_nothing_of_a_process_that_ended() -> None:
    servant = Servant()
    files = LeaderFiles.open(servant.pid)
    assert files is not None
    assert files.alone() is not None
    servant.end()
    assert files.alone() is None
    files.close()
    assert LeaderFiles.open(servant.pid) is None


def test_none_are_held_where_half_of_all_descriptors_are_in_use(servant: Servant) -> None:
    memory = TreeMemory(servant.pid)
    lowest = os.dup(0)
    os.close(lowest)
    with descriptors(2 * lowest):
        memory.open()
        for _ in range(2):
            assert memory.sample(thorough=False) > MB
        assert held(servant.pid) == []
    assert len(memory.processes()) == 1


def test_without_any_descriptor_what_was_seen_last_stands(servant: Servant, memory: TreeMemory) -> None:
    memory.close()
    current = memory.sample()
    known = memory.processes()
    lowest = os.dup(0)
    os.close(lowest)
    with descriptors(lowest):
        assert memory.sample(thorough=False) == current
        assert memory.sample() == current
    assert memory.processes() == known
    servant.does("kept = bytearray(100 << 20)")
    assert memory.sample(thorough=False) > 100 * MB
