"""The view of log lines: bounded, follows its end, lets go and stays where one reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QTextCursor, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QPushButton
from pytestqt.qtbot import QtBot

from gui.models.logs import LineKind, LogLine, read_line
from gui.theme import Theme
from gui.tokens import DARK
from gui.widgets.log_view import LogView


def lines(start: int, count: int) -> list[LogLine]:
    return [read_line(f"line {number}") for number in range(start, start + count)]


@pytest.fixture
def view(qtbot: QtBot, theme: Theme) -> LogView:
    made = LogView(theme, limit=100)
    qtbot.addWidget(made)
    made.resize(500, 200)
    made.show()
    qtbot.waitExposed(made)
    return made


def shown(view: LogView) -> list[str]:
    return view.toPlainText().split("\n")


def top(view: LogView) -> str:
    return view.firstVisibleBlock().text()


def wheel(view: LogView, notches: int) -> None:
    viewport = view.viewport()
    where = QPointF(viewport.rect().center())
    QApplication.sendEvent(
        viewport,
        QWheelEvent(
            where,
            QPointF(viewport.mapToGlobal(where)),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        ),
    )


def newest(view: LogView) -> QPushButton:
    button = view.findChild(QPushButton, "logs_newest")
    assert button is not None
    return button


def at_end(view: LogView) -> bool:
    return view.verticalScrollBar().value() == view.verticalScrollBar().maximum()


def batches(view: LogView, sizes: Sequence[int]) -> None:
    start = 0
    for size in sizes:
        view.append(lines(start, size))
        start += size


@pytest.mark.parametrize("sizes", [[100], [101], [250], [60, 60], [1] * 130, [100, 100], [0, 3]])
def test_only_the_newest_lines_are_kept(view: LogView, sizes: list[int]) -> None:
    batches(view, sizes)
    total = sum(sizes)
    assert shown(view) == [line.text for line in lines(0, total)][-100:]
    assert view.line_count == min(100, total)
    assert view.text() == view.toPlainText()


def test_it_follows_until_one_scrolls_up_and_again_at_the_end(view: LogView) -> None:
    view.append(lines(0, 50))
    assert view.following
    assert at_end(view)
    wheel(view, 3)
    assert not view.following
    reading = top(view)
    view.append(lines(50, 7))
    assert top(view) == reading
    assert newest(view).isVisible()
    assert newest(view).text() == "Jump to newest · 7 new lines"
    # Qt scrolls a page at most for one event
    for _ in range(20):
        wheel(view, -3)
    assert view.following
    assert not newest(view).isVisible()


def test_what_one_reads_stays_while_older_lines_go(view: LogView) -> None:
    view.append(lines(0, 100))
    view.verticalScrollBar().setValue(50)
    assert top(view) == "line 50"
    for start in range(100, 140, 10):
        view.append(lines(start, 10))
        assert top(view) == "line 50"
    view.append(lines(140, 60))
    # it is gone: the oldest that is left stands in its place
    assert top(view) == "line 100"
    assert not view.following


@pytest.mark.parametrize("how", ["button", "key"])
def test_one_gets_back_to_the_newest(view: LogView, how: str) -> None:
    view.append(lines(0, 80))
    wheel(view, 5)
    if how == "button":
        QTest.mouseClick(newest(view), Qt.MouseButton.LeftButton)
    else:
        QTest.keyClick(view, Qt.Key.Key_End)
    assert view.following
    assert at_end(view)
    view.append(lines(80, 5))
    assert at_end(view)


def test_resizing_and_wrapping_keep_it_at_the_end(view: LogView) -> None:
    view.append([read_line("word " * 60) for _ in range(30)])
    view.resize(300, 150)
    QApplication.processEvents()
    assert view.following
    assert at_end(view)
    view.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
    view.follow()
    view.append(lines(0, 3))
    assert at_end(view)


def test_lines_wait_while_a_mouse_button_selects(view: LogView) -> None:
    view.append(lines(0, 5))
    QTest.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(30, 20))
    view.append(lines(5, 5))
    assert view.line_count == 5
    QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(30, 20))
    assert shown(view) == [line.text for line in lines(0, 10)]


def test_kinds_have_their_colours_in_both_schemes(view: LogView, theme: Theme) -> None:
    view.append([read_line("ValueError: x"), read_line("END RequestId: 1"), LogLine("ended", LineKind.NOTICE)])

    def colours() -> list[str]:
        block, found = view.document().firstBlock(), []
        while block.isValid():
            cursor = QTextCursor(block)
            cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock)
            found.append(cursor.charFormat().foreground().color().name())
            block = block.next()
        return found

    light = theme.tokens
    assert colours() == [light.error, light.dim, light.dim]
    theme.force(DARK)
    view.restyle()
    assert colours() == [DARK.error, DARK.dim, DARK.dim]


def test_a_cut_line_is_copied_as_a_whole(view: LogView) -> None:
    long = "head " + "x" * 50_000
    view.append([read_line("before"), read_line(long), read_line("after")])
    assert view.text() == f"before\n{long}\nafter"
    view.selectAll()
    view.copy()
    assert QGuiApplication.clipboard().text() == f"before\n{long}\nafter"
    cursor = view.textCursor()
    cursor.setPosition(7)
    cursor.setPosition(11, QTextCursor.MoveMode.KeepAnchor)
    view.setTextCursor(cursor)
    view.copy()
    assert QGuiApplication.clipboard().text() == "head"


def test_the_right_whole_line_is_found_after_others_have_gone(view: LogView) -> None:
    view.append(lines(0, 99))
    view.append([read_line("y" * 5_000)])
    view.append(lines(0, 40))
    assert view.text().split("\n")[59] == "y" * 5_000
    view.append(lines(40, 60))
    assert "yy" not in view.text()


def test_finding_goes_on_round_the_end_and_lets_go(view: LogView) -> None:
    view.append([*lines(0, 20), read_line("a Needle"), *lines(20, 20), read_line("needle two")])
    assert view.find_next("needle")
    assert not view.following
    first = view.textCursor().block().text()
    assert view.find_next("needle")
    assert {first, view.textCursor().block().text()} == {"a Needle", "needle two"}
    assert view.find_next("needle")
    assert view.textCursor().block().text() == first
    assert view.find_next("needle", backward=True)
    assert view.textCursor().block().text() != first
    assert not view.find_next("nothing like it")
    assert not view.find_next("")


def test_clearing_empties_it_and_follows(view: LogView) -> None:
    view.append(lines(0, 60))
    wheel(view, 5)
    view.clear_lines()
    assert (view.line_count, view.toPlainText(), view.following) == (0, "", True)
    view.append(lines(60, 2))
    assert shown(view) == ["line 60", "line 61"]
