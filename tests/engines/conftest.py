"""Real engines for tests: those that this machine runs, found as Stoker finds them.

A test that takes `engine` runs once on Docker and once on Podman; one that takes `backend`, or a `bench` on it, also
on processes. Where an engine does not answer, or has no base image, it is skipped with the reason;
`python -m tests.engines.daemons DIR` starts both, and `python -m tests.engines.base_image docker` makes the images.

A test that starts a daemon of its own takes `may_start_daemons`: it needs root, the programs, and the word of whoever
runs it, which is `STOKER_TEST_DAEMONS=1`. All these tests are marked `engines`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.runtime import LambdaRuntime
from tests.core.waiting import until
from tests.engines.conformance import BACKENDS, BackendUnderTest, Bench
from tests.engines.engine import ENGINES, EngineUnderTest, Unavailable, find_engine
from tests.engines.local_registry import PROGRAM, LocalRegistry, local_registry

_PATIENCE = 10.0  # seconds
_MARKING = {"found_engines", "started_registry", "may_start_daemons"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes an engine, by whatever way; a test that is about all backends runs on processes without one."""
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if _MARKING & set(getattr(item, "fixturenames", ())) and parameters.get("backend") != "process":
            item.add_marker(pytest.mark.engines)


@pytest.fixture(scope="session")
def may_start_daemons() -> None:
    """Skip, with the reason, unless daemons can and may be started here."""
    missing = [name for name in ("dockerd", "containerd", "podman", "iptables", "ip") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} to start a daemon: apt-get install docker.io podman iptables iproute2")
    if os.geteuid() != 0:
        pytest.skip("needs root to start a daemon")
    if os.environ.get("STOKER_TEST_DAEMONS") != "1":
        pytest.skip("starts a daemon of its own: set STOKER_TEST_DAEMONS=1 to allow it")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary folder whose path leaves room for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="stk-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def started_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """A registry on loopback, for all tests together."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"needs a registry of images: apt-get install {PROGRAM}")
    with local_registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(scope="session")
def found_engines() -> Iterator[dict[str, EngineUnderTest | Unavailable]]:
    """Every engine by its name, or why it cannot be had."""
    found = {name: find_engine(name) for name in ENGINES}
    yield found
    for each in found.values():
        if isinstance(each, EngineUnderTest):
            each.close()


@pytest.fixture(params=ENGINES)
def engine(
    request: pytest.FixtureRequest, found_engines: dict[str, EngineUnderTest | Unavailable]
) -> Iterator[EngineUnderTest]:
    """One engine after the other; at the end no container that the test's Stokers made may be left on it."""
    found = found_engines[request.param]
    if isinstance(found, Unavailable):
        pytest.skip(found.reason)
    before = found.containers()
    yield found
    left = found.containers() - before
    patience = time.monotonic() + _PATIENCE
    while left and time.monotonic() < patience:
        # other Stokers may use the same engine: theirs come and go
        time.sleep(0.2)
        left &= found.containers()
    assert not left, f"containers are left on {found.name}: {', '.join(sorted(left))}"


@pytest.fixture
def registry(engine: EngineUnderTest, started_registry: LocalRegistry) -> LocalRegistry:
    """A registry that `engine` can pull from. All tests share it: give images names of your own in it."""
    if not started_registry.is_trusted_by(engine.client):
        pytest.skip(
            f"needs {engine.name} to take images without TLS from 127.0.0.1 (registries.conf: "
            '[[registry]] location = "127.0.0.1", insecure = true)'
        )
    return started_registry


@pytest_asyncio.fixture
async def runtime(engine: EngineUnderTest, tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    """A Stoker in a home of its own, whose functions run on `engine` unless they say otherwise."""
    async with LambdaRuntime.open(home=tmp_path / "home", default_backend=engine.name) as opened:
        await until(opened, lambda: opened.backends()[engine.name].online)
        yield opened
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks are left: {left}"


@pytest.fixture(params=BACKENDS)
def backend(
    request: pytest.FixtureRequest,
    found_engines: dict[str, EngineUnderTest | Unavailable],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> BackendUnderTest:
    """One backend after the other."""
    found = found_engines.get(request.param)
    if isinstance(found, Unavailable):
        pytest.skip(found.reason)
    # a Stoker here need not connect to an engine that its test is not about
    for variable in ("DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.delenv(variable, raising=False)
    if found is not None:
        monkeypatch.setenv("DOCKER_HOST" if found.name == "docker" else "CONTAINER_HOST", found.url)
    return BackendUnderTest(request.param, found, tmp_path)


@pytest_asyncio.fixture
async def bench(backend: BackendUnderTest) -> AsyncIterator[Bench]:
    """A Stoker whose functions run on that backend."""
    async with backend.open() as opened:
        yield opened
