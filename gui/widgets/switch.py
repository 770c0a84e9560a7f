"""A switch: on or off, as one sees at a glance."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from gui.tokens import Tokens

__all__ = ["Switch"]

_WIDTH, _HEIGHT = 30, 16
# room for the ring that shows the focus
_EDGE = 3


class Switch(QAbstractButton):
    """It shows what it is told: a click only asks (`clicked`), and whoever can do it sets it then."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tokens: Tokens | None = None
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_tokens(self, tokens: Tokens) -> None:
        """Take the theme's colours."""
        self._tokens = tokens
        self.update()

    def nextCheckState(self) -> None:
        """A click changes nothing by itself."""

    def sizeHint(self) -> QSize:
        return QSize(_WIDTH + 2 * _EDGE, _HEIGHT + 2 * _EDGE)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._tokens is None:
            return
        t = self._tokens
        on, enabled = self.isChecked(), self.isEnabled()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(1.0 if enabled else 0.5)
        track = QRectF((self.width() - _WIDTH) / 2 + 0.5, (self.height() - _HEIGHT) / 2 + 0.5, _WIDTH - 1, _HEIGHT - 1)
        edge = t.ok if on else t.dim
        painter.setPen(QPen(QColor(edge), 1))
        painter.setBrush(QColor(t.ok if on else t.background))
        painter.drawRoundedRect(track, track.height() / 2, track.height() / 2)
        size = track.height() - 5
        left = track.right() - size - 2.5 if on else track.left() + 2.5
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(t.panel if on else t.dim))
        painter.drawEllipse(QRectF(left, track.top() + 2.5, size, size))
        if self.hasFocus():
            ring = track.adjusted(-2.5, -2.5, 2.5, 2.5)
            painter.setPen(QPen(QColor(t.accent), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(ring, ring.height() / 2, ring.height() / 2)
