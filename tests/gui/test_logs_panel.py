"""The logs panel: whose lines it shows, that none is lost or shown twice, and how an end reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QDialog, QToolButton
from pytestqt.qtbot import QtBot

from core.events import InstanceExited
from core.functions import LambdaFunction
from core.instances import InstanceExit, InstanceState
from core.runtime import LambdaRuntime
from gui.context import Context
from gui.models.coalescer import Coalescer
from gui.panels.logs import LogsPanel
from gui.tasks import Tasks
from gui.theme import Theme
from tests.gui.instances_support import Frames, Pool, snapshot, window_context

ONE, TWO = snapshot("i-1"), snapshot("i-2", function_name="search")


@pytest.fixture
def pool() -> Pool:
    pool = Pool(ONE, TWO)
    pool.written["i-1"] = ["loading", "ready"]
    return pool


@pytest.fixture
def context(pool: Pool, theme: Theme) -> Context:
    return window_context(pool, theme)


@pytest.fixture
def panel(qtbot: QtBot, context: Context) -> LogsPanel:
    made = LogsPanel(context)
    qtbot.addWidget(made)
    made.resize(800, 300)
    made.show()
    qtbot.waitExposed(made)
    return made


def shown(panel: LogsPanel) -> list[str]:
    return panel.view.toPlainText().split("\n")


def status(panel: LogsPanel) -> str:
    return panel._status.text()


def test_kept_lines_come_first_and_then_the_new_ones(panel: LogsPanel, pool: Pool, context: Context) -> None:
    panel.show_instance("i-1")
    assert shown(panel) == ["loading", "ready"]
    pool.write("i-1", "START RequestId: 1", "hello")
    pool.write("i-2", "not this")
    context.coalescer.flush()
    assert shown(panel) == ["loading", "ready", "START RequestId: 1", "hello"]


def test_a_line_whose_event_still_waits_is_not_shown_twice(panel: LogsPanel, pool: Pool, context: Context) -> None:
    pool.write("i-1", "just now")
    panel.show_instance("i-1")
    context.coalescer.flush()
    assert shown(panel) == ["loading", "ready", "just now"]


def test_lines_that_came_while_it_was_hidden_are_there_when_it_shows(
    panel: LogsPanel, pool: Pool, context: Context
) -> None:
    panel.show_instance("i-1")
    panel.hide()
    pool.write("i-1", "unseen")
    context.coalescer.flush()
    assert shown(panel) == ["loading", "ready"]
    panel.show()
    assert shown(panel) == ["loading", "ready", "unseen"]


def test_an_end_leaves_the_lines_and_says_why(panel: LogsPanel, pool: Pool, context: Context) -> None:
    panel.show_instance("i-1")
    assert status(panel) == "idle"
    pool.events.publish(InstanceExited(instance_id="i-1", function_name="words", exit=InstanceExit(code=3)))
    pool.put(replace(ONE, state=InstanceState.DEAD, reason="its process ended"))
    context.coalescer.flush()
    assert shown(panel) == ["loading", "ready", "instance ended: its process ended, exit code 3"]
    assert status(panel) == "ended: its process ended, exit code 3"
    panel.show_instance("i-2")
    assert shown(panel) == [""]
    panel.show_instance("i-1")
    assert shown(panel)[-1] == "instance ended: its process ended, exit code 3"


def test_an_instance_nobody_knows_is_said_to_have_ended(panel: LogsPanel) -> None:
    panel.show_instance("i-forgotten")
    assert shown(panel) == ["instance ended"]
    assert status(panel) == "ended"
    panel.show_instance(None)
    assert shown(panel) == [""]
    assert panel.view.placeholderText() == "Choose an instance to see what it writes."


def test_the_box_offers_what_lives_and_what_has_just_ended(panel: LogsPanel, pool: Pool, context: Context) -> None:
    box = panel.findChild(QComboBox, "logs_instance")
    assert box is not None
    panel.show_instance("i-1")
    assert box.currentText() == "i-1 · words"
    pool.put(replace(TWO, state=InstanceState.DEAD, reason="idle for 300 s"))
    pool.put(snapshot("i-3", state=InstanceState.BUSY))
    context.coalescer.flush()
    box.showPopup()
    assert [box.itemText(place) for place in range(box.count())] == [
        "i-1 · words · idle",
        "i-3 · words · busy",
        "i-2 · search · dead",
    ]
    box.hidePopup()
    box.setCurrentIndex(1)
    box.activated.emit(1)
    assert panel.instance_id == "i-3"
    assert box.currentText() == "i-3 · words"


def test_ctrl_f_finds_here_and_not_in_the_window(qtbot: QtBot, panel: LogsPanel) -> None:
    elsewhere = QAction("Filter", panel)
    elsewhere.setShortcut("Ctrl+F")
    panel.addAction(elsewhere)
    calls: list[bool] = []
    elsewhere.triggered.connect(lambda: calls.append(True))
    panel.show_instance("i-1")
    panel.activateWindow()
    panel.view.setFocus()
    QTest.keyClick(panel.view, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    bar = panel._find_bar
    assert bar.isVisible()
    assert calls == []
    QTest.keyClicks(bar.field, "rea")
    assert panel.view.textCursor().selectedText() == "rea"
    QTest.keyClicks(bar.field, "x")
    assert bar._word.text() == "not found"
    QTest.keyClick(bar.field, Qt.Key.Key_Escape)
    assert not bar.isVisible()


def test_copy_takes_all_lines_or_the_selected_ones(panel: LogsPanel) -> None:
    panel.show_instance("i-1")
    button = panel.findChild(QToolButton, "logs_copy")
    assert button is not None
    button.click()
    assert QGuiApplication.clipboard().text() == "loading\nready"
    assert panel.view.find_next("ready")
    button.click()
    assert QGuiApplication.clipboard().text() == "ready"


def test_clear_empties_the_view_and_new_lines_still_come(panel: LogsPanel, pool: Pool, context: Context) -> None:
    panel.show_instance("i-1")
    button = panel.findChild(QToolButton, "logs_clear")
    assert button is not None
    button.click()
    assert shown(panel) == [""]
    pool.write("i-1", "after")
    context.coalescer.flush()
    assert shown(panel) == ["after"]


def test_a_whole_line_is_shown_on_demand(panel: LogsPanel, pool: Pool, context: Context) -> None:
    panel.show_instance("i-1")
    pool.write("i-1", "z" * 200_000)
    context.coalescer.flush()
    assert len(shown(panel)[-1]) < 3_000
    panel.view.whole_asked.emit("z" * 200_000)
    dialog = panel.findChild(QDialog)
    assert dialog is not None
    assert dialog.isVisible()
    assert dialog.windowTitle() == "One line, 200,000 characters"
    dialog.close()
    QApplication.processEvents()


async def test_a_real_function_s_output_is_read_live(tmp_path: Path, theme: Theme, tasks: Tasks) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.py").write_text(
        "import sys\n"
        "def handler(event, context):\n"
        "    print('hello from', context.function_name)\n"
        "    sys.stdout.flush()\n"
        "    return event\n"
    )
    async with LambdaRuntime.open(home=tmp_path / "home") as runtime:
        context = Context(runtime, tasks, theme, Coalescer(runtime.events))
        panel = LogsPanel(context)
        panel.show()
        until = Frames(context.coalescer).until
        await runtime.add_function(
            LambdaFunction(function_name="echo", runtime="python3.11", handler="main.handler", code=code)
        )
        (launched,) = await runtime.launch("echo")
        panel.show_instance(launched.id)
        await runtime.invoke("echo", b"{}")
        await until(lambda: any(line.startswith("REPORT") for line in shown(panel)))
        read = shown(panel)
        assert read.index("hello from echo") > next(i for i, line in enumerate(read) if line.startswith("START"))
        await runtime.terminate(launched.id)
        await until(lambda: shown(panel)[-1] == "instance ended: terminated by hand")
        assert "hello from echo" in shown(panel)
        context.coalescer.close()
        panel.close()
