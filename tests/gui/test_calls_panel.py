"""The panel of calls: what it says, what a click on a row does, and where it stays while calls come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QEnterEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QMenu, QToolButton
from pytestqt.qtbot import QtBot

from core.runtime import LambdaRuntime
from core.settings import Settings
from gui.actions import Actions
from gui.context import Context
from gui.endpoint import EndpointControl
from gui.models.calls import CALLS_KEPT
from gui.panels.calls import CallsPanel
from gui.theme import Theme
from gui.widgets.cell_delegate import ROW_HEIGHT
from tests.gui.endpoint_support import call_ended, call_started, invocation_started
from tests.gui.instances_support import Pool, window_context
from tests.gui.window_support import find

LEFT = Qt.MouseButton.LeftButton


class Core(Pool):
    """A pool whose home has settings."""

    settings = Settings()


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def context(core: Core, theme: Theme) -> Iterator[Context]:
    made = window_context(core, theme)
    yield made
    made.coalescer.close()


@pytest.fixture
def panel(qtbot: QtBot, core: Core, context: Context) -> CallsPanel:
    made = CallsPanel(context, Actions(), EndpointControl(cast(LambdaRuntime, core)))
    qtbot.addWidget(made)
    made.resize(1100, 260)
    made.show()
    return made


def calls(core: Core, context: Context, count: int, first: int = 0, function: str = "words") -> None:
    for number in range(first, first + count):
        core.events.publish(call_started(f"c-{number}", function=function))
        core.events.publish(invocation_started(f"c-{number}", function, f"i-{number % 3}"))
        core.events.publish(call_ended(f"c-{number}", function=function))
    context.coalescer.flush()


def summary(panel: CallsPanel) -> str:
    return find(panel, QLabel, "calls_summary").text()


def click_row(panel: CallsPanel, key: str) -> None:
    place = panel.model.place_of(key)
    assert place is not None
    rect = panel.table.visualRect(panel.model.index(place, 0))
    QTest.mouseClick(panel.table.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, rect.center())


def mouse_over(panel: CallsPanel, over: bool) -> None:
    viewport = panel.table.viewport()
    where = QPointF(40, 40)
    event = (
        QEnterEvent(where, where, QPointF(viewport.mapToGlobal(QPoint(40, 40)))) if over else QEvent(QEvent.Type.Leave)
    )
    QGuiApplication.sendEvent(viewport, event)


def at_the_end(panel: CallsPanel) -> bool:
    bar = panel.table.verticalScrollBar()
    return bar.value() == bar.maximum()


def test_before_the_first_call_it_says_what_would_bring_one(panel: CallsPanel) -> None:
    assert "The endpoint is off" in panel.table.empty_text
    assert summary(panel) == ""
    assert not find(panel, QToolButton, "calls_clear").isEnabled()


def test_it_says_how_many_are_shown_run_and_were_there(panel: CallsPanel, core: Core, context: Context) -> None:
    calls(core, context, 3)
    core.events.publish(call_started("runs", function="echo"))
    context.coalescer.flush()
    assert summary(panel) == "4 shown · 1 running"
    panel.show_function("words")
    assert summary(panel) == "3 shown · 4 in all"
    panel.show_function(None)
    calls(core, context, CALLS_KEPT + 10, 100)
    assert summary(panel) == "the last 1,000 · 1 running · 1,014 in all"


def test_a_selected_function_filters_and_the_button_lets_all_be_seen_again(
    panel: CallsPanel, core: Core, context: Context
) -> None:
    calls(core, context, 2)
    calls(core, context, 2, 10, "echo")
    only = find(panel, QToolButton, "calls_only")
    assert not only.isVisible()
    panel.show_function("echo")
    assert only.isVisible()
    assert only.isChecked()
    assert only.text() == "Only echo"
    assert panel.model.keys() == ["c-10", "c-11"]
    only.click()
    assert panel.model.rowCount() == 4
    only.click()
    assert panel.model.keys() == ["c-10", "c-11"]
    panel.show_function(None)
    assert panel.model.rowCount() == 4


def test_a_row_leads_to_its_function_and_its_instance(panel: CallsPanel, core: Core, context: Context) -> None:
    calls(core, context, 3)
    core.events.publish(call_started("c-list", "ListFunctions", None))
    context.coalescer.flush()
    picked: list[tuple[object, object]] = []
    panel.picked.connect(lambda name, instance: picked.append((name, instance)))
    click_row(panel, "c-1")
    assert picked == [("words", "i-1")]
    click_row(panel, "c-list")
    assert picked[1:] == [(None, None)]
    QTest.keyClick(panel.table, Qt.Key.Key_Up)
    assert picked[2:] == [("words", "i-2")]


def test_the_request_id_is_copied_by_button_and_by_menu(panel: CallsPanel, core: Core, context: Context) -> None:
    calls(core, context, 2)
    copy = find(panel, QToolButton, "calls_copy")
    assert not copy.isEnabled()
    click_row(panel, "c-1")
    assert copy.isEnabled()
    said: list[str] = []
    panel.said.connect(said.append)
    copy.click()
    assert QGuiApplication.clipboard().text() == "c-1"
    assert said == ["Copied the request id c-1"]
    QGuiApplication.clipboard().clear()
    panel.table.customContextMenuRequested.emit(panel.table.visualRect(panel.model.index(1, 0)).center())
    (menu,) = panel.findChildren(QMenu)
    entries = {action.text(): action for action in menu.actions()}
    assert entries["Show logs"].isEnabled()
    entries["Copy request id"].trigger()
    assert QGuiApplication.clipboard().text() == "c-1"
    menu.close()


def test_copying_a_row_takes_all_of_it(panel: CallsPanel, core: Core, context: Context) -> None:
    calls(core, context, 1)
    click_row(panel, "c-0")
    QTest.keyClick(panel.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    fields = QGuiApplication.clipboard().text().split("\t")
    assert fields[1:4] == ["Boto3/1.44.5", "Invoke", "words"]
    assert fields[-1] == "c-0"


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_L])
def test_a_key_asks_for_the_logs_of_its_instance(panel: CallsPanel, core: Core, context: Context, key: Qt.Key) -> None:
    calls(core, context, 2)
    asked: list[str] = []
    panel.logs_requested.connect(asked.append)
    click_row(panel, "c-1")
    QTest.keyClick(panel.table, key)
    assert asked == ["i-1"]


def test_it_stays_at_the_end_until_one_scrolls_up(
    qtbot: QtBot, panel: CallsPanel, core: Core, context: Context
) -> None:
    calls(core, context, 50)
    qtbot.waitUntil(lambda: at_the_end(panel))
    calls(core, context, 50, 100)
    assert at_the_end(panel)
    bar = panel.table.verticalScrollBar()
    bar.setValue(10 * ROW_HEIGHT)
    assert not panel.following
    calls(core, context, 50, 200)
    assert bar.value() == 10 * ROW_HEIGHT
    bar.setValue(bar.maximum())
    assert panel.following
    calls(core, context, 50, 300)
    assert at_the_end(panel)


def test_what_is_looked_at_stays_in_its_place_while_old_rows_leave(
    qtbot: QtBot, panel: CallsPanel, core: Core, context: Context
) -> None:
    calls(core, context, CALLS_KEPT)
    bar = panel.table.verticalScrollBar()
    bar.setValue(500 * ROW_HEIGHT)
    top = panel.model.key_at(panel.table.rowAt(0))
    calls(core, context, 100, 5_000)
    assert panel.model.key_at(panel.table.rowAt(0)) == top


def test_under_the_mouse_nothing_moves(qtbot: QtBot, panel: CallsPanel, core: Core, context: Context) -> None:
    calls(core, context, CALLS_KEPT)
    qtbot.waitUntil(lambda: at_the_end(panel))
    mouse_over(panel, True)
    assert panel.table.held
    place = panel.table.rowAt(40)
    under = panel.model.key_at(place)
    for round_ in range(4):
        calls(core, context, 700, 10_000 * (round_ + 1))
        assert panel.model.key_at(panel.table.rowAt(40)) == under
    mouse_over(panel, False)
    assert at_the_end(panel)
    assert panel.model.keys()[-1] == "c-40699"
    assert panel.model.rowCount() == CALLS_KEPT


def test_hidden_it_does_no_work_and_no_timer_runs_where_nothing_does(
    panel: CallsPanel, core: Core, context: Context
) -> None:
    core.events.publish(call_started("runs"))
    context.coalescer.flush()
    assert panel._timer.isActive()
    panel.hide()
    assert not panel._timer.isActive()
    calls(core, context, 5)
    assert panel.model.rowCount() <= 1
    panel.show()
    assert panel.model.rowCount() == 6
    assert panel._timer.isActive()
    core.events.publish(call_ended("runs"))
    context.coalescer.flush()
    assert not panel._timer.isActive()


def test_clear_leaves_what_runs(panel: CallsPanel, core: Core, context: Context) -> None:
    calls(core, context, 5)
    core.events.publish(call_started("runs"))
    context.coalescer.flush()
    find(panel, QToolButton, "calls_clear").click()
    assert panel.model.keys() == ["runs"]
    assert not find(panel, QToolButton, "calls_clear").isEnabled()


def test_every_column_can_be_read_at_the_usual_width(panel: CallsPanel, core: Core, context: Context) -> None:
    calls(core, context, 1)
    header = panel.table.horizontalHeader()
    assert header.length() <= panel.table.viewport().width()
    assert all(header.sectionSize(column) >= 44 for column in range(header.count()))
