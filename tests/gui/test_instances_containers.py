"""What the table of instances shows of containers, and of how an instance started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication, QToolButton
from pytestqt.qtbot import QtBot

from core.events import InvocationEnded
from core.instances import ContainerHandle, InstanceState, MemoryUsage, Phase
from core.invocation import InvocationResult
from gui.actions import Actions
from gui.models.cold_start import parts_of, tooltip, total
from gui.models.instance_row import Column
from gui.models.instances import InstancesModel
from gui.panels.instances import InstancesPanel
from gui.theme import Theme
from gui.widgets.segments import paint_segments
from tests.gui.instances_support import Pool, snapshot, window_context
from tests.gui.window_support import find

ID = "3f2a91bc00117d5e" * 4
PHASES = (
    Phase("prepare", 10.0, 0.002),
    Phase("create", 10.002, 0.05),
    Phase("start", 10.052, 0.2),
    Phase("init", 10.252, 0.1),
)
MB = 1024 * 1024


def container(instance_id: str = "i-c", **fields: Any) -> Any:
    return snapshot(instance_id, backend="docker", handle=ContainerHandle(ID), phases=PHASES, **fields)


def ended(*, cold: bool, first_byte: float | None = 12.0, instance_id: str = "i-c") -> InvocationEnded:
    result = InvocationResult("r", "words", instance_id=instance_id, cold_start=cold, first_byte_ms=first_byte)
    return InvocationEnded(
        request_id="r", function_name="words", instance_id=instance_id, result=result, error=None, source="api"
    )


@pytest.fixture
def actions(qapp: QApplication) -> Iterator[Actions]:
    made = Actions()
    yield made
    made.deleteLater()


def panel_of(pool: Pool, theme: Theme, actions: Actions, qtbot: QtBot, width: int = 1_300) -> InstancesPanel:
    panel = InstancesPanel(window_context(pool, theme), actions)
    qtbot.addWidget(panel)
    panel.resize(width, 330)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


# --- how it started


def test_the_parts_of_a_start_are_its_phases_and_the_first_byte() -> None:
    parts = parts_of((*PHASES[:2], Phase("start", 10.052)), None, 10.1)
    assert [(part.name, part.running) for part in parts] == [("prepare", False), ("create", False), ("start", True)]
    assert total(parts) == pytest.approx(0.1)
    assert [part.name for part in parts_of(PHASES, 12.0, 99.0)] == ["prepare", "create", "start", "init", "first byte"]


def test_every_part_of_a_container_s_start_has_a_colour_of_its_own() -> None:
    names = ("prepare", "pull", "create", "copy", "start", "init")
    parts = parts_of([Phase(name, 0.0, 0.1) for name in names], 5.0, 1.0)
    assert len({part.token for part in parts}) == len(parts)


def test_the_tooltip_lists_each_part_with_its_colour_its_length_and_what_it_is() -> None:
    text = tooltip(parts_of(PHASES, 12.0, 99.0), lambda token: f"#{token}")
    for piece in ("#busy", "prepare", "2 ms", "create", "50 ms", "200 ms", "init", "100 ms", "first byte", "12 ms"):
        assert piece in text
    assert "the runtime loads the function" in text
    assert "364 ms" in text, "all together"


def test_a_table_shows_the_start_as_a_bar_and_a_figure(qapp: QApplication) -> None:
    model = InstancesModel()
    model.refill([container()])
    cell = model.cell(0, Column.START)
    assert cell.text == "352 ms"
    assert [token for token, _ in cell.segments] == ["dim", "idle", "starting", "busy"]
    model.take([ended(cold=True)])
    assert [token for token, _ in model.cell(0, Column.START).segments][-1] == "text"
    assert model.cell(0, Column.START).text == "352 ms", "the first invocation is no part of the start itself"


def test_only_the_first_invocation_of_a_cold_start_counts(qapp: QApplication) -> None:
    model = InstancesModel()
    model.refill([container()])
    row = model.row_at(0)
    model.take([ended(cold=False)])
    assert row.first_byte_ms is None
    model.take([ended(cold=True, first_byte=12.0), ended(cold=True, first_byte=99.0)])
    assert row.first_byte_ms == 12.0
    model.take([ended(cold=True, instance_id="i-unknown")])


def test_what_runs_now_is_named_beside_its_bar(qapp: QApplication) -> None:
    model = InstancesModel()
    model.refill([snapshot("i-s", state=InstanceState.STARTING, phases=(PHASES[0], Phase("create", 10.0)))])
    assert model.cell(0, Column.START).text == "create"
    assert len(model.cell(0, Column.START).segments) == 2


def test_it_is_sorted_by_how_long_the_start_took(qapp: QApplication) -> None:
    model = InstancesModel()
    quick = (Phase("init", 1.0, 0.01),)
    model.refill(
        [
            container("i-slow", created=1.0),
            snapshot("i-quick", created=2.0, phases=quick),
            snapshot("i-none", created=0.0),
        ]
    )
    model.sort(Column.START, Qt.SortOrder.AscendingOrder)
    assert model.keys() == ["i-quick", "i-slow", "i-none"]


def test_no_part_vanishes_however_short_it_is(qapp: QApplication) -> None:
    picture = QImage(48, 10, QImage.Format.Format_RGB32)
    picture.fill(QColor("#000000"))
    painter = QPainter(picture)
    shares = (("#ff0000", 1e-6), ("#00ff00", 5.0), ("#0000ff", 1e-6))
    paint_segments(painter, QRectF(0, 0, 48, 10), [(QColor(name), share) for name, share in shares])
    painter.end()
    row = [picture.pixelColor(x, 5) for x in range(48)]
    reds = sum(colour.red() > 100 for colour in row)
    blues = sum(colour.blue() > 100 for colour in row)
    greens = sum(colour.green() > 100 for colour in row)
    assert reds >= 1
    assert blues >= 1
    assert greens > 35
    assert sum(colour.lightness() < 60 for colour in row) >= 2, "gaps between them"


# --- containers


def test_the_container_is_named_beside_its_backend(qapp: QApplication) -> None:
    model = InstancesModel()
    model.refill([container(), snapshot("i-p")])
    cells = [model.cell(row, Column.BACKEND) for row in range(2)]
    assert {(cell.text, cell.less) for cell in cells} == {("docker 3f2a91bc0011", "docker"), ("process", "")}
    place = model.place_of("i-c")
    assert place is not None
    assert ID in str(model.index(place, Column.BACKEND).data(Qt.ItemDataRole.ToolTipRole))


def test_a_row_offers_to_copy_what_a_container_has_and_a_process_has_not(
    qtbot: QtBot, theme: Theme, actions: Actions
) -> None:
    panel = panel_of(Pool(container(created=1.0), snapshot("i-p", created=2.0)), theme, actions, qtbot)
    for place, offered in ((0, True), (1, False)):
        panel._hovered(place)
        for name in ("row_container", "row_shell"):
            assert find(panel, QToolButton, name).isVisible() == offered
    panel.select(["i-p", "i-c"])
    assert panel.container_ids() == [ID]


def test_the_buttons_of_a_row_trigger_the_actions_of_the_menus(qtbot: QtBot, theme: Theme, actions: Actions) -> None:
    panel = panel_of(Pool(container()), theme, actions, qtbot)
    done: list[str] = []
    actions.copy_container.triggered.connect(lambda: done.append("container"))
    actions.copy_shell.triggered.connect(lambda: done.append("shell"))
    panel._delegate.hovered = 0
    panel._hovered(0)
    for name in ("row_container", "row_shell"):
        find(panel, QToolButton, name).click()
    assert done == ["container", "shell"]
    assert panel.selected_ids() == ["i-c"]


def test_responses_that_do_not_stream_are_marked(qapp: QApplication) -> None:
    model = InstancesModel()
    model.refill([container(details={"transport": "buffered by RIE: a connection is refused", "container": ID[:12]})])
    cell = model.cell(0, Column.REMARK)
    assert (cell.text, cell.tone) == ("buffered by RIE", "starting")
    tip = str(model.index(0, Column.REMARK).data(Qt.ItemDataRole.ToolTipRole))
    assert "buffered by RIE: a connection is refused" in tip


def test_processor_use_has_a_column_once_somebody_tells_it(qtbot: QtBot, theme: Theme, actions: Actions) -> None:
    pool = Pool(container())
    panel = panel_of(pool, theme, actions, qtbot)
    panel._tick()
    assert panel.table.isColumnHidden(Column.CPU)
    pool.usage["i-c"] = MemoryUsage(91 * MB, 95 * MB, "cgroup", 41.6)
    panel._memory_asked = 0.0
    panel._tick()
    assert not panel.table.isColumnHidden(Column.CPU)
    assert panel.model.cell(0, Column.CPU).text == "42 %"
    assert panel.model.cell(0, Column.MEMORY).text == "91 MB"
    panel.resize(850, 330)
    QApplication.processEvents()
    assert panel.table.isColumnHidden(Column.CPU), "there is no room: its tooltip has it"
    assert "42 % of one" in str(panel.model.index(0, Column.MEMORY).data(Qt.ItemDataRole.ToolTipRole))
    assert panel.table.horizontalHeader().length() == panel.table.viewport().width()


def test_figures_are_asked_for_only_while_they_are_seen(qtbot: QtBot, theme: Theme, actions: Actions) -> None:
    pool = Pool(container())
    panel = panel_of(pool, theme, actions, qtbot)
    panel._memory_asked = 0.0
    panel._tick()
    asked = len(pool.memory_asked)
    assert asked
    panel.showMinimized()
    panel._memory_asked = 0.0
    panel._tick()
    assert len(pool.memory_asked) == asked
    panel.hide()
    assert not panel._tick_timer.isActive()
