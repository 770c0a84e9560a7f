"""GUI tests: their coroutines run under qasync's loop, as in the window.

A test that is `async def` needs no marker and no `qapp`: the loop makes the application. Do not use
`qtbot.wait*` inside one (it hangs under qasync): await an event with `asyncio.timeout`.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytestqt.plugin

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from core.runtime import LambdaRuntime
    from gui.main_window import MainWindow
    from gui.tasks import Tasks
    from gui.theme import Theme


@pytest.fixture(scope="session")
def qapp_cls() -> type[QApplication]:
    from PySide6.QtWidgets import QApplication

    return QApplication


def _application() -> QApplication:
    from PySide6.QtWidgets import QApplication

    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(["stoker-tests"])
    app.setQuitOnLastWindowClosed(False)
    _KEEP.append(app)
    return app


# a QApplication that is collected takes every later test with it
_KEEP: list[object] = []


_LOOPS: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def _qt_loop() -> asyncio.AbstractEventLoop:
    from gui.loop import make_loop

    loop = make_loop(_application())
    _LOOPS.add(loop)
    return loop


def _leave_the_loop_alone(process_events: Callable[[], None]) -> Callable[[], None]:
    """pytest-qt processes Qt's events between the phases of a test.

    Under qasync these are asyncio's callbacks too: they would run, and fail, outside of their running loop.
    """

    def process() -> None:
        if all(loop.is_closed() for loop in _LOOPS):
            process_events()

    return process


pytestqt.plugin._process_events = _leave_the_loop_alone(pytestqt.plugin._process_events)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"qasync": _qt_loop}


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """The window's task keeper; what still runs at the end is cancelled."""
    from gui.tasks import Tasks

    keeper = Tasks()
    yield keeper
    await keeper.cancel_all()


@pytest.fixture
def theme() -> Iterator[Theme]:
    """A theme, in its light scheme."""
    from gui.theme import Theme
    from gui.tokens import LIGHT

    _application()
    made = Theme()
    made.force(LIGHT)
    yield made
    made.deleteLater()


@pytest.fixture
async def live_runtime(tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    """A real runtime in a home of its own, with the process backend and no functions."""
    from core.runtime import LambdaRuntime

    async with LambdaRuntime.open(tmp_path / "home") as runtime:
        yield runtime


@pytest.fixture
def _set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what the run has set aside as it is: each window's end would look through the whole run's objects."""
    for name in ("freeze", "unfreeze"):
        monkeypatch.setattr(gc, name, lambda: None)


@pytest.fixture
async def window(_set_aside: None, live_runtime: LambdaRuntime) -> AsyncIterator[MainWindow]:
    """The real window of `live_runtime`, shown; closed in stages, without a question, at the end."""
    from gui.garbage import Garbage
    from gui.main_window import open_window
    from gui.shutdown import Answer

    garbage = Garbage()
    garbage.start()
    made = await open_window(live_runtime)
    try:
        yield made
        made.shutdown.request(Answer.CANCEL)
        async with asyncio.timeout(30):
            await made.shutdown.closed.wait()
    finally:
        await made.dispose()
        made.theme.uninstall()
        garbage.stop()


@pytest.fixture(autouse=True)
def _no_window_is_left() -> Iterator[None]:
    """A top-level window of one test must not be found by the next."""
    yield
    from PySide6.QtCore import QCoreApplication, QEvent
    from PySide6.QtWidgets import QApplication
    from shiboken6 import isValid

    if not isinstance(QApplication.instance(), QApplication):
        return
    for widget in QApplication.topLevelWidgets():
        # menus and dialogs go with the window that owns them
        if isValid(widget) and widget.parent() is None:
            widget.hide()
            widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
