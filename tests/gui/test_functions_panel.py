"""The functions panel: selecting, filtering, and what it says when it is empty."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMenu, QPushButton

from core.runtime import LambdaRuntime
from gui.actions import Actions
from gui.context import Context
from gui.models.coalescer import Coalescer
from gui.panels.functions import FunctionsPanel
from gui.tasks import Tasks
from gui.theme import Theme
from gui.tokens import DARK, LIGHT
from tests.gui.window_support import ECHO, find, python_code, python_function, until


@pytest.fixture
async def panel(live_runtime: LambdaRuntime, tasks: Tasks, theme: Theme, tmp_path: Path) -> FunctionsPanel:
    code = python_code(tmp_path / "code", ECHO)
    for name in ("alpha", "beta", "gamma"):
        await live_runtime.add_function(python_function(name, code))
    return _panel(live_runtime, tasks, theme)


def _panel(runtime: LambdaRuntime, tasks: Tasks, theme: Theme) -> FunctionsPanel:
    made = FunctionsPanel(Context(runtime, tasks, theme, Coalescer(runtime.events, tasks)), Actions(tasks))
    made.resize(280, 500)
    made.show()
    return made


@pytest.fixture
def heard(panel: FunctionsPanel) -> list[str | None]:
    names: list[str | None] = []
    panel.function_selected.connect(names.append)
    return names


async def test_a_click_selects_and_a_click_beside_the_rows_selects_all(
    panel: FunctionsPanel, heard: list[str | None]
) -> None:
    view = panel.list
    row = view.visualRect(panel.model.place_of("beta")).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=row)
    assert panel.selected() == "beta"
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert panel.selected() == "gamma"
    beside = view.viewport().rect().bottomLeft()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=beside)
    assert panel.selected() is None
    assert heard == ["beta", "gamma", None]


async def test_what_the_filter_hides_stays_selected(panel: FunctionsPanel, heard: list[str | None]) -> None:
    panel.select("beta")
    QTest.keyClicks(panel.filter, "gam")
    assert panel.model.shown == ["gamma"]
    assert panel.selected() == "beta"
    QTest.keyClick(panel.filter, Qt.Key.Key_Escape)
    assert panel.filter.text() == ""
    assert panel.list.currentIndex().data() == "beta"
    assert heard == ["beta"]


async def test_the_arrow_down_leads_from_the_filter_into_the_list(panel: FunctionsPanel) -> None:
    panel.focus_filter()
    QTest.keyClick(panel.filter, Qt.Key.Key_Down)
    assert panel.selected() == "alpha"


async def test_a_filter_without_matches_and_a_list_without_functions_say_so(
    panel: FunctionsPanel, live_runtime: LambdaRuntime
) -> None:
    empty = find(panel, QLabel, "functions_empty")
    panel.filter.setText("zebra")
    assert empty.isVisible()
    assert "zebra" in empty.text()
    panel.filter.clear()
    assert not empty.isVisible()
    for name in ("alpha", "beta", "gamma"):
        await live_runtime.remove_function(name)
    await until(empty.isVisible)
    assert "Drop a zip or a folder" in empty.text()


async def test_a_function_that_is_removed_is_no_longer_selected(
    panel: FunctionsPanel, heard: list[str | None], live_runtime: LambdaRuntime
) -> None:
    panel.select("beta")
    await live_runtime.remove_function("beta")
    await until(lambda: panel.selected() is None)
    assert heard == ["beta", None]
    assert not panel.list.selectionModel().hasSelection()


async def test_the_context_menu_selects_its_row_and_offers_the_actions(panel: FunctionsPanel) -> None:
    view = panel.list
    view.customContextMenuRequested.emit(view.visualRect(panel.model.place_of("gamma")).center())
    assert panel.selected() == "gamma"
    menu = next(each for each in panel.findChildren(QMenu) if each.isVisible())
    words = [action.text() for action in menu.actions() if action.text()]
    assert words == [
        "Invoke",
        "Launch",
        "Edit…",
        "Reload code",
        "Pull image",
        "Clone…",
        "Remove…",
        "Evict",
        "Reap idle…",
    ]
    menu.close()


async def test_every_state_is_painted_in_both_schemes(
    panel: FunctionsPanel, live_runtime: LambdaRuntime, theme: Theme
) -> None:
    """What is painted for an instance is not what is painted for none."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    panel.select(None)
    for tokens in (DARK, LIGHT):
        theme.force(tokens)
        cold = panel.list.grab().toImage()
        await live_runtime.launch("beta")
        await until(lambda: panel.model.total() == 1)
        warm = panel.list.grab().toImage()
        assert cold != warm
        await live_runtime.evict("beta")
        await until(lambda: panel.model.total() == 0)


async def test_adding_is_offered_at_the_foot(panel: FunctionsPanel) -> None:
    asked: list[bool] = []
    panel._actions.add.triggered.connect(lambda: asked.append(True))
    QTest.mouseClick(find(panel, QPushButton, "add_function"), Qt.MouseButton.LeftButton)
    assert asked == [True]
