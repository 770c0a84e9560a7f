"""Draws one function: its name, what runs it, and a dot for every instance; a version on one line."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from core.instances import InstanceState
from gui.formatting import format_count
from gui.models.functions import ROW_ROLE, FunctionRow
from gui.style import mixed
from gui.theme import Theme
from gui.tokens import state_token

__all__ = ["FunctionDelegate"]

_MOST_DOTS = 6
_DOT = 8
_STEP = 12
_LEFT = 16
# a published version stands in, below its function
_INDENT = 14
_RIGHT = 14
_ORDER = (
    InstanceState.BUSY,
    InstanceState.IDLE,
    InstanceState.STARTING,
    InstanceState.DRAINING,
    InstanceState.TERMINATING,
)


class FunctionDelegate(QStyledItemDelegate):
    """Two lines: name and dots, then runtime, backend and what is wrong or waits. A version has only the first.

    The right column keeps its width for itself, so that a name never runs under the dots.
    """

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        line = option.fontMetrics.height()
        row = index.data(ROW_ROLE)
        if isinstance(row, FunctionRow) and row.version is not None:
            return QSize(160, max(30, line + 12))
        return QSize(160, max(52, 2 * line + 22))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        row = index.data(ROW_ROLE)
        if not isinstance(row, FunctionRow):
            return
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._ground(painter, rect, state)

        font = QFont(option.font)
        small = QFont(font)
        small.setPointSizeF(max(7.0, font.pointSizeF() - 1))
        if row.version is not None:
            self._version(painter, rect, row, font, small)
            painter.restore()
            return
        middle = rect.center().y()
        upper = QRect(rect.left() + _LEFT, rect.top(), rect.width() - _LEFT - _RIGHT, middle - rect.top() - 1)
        lower = QRect(upper.left(), middle + 3, upper.width(), rect.bottom() - middle - 3)

        taken = self._dots(painter, upper, row, small)
        painter.setFont(font)
        painter.setPen(self._theme.color("dim" if row.trouble else "text"))
        room = upper.adjusted(0, 0, -(taken + 8), 0)
        name = QFontMetrics(font).elidedText(row.name, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, name)

        painter.setFont(small)
        metrics = QFontMetrics(small)
        remark, token = self._remark(row)
        used = 0
        if remark:
            remark = metrics.elidedText(remark, Qt.TextElideMode.ElideRight, lower.width() // 2)
            used = metrics.horizontalAdvance(remark) + 8
            painter.setPen(self._theme.ink(token))
            painter.drawText(lower, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, remark)
        painter.setPen(self._theme.ink("error") if row.trouble else self._theme.color("dim"))
        about = row.trouble or f"{row.runtime} · {row.backend}"
        about = metrics.elidedText(about, Qt.TextElideMode.ElideRight, lower.width() - used)
        painter.drawText(lower, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, about)
        painter.restore()

    def _version(self, painter: QPainter, rect: QRect, row: FunctionRow, font: QFont, small: QFont) -> None:
        """One line: its name, what is wrong or waits, and its dots. What runs it is its function's."""
        height = QFontMetrics(font).height()
        line = QRect(rect.left() + _LEFT + _INDENT, rect.top(), rect.width() - _LEFT - _INDENT - _RIGHT, height)
        line.moveTop(rect.center().y() - height // 2)
        taken = self._dots(painter, line, row, small, cold=False)
        room = line.adjusted(0, 0, -(taken + 8), 0)
        remark, token = self._remark(row)
        if remark:
            metrics = QFontMetrics(small)
            remark = metrics.elidedText(remark, Qt.TextElideMode.ElideRight, room.width() // 2)
            painter.setFont(small)
            painter.setPen(self._theme.ink(token))
            painter.drawText(room, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, remark)
            room.adjust(0, 0, -metrics.horizontalAdvance(remark) - 8, 0)
        painter.setFont(font)
        painter.setPen(self._theme.color("dim"))
        # of two versions the numbers tell most
        name = QFontMetrics(font).elidedText(row.name, Qt.TextElideMode.ElideMiddle, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)

    def _ground(self, painter: QPainter, rect: QRect, state: QStyle.StateFlag) -> None:
        tokens = self._theme.tokens
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, QColor(tokens.selection))
            painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), QColor(tokens.accent))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, QColor(mixed(tokens.dim, tokens.panel, 0.10)))
        if state & QStyle.StateFlag.State_HasFocus and state & QStyle.StateFlag.State_KeyboardFocusChange:
            painter.setPen(QColor(tokens.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(rect).adjusted(3.5, 1.5, -1.5, -1.5), 5, 5)

    def _dots(self, painter: QPainter, area: QRect, row: FunctionRow, small: QFont, *, cold: bool = True) -> int:
        """The right end of the upper line; returns the width it took."""
        # the dots sit on the middle of the name's letters
        y = area.bottom() - QFontMetrics(small).height() / 2 + 1.5
        right = area.right()
        x = float(right)
        if row.failed:
            x = self._dot(painter, x, y, "error")
        if not row.instances:
            if row.failed or not cold:
                return int(right - x)
            painter.setFont(small)
            painter.setPen(self._theme.color("dim"))
            painter.drawText(area, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom, "cold")
            return QFontMetrics(small).horizontalAdvance("cold")
        present = [(state, row.counts[state]) for state in _ORDER if row.counts[state] > 0]
        if row.instances <= _MOST_DOTS:
            for state, count in reversed(present):
                for _ in range(count):
                    x = self._dot(painter, x, y, state_token(state))
            return int(right - x)
        painter.setFont(small)
        metrics = QFontMetrics(small)
        for state, count in reversed(present):
            words = format_count(count)
            width = metrics.horizontalAdvance(words)
            painter.setPen(self._theme.color("dim"))
            painter.drawText(QPointF(x - width, area.bottom() - metrics.descent()), words)
            x = self._dot(painter, x - width - 3, y, state_token(state)) - 4
        return int(right - x)

    def _dot(self, painter: QPainter, right: float, y: float, token: str) -> float:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color(token))
        painter.drawEllipse(QRectF(right - _DOT, y - _DOT / 2, _DOT, _DOT))
        return right - _STEP

    @staticmethod
    def _remark(row: FunctionRow) -> tuple[str, str]:
        if row.waiting:
            return f"queued {format_count(row.waiting)}", "starting"
        if row.pulling and not row.trouble:
            return "pulling image", "starting"
        # what it cannot run for says more than how that showed
        if row.failed and not row.trouble:
            return row.failed, "error"
        return "", "dim"
