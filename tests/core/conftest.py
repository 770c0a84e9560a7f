"""A real runtime in a home of its own, and a check that nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from core.runtime import LambdaRuntime
from tests.core.sources import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest_asyncio.fixture
async def runtime(home: Path) -> AsyncIterator[LambdaRuntime]:
    async with LambdaRuntime.open(home=home) as opened:
        yield opened


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path / "gate")
    yield made
    made.close()


class Leftovers:
    """Counts what a process holds: children, threads, descriptors, asyncio's own running things."""

    def __init__(self) -> None:
        self.before = self.count()

    def count(self) -> dict[str, int]:
        gc.collect()
        process = psutil.Process()
        return {
            "children": len([c for c in process.children(recursive=True) if c.status() != psutil.STATUS_ZOMBIE]),
            "zombies": len([c for c in process.children(recursive=True) if c.status() == psutil.STATUS_ZOMBIE]),
            "threads": threading.active_count(),
            "descriptors": process.num_fds(),
            "tasks": len(asyncio.all_tasks()),
        }

    async def settle(self) -> dict[str, int]:
        """What is there more than before, once the loop has had its turns."""
        more: dict[str, int] = {}
        for _ in range(200):
            now = self.count()
            more = {key: now[key] - self.before[key] for key in now if now[key] > self.before[key]}
            if not more:
                break
            await asyncio.sleep(0.01)
        return more


@pytest.fixture
def leftovers() -> type[Leftovers]:
    return Leftovers
