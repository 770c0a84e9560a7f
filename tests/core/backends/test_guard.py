"""The guard process and what it shares with Stoker: finding and ending trees."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.backends.guard import Target, find_members, kill_group, kill_trees, started_at
from core.backends.guarding import Guard
from tests.core.backends.support import alive, eventually, with_environment

STRAY = """
import os, sys, time
if os.fork():
    time.sleep(600)
os.setsid()
if os.fork():
    os._exit(0)
time.sleep(600)
"""


@pytest.fixture
def token() -> Iterator[str]:
    made = secrets.token_hex(16)
    yield made
    for pid in with_environment(made):
        os.kill(pid, signal.SIGKILL)


def start(token: str, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command or ("/bin/sleep", "600"), env={"T": f"x]{token}"}, stdin=subprocess.DEVNULL, start_new_session=True
    )


def target_of(process: subprocess.Popen[bytes], token: str) -> Target:
    return Target(process.pid, started_at(process.pid), token)


async def test_when_stoker_goes_the_guard_kills_what_it_was_told_of_even_what_escaped_by_setsid(token: str) -> None:
    process = start(token, sys.executable, "-c", STRAY)
    await eventually(lambda: len(with_environment(token)) >= 2)
    other = start("0" * 32)
    guard = Guard()
    try:
        guard.start()
        guard.add(target_of(process, token))
        guard.close()
        await eventually(lambda: not with_environment(token))
        assert alive(other.pid)
    finally:
        process.kill()
        process.wait()
        other.kill()
        other.wait()


async def test_a_tree_that_was_taken_out_is_left_alone(token: str) -> None:
    process = start(token)
    guard = Guard()
    guard.start()
    guard.add(target_of(process, token))
    guard.remove(token)
    guard.close()
    assert alive(process.pid)
    process.kill()
    process.wait()


async def test_a_guard_that_dies_is_replaced_and_the_new_one_knows_every_tree(token: str) -> None:
    process = start(token)
    guard = Guard()
    guard.start()
    first = guard.pid
    assert first is not None
    guard.add(target_of(process, token))
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: guard.pid not in (None, first))
    assert alive(process.pid)
    guard.close()
    await asyncio.to_thread(process.wait, 10)
    assert process.returncode == -signal.SIGKILL


async def test_a_guard_is_not_stopped_by_a_terminal_or_a_logout(token: str) -> None:
    process = start(token)
    guard = Guard()
    guard.start()
    guard.add(target_of(process, token))
    pid = guard.pid
    assert pid is not None
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # each: under nohup it would inherit one of them
    await eventually(lambda: all(_ignores(pid, number) for number in numbers))
    for number in numbers:
        os.kill(pid, number)
    assert alive(pid)
    guard.close()
    await asyncio.to_thread(process.wait, 10)


def _ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


async def test_no_child_inherits_the_pipe_that_keeps_the_guard_waiting() -> None:
    guard = Guard()
    guard.start()
    pid = guard.pid
    assert pid is not None
    process = await asyncio.to_thread(lambda: subprocess.Popen(["/bin/sleep", "600"], close_fds=False))
    try:
        guard.close()
        assert not alive(pid)
    finally:
        process.kill()
        process.wait()


def test_a_recycled_pid_is_never_hit(token: str) -> None:
    process = start(secrets.token_hex(16))
    stale = Target(process.pid, str(int(started_at(process.pid)) - 1), token)
    kill_group(stale)
    assert kill_trees([stale]) == 0
    assert alive(process.pid)
    process.kill()
    process.wait()


def test_members_are_found_by_group_by_descent_and_by_token(token: str) -> None:
    process = start(token, "/bin/sh", "-c", "env -i /bin/sleep 600 & env -i setsid /bin/sleep 600 & wait")
    other = start(secrets.token_hex(16))
    target = target_of(process, token)
    asyncio.run(eventually(lambda: len(find_members([target])[0]) == 3 and _named(target, "sleep") == 2))
    found = find_members([target])[0]
    assert process.pid in {each.pid for each in found}
    assert len(found) == 3
    assert other.pid not in {each.pid for each in found}
    assert kill_trees([target]) == 0
    process.wait()
    assert all(not alive(each.pid) for each in found)
    assert alive(other.pid)
    other.kill()
    other.wait()


def _named(target: Target, name: str) -> int:
    names = [Path(f"/proc/{each.pid}/comm") for each in find_members([target])[0]]
    return sum(path.exists() and path.read_text().strip() == name for path in names)


def test_many_trees_are_told_apart_in_one_pass() -> None:
    tokens = [secrets.token_hex(16) for _ in range(3)]
    processes = [start(token) for token in tokens]
    targets = [target_of(process, token) for process, token in zip(processes, tokens, strict=True)]
    found = find_members(targets)
    assert [[each.pid for each in found[index]] for index in range(3)] == [[p.pid] for p in processes]
    kill_trees(targets)
    assert [process.wait() for process in processes] == [-signal.SIGKILL] * 3
