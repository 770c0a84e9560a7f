"""The real window on a real display with a real runtime: clicked and typed at as its user would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import psutil
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QDialog, QPlainTextEdit, QTableView, QTableWidget, QWidget

from core.instances import InstanceState
from core.runtime import LambdaRuntime
from gui.main_window import MainWindow, open_window
from gui.samples import install_samples
from gui.shutdown import Answer
from gui.theme import Theme
from gui.tokens import LIGHT
from gui.workbench.facts_view import FactsView

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.window

LEFT = Qt.MouseButton.LeftButton
LONG = 30.0


async def seen(what: Callable[[], object]) -> None:
    """Look at the window again and again until `what` is on it: a screen tells nobody that it changed."""
    async with asyncio.timeout(LONG):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    async with LambdaRuntime.open(tmp_path / "home") as opened:
        await install_samples(opened)
        yield opened


@pytest.fixture
async def window(runtime: LambdaRuntime) -> AsyncIterator[MainWindow]:
    theme = Theme()
    theme.force(LIGHT)
    opened = await open_window(runtime, theme=theme)
    opened.activateWindow()
    await seen(opened.isVisible)
    yield opened
    opened.shutdown.request(Answer.CANCEL)
    await opened.shutdown.closed.wait()
    await opened.dispose()


def button(parent: QWidget, name: str) -> QAbstractButton:
    found = parent.findChild(QAbstractButton, name)
    assert found is not None, f"no button named {name}"
    return found


async def click(parent: QWidget, name: str) -> None:
    """Click a button with the mouse, once it can be clicked."""
    await seen(lambda: button(parent, name).isVisible() and button(parent, name).isEnabled())
    QTest.mouseClick(button(parent, name), LEFT)


def dialog(name: str) -> QDialog | None:
    return next((w for w in QApplication.topLevelWidgets() if w.objectName() == name and w.isVisible()), None)  # type: ignore[return-value]


async def choose_function(window: MainWindow, name: str) -> None:
    """Click the function's row."""
    model, view = window.functions.model, window.functions.list
    await seen(lambda: model.place_of(name).isValid())
    middle = view.visualRect(model.place_of(name)).center()
    QTest.mouseClick(view.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, middle)
    await seen(lambda: window.functions.selected() == name)


def table(window: MainWindow) -> QTableView:
    found = window.findChild(QTableView, "instances_table")
    assert found is not None
    return found


def cells(window: MainWindow) -> list[str]:
    """The words in the table of instances, a row each."""
    model = table(window).model()
    return [
        " ".join(str(model.index(row, column).data() or "") for column in range(model.columnCount()))
        for row in range(model.rowCount())
    ]


async def click_row(window: MainWindow, row: int) -> None:
    await seen(lambda: len(cells(window)) > row)
    view = table(window)
    rect = view.visualRect(view.model().index(row, 0))
    QTest.mouseClick(view.viewport(), LEFT, Qt.KeyboardModifier.NoModifier, rect.center() + QPoint(4, 0))


def response(window: MainWindow) -> str:
    """The text that the current tab shows of its response."""
    tab = window.workbench.current
    assert tab is not None
    return "\n".join(edit.toPlainText() for edit in tab.findChildren(QPlainTextEdit) if edit.isReadOnly())


def status(window: MainWindow) -> str:
    """The word in the current tab's pill."""
    facts = window.workbench.findChild(FactsView)
    assert facts is not None
    return facts.value("status")


async def test_launch_then_terminate_with_the_mouse(window: MainWindow, runtime: LambdaRuntime) -> None:
    await choose_function(window, "sample-echo")
    await click(window, "launch")
    await seen(lambda: any("idle" in row and "sample-echo" in row for row in cells(window)))
    (instance,) = runtime.instances()
    assert instance.pid is not None
    await click_row(window, 0)
    await click(window, "terminate")
    await seen(lambda: not runtime.instances())
    assert not psutil.pid_exists(instance.pid)


async def test_invoke_with_the_keyboard_and_watch_the_words_arrive(window: MainWindow, runtime: LambdaRuntime) -> None:
    await choose_function(window, "sample-words")
    tab = window.workbench.current
    assert tab is not None
    QTest.keyClick(window.workbench, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    await seen(lambda: len(response(window).split()) >= 3)
    # words are on screen, and the function is still writing the later ones
    assert runtime.running() == 1
    assert [i.state for i in runtime.instances()] == [InstanceState.BUSY]
    early = response(window)
    await seen(lambda: len(response(window)) > len(early))
    await seen(lambda: runtime.running() == 0)
    await seen(lambda: any("idle" in row for row in cells(window)))
    assert len(response(window)) > len(early)


async def test_invoke_with_the_mouse_and_cancel_with_the_mouse(window: MainWindow, runtime: LambdaRuntime) -> None:
    await choose_function(window, "sample-words")
    await click(window, "invoke")
    await seen(lambda: response(window).strip())
    (instance,) = runtime.instances()
    await click(window, "cancel")
    await seen(lambda: runtime.running() == 0)
    await seen(lambda: not runtime.instances())
    assert instance.pid is not None
    assert not psutil.pid_exists(instance.pid)
    await seen(lambda: "cancelled" in status(window))


async def test_escape_cancels(window: MainWindow, runtime: LambdaRuntime) -> None:
    await choose_function(window, "sample-words")
    await click(window, "invoke")
    await seen(lambda: response(window).strip())
    QTest.keyClick(button(window, "cancel"), Qt.Key.Key_Escape)
    await seen(lambda: runtime.running() == 0 and not runtime.instances())


async def test_delete_and_shift_delete_terminate_and_kill_the_selected_rows(
    window: MainWindow, runtime: LambdaRuntime
) -> None:
    await choose_function(window, "sample-echo")
    await runtime.launch("sample-echo", count=2)
    await click_row(window, 0)
    QTest.keyClick(table(window), Qt.Key.Key_Delete)
    await seen(lambda: len(runtime.instances()) == 1)
    (left,) = runtime.instances()
    await seen(lambda: any(left.id in row and "idle" in row for row in cells(window)))
    await click_row(window, next(n for n, row in enumerate(cells(window)) if left.id in row))
    QTest.keyClick(table(window), Qt.Key.Key_Delete, Qt.KeyboardModifier.ShiftModifier)
    await seen(lambda: not runtime.instances())


async def test_reap_idle_asks_and_reaps(window: MainWindow, runtime: LambdaRuntime) -> None:
    await choose_function(window, "sample-echo")
    await runtime.launch("sample-echo", count=2)
    await click(window, "reap_idle")
    await seen(lambda: dialog("reap_idle_dialog"))
    asked = dialog("reap_idle_dialog")
    assert asked is not None
    await click(asked, "yes")
    await seen(lambda: not runtime.instances())


async def test_reap_stale_lists_what_is_left_with_reasons(window: MainWindow, runtime: LambdaRuntime) -> None:
    await click(window, "reap_stale")
    await seen(lambda: dialog("reap_stale_dialog"))
    asked = dialog("reap_stale_dialog")
    assert asked is not None
    found = asked.findChild(QTableWidget, "reap_stale_table")
    assert found is not None
    assert found.rowCount() == 0
    await click(asked, "no")
    await seen(lambda: dialog("reap_stale_dialog") is None)


async def test_a_function_that_fails_says_so_on_screen(window: MainWindow, runtime: LambdaRuntime) -> None:
    await choose_function(window, "sample-fails")
    await click(window, "invoke")
    await seen(lambda: runtime.running() == 0 and "ValueError" in response(window))


async def test_closing_while_something_runs_asks_and_leaves_no_process(
    tmp_path: Path,
) -> None:
    async with LambdaRuntime.open(tmp_path / "home") as runtime:
        await install_samples(runtime)
        window = await open_window(runtime)
        await choose_function(window, "sample-words")
        await click(window, "invoke")
        await seen(lambda: response(window).strip())
        pids = [i.pid for i in runtime.instances()]
        window.close()
        await seen(lambda: window.findChild(QAbstractButton, "cancel_running") is not None)
        await click(window, "cancel_running")
        await asyncio.wait_for(window.shutdown.closed.wait(), LONG)
        await window.dispose()
    assert [pid for pid in pids if pid is not None and psutil.pid_exists(pid)] == []
