"""Waits until the window shows something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from gui.panels.workbench import WorkbenchPanel
from gui.workbench.invocation_tab import InvocationTab
from gui.workbench.run import Run


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what a widget shows has no event
            await asyncio.sleep(0.005)


def front(panel: WorkbenchPanel) -> InvocationTab:
    """The tab in front."""
    assert panel.current is not None
    return panel.current


def run_of(tab: InvocationTab) -> Run:
    """The tab's invocation."""
    assert tab.run is not None
    return tab.run


async def over(panel: WorkbenchPanel) -> InvocationTab:
    """The tab in front, once its invocation is over and shown."""
    tab = front(panel)
    await until(lambda: tab.run is not None and tab.run.over and not tab.run.dirty)
    return tab


def show(panel: WorkbenchPanel, name: str) -> None:
    """Click the response's view of that name."""
    button = front(panel).response.findChild(QPushButton, f"view_{name}")
    assert isinstance(button, QPushButton)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
