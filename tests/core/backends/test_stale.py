"""What a Stoker that was killed leaves: ended by its guard, found and removed by the next one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.backends.process import ProcessBackend
from core.backends.scratch import InstanceDirectory, InstanceRecord
from core.local_emulators import LocalEmulators
from core.owners import Owner
from tests.core.backends.support import alive, eventually, with_environment

REPOSITORY = Path(__file__).parents[3]


@dataclass
class Player:
    process: asyncio.subprocess.Process
    owner: str
    pids: list[int]
    tokens: list[str]

    def processes(self) -> list[int]:
        return [pid for token in self.tokens for pid in with_environment(token)]


async def play(home: Path) -> Player:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.core.backends.play_stoker",
        str(home),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    said = json.loads(line)
    return Player(
        process,
        said["owner"],
        [each["pid"] for each in said["instances"]],
        [each["token"] for each in said["instances"]],
    )


async def end(player: Player) -> None:
    if player.process.returncode is None:
        player.process.kill()
        await player.process.wait()
    await eventually(lambda: player.processes() == [])


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[ProcessBackend]:
    owner = Owner.acquire()
    made = ProcessBackend(tmp_path / "home", owner.id, local=LocalEmulators())
    await made.start()
    yield made
    await made.aclose()
    owner.release()


def directories(home: Path) -> list[Path]:
    return sorted(path for path in (home / "instances").glob("*/*") if path.is_dir())


async def test_kill_9_leaves_no_process_and_the_next_stoker_removes_the_rest(
    tmp_path: Path, backend: ProcessBackend
) -> None:
    home = tmp_path / "home"
    victim, neighbour = await play(home), await play(home)
    # four leaders, and the children of the two custom runtimes that left their sessions
    assert len(victim.processes()) == 6
    victim.process.send_signal(signal.SIGKILL)
    await victim.process.wait()
    await eventually(lambda: victim.processes() == [])
    assert len(neighbour.processes()) == 6
    assert len(directories(home)) == 8

    candidates = {each.id: each for each in await backend.reap_stale(dry_run=True)}
    assert len(candidates) == 8
    of_victim = [each for each in candidates.values() if each.owner == victim.owner]
    assert all(each.reap and each.reason == "its Stoker has ended" for each in of_victim)
    others = [each for each in candidates.values() if each.owner == neighbour.owner]
    assert all(not each.reap and each.reason == "belongs to a running Stoker" for each in others)
    assert {each.kind for each in others} == {"process"}
    assert len(directories(home)) == 8

    # what is alive is never taken, not even by name
    await backend.reap_stale(only=[each.id for each in others])
    assert len(neighbour.processes()) == 6
    await backend.reap_stale()
    assert {path.parent.name for path in directories(home)} == {neighbour.owner}
    assert not (home / "instances" / victim.owner).exists()
    assert len(neighbour.processes()) == 6
    await end(neighbour)


async def test_where_the_guard_was_killed_too_the_reap_ends_the_processes(
    tmp_path: Path, backend: ProcessBackend
) -> None:
    victim = await play(tmp_path / "home")
    [guard] = [pid for pid in children_of(victim.process.pid) if "guard.py" in command_of(pid)]
    # stopped, so that it neither dies first (it would be replaced) nor acts
    os.kill(guard, signal.SIGSTOP)
    victim.process.kill()
    await victim.process.wait()
    os.kill(guard, signal.SIGKILL)
    await eventually(lambda: not alive(guard))
    left = victim.processes()
    assert len(left) >= 4
    [one, *_] = [each for each in await backend.reap_stale(dry_run=True) if each.kind == "process"]
    await backend.reap_stale(only=[one.id])
    assert len(directories(tmp_path / "home")) == 3
    await backend.reap_stale()
    assert victim.processes() == []
    assert directories(tmp_path / "home") == []


async def test_an_unknown_owner_is_shown_and_left_unless_it_is_asked_for(
    tmp_path: Path, backend: ProcessBackend
) -> None:
    instances = tmp_path / "home" / "instances"
    record = InstanceRecord("owner-of-elsewhere", "i-1", "f", "a" * 32)
    InstanceDirectory(instances, record).create()
    [candidate] = await backend.reap_stale()
    assert (candidate.reap, candidate.reason, candidate.function_name) == (False, "owner unknown", "f")
    assert directories(tmp_path / "home") != []
    await backend.reap_stale(only=[candidate.id])
    assert directories(tmp_path / "home") == []


async def test_a_record_cannot_name_processes_that_are_not_its_own(tmp_path: Path, backend: ProcessBackend) -> None:
    instances = tmp_path / "home" / "instances"
    sleeper = await asyncio.create_subprocess_exec("/bin/sleep", "600", start_new_session=True)
    written: dict[str, dict[str, object] | None] = {
        "recycled": {"token": "b" * 32, "pid": sleeper.pid, "started": "1"},
        "unstarted": {"token": "c" * 32, "pid": sleeper.pid},
        "short": {"token": "PATH"},
        "broken": None,
    }
    for name, fields in written.items():
        directory = InstanceDirectory(instances, InstanceRecord("gone", f"i-{name}", "f", "d" * 32))
        directory.create()
        record = directory.path / "instance.json"
        record.write_text("{" if fields is None else json.dumps({**json.loads(record.read_text()), **fields}))
    candidates = await backend.reap_stale(dry_run=True)
    assert {each.kind for each in candidates} == {"directory"}
    await backend.reap_stale(only=[each.id for each in candidates])
    assert directories(tmp_path / "home") == []
    assert alive(sleeper.pid)
    sleeper.kill()
    await sleeper.wait()


async def test_ones_own_instances_are_no_candidates(tmp_path: Path, backend: ProcessBackend) -> None:
    own = backend._owner_id
    InstanceDirectory(tmp_path / "home" / "instances", InstanceRecord(own, "i-1", "f", "e" * 32)).create()
    assert await backend.reap_stale() == []
    assert len(directories(tmp_path / "home")) == 1


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
