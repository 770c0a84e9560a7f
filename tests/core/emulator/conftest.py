"""The emulator's tests run twice: on asyncio's own loop, and on Qt's as in the window.

CI runs them on Qt's loop on one Python only: asyncio's own differs from Python to Python, and what the window's adds
to it is tested on each by the tests of the window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

_KEEP: list[object] = []  # a QApplication that is collected takes every later test with it


def _qt_loop() -> asyncio.AbstractEventLoop:
    from PySide6.QtWidgets import QApplication

    from gui.loop import make_loop

    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(["stoker-tests"])
    _KEEP.append(app)
    return make_loop(app)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "qt": _qt_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if any(each is _qt_loop for each in parameters.values()):
            item.add_marker(pytest.mark.any_python)
