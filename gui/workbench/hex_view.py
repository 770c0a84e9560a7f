"""Bytes in hexadecimal beside the characters they stand for; paints only what is visible.

Sixteen bytes a row, or eight where there is little room.
"""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QWidget

from gui.theme import Theme

__all__ = ["HexView", "hex_row"]

_WIDE, _NARROW = 16, 8


def hex_row(data: bytes) -> tuple[str, str]:
    """Up to sixteen bytes as hexadecimal pairs in groups of eight, and as ASCII with dots for the rest."""
    pairs = f"{data[:8].hex(' ')}  {data[8:].hex(' ')}".rstrip()
    return pairs, "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in data)


class HexView(QAbstractScrollArea):
    """Shows a buffer that may grow; call `refresh` when it has."""

    def __init__(self, theme: Theme, font: QFont, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._data: bytes | bytearray = b""
        self._row = _WIDE
        self.setFont(font)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        metrics = QFontMetrics(font)
        self._char = metrics.horizontalAdvance("0")
        self._line = metrics.height() + 3
        self._ascent = metrics.ascent() + 1
        theme.changed.connect(self.viewport().update)

    def show_data(self, data: bytes | bytearray) -> None:
        """Show another buffer from its beginning."""
        self._data = data
        self.verticalScrollBar().setValue(0)
        self.refresh()

    def refresh(self) -> None:
        """The buffer has grown."""
        self._row = _WIDE if self.viewport().width() >= self._char * self._columns(_WIDE) else _NARROW
        rows = (len(self._data) + self._row - 1) // self._row
        page = max(1, self.viewport().height() // self._line)
        bar = self.verticalScrollBar()
        bar.setPageStep(page)
        bar.setRange(0, max(0, rows - page))
        width = self._char * self._columns(self._row)
        side = self.horizontalScrollBar()
        side.setPageStep(self.viewport().width())
        side.setSingleStep(self._char * 4)
        side.setRange(0, max(0, width - self.viewport().width()))
        self.viewport().update()

    @staticmethod
    def _columns(row: int) -> int:
        return 10 + 3 * row + row // 8 + 1 + row

    def sizeHint(self) -> QSize:
        return QSize(self._char * 78, self._line * 8)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.refresh()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.setFont(self.font())
        dim, text = self._theme.color("dim"), self._theme.color("text")
        left = -self.horizontalScrollBar().value()
        first = self.verticalScrollBar().value()
        area: QRect = event.rect()
        for number in range(area.top() // self._line, area.bottom() // self._line + 1):
            start = (first + number) * self._row
            data = bytes(self._data[start : start + self._row])
            if not data:
                break
            base = number * self._line + self._ascent
            pairs, characters = hex_row(data)
            painter.setPen(dim)
            painter.drawText(left, base, f"{start:08x}")
            painter.drawText(left + self._char * (self._columns(self._row) - self._row), base, characters)
            painter.setPen(text)
            painter.drawText(left + self._char * 10, base, pairs)
        painter.end()
