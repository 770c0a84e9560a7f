"""Ends what Stoker started when Stoker is gone: a program of its own, on the standard library alone.

Run as `python -I -S guard.py` with a pipe for standard input, whose other end only Stoker holds.
Each line is `+ PID STARTED TOKEN` for a process group to guard or `- TOKEN` for one that is over.
When the pipe closes, for whatever reason, every guarded tree is killed.

The functions that find and kill a tree are used by Stoker itself too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Process", "Target", "find_members", "has_proc", "kill_group", "kill_process", "kill_trees", "started_at"]

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()
_ROUNDS = 100
_PAUSE = 0.02


class Target(NamedTuple):
    """A tree to find: its leader, when that started (as `started_at` says), and its token.

    `known` are processes that were seen in it, as pid and start.
    """

    pid: int
    started: str
    token: str
    known: tuple[tuple[int, str], ...] = ()


class Process(NamedTuple):
    """One process found in /proc. `started` tells it from a later one with the same pid."""

    pid: int
    parent: int
    group: int
    session: int
    started: str
    state: str


def _read_stat(pid: int | str) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return None
    # the command's name may hold anything, so count from its closing parenthesis
    fields = data[data.rfind(b")") + 2 :].split()
    return Process(int(pid), int(fields[1]), int(fields[2]), int(fields[3]), fields[19].decode(), fields[0].decode())


def has_proc() -> bool:
    """Whether this system tells of its processes under /proc."""
    return _HAS_PROC


def started_at(pid: int) -> str:
    """When process `pid` started, in the kernel's own words; "" if it is gone or cannot be told."""
    process = _read_stat(pid) if _HAS_PROC else None
    return process.started if process is not None else ""


def _token_in(pid: int, tokens: dict[bytes, int]) -> int | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return None
    for token, index in tokens.items():
        if token in environment:
            return index
    return None


def find_members(targets: Iterable[Target]) -> dict[int, list[Process]]:
    """The living processes of every target, by the target's index.

    A process belongs to a tree by its group or session (while the leader is proven to be the same
    process), by descent, or by the token in its environment, which a `setsid` does not shake off.
    """
    wanted = list(targets)
    found: dict[int, list[Process]] = {index: [] for index in range(len(wanted))}
    if not _HAS_PROC or not wanted:
        return found
    processes = {}
    for name in os.listdir(_PROC):  # noqa: PTH208 - hundreds of names, many times
        if name.isdigit() and (process := _read_stat(name)) is not None:
            processes[process.pid] = process
    leaders = {
        target.pid: index
        for index, target in enumerate(wanted)
        if target.started and target.pid in processes and processes[target.pid].started == target.started
    }
    known = {each: index for index, target in enumerate(wanted) for each in target.known}
    tokens = {target.token.encode(): index for index, target in enumerate(wanted) if target.token}
    owner: dict[int, int] = {}
    own_pid = os.getpid()
    for pid, process in processes.items():
        index = leaders.get(process.group, leaders.get(process.session))
        if index is None:
            index = known.get((pid, process.started))
        if index is None and process.state not in "ZX" and pid != own_pid:
            index = _token_in(pid, tokens)
        if index is not None:
            owner[pid] = index
    growing = True
    while growing:
        growing = False
        for pid, process in processes.items():
            if pid not in owner and process.parent in owner:
                owner[pid] = owner[process.parent]
                growing = True
    for pid, index in owner.items():
        if pid != own_pid and processes[pid].state not in "ZX":
            found[index].append(processes[pid])
    return found


def kill_process(process: Process, number: int = signal.SIGKILL) -> bool:
    """Signal exactly this process, never a later one with its pid; whether it was there."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except AttributeError:
        descriptor = -1
    except OSError:
        return False
    try:
        if started_at(process.pid) != process.started:
            return False
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, number)
        else:
            os.kill(process.pid, number)
    except OSError:
        return False
    else:
        return True
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def kill_group(target: Target, number: int = signal.SIGKILL) -> None:
    """Signal the target's process group, if its leader is still the process we started."""
    if _HAS_PROC and (not target.started or started_at(target.pid) != target.started):
        return
    with contextlib.suppress(OSError):
        os.killpg(target.pid, number)


def kill_trees(targets: Iterable[Target], rounds: int = _ROUNDS) -> int:
    """Kill everything that belongs to `targets`, again until nothing is found; returns what is left.

    Blocks: for the guard, and for threads. A tree that goes on forking is killed round by round.
    """
    wanted = list(targets)
    killed: set[Process] = set()
    for attempt in range(rounds):
        # found before the leader dies: its orphans could not be told by their descent
        members = {process for group in find_members(wanted).values() for process in group}
        if attempt == 0:
            for target in wanted:
                kill_group(target)
        for process in members:
            kill_process(process)
        killed |= members
        # a signal takes a moment to end a process
        killed = {process for process in killed if _lives(process)}
        if not members and not killed:
            return 0
        time.sleep(0 if attempt == 0 else _PAUSE)
    return len(killed)


def _lives(process: Process) -> bool:
    now = _read_stat(process.pid)
    return now is not None and now.started == process.started and now.state not in "ZX"


def _serve() -> None:
    guarded: dict[str, Target] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        words = line.decode("ascii", "replace").split()
        if len(words) == 4 and words[0] == "+":
            guarded[words[3]] = Target(int(words[1]), words[2].strip("-"), words[3])
        elif len(words) == 2 and words[0] == "-":
            guarded.pop(words[1], None)
    kill_trees(guarded.values())


if __name__ == "__main__":
    _serve()
