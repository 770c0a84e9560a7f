"""An engine's daemon that stops, is killed, starts late or anew, in the middle of what Stoker does with it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker import APIClient

from core.errors import BackendUnavailableError
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.waiting import until
from tests.engines.base_image import import_image
from tests.engines.engine import EngineUnderTest
from tests.engines.private_docker import DockerDaemon, private_docker
from tests.engines.private_podman import PodmanService, private_podman
from tests.engines.trouble import busy, contained, gone, nothing_left, online, serves, until_removed

pytestmark = pytest.mark.usefixtures("may_start_daemons")

Daemon = DockerDaemon | PodmanService


@dataclass(frozen=True)
class Case:
    """A daemon, and whether its containers outlive its stop, and its crash."""

    engine: EngineUnderTest
    daemon: Daemon
    outlive_stop: bool
    outlive_kill: bool


@pytest.fixture(scope="module", params=["docker", "docker with live-restore", "podman"])
def case(request: pytest.FixtureRequest, may_start_daemons: None) -> Iterator[Case]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stk-", ignore_cleanup_errors=True)))
        live = "live" in request.param
        daemon: Daemon
        if request.param == "podman":
            daemon = stack.enter_context(private_podman(folder / "p"))
            command: tuple[str, ...] = ("podman", "--url", daemon.url)
        else:
            options = ["--live-restore"] if live else []
            daemon = stack.enter_context(private_docker(folder / "d", options=options))
            command = daemon.command
        import_image(command, "provided.al2023")
        engine = EngineUnderTest(request.param.split()[0], daemon.url, APIClient(base_url=daemon.url, version="1.41"))
        stack.callback(engine.close)
        survives = live or request.param == "podman"
        # Docker without live-restore ends at its next start what a crash of its left
        yield Case(engine, daemon, outlive_stop=survives, outlive_kill=survives)


@pytest.fixture(autouse=True)
def found_by_environment(case: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DOCKER_HOST" if case.engine.name == "docker" else "CONTAINER_HOST", case.engine.url)
    case.daemon.start()
    yield
    case.daemon.start()


@asynccontextmanager
async def stoker(case: Case, folder: Path) -> AsyncIterator[LambdaRuntime]:
    """A Stoker that leaves nothing, and whose next invocation works."""
    name = case.engine.name
    async with nothing_left(case.engine):
        async with LambdaRuntime.open(home=folder / "home", default_backend=name) as runtime:
            await runtime.add_function(contained(folder, timeout=600))
            yield runtime
            await online(runtime, name)
            await serves(runtime)
        assert case.engine.containers() == set()


def _stop(daemon: Daemon) -> None:
    daemon.stop()


def _kill(daemon: Daemon) -> None:
    daemon.kill()


without_live_restore = pytest.mark.parametrize("case", ["docker", "podman"], indirect=True)
ends = pytest.mark.parametrize("end", [_stop, _kill], ids=["stopped", "killed"])


@ends
async def test_in_the_middle_of_an_invocation(case: Case, tmp_path: Path, end: Callable[[Daemon], None]) -> None:
    name = case.engine.name
    async with stoker(case, tmp_path) as runtime:
        await online(runtime, name)
        invocation = await busy(runtime)
        (before,) = runtime.instances()
        await asyncio.to_thread(end, case.daemon)
        await until(runtime, lambda: not runtime.backends()[name].online)
        with pytest.raises(BackendUnavailableError, match=f"backend {name}: "):
            await runtime.invoke("scripted", b"{}")
        await asyncio.to_thread(case.daemon.start)
        await online(runtime, name)
        if case.outlive_stop if end is _stop else case.outlive_kill:
            assert [(each.id, each.state) for each in runtime.instances()] == [(before.id, InstanceState.BUSY)]
            await invocation.cancel()
        else:
            assert await invocation.next_chunk() is None
            assert invocation.result.instance_id == before.id
            assert (invocation.result.function_error, invocation.result.received) == ("Unhandled", len(b"arrived"))
            # what comes first: the end of the connection, or word of the container's end
            assert invocation.result.error_type in {"Runtime.ExitError", "Runtime.TruncatedResponse"}
        await gone(runtime, before.id)


@without_live_restore
@ends
async def test_with_warm_ones_that_are_ended_meanwhile(
    case: Case, tmp_path: Path, end: Callable[[Daemon], None]
) -> None:
    async with stoker(case, tmp_path) as runtime:
        await online(runtime, case.engine.name)
        await runtime.launch("scripted", 2)
        containers = case.engine.containers()
        await asyncio.to_thread(end, case.daemon)
        await runtime.evict("scripted")
        assert runtime.instances() == []
        await asyncio.to_thread(case.daemon.start)
        await online(runtime, case.engine.name)
        await until_removed(case.engine, containers)


@without_live_restore
async def test_restarted_while_many_start(case: Case, tmp_path: Path) -> None:
    async with stoker(case, tmp_path) as runtime:
        await online(runtime, case.engine.name)
        launching = asyncio.ensure_future(runtime.launch("scripted", 4))
        await until(runtime, lambda: any(each.phases for each in runtime.instances()))
        await asyncio.to_thread(case.daemon.kill)
        await asyncio.gather(launching, return_exceptions=True)
        await asyncio.to_thread(case.daemon.start)
        await online(runtime, case.engine.name)
        await until(runtime, lambda: all(each.state is InstanceState.IDLE for each in runtime.instances()))
        await serves(runtime)
        await runtime.evict("scripted")
        await until_removed(case.engine, case.engine.containers())


@without_live_restore
async def test_one_that_starts_after_stoker(case: Case, tmp_path: Path) -> None:
    name = case.engine.name
    await asyncio.to_thread(case.daemon.stop)
    case.daemon.socket.unlink(missing_ok=True)
    async with LambdaRuntime.open(home=tmp_path / "home", default_backend=name) as runtime:
        await runtime.add_function(contained(tmp_path))
        with pytest.raises(BackendUnavailableError, match=f"backend {name}: nothing is at unix://"):
            await runtime.invoke("scripted", b"{}")
        assert await runtime.reap_stale(dry_run=True) == []
        await asyncio.to_thread(case.daemon.start)
        await online(runtime, name)
        assert runtime.backends()[name].detail.lower().startswith(name)
        await serves(runtime)
    assert case.engine.containers() == set()
