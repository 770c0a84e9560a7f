"""A bounded view of lines that keep coming: it follows the end until one scrolls up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

from PySide6.QtCore import QMimeData, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QResizeEvent,
    QTextBlock,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
)
from PySide6.QtWidgets import QMenu, QPlainTextEdit, QPushButton, QWidget

from gui.formatting import plural
from gui.models.logs import LINES_SHOWN, LineKind, LogLine, WholeLines
from gui.theme import Theme, mono_font

__all__ = ["LogView"]

_TONES = {
    LineKind.OUTPUT: "text",
    LineKind.PLATFORM: "dim",
    LineKind.ERROR: "error",
    LineKind.NOTICE: "dim",
}
_EDGE = 14


class LogView(QPlainTextEdit):
    """Shows `LogLine`s, at most `limit`; the oldest go.

    While it follows, the newest line is in sight. Scrolling up lets go: what is being read stays
    where it is, and a button tells how many lines have come. `whole_asked(text)` asks for a line
    that was cut to be shown as a whole.
    """

    following_changed = Signal(bool)
    whole_asked = Signal(str)
    find_asked = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None, *, limit: int = LINES_SHOWN) -> None:
        super().__init__(parent)
        self._theme = theme
        self._limit = limit
        self._lines: deque[LogLine] = deque(maxlen=limit)
        self._whole = WholeLines()
        # the running number of the line after the last; line n stands in block n - (count - blocks)
        self._count = 0
        self._waiting: deque[LogLine] = deque(maxlen=limit)
        self._pressed = False
        self._moves = 0
        self._following = True
        self._unseen = 0
        self._formats: dict[LineKind, QTextCharFormat] = {}
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setCenterOnScroll(False)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.document().setDocumentMargin(_EDGE)
        self.setStyleSheet("QAbstractScrollArea::corner { background: transparent; border: none; }")
        self._newest = QPushButton("Jump to newest", self)
        self._newest.setObjectName("logs_newest")
        self._newest.setCursor(Qt.CursorShape.ArrowCursor)
        self._newest.setToolTip("Follow the newest lines again (End)")
        self._newest.clicked.connect(self.follow)
        self._newest.hide()
        self.verticalScrollBar().valueChanged.connect(self._scrolled)
        self.restyle()

    # --- lines

    @property
    def following(self) -> bool:
        """Whether the newest line is kept in sight."""
        return self._following

    @property
    def line_count(self) -> int:
        """How many lines are shown."""
        return len(self._lines)

    def append(self, lines: Sequence[LogLine]) -> None:
        """Add lines at the end, in one go. While a mouse button is down they wait."""
        if self._pressed:
            self._waiting.extend(lines)
        else:
            self._insert(lines)

    def replace(self, lines: Sequence[LogLine]) -> None:
        """Show these lines instead, and follow."""
        self.clear_lines()
        self._insert(lines)
        self.follow()

    def clear_lines(self) -> None:
        """Show nothing."""
        with self._moving():
            self.clear()
        self._lines.clear()
        self._waiting.clear()
        self._whole.clear()
        self._count = 0
        self._unseen = 0
        self._set_following(True)

    def _insert(self, lines: Sequence[LogLine]) -> None:
        if not lines:
            return
        lines = lines[-self._limit :]
        for offset, line in enumerate(lines):
            if line.whole is not None:
                self._whole.keep(self._count + offset, line.whole)
        top = None if self._following else self._number_of(self.firstVisibleBlock())
        surplus = len(self._lines) + len(lines) - self._limit
        with self._moving():
            self._write(lines, first=not self._lines)
            # what is kept whole is kept once, within bounds
            self._lines.extend(line if line.whole is None else replace(line, whole=None) for line in lines)
            self._count += len(lines)
            if surplus > 0:
                self._drop(surplus)
                self._whole.forget_before(self._count - len(self._lines))
        if top is None:
            self._to_end()
        else:
            self._unseen += len(lines)
            self._to_top(top)
        self._place_button()

    def _write(self, lines: Sequence[LogLine], *, first: bool) -> None:
        """One insertion for each run of lines of a kind, in one edit block: one layout in all."""
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for kind, run in groupby(lines, key=lambda line: line.kind):
            text = "\n".join(line.text for line in run)
            cursor.insertText(text if first else f"\n{text}", self._formats[kind])
            first = False
        cursor.endEditBlock()

    def _drop(self, number: int) -> None:
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.NextBlock, QTextCursor.MoveMode.KeepAnchor, number)
        cursor.removeSelectedText()

    def _number_of(self, block: QTextBlock) -> int:
        return self._count - len(self._lines) + block.blockNumber()

    # --- following

    def follow(self) -> None:
        """Go to the newest line and stay with it."""
        self._unseen = 0
        self._set_following(True)
        self._to_end()

    def _set_following(self, following: bool) -> None:
        changed = following != self._following
        self._following = following
        if following:
            self._unseen = 0
        self._place_button()
        if changed:
            self.following_changed.emit(following)

    def _to_end(self) -> None:
        bar = self.verticalScrollBar()
        with self._moving():
            bar.setValue(bar.maximum())
        self.viewport().update()

    def _to_top(self, number: int) -> None:
        """Put the line with this running number at the top, or the oldest where it is gone."""
        block = self.document().findBlockByNumber(max(0, number - (self._count - len(self._lines))))
        bar = self.verticalScrollBar()
        with self._moving():
            bar.setValue(block.firstLineNumber())
        self.viewport().update()

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """What scrolls inside is not the person's doing."""
        self._moves += 1
        try:
            yield
        finally:
            self._moves -= 1

    def _scrolled(self, value: int) -> None:
        if not self._moves:
            self._set_following(value >= self.verticalScrollBar().maximum())

    def _place_button(self) -> None:
        if self._following:
            self._newest.hide()
            return
        more = f" · {plural(self._unseen, 'new line')}" if self._unseen else ""
        self._newest.setText(f"Jump to newest{more}")
        self._newest.adjustSize()
        area = self.viewport().geometry()
        self._newest.move(area.right() - self._newest.width() - _EDGE, area.bottom() - self._newest.height() - _EDGE)
        self._newest.show()
        self._newest.raise_()

    # --- looking for something

    def find_next(self, text: str, *, backward: bool = False) -> bool:
        """Select the next place where `text` stands, from the selection on and round the end; whether there is one."""
        if not text:
            return False
        flags = QTextDocument.FindFlag.FindBackward if backward else QTextDocument.FindFlag(0)
        found = self.document().find(text, self.textCursor(), flags)
        if found.isNull():
            start = QTextCursor(self.document())
            if backward:
                start.movePosition(QTextCursor.MoveOperation.End)
            found = self.document().find(text, start, flags)
        if found.isNull():
            return False
        self._set_following(False)
        self.setTextCursor(found)
        self.ensureCursorVisible()
        return True

    # --- copying, and lines that were cut

    def text(self) -> str:
        """All lines, those that were cut as a whole."""
        first = self._count - len(self._lines)
        return "\n".join(self._whole.get(first + place) or line.text for place, line in enumerate(self._lines))

    def createMimeDataFromSelection(self) -> QMimeData:
        """The selection as plain text; a cut line that is selected to its end is copied whole."""
        cursor = self.textCursor()
        start, end = cursor.selectionStart(), cursor.selectionEnd()
        parts = []
        block = self.document().findBlock(start)
        while block.isValid() and block.position() <= end:
            text = block.text()
            head, tail = max(0, start - block.position()), end - block.position()
            whole = self._whole.get(self._number_of(block)) if tail >= len(text) else None
            parts.append(whole[head:] if whole is not None else text[head:tail])
            block = block.next()
        data = QMimeData()
        data.setText("\n".join(parts))
        return data

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        copy = menu.addAction("Copy")
        copy.setEnabled(self.textCursor().hasSelection())
        copy.triggered.connect(self.copy)
        menu.addAction("Select all").triggered.connect(self.selectAll)
        whole = self._whole.get(self._number_of(self.cursorForPosition(event.pos()).block()))
        if whole is not None:
            menu.addSeparator()
            menu.addAction("Show whole line…").triggered.connect(lambda: self.whole_asked.emit(whole))
        menu.addSeparator()
        menu.addAction("Find…").triggered.connect(self.find_asked)
        menu.addAction("Clear").triggered.connect(self.clear_lines)
        menu.popup(event.globalPos())

    # --- Qt's side

    def restyle(self) -> None:
        """The theme or the fonts changed."""
        self.setFont(mono_font())
        # as in a terminal: a REPORT line has tabs between its figures
        self.setTabStopDistance(8 * self.fontMetrics().horizontalAdvance(" "))
        self._formats = {}
        for kind, tone in _TONES.items():
            made = QTextCharFormat()
            made.setForeground(self._theme.color(tone))
            self._formats[kind] = made
        if self._lines:
            top = None if self._following else self._number_of(self.firstVisibleBlock())
            with self._moving():
                self.clear()
                self._write(list(self._lines), first=True)
            if top is None:
                self._to_end()
            else:
                self._to_top(top)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._pressed = True
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self._let_in()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        # a release that went elsewhere must not hold the lines back for ever
        super().focusOutEvent(event)
        self._let_in()

    def _let_in(self) -> None:
        self._pressed = False
        waiting = list(self._waiting)
        self._waiting.clear()
        self._insert(waiting)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_End and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.follow()
            event.accept()
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        with self._moving():
            super().resizeEvent(event)
        if self._following:
            self._to_end()
        self._place_button()
