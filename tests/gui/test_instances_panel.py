"""The instances panel: what it shows, what the mouse and the keyboard do in it, and when it rests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QColor, QCursor, QEnterEvent, QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QToolButton
from pytestqt.qtbot import QtBot

from core.errors import InstanceNotFoundError
from core.functions import LambdaFunction
from core.instances import InstanceState, MemoryUsage
from core.runtime import LambdaRuntime
from gui.actions import Actions
from gui.context import Context
from gui.models.coalescer import Coalescer
from gui.models.instance_row import LINGER, Column
from gui.panels.instances import InstancesPanel
from gui.tasks import Tasks
from gui.theme import Theme
from gui.tokens import DARK, LIGHT
from gui.widgets.column_fit import fit
from tests.gui.instances_support import Frames, Pool, snapshot, window_context

S = InstanceState
FOUR = (
    snapshot("i-1", created=1.0, served=4),
    snapshot("i-2", created=2.0, served=3, state=S.BUSY, request_id="r"),
    snapshot("i-3", created=3.0, served=2, function_name="search"),
    snapshot("i-4", created=4.0, served=1),
)


@pytest.fixture
def actions(qapp: QApplication) -> Iterator[Actions]:
    made = Actions()
    yield made
    made.deleteLater()


@pytest.fixture
def pool() -> Pool:
    return Pool(*FOUR)


@pytest.fixture
def context(pool: Pool, theme: Theme) -> Context:
    return window_context(pool, theme)


@pytest.fixture
def panel(qtbot: QtBot, context: Context, actions: Actions) -> InstancesPanel:
    made = InstancesPanel(context, actions)
    qtbot.addWidget(made)
    made.resize(1150, 330)
    made.show()
    qtbot.waitExposed(made)
    made.activateWindow()
    return made


def summary(panel: InstancesPanel) -> str:
    return panel._summary.text()


def enter(panel: InstancesPanel, row: int) -> None:
    """The mouse comes over a row."""
    viewport = panel.table.viewport()
    where = QPointF(panel.table.visualRect(panel.model.index(row, 0)).center())
    QApplication.sendEvent(viewport, QEnterEvent(where, where, QPointF(viewport.mapToGlobal(where))))
    QTest.mouseMove(viewport, where.toPoint())
    QApplication.processEvents()


def leave(panel: InstancesPanel) -> None:
    QApplication.sendEvent(panel.table.viewport(), QEvent(QEvent.Type.Leave))


def heard(action: QAction) -> list[bool]:
    calls: list[bool] = []
    action.triggered.connect(lambda: calls.append(True))
    return calls


def has_colour(image: QImage, colour: str) -> bool:
    wanted = QColor(colour).rgb()
    return any(image.pixel(x, y) == wanted for y in range(image.height()) for x in range(image.width()))


# --- what it shows


def test_it_shows_what_runs_and_counts_it(panel: InstancesPanel) -> None:
    assert panel.model.keys() == ["i-1", "i-2", "i-3", "i-4"]
    assert summary(panel) == "4 shown · 1 busy · 3 idle"


def test_a_new_instance_appears_with_the_frame_of_its_event(
    panel: InstancesPanel, pool: Pool, context: Context
) -> None:
    pool.put(snapshot("i-5", state=S.STARTING))
    context.coalescer.flush()
    assert panel.model.keys()[-1] == "i-5"
    assert summary(panel) == "5 shown · 1 busy · 3 idle · 1 starting"


def test_one_function_is_filtered_in_the_model_and_said(panel: InstancesPanel) -> None:
    panel.show_function("search")
    assert panel.model.keys() == ["i-3"]
    assert summary(panel) == "1 of 4 shown · 1 idle"
    panel.show_function("nobody")
    assert panel.table.empty_text == "No instances of nobody. Launch one, or invoke it."
    panel.show_function(None)
    assert len(panel.model.keys()) == 4


def test_an_empty_table_says_what_to_do(qtbot: QtBot, theme: Theme, actions: Actions) -> None:
    panel = InstancesPanel(window_context(Pool(), theme), actions)
    qtbot.addWidget(panel)
    panel.resize(900, 300)
    panel.show()
    assert panel.table.empty_text == "No instances. Launch one, or invoke a function."
    assert has_colour(panel.table.viewport().grab().toImage(), LIGHT.dim)
    assert summary(panel) == ""


def test_states_are_painted_in_the_colours_of_the_scheme(panel: InstancesPanel, theme: Theme) -> None:
    image = panel.table.viewport().grab().toImage()
    assert has_colour(image, LIGHT.busy)
    assert has_colour(image, LIGHT.idle)
    theme.force(DARK)
    image = panel.table.viewport().grab().toImage()
    assert has_colour(image, DARK.busy)
    assert not has_colour(image, LIGHT.busy)


# --- the selection


def test_a_selection_holds_on_to_its_instances(panel: InstancesPanel, pool: Pool, context: Context) -> None:
    changes: list[list[str]] = []
    panel.selection_changed.connect(lambda: changes.append(panel.selected_ids()))
    panel.select(["i-2", "i-4"])
    panel.table.sortByColumn(Column.SERVED, Qt.SortOrder.AscendingOrder)
    assert panel.model.keys() == ["i-4", "i-3", "i-2", "i-1"]
    assert panel.selected_ids() == ["i-4", "i-2"]
    pool.put(replace(FOUR[3], state=S.BUSY, served=2))
    context.coalescer.flush()
    panel.show_function("words")
    assert panel.selected_ids() == ["i-4", "i-2"]
    panel.show_function("search")
    assert panel.selected_ids() == []
    assert changes[-1] == []


# --- stillness


def test_nothing_moves_under_the_mouse(panel: InstancesPanel, pool: Pool, context: Context) -> None:
    now = [1_000.0]
    panel.model._clock = lambda: now[0]
    panel.table.sortByColumn(Column.SERVED, Qt.SortOrder.DescendingOrder)
    enter(panel, 1)
    pool.put(replace(FOUR[0], state=S.DEAD, reason="idle for 300 s"))
    pool.put(replace(FOUR[3], served=99))
    pool.put(snapshot("i-0", created=5.0, served=100))
    context.coalescer.flush()
    now[0] += LINGER
    panel._tick()
    assert panel.model.keys() == ["i-1", "i-2", "i-3", "i-4", "i-0"]
    assert panel.model.cell(0, Column.REMARK).text == "idle for 300 s"
    leave(panel)
    assert panel.model.keys() == ["i-0", "i-4", "i-2", "i-3"]


def test_nothing_moves_while_a_menu_is_open(panel: InstancesPanel) -> None:
    QCursor.setPos(panel.mapToGlobal(QPoint(-80, -80)))
    panel.table.customContextMenuRequested.emit(panel.table.visualRect(panel.model.index(1, 0)).center())
    menu = next(menu for menu in panel.findChildren(QMenu) if menu.isVisible())
    assert panel.model.held
    menu.close()
    assert not panel.model.held


# --- the keyboard and the mouse


@pytest.mark.parametrize(
    ("key", "modifier", "name"),
    [
        (Qt.Key.Key_Delete, Qt.KeyboardModifier.NoModifier, "terminate"),
        (Qt.Key.Key_Delete, Qt.KeyboardModifier.ShiftModifier, "kill"),
        (Qt.Key.Key_P, Qt.KeyboardModifier.NoModifier, "pin"),
    ],
)
def test_keys_stand_for_actions(
    qtbot: QtBot, panel: InstancesPanel, actions: Actions, key: Qt.Key, modifier: Qt.KeyboardModifier, name: str
) -> None:
    calls = heard(getattr(actions, name))
    panel.table.setFocus()
    panel.select(["i-2"])
    QTest.keyClick(panel.table, key, modifier)
    qtbot.waitUntil(lambda: calls == [True], timeout=2_000)


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_L])
def test_enter_and_l_ask_for_the_logs(panel: InstancesPanel, key: Qt.Key) -> None:
    asked: list[str] = []
    panel.logs_requested.connect(asked.append)
    panel.select(["i-3"])
    QTest.keyClick(panel.table, key)
    assert asked == ["i-3"]


def test_a_double_click_asks_for_the_logs(panel: InstancesPanel) -> None:
    asked: list[str] = []
    panel.logs_requested.connect(asked.append)
    where = panel.table.visualRect(panel.model.index(2, Column.FUNCTION)).center()
    QTest.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    QTest.mouseDClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert asked == ["i-3"]


def test_several_rows_are_selected_with_the_keyboard(panel: InstancesPanel) -> None:
    panel.select(["i-1"])
    for _ in range(2):
        QTest.keyClick(panel.table, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert panel.selected_ids() == ["i-1", "i-2", "i-3"]


def test_copying_takes_the_selected_rows(panel: InstancesPanel) -> None:
    panel.select(["i-1", "i-3"])
    QTest.keyClick(panel.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["i-1", "i-3"]


def test_the_rows_own_buttons_act_on_that_row(panel: InstancesPanel, actions: Actions) -> None:
    panel.select(["i-1", "i-2"])
    selected: list[list[str]] = []
    actions.terminate.triggered.connect(lambda: selected.append(panel.selected_ids()))
    asked: list[str] = []
    panel.logs_requested.connect(asked.append)
    strip = panel._row_actions
    assert not strip.isVisible()
    enter(panel, 2)
    assert strip.isVisible()
    assert strip.geometry().center().y() == panel.table.visualRect(panel.model.index(2, 0)).center().y()
    for name in ("row_logs", "row_terminate"):
        button = strip.findChild(QToolButton, name)
        assert button is not None
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert (asked, selected) == (["i-3"], [["i-3"]])
    leave(panel)
    assert not strip.isVisible()


def test_an_ended_row_offers_nothing(panel: InstancesPanel, pool: Pool, context: Context) -> None:
    pool.put(replace(FOUR[2], state=S.DEAD))
    context.coalescer.flush()
    enter(panel, 2)
    assert not panel._row_actions.isVisible()


def test_a_row_that_ends_under_the_mouse_offers_nothing_more(
    panel: InstancesPanel, pool: Pool, context: Context
) -> None:
    enter(panel, 1)
    assert panel._row_actions.isVisible()
    pool.put(replace(FOUR[1], state=S.DEAD))
    context.coalescer.flush()
    assert not panel._row_actions.isVisible()


@pytest.mark.parametrize("name", ["launch", "terminate", "kill", "evict", "reap_idle", "reap_stale", "stop_all"])
def test_each_button_is_found_by_its_name_and_triggers_its_action(
    panel: InstancesPanel, actions: Actions, name: str
) -> None:
    button = panel.findChild(QToolButton, name)
    assert button is not None
    calls = heard(getattr(actions, name))
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(12, button.height() // 2))
    assert calls == [True]


def test_a_click_on_a_title_sorts_and_a_third_one_sorts_no_more(panel: InstancesPanel) -> None:
    header = panel.table.horizontalHeader()
    where = QPoint(header.sectionViewportPosition(Column.SERVED) + 20, header.height() // 2)
    orders = []
    for _ in range(3):
        QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)
        orders.append(panel.model.keys())
    assert orders == [["i-4", "i-3", "i-2", "i-1"], ["i-1", "i-2", "i-3", "i-4"], ["i-1", "i-2", "i-3", "i-4"]]
    assert panel.model.sort_column is None


def test_widths_and_order_are_taken_up_again(
    qtbot: QtBot, panel: InstancesPanel, context: Context, actions: Actions
) -> None:
    panel.table.setColumnWidth(Column.FUNCTION, 222)
    panel.table.sortByColumn(Column.SERVED, Qt.SortOrder.AscendingOrder)
    state = panel.save_state()
    other = InstancesPanel(context, actions)
    qtbot.addWidget(other)
    assert other.restore_state(state)
    assert other.table.columnWidth(Column.FUNCTION) == 222
    assert other.model.keys() == ["i-4", "i-3", "i-2", "i-1"]
    assert not other.restore_state(state.left(10))


def test_nothing_is_kept_where_nobody_chose_anything(panel: InstancesPanel) -> None:
    assert panel.save_state().isEmpty()


@pytest.mark.parametrize("width", [850, 1000, 1150, 1600])
def test_the_columns_use_the_room_there_is(panel: InstancesPanel, width: int) -> None:
    panel.resize(width, 330)
    QApplication.processEvents()
    assert panel.table.horizontalHeader().length() == panel.table.viewport().width()


def test_a_width_that_was_chosen_stays(panel: InstancesPanel) -> None:
    header = panel.table.horizontalHeader()
    edge = QPoint(header.sectionViewportPosition(Column.BACKEND) - 1, header.height() // 2)
    before = panel.table.columnWidth(Column.FUNCTION)
    QTest.mouseMove(header.viewport(), edge)
    QTest.mousePress(header.viewport(), Qt.MouseButton.LeftButton, pos=edge)
    QTest.mouseMove(header.viewport(), edge + QPoint(40, 0))
    QTest.mouseRelease(header.viewport(), Qt.MouseButton.LeftButton, pos=edge + QPoint(40, 0))
    assert panel.table.columnWidth(Column.FUNCTION) == before + 40
    panel.resize(900, 330)
    QApplication.processEvents()
    assert panel.table.columnWidth(Column.FUNCTION) == before + 40
    assert not panel.save_state().isEmpty()


def test_columns_give_way_in_turn() -> None:
    assert fit({0: 100, 1: 100, 2: 50}, [(1, 60), (0, 90)], 250) == {0: 100, 1: 100, 2: 50}
    assert fit({0: 100, 1: 100, 2: 50}, [(1, 60), (0, 90)], 205) == {0: 95, 1: 60, 2: 50}
    assert fit({0: 100, 1: 100, 2: 50}, [(1, 60), (0, 90)], 0) == {0: 90, 1: 60, 2: 50}


# --- time and memory


def test_time_is_watched_only_while_it_changes_what_is_seen(
    panel: InstancesPanel, pool: Pool, context: Context
) -> None:
    timer = panel._tick_timer
    assert (timer.isActive(), timer.interval()) == (True, 250)
    pool.put(replace(FOUR[1], state=S.IDLE))
    context.coalescer.flush()
    panel._tick()
    assert timer.interval() == 1_000
    pool.put(replace(FOUR[1], state=S.BUSY))
    context.coalescer.flush()
    assert timer.interval() == 250
    panel.hide()
    assert not timer.isActive()
    pool.put(replace(FOUR[1], state=S.IDLE))
    context.coalescer.flush()
    assert not timer.isActive()
    panel.show()
    assert timer.isActive()


def test_without_instances_nothing_ticks(qtbot: QtBot, theme: Theme, actions: Actions) -> None:
    panel = InstancesPanel(window_context(Pool(), theme), actions)
    qtbot.addWidget(panel)
    panel.show()
    assert not panel._tick_timer.isActive()


def test_memory_is_asked_of_living_instances_in_sight(qtbot: QtBot, theme: Theme, actions: Actions) -> None:
    pool = Pool(*(snapshot(f"i-{number:02}", created=float(number)) for number in range(60)))
    pool.put(snapshot("i-00", created=0.0, state=S.STARTING))
    pool.usage["i-01"] = MemoryUsage(38 * 1024**2, 38 * 1024**2, "sampled")
    panel = InstancesPanel(window_context(pool, theme), actions)
    qtbot.addWidget(panel)
    panel.resize(1150, 330)
    panel._ask_memory()
    panel.show()
    qtbot.waitUntil(lambda: panel.model.cell(1, Column.MEMORY).text == "38 MB", timeout=2_000)
    assert "i-00" not in pool.memory_asked
    assert "i-01" in pool.memory_asked
    assert "i-59" not in pool.memory_asked
    panel.table.sortByColumn(Column.MEMORY, Qt.SortOrder.DescendingOrder)
    panel._ask_memory()
    assert "i-59" in pool.memory_asked
    assert panel.model.keys()[0] == "i-01"


def test_an_instance_that_has_just_gone_is_no_trouble(panel: InstancesPanel, pool: Pool) -> None:
    del pool.known["i-2"]
    with pytest.raises(InstanceNotFoundError):
        pool.memory("i-2")
    pool.memory_asked.clear()
    panel._ask_memory()
    assert pool.memory_asked == ["i-1", "i-2", "i-3", "i-4"]


# --- with a real pool


async def test_a_real_instance_starts_serves_and_ends_before_ones_eyes(
    tmp_path: Path, theme: Theme, actions: Actions, tasks: Tasks
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.py").write_text("def handler(event, context):\n    print('hello')\n    return event\n")
    async with LambdaRuntime.open(home=tmp_path / "home") as runtime:
        context = Context(runtime, tasks, theme, Coalescer(runtime.events))
        panel = InstancesPanel(context, actions)
        panel.show()
        until = Frames(context.coalescer).until
        await runtime.add_function(
            LambdaFunction(function_name="echo", runtime="python3.11", handler="main.handler", code=code)
        )
        (launched,) = await runtime.launch("echo")
        await until(lambda: panel.model.rowCount() == 1 and panel.model.cell(0, Column.STATE).text == "idle")
        assert panel.model.cell(0, Column.REAPED_IN).meter is not None
        result = await runtime.invoke("echo", b'{"a": 1}')
        assert result.function_error is None
        await until(lambda: panel.model.cell(0, Column.SERVED).text == "1")
        assert panel.model.cell(0, Column.LAST).text.endswith("ms")
        panel._ask_memory()
        row = panel.model.find(launched.id)
        assert row is not None
        assert {"prepare", "spawn"} <= {phase.name for phase in row.phases}
        runtime.pin(launched.id)
        await until(lambda: panel.model.cell(0, Column.REMARK).text.startswith("pinned"))
        await runtime.terminate(launched.id)
        await until(lambda: panel.model.cell(0, Column.STATE).text == "dead")
        assert panel.model.cell(0, Column.REMARK).text == "terminated by hand"
        context.coalescer.close()
        panel.close()
