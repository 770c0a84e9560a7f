"""A workbench on a scripted runtime, and waiting for what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from gui.context import Context
from gui.models.coalescer import Coalescer
from gui.panels.workbench import WorkbenchPanel
from gui.tasks import Tasks
from gui.theme import Theme
from tests.gui.workbench.scripted import ScriptedRuntime

Until = Callable[[Callable[[], bool]], "asyncio.Future[None]"]


@pytest.fixture
async def runtime() -> ScriptedRuntime:
    return ScriptedRuntime()


@pytest.fixture
async def panel(runtime: ScriptedRuntime, tasks: Tasks, theme: Theme) -> AsyncIterator[WorkbenchPanel]:
    coalescer = Coalescer(runtime.events)
    made = WorkbenchPanel(Context(runtime.as_runtime(), tasks, theme, coalescer))
    made.resize(1155, 330)
    made.show()
    made.show_function("words")
    yield made
    await made.cancel_all()
    coalescer.close()
    made.close()
    made.deleteLater()
