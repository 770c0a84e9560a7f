"""Labels for figures that change: they never ask for another width, and elide what does not fit."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from gui.theme import Theme, mono_font

__all__ = ["CalmLabel", "StatusPill"]


class CalmLabel(QLabel):
    """Shows as much of its text as fits into `lines`, the whole in the tooltip, and keeps its place and size."""

    def __init__(
        self, parent: QWidget | None = None, elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight, *, lines: int = 1
    ) -> None:
        super().__init__(parent)
        self._lines = lines
        self.setWordWrap(lines > 1)
        self._whole = ""
        self._elide = elide
        self._tip = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def whole(self) -> str:
        """The text, whether it fits or not."""
        return self._whole

    def show_text(self, text: str, tip: str = "") -> None:
        """Show `text`; `tip` replaces it in the tooltip."""
        if text == self._whole and tip == self._tip:
            return
        self._whole, self._tip = text, tip
        self.setAccessibleName(text)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        return QSize(10, self._lines * self.fontMetrics().height() + 2)

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def hasHeightForWidth(self) -> bool:
        # a wrapped label would ask for more height with every longer text
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        # words do not fill a wrapped line to its end: a tenth of each is left to that
        room = self.width() if self._lines == 1 else int(self.width() * self._lines * 0.9)
        shown = self.fontMetrics().elidedText(self._whole, self._elide, max(0, room))
        if shown == "…":
            shown = ""
        if shown != self.text():
            self.setText(shown)
        self.setToolTip(self._tip or (self._whole if shown != self._whole else ""))


class StatusPill(QWidget):
    """A word in a rounded frame with a dot before it, both in the colour of what the word says."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._word = ""
        self._token = "dim"
        self.setFont(mono_font())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    @property
    def word(self) -> str:
        """What it says."""
        return self._word

    def show_status(self, word: str, token: str) -> None:
        """Say `word` in the colour `token` of the theme."""
        if (word, token) != (self._word, self._token):
            self._word, self._token = word, token
            self.setAccessibleName(word)
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, self.fontMetrics().height() + 6)

    def paintEvent(self, _event: QPaintEvent) -> None:
        if not self._word:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = self._theme.color(self._token)
        metrics = self.fontMetrics()
        room = self.width() - 1
        text = metrics.elidedText(self._word, Qt.TextElideMode.ElideRight, room - 32)
        width = min(room, metrics.horizontalAdvance(text) + 32)
        frame = QRectF(0.5, 0.5, width - 1, self.height() - 1)
        painter.setPen(QPen(_with_alpha(colour, 110), 1))
        painter.setBrush(_with_alpha(colour, 34))
        painter.drawRoundedRect(frame, frame.height() / 2, frame.height() / 2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawEllipse(QRectF(10, self.height() / 2 - 3.5, 7, 7))
        painter.setPen(self._theme.ink(self._token))
        painter.drawText(QRectF(22, 0, width - 24, self.height()), int(Qt.AlignmentFlag.AlignVCenter), text)
        painter.end()


def _with_alpha(colour: QColor, alpha: int) -> QColor:
    faint = QColor(colour)
    faint.setAlpha(alpha)
    return faint
