"""What earlier Stokers left on an engine: found, explained and removed, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import pytest_asyncio
from docker.types import Ulimit

from core.backends.base import StaleCandidate
from core.backends.container.labels import DEPLOY, FUNCTION, INSTANCE, OWNER
from core.owners import Owner, OwnerState, mark_owner_dead, owner_state
from core.runtime import LambdaRuntime
from tests.core.waiting import until
from tests.engines.base_image import image_names
from tests.engines.engine import EngineUnderTest
from tests.engines.trouble import EngineProxy, Request, contained, nothing_left, online, serves

ROOT = Path(__file__).parents[2]


class Others:
    """Containers that this test's Stoker did not make, under labels of the test's choice."""

    def __init__(self, engine: EngineUnderTest) -> None:
        self._client: Any = engine.client
        self.made: list[str] = []

    def make(self, labels: dict[str, str], state: str = "created") -> str:
        """One in this state; what it runs sleeps."""
        limits = [Ulimit(name="nofile", soft=1024, hard=1024), Ulimit(name="nproc", soft=1024, hard=1024)]
        container: str = self._client.create_container(
            image_names("provided.al2023")[0],
            entrypoint=["/bin/sh", "-c", "exit 3" if state == "exited" else "sleep 600"],
            labels=labels,
            host_config=self._client.create_host_config(ulimits=limits),
        )["Id"]
        self.made.append(container)
        if state != "created":
            self._client.start(container)
        if state == "exited":
            self._client.wait(container)
        if state == "paused":
            self._client.pause(container)
        return container

    def there(self) -> set[str]:
        """Those that are left."""
        found = {each["Id"] for each in self._client.containers(all=True)}
        return found & set(self.made)

    def remove(self) -> None:
        """All of them."""
        for container in self.there():
            self._client.remove_container(container, force=True)


def labels(owner: str, instance: str = "i-0001", function: str = "left") -> dict[str, str]:
    return {OWNER: owner, INSTANCE: instance, FUNCTION: function, DEPLOY: "d" * 64}


@pytest.fixture
def others(engine: EngineUnderTest) -> Iterator[Others]:
    made = Others(engine)
    yield made
    made.remove()


@pytest.fixture
def dead() -> str:
    """An owner that is known to have ended."""
    owner = Owner.acquire()
    owner.release(keep=True)
    return owner.id


@pytest.fixture
def living() -> Iterator[str]:
    owner = Owner.acquire()
    yield owner.id
    owner.release()


@pytest_asyncio.fixture
async def stoker(engine: EngineUnderTest, tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    async with nothing_left(engine), LambdaRuntime.open(home=tmp_path / "home", default_backend=engine.name) as opened:
        await online(opened, engine.name)
        yield opened


async def offered(runtime: LambdaRuntime, *owners: str) -> dict[str, StaleCandidate]:
    """What a dry run says of these owners' containers, by their ids."""
    found = await runtime.reap_stale(dry_run=True)
    return {each.id.partition(":")[2]: each for each in found if each.owner in owners}


STATES = ("created", "running", "paused", "exited")


async def test_a_dead_owners_go_in_whatever_state_and_nobody_elses(
    engine: EngineUnderTest, stoker: LambdaRuntime, others: Others, dead: str, living: str
) -> None:
    gone = {others.make(labels(dead, f"i-{state}"), state): state for state in STATES}
    alive = others.make(labels(living), "running")
    unknown = others.make(labels("o-nobody-knows"), "running")
    hostile = others.make(labels("../../etc/passwd"))
    recycled = others.make(labels(str(os.getpid())))
    foreign = [
        others.make({}),
        others.make({OWNER: dead}),
        others.make({INSTANCE: "i-0001"}),
        others.make({OWNER: "", INSTANCE: "i-0001"}),
        others.make({f"{OWNER}x": dead, f"{INSTANCE}x": "i-0001"}),
    ]
    told = await offered(stoker, dead, living, "o-nobody-knows", "../../etc/passwd", str(os.getpid()))
    assert set(told).isdisjoint(foreign)
    for container, state in gone.items():
        candidate = told[container]
        assert (candidate.reap, candidate.reason) == (True, "its Stoker has ended")
        assert (candidate.kind, candidate.function_name, candidate.backend) == ("container", "left", engine.name)
        assert state in candidate.what
        assert candidate.age is not None
    assert (told[alive].reap, told[alive].reason) == (False, "belongs to a running Stoker")
    assert (told[unknown].reap, told[unknown].reason) == (False, "owner unknown")
    assert not told[hostile].reap
    assert (told[recycled].reap, told[recycled].reason) == (False, "owner unknown"), "a PID proves nothing"
    assert others.there() == set(others.made), "a dry run removes nothing"

    await stoker.reap_stale()
    assert others.there() == {alive, unknown, hostile, recycled, *foreign}
    assert owner_state(dead) is OwnerState.UNKNOWN, "nothing of its is left, and so its lock file has gone"

    # by hand: an unknown one may go, a living one's never
    await stoker.reap_stale(only={f"{engine.name}:{each}" for each in (alive, unknown, *foreign)})
    assert others.there() == {alive, hostile, recycled, *foreign}


async def test_two_reap_at_the_same_time(
    engine: EngineUnderTest, stoker: LambdaRuntime, others: Others, dead: str, tmp_path: Path
) -> None:
    for number in range(4):
        others.make(labels(dead, f"i-{number}"), "running")
    async with LambdaRuntime.open(home=tmp_path / "second") as second:
        await online(second, engine.name)
        both = await asyncio.gather(stoker.reap_stale(), second.reap_stale())
    for found in both:
        assert not [each.reason for each in found if each.owner == dead and "still there" in each.reason]
    assert others.there() == set()


async def test_one_that_cannot_be_removed_keeps_no_other(
    engine: EngineUnderTest,
    others: Others,
    dead: str,
    short_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, *rest = [others.make(labels(dead, f"i-{number}"), "running") for number in range(3)]
    proxy = EngineProxy(short_path / "p.sock", engine.url)
    monkeypatch.setenv("DOCKER_HOST" if engine.name == "docker" else "CONTAINER_HOST", proxy.url)

    async def fails(request: Request) -> bool:
        request.answer(500, "the disk is on fire")
        return False

    await proxy.start()
    async with LambdaRuntime.open(home=tmp_path / "home") as stoker:
        await online(stoker, engine.name)
        proxy.when(f"DELETE .*{kept}", fails)
        found = {each.id.partition(":")[2]: each.reason for each in await stoker.reap_stale()}
        assert found[kept] == "its Stoker has ended; it is still there: the disk is on fire"
        assert [found[each] for each in rest] == ["its Stoker has ended"] * 2
        assert others.there() == {kept}
        assert owner_state(dead) is OwnerState.DEAD, "something of its is left"
        proxy.when(r"GET .*/containers/json", fails)
        assert [each for each in await stoker.reap_stale(dry_run=True) if each.backend == engine.name] == []
        proxy.forget()
        await stoker.reap_stale()
        assert others.there() == set()
    await proxy.stop()


@contextmanager
def another(
    home: Path, folder: Path, engine: EngineUnderTest, count: int, point: str = ""
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A second Stoker, and its owner's id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.stoker_to_kill", str(home), str(folder), engine.name, str(count), point],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, json.loads(line_of(process))["owner"]
    finally:
        if process.poll() is None:
            _of(process.stdin).write("\n")
            _of(process.stdin).flush()
        process.wait(60)
        _of(process.stdout).close()
        _of(process.stdin).close()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    return _of(process.stdout).readline()


def _of(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


async def test_killed_with_containers_running_the_next_start_reaps_exactly_them(
    engine: EngineUnderTest, others: Others, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    foreign = others.make({}, "running")
    with (
        another(tmp_path / "beside", tmp_path / "f1", engine, 1) as (beside, its),
        another(home, tmp_path / "f2", engine, 2) as (process, owner),
    ):
        containers = set(json.loads(line_of(process)))
        assert json.loads(line_of(beside))
        assert engine.containers(owner) == containers
        for container in containers:
            told = engine.inspect(container)
            words = json.dumps([told["Name"], told["Config"]["Labels"], told["Config"].get("Cmd"), told["Args"]])
            assert "correct-horse-battery" not in words
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        async with LambdaRuntime.open(home=home, default_backend=engine.name) as stoker:
            found = await offered(stoker, owner, its)
            assert {key for key, each in found.items() if each.reap} == containers
            assert all(each.reason == "its Stoker has ended" for each in found.values() if each.reap)
            kept = engine.containers(its)
            await stoker.reap_stale()
            assert engine.containers(owner) == set()
            assert engine.containers(its) == kept
            assert foreign in others.there()
            assert await offered(stoker, owner) == {}
            await stoker.add_function(contained(tmp_path, "fresh"))
            await serves(stoker, "fresh")
    assert engine.containers(its) == set()


@pytest.mark.parametrize(("point", "containers"), [("row", 0), ("create", 1), ("start", 1)])
async def test_killed_at_each_point_of_a_launch(
    engine: EngineUnderTest, tmp_path: Path, point: str, containers: int
) -> None:
    home = tmp_path / "home"
    with another(home, tmp_path / "f", engine, 1, point) as (process, owner):
        assert process.wait(60) == -signal.SIGKILL
    left = engine.containers(owner)
    assert len(left) == containers
    async with LambdaRuntime.open(home=home) as stoker:
        rows = await stoker.journal.instances_of_dead([owner])
        assert [(each.function_name, each.backend) for each in rows] == [("scripted", engine.name)], "written before"
        found = await offered(stoker, owner)
        assert {key for key, each in found.items() if each.reap} == left
        await stoker.reap_stale()
        assert engine.containers(owner) == set()
        assert await offered(stoker, owner) == {}


async def test_an_owner_of_before_a_reboot_is_known_by_its_home(
    engine: EngineUnderTest, others: Others, tmp_path: Path, stoker: LambdaRuntime
) -> None:
    owner = Owner.acquire()
    owner.release()  # its lock file has gone, as with a reboot
    container = others.make(labels(owner.id), "exited")
    assert not (await offered(stoker, owner.id))[container].reap
    mark_owner_dead(owner.id)
    assert (await offered(stoker, owner.id))[container].reap
    await stoker.reap_stale()
    await until(stoker, lambda: others.there() == set())
