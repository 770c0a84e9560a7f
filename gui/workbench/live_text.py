"""A read-only text that grows: it follows its end until one scrolls up, and shows where the next text will come."""

from __future__ import annotations

from PySide6.QtCore import QMimeData, QRect, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent, QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QPushButton, QWidget

from gui.theme import Theme

__all__ = ["LINES", "LiveText"]

# A wrapped line is laid out as a whole for every piece that is added to it, so a longer one is
# broken here (copying puts it together again).
_LINE = 1_000
# about 200 bytes each in Qt
LINES = 100_000
_BROKEN = 1


class LiveText(QPlainTextEdit):
    """`following_changed(bool)` tells when it lets go of the end or takes hold of it again."""

    following_changed = Signal(bool)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._following = True
        self._caret = False
        self._column = 0
        self._moving = False
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        # it wraps, so a line is wider than the view by nothing but the space at its end
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._to_end = QPushButton("Follow ↓", self)
        self._to_end.setObjectName("follow")
        self._to_end.setToolTip("Go to the end and follow what arrives")
        self._to_end.hide()
        self._to_end.clicked.connect(self.follow)
        self.verticalScrollBar().valueChanged.connect(self._scrolled)
        theme.changed.connect(self.viewport().update)

    @property
    def following(self) -> bool:
        """Whether it stays at its end."""
        return self._following

    @property
    def full(self) -> bool:
        """Whether it has as many lines as it takes."""
        return self.blockCount() >= LINES

    def set_live(self, live: bool) -> None:
        """Whether more is to come: then a block stands where it will appear."""
        if live == self._caret:
            return
        self._caret = live
        self.setCursorWidth(0 if live else 1)
        self.viewport().update()
        self._show_button()

    def start_over(self) -> None:
        """Empty, and following."""
        self.clear()
        self._column = 0
        self._set_following(True)

    def follow(self) -> None:
        """Go to the end and stay there."""
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum())
        self._set_following(True)

    def append(self, text: str) -> None:
        """Add `text` at the end. What the person has selected or scrolled to stays."""
        own = self.textCursor()
        selected = (own.anchor(), own.position()) if own.hasSelection() else None
        bar = self.verticalScrollBar()
        following, place = self._following, bar.value()
        self._moving = True
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        lines = text.split("\n")
        longest = max(len(lines[0]) + self._column, *map(len, lines))
        cursor.beginEditBlock()
        if longest <= _LINE:
            cursor.insertText(text)
            self._column = len(lines[-1]) + (self._column if len(lines) == 1 else 0)
        else:
            self._append_broken(cursor, lines)
        cursor.endEditBlock()
        own = self.textCursor()
        if selected is not None and (own.anchor(), own.position()) != selected:
            # a selection that reached the end would grow with the text
            own.setPosition(selected[0])
            own.setPosition(selected[1], QTextCursor.MoveMode.KeepAnchor)
            self.setTextCursor(own)
        if following:
            bar.setValue(bar.maximum())
        elif bar.value() != place:
            bar.setValue(place)
        self._moving = False

    def createMimeDataFromSelection(self) -> QMimeData:
        cursor = self.textCursor()
        start, end = cursor.selectionStart(), cursor.selectionEnd()
        parts: list[str] = []
        block = self.document().findBlock(start)
        while block.isValid() and block.position() <= end:
            text = block.text()[max(0, start - block.position()) : end - block.position()]
            if parts and block.userState() != _BROKEN:
                parts.append("\n")
            parts.append(text)
            block = block.next()
        data = QMimeData()
        data.setText("".join(parts))
        return data

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._caret:
            return
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        place = self.cursorRect(cursor)
        if place.intersects(self.viewport().rect()):
            width = self.fontMetrics().horizontalAdvance("x")
            painter = QPainter(self.viewport())
            painter.fillRect(QRect(place.left() + 1, place.top(), width, place.height()), self._theme.color("busy"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._following:
            self.follow()
        size = self._to_end.sizeHint()
        area = self.viewport().geometry()
        self._to_end.setGeometry(
            area.right() - size.width() - 8, area.bottom() - size.height() - 6, size.width(), size.height()
        )

    def _append_broken(self, cursor: QTextCursor, lines: list[str]) -> None:
        for number, line in enumerate(lines):
            if number:
                cursor.insertBlock()
                cursor.block().setUserState(-1)
                self._column = 0
            place = 0
            while place < len(line):
                if self._column >= _LINE:
                    cursor.insertBlock()
                    cursor.block().setUserState(_BROKEN)
                    self._column = 0
                part = line[place : place + _LINE - self._column]
                cursor.insertText(part)
                self._column += len(part)
                place += len(part)

    def _scrolled(self, value: int) -> None:
        if not self._moving:
            self._set_following(value >= self.verticalScrollBar().maximum())

    def _set_following(self, following: bool) -> None:
        if following != self._following:
            self._following = following
            self.following_changed.emit(following)
        self._show_button()

    def _show_button(self) -> None:
        self._to_end.setVisible(self._caret and not self._following)
