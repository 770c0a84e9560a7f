"""A plain text editor for small structured texts: two-space indents, brackets that open, a marked place."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QKeyEvent, QTextBlock, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QTextEdit, QWidget

__all__ = ["CodeEditor"]

INDENT = 2
# Laying out one wrapped line costs time in proportion to its length, at every key: a line of 200,000
# characters takes most of a second. Beyond this length lines are not wrapped.
_WRAP_UP_TO = 5_000
_CLOSING = {"{": "}", "[": "]"}


class CodeEditor(QPlainTextEdit):
    """Tab indents (Shift+Tab unindents, and leaves the editor where there is nothing to unindent)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self.setTabChangesFocus(False)
        self._error_colour = QColor("#ef6461")
        self._marked: int | None = None
        self._wraps = True
        # a wrapped line is wider than the view by nothing but the space at its end
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().contentsChange.connect(self._content_changed)

    def setFont(self, font: QFont | str | Sequence[str]) -> None:
        super().setFont(font)
        self.setTabStopDistance(self.fontMetrics().horizontalAdvance(" ") * INDENT)

    def replace_all(self, text: str) -> None:
        """Put `text` in place of everything; one step for undo."""
        cursor = QTextCursor(self.document())
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(text)

    def mark(self, position: int | None, colour: QColor) -> None:
        """Underline the character at `position` (from 0), or nothing."""
        if position == self._marked and colour == self._error_colour:
            return
        self._marked = position
        self._error_colour = colour
        if position is None:
            self.setExtraSelections([])
            return
        last = self.document().characterCount() - 1
        cursor = QTextCursor(self.document())
        cursor.setPosition(max(0, min(position, last)))
        if not cursor.movePosition(QTextCursor.MoveOperation.NextCharacter, QTextCursor.MoveMode.KeepAnchor):
            cursor.movePosition(QTextCursor.MoveOperation.PreviousCharacter, QTextCursor.MoveMode.KeepAnchor)
        selection = QTextEdit.ExtraSelection()
        form = QTextCharFormat()
        form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
        form.setUnderlineColor(colour)
        selection.format = form
        selection.cursor = cursor
        self.setExtraSelections([selection])

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        plain = event.modifiers() in {Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier}
        if key == Qt.Key.Key_Tab and plain:
            self._indent()
        elif key == Qt.Key.Key_Backtab:
            if not self._unindent():
                self.focusPreviousChild()
        elif key in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and plain:
            self._new_line()
        else:
            super().keyPressEvent(event)

    def _blocks(self) -> list[QTextBlock]:
        cursor = self.textCursor()
        block = self.document().findBlock(cursor.selectionStart())
        last = self.document().findBlock(cursor.selectionEnd()).blockNumber()
        blocks = [block]
        while block.blockNumber() < last:
            block = block.next()
            blocks.append(block)
        return blocks

    def _indent(self) -> None:
        cursor = self.textCursor()
        blocks = self._blocks()
        if len(blocks) == 1:
            column = cursor.selectionStart() - blocks[0].position()
            cursor.insertText(" " * (INDENT - column % INDENT))
            return
        cursor.beginEditBlock()
        for block in blocks:
            QTextCursor(block).insertText(" " * INDENT)
        cursor.endEditBlock()

    def _unindent(self) -> bool:
        cursor = self.textCursor()
        done = False
        cursor.beginEditBlock()
        for block in self._blocks():
            text = block.text()
            spaces = min(INDENT, len(text) - len(text.lstrip(" ")))
            if spaces:
                done = True
                remover = QTextCursor(block)
                remover.movePosition(QTextCursor.MoveOperation.Right, QTextCursor.MoveMode.KeepAnchor, spaces)
                remover.removeSelectedText()
        cursor.endEditBlock()
        return done

    def _new_line(self) -> None:
        cursor = self.textCursor()
        cursor.beginEditBlock()
        cursor.removeSelectedText()
        text = cursor.block().text()
        column = cursor.positionInBlock()
        spaces = len(text) - len(text.lstrip(" "))
        before, after = text[:column].rstrip(), text[column:].lstrip()
        deeper = before[-1:] in _CLOSING
        cursor.insertText("\n" + " " * (min(spaces, column) + (INDENT if deeper else 0)))
        if deeper and after.startswith(_CLOSING[before[-1]]):
            back = cursor.position()
            cursor.insertText("\n" + " " * spaces)
            cursor.setPosition(back)
        cursor.endEditBlock()
        self.setTextCursor(cursor)
        self.ensureCursorVisible()

    def _content_changed(self, position: int, _removed: int, added: int) -> None:
        block = self.document().findBlock(position)
        end = position + added
        longest = 0
        while block.isValid() and block.position() <= end:
            longest = max(longest, block.length())
            block = block.next()
        if longest > _WRAP_UP_TO:
            wraps = False
        elif not self._wraps:
            wraps = all(block.length() <= _WRAP_UP_TO for block in self._all_blocks())
        else:
            return
        if wraps != self._wraps:
            self._wraps = wraps
            mode = QPlainTextEdit.LineWrapMode
            self.setLineWrapMode(mode.WidgetWidth if wraps else mode.NoWrap)
            policy = Qt.ScrollBarPolicy
            self.setHorizontalScrollBarPolicy(policy.ScrollBarAlwaysOff if wraps else policy.ScrollBarAsNeeded)

    def _all_blocks(self) -> list[QTextBlock]:
        blocks = []
        block = self.document().firstBlock()
        while block.isValid():
            blocks.append(block)
            block = block.next()
        return blocks
