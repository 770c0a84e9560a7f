"""The real window over a real engine: the loop and the clean-up of the window's other tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.runtime import LambdaRuntime
from gui.main_window import MainWindow
from tests.gui.conftest import _no_window_is_left, _set_aside, pytest_asyncio_loop_factories, qapp_cls, theme

__all__ = ["_no_window_is_left", "_set_aside", "pytest_asyncio_loop_factories", "qapp_cls", "theme"]


@pytest.fixture
async def window(_set_aside: None, runtime: LambdaRuntime) -> AsyncIterator[MainWindow]:
    """The window of a runtime whose default backend is the engine; closed in stages, without a question."""
    from gui.garbage import Garbage
    from gui.main_window import open_window
    from gui.shutdown import Answer

    garbage = Garbage()
    garbage.start()
    made = await open_window(runtime)
    try:
        yield made
        made.shutdown.request(Answer.CANCEL)
        async with asyncio.timeout(60):
            await made.shutdown.closed.wait()
    finally:
        await made.dispose()
        made.theme.uninstall()
        garbage.stop()
