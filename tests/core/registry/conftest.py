"""A journal of its own, opened as often as a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from core.journal import Journal
from core.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Reopen"]

Reopen = Callable[[list[str]], AbstractAsyncContextManager[Registry]]


@pytest.fixture
def reopen(tmp_path: Path) -> Reopen:
    """Open the registry as a start of Stoker does; what could not be read is put into the list."""

    @asynccontextmanager
    async def opened(unreadable: list[str]) -> AsyncIterator[Registry]:
        journal = await Journal.open(tmp_path / "journal.db")
        try:
            registry = Registry(journal)
            await registry.restore(lambda what, why: unreadable.append(what))
            yield registry
        finally:
            await journal.close()

    return opened


@pytest_asyncio.fixture
async def registry(reopen: Reopen) -> AsyncIterator[Registry]:
    """An empty one."""
    async with reopen([]) as opened:
        yield opened
