"""The bar of invocation tabs: a name, a dot in the colour of what runs or failed, and a word."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QTabBar, QWidget

from gui.theme import Theme

__all__ = ["TabBar", "TabText"]

_PADDING = 14
_CLOSE = 14
_GAP = 6
_DOT = 8


@dataclass(frozen=True, slots=True)
class TabText:
    """`token` is the colour of a dot between name and word; without one a middle dot parts them."""

    name: str
    word: str = ""
    token: str | None = None

    @property
    def plain(self) -> str:
        """All of it, for people who do not see the dot."""
        if not self.word:
            return self.name
        return f"{self.name} {'●' if self.token else '·'} {self.word}"


class TabBar(QTabBar):
    """Emits `close_requested(index)` for a click on the cross or a middle click."""

    close_requested = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._hovered = -1
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setMouseTracking(True)
        self.setElideMode(Qt.TextElideMode.ElideNone)
        self.setAccessibleName("Invocations")
        theme.changed.connect(self.update)

    def show_text(self, index: int, text: TabText) -> None:
        """Name tab `index`."""
        if self._text(index) != text:
            self.setTabData(index, text)
            self.setTabText(index, text.plain.replace("&", "&&"))
            self.setTabToolTip(index, text.plain)

    def tabSizeHint(self, index: int) -> QSize:
        text = self._text(index)
        metrics = self.fontMetrics()
        width = metrics.horizontalAdvance(text.name)
        if text.word:
            width += metrics.horizontalAdvance(text.word) + 2 * _GAP + _DOT
        return QSize(min(300, width + 2 * _PADDING + _CLOSE + _GAP), metrics.height() + 18)

    def minimumTabSizeHint(self, index: int) -> QSize:
        return self.tabSizeHint(index)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for index in range(self.count()):
            self._paint_tab(painter, index)
        painter.end()

    def _paint_tab(self, painter: QPainter, index: int) -> None:
        theme = self._theme
        current = index == self.currentIndex()
        area = self.tabRect(index)
        if current:
            frame = QRectF(area).adjusted(0.5, 0.5, -0.5, 8)
            path = QPainterPath()
            path.addRoundedRect(frame, 7, 7)
            painter.save()
            painter.setClipRect(area)
            painter.setPen(QPen(theme.color("accent" if self.hasFocus() else "line"), 1))
            painter.setBrush(theme.color("panel"))
            painter.drawPath(path)
            painter.restore()
        ink = theme.color("text" if current or index == self._hovered else "dim")
        painter.setPen(ink)
        text = self._text(index)
        metrics = self.fontMetrics()
        left = area.left() + _PADDING
        right = area.right() - _PADDING - _CLOSE - _GAP + 4
        middle = QRectF(area).center().y()
        word_width = metrics.horizontalAdvance(text.word) + 2 * _GAP + _DOT if text.word else 0
        room = max(20, right - left - word_width + 1)
        name = metrics.elidedText(text.name, Qt.TextElideMode.ElideMiddle, room)
        flags = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        painter.drawText(QRectF(left, area.top(), room + 2, area.height()), flags, name)
        if text.word:
            x = left + metrics.horizontalAdvance(name) + _GAP
            painter.setPen(Qt.PenStyle.NoPen)
            radius = _DOT / 2 if text.token else 1.2
            painter.setBrush(theme.color(text.token) if text.token else ink)
            painter.drawEllipse(QPointF(x + _DOT / 2, middle), radius, radius)
            painter.setPen(ink)
            painter.drawText(QRectF(x + _DOT + _GAP, area.top(), right - x, area.height()), flags, text.word)
        if current or index == self._hovered:
            self._paint_cross(painter, self._cross(index), theme.color("dim"))

    def _paint_cross(self, painter: QPainter, area: QRect, colour: QColor) -> None:
        under = area.contains(self.mapFromGlobal(self.cursor().pos()))
        if under:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._theme.color("line"))
            painter.drawRoundedRect(QRectF(area), 4, 4)
        painter.setPen(QPen(self._theme.color("text") if under else colour, 1.2))
        centre = QRectF(area).center()
        reach = 3.0
        painter.drawLine(centre + QPointF(-reach, -reach), centre + QPointF(reach, reach))
        painter.drawLine(centre + QPointF(-reach, reach), centre + QPointF(reach, -reach))

    def _cross(self, index: int) -> QRect:
        area = self.tabRect(index)
        return QRect(area.right() - _PADDING - _CLOSE + 6, area.center().y() - _CLOSE // 2, _CLOSE, _CLOSE)

    def _text(self, index: int) -> TabText:
        # kept by Qt with the tab: it asks for sizes before it tells that a tab came or went
        kept = self.tabData(index)
        return kept if isinstance(kept, TabText) else TabText("")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.tabAt(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and index >= 0 and self._on_cross(event, index):
            event.accept()
            return
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        index = self.tabAt(event.position().toPoint())
        left = event.button() == Qt.MouseButton.LeftButton and index >= 0 and self._on_cross(event, index)
        if left or (event.button() == Qt.MouseButton.MiddleButton and index >= 0):
            self.close_requested.emit(index)
            return
        super().mouseReleaseEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hovered = self.tabAt(event.position().toPoint())
        self.update()
        super().mouseMoveEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:
        self.update()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._hovered = -1
        self.update()
        super().leaveEvent(event)

    def _on_cross(self, event: QMouseEvent, index: int) -> bool:
        shown = index == self.currentIndex() or index == self._hovered
        return shown and self._cross(index).contains(event.position().toPoint())
