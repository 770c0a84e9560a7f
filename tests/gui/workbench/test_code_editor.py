"""Keys in the event editor, and lines too long to wrap."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPlainTextEdit
from pytestqt.qtbot import QtBot

from gui.widgets.code_editor import CodeEditor


def editor_with(qtbot: QtBot, text: str, position: int) -> CodeEditor:
    editor = CodeEditor()
    qtbot.addWidget(editor)
    editor.setPlainText(text)
    cursor = editor.textCursor()
    cursor.setPosition(position)
    editor.setTextCursor(cursor)
    return editor


def test_tab_indents_to_the_next_second_column_and_back_tab_takes_it_away(qtbot: QtBot) -> None:
    editor = editor_with(qtbot, "abc", 1)
    QTest.keyClick(editor, Qt.Key.Key_Tab)
    assert editor.toPlainText() == "a bc"
    editor = editor_with(qtbot, "    abc", 5)
    QTest.keyClick(editor, Qt.Key.Key_Backtab)
    assert editor.toPlainText() == "  abc"


def test_tab_indents_all_selected_lines_in_one_step(qtbot: QtBot) -> None:
    editor = editor_with(qtbot, "a\nb", 0)
    editor.selectAll()
    QTest.keyClick(editor, Qt.Key.Key_Tab)
    assert editor.toPlainText() == "  a\n  b"
    editor.undo()
    assert editor.toPlainText() == "a\nb"


def test_return_keeps_the_indent_and_opens_brackets(qtbot: QtBot) -> None:
    editor = editor_with(qtbot, '  "a": {}', 8)
    QTest.keyClick(editor, Qt.Key.Key_Return)
    assert editor.toPlainText() == '  "a": {\n    \n  }'
    assert editor.textCursor().positionInBlock() == 4
    editor = editor_with(qtbot, "  1,", 4)
    QTest.keyClick(editor, Qt.Key.Key_Return)
    assert editor.toPlainText() == "  1,\n  "


def test_very_long_lines_are_not_wrapped_until_they_are_short_again(qtbot: QtBot) -> None:
    editor = editor_with(qtbot, "short", 0)
    assert editor.lineWrapMode() == QPlainTextEdit.LineWrapMode.WidgetWidth
    editor.replace_all('{"data": "' + "x" * 200_000 + '"}')
    assert editor.lineWrapMode() == QPlainTextEdit.LineWrapMode.NoWrap
    editor.undo()
    assert editor.toPlainText() == "short"
    assert editor.lineWrapMode() == QPlainTextEdit.LineWrapMode.WidgetWidth


def test_a_mark_at_the_end_underlines_the_last_character(qtbot: QtBot) -> None:
    editor = editor_with(qtbot, '{"a": 1', 0)
    editor.mark(7, QColor("red"))
    (selection,) = editor.extraSelections()
    assert selection.cursor.selectedText() == "1"
    editor.mark(None, QColor("red"))
    assert editor.extraSelections() == []
