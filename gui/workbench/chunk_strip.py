"""A strip of bars under the response: when its chunks came and how large they were."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QVBoxLayout, QWidget

from gui.formatting import format_bytes, format_ms, plural
from gui.theme import Theme
from gui.workbench.labels import CalmLabel
from gui.workbench.response import Response
from gui.workbench.run import Run

__all__ = ["ChunkStrip", "span_for"]

_BAR = 4
_SLOT = 6
_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


def span_for(seconds: float) -> float:
    """The width of the strip in seconds: the next round figure, so that bars stay where they are for a while."""
    scale = 0.001
    while True:
        for step in _STEPS:
            if step * scale >= seconds:
                return step * scale
        scale *= 10


class _Bars(QWidget):
    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._response: Response | None = None
        self._first = 0.0
        self._slots: list[int] = []
        self._span = 0.0
        self.setFixedHeight(26)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(200, 26)

    def show_response(self, response: Response | None, first: float, until: float) -> None:
        """`first` is when the first chunk came and `until` how long the stream lasts, in seconds from its start."""
        self._response, self._first = response, first
        self._span = span_for(max(until, 0.001))
        self.update()

    def _gather(self) -> list[int]:
        slots = [0] * max(1, self.width() // _SLOT)
        response = self._response
        if response is None or response.first_at is None:
            return slots
        scale = len(slots) / self._span
        for number, size in enumerate(response.bins):
            if size:
                place = int((self._first + number * response.bin_width) * scale)
                slots[min(place, len(slots) - 1)] += size
        return slots

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        bottom = self.height() - 1
        painter.setPen(self._theme.color("line"))
        painter.drawLine(QPointF(0, bottom + 0.5), QPointF(self.width(), bottom + 0.5))
        self._slots = self._gather()
        largest = max(self._slots)
        if not largest:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("busy"))
        room = bottom - 3
        for number, size in enumerate(self._slots):
            if size:
                height = max(3.0, room * size / largest)
                painter.drawRoundedRect(QRectF(number * _SLOT, bottom - height, _BAR, height), 1, 1)
        painter.end()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self._slots:
            number = event.pos().x() // _SLOT
            if 0 <= number < len(self._slots) and self._slots[number]:
                at = number * self._span / len(self._slots)
                QToolTip.showText(event.globalPos(), f"+{at:.3f} s · {format_bytes(self._slots[number])}", self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)


class ChunkStrip(QWidget):
    """The bars, and above them their sum in words."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.caption = CalmLabel(self)
        self.caption.setObjectName("chunk_caption")
        self._bars = _Bars(theme, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.caption)
        layout.addWidget(self._bars)

    def show_run(self, run: Run | None) -> None:
        """Take in how `run` stands."""
        response = run.response if run is not None else None
        if run is None or response is None or response.first_at is None:
            self.caption.show_text("")
            self._bars.show_response(None, 0.0, 0.0)
            return
        first = max(0.0, response.first_at - run.base)
        last = max(0.0, response.last_at - run.base)
        words = (
            f"{plural(response.chunks, 'chunk')} over {format_ms(last * 1000)} · first byte {format_ms(first * 1000)}"
        )
        if response.chunks > 1:
            words += f" · largest gap {format_ms(response.largest_gap * 1000)}"
        self.caption.show_text(words)
        self._bars.show_response(response, first, last)
