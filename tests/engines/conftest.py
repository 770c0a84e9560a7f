"""Real engines for tests: those that this machine runs, found as Stoker finds them.

A test that takes `engine` runs once on Docker and once on Podman. Where one does not answer, or has no base image,
it is skipped with the reason; `python -m tests.engines.daemons DIR` starts both, and
`python -m tests.engines.base_image docker` makes the images.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.runtime import LambdaRuntime
from tests.core.waiting import until
from tests.engines.engine import ENGINES, EngineUnderTest, Unavailable, find_engine


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
    assert not left, f"containers are left on {found.name}: {', '.join(sorted(left))}"


@pytest_asyncio.fixture
async def runtime(engine: EngineUnderTest, tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    """A Stoker in a home of its own, whose functions run on `engine` unless they say otherwise."""
    async with LambdaRuntime.open(home=tmp_path / "home", default_backend=engine.name) as opened:
        await until(opened, lambda: opened.backends()[engine.name].online)
        yield opened
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks are left: {left}"
