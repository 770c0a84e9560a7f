"""Paints the cells of a live table: text, pill or meter, in the theme's tones."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QGuiApplication, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from gui.models.cells import CellSource
from gui.theme import Theme, mono_font
from gui.widgets.meter import METER_GAP, METER_WIDTH, paint_meter
from gui.widgets.segments import paint_segments
from gui.widgets.state_pill import paint_pill

__all__ = ["CELL_PADDING", "EDGE_PADDING", "ROW_HEIGHT", "CellDelegate"]

CELL_PADDING = 8
# the first column stands further in, under the panel's title
EDGE_PADDING = 14
ROW_HEIGHT = 30
_ELIDED_KEPT = 4096
# letters of what follows a cell's shorter text that must fit to be worth showing
_MORE = 7


class CellDelegate(QStyledItemDelegate):
    """Asks a `CellSource` what to show and paints just that.

    Nothing goes through roles and styles, which would cost most of a frame in a table that changes
    thirty times a second. `hovered` is the row under the mouse, set by the table.
    """

    def __init__(self, source: CellSource, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._source = source
        self._theme = theme
        self.hovered = -1
        self._elided: dict[tuple[str, bool, bool, int], str] = {}
        self._colors: dict[str, QColor] = {}
        self._inks: dict[str, QColor] = {}
        self._face = QFont()
        self._mono = QFont()
        self._face_metrics = QFontMetrics(self._face)
        self._mono_metrics = QFontMetrics(self._mono)
        self.refresh()

    def refresh(self) -> None:
        """The theme or the fonts changed."""
        self._colors.clear()
        self._inks.clear()
        self._elided.clear()
        self._face = QGuiApplication.font()
        self._mono = mono_font()
        self._face_metrics = QFontMetrics(self._face)
        self._mono_metrics = QFontMetrics(self._mono)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        row, column = index.row(), index.column()
        cell = self._source.cell(row, column)
        rect: QRect = option.rect
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if selected:
            painter.fillRect(rect, self._color("selection"))
        elif row == self.hovered:
            painter.fillRect(rect, self._hover())
        if not cell.text and cell.meter is None and not cell.segments:
            return
        if cell.opacity < 1.0:
            painter.setOpacity(cell.opacity)
        left, right = rect.left() + (CELL_PADDING if column else EDGE_PADDING), rect.right() - CELL_PADDING + 1
        font, metrics = (self._mono, self._mono_metrics) if cell.mono else (self._face, self._face_metrics)
        painter.setFont(font)
        if cell.pill:
            place = QRectF(left, rect.top(), right - left, rect.height())
            paint_pill(painter, place, cell.text, self._color(cell.tone), self._ink(cell.tone))
        else:
            # in a column that is too narrow for both, the figure says more than the bar
            if cell.meter is not None and right - left >= self._meter_room(cell.text, metrics):
                bar = QRectF(left, rect.top(), METER_WIDTH, rect.height())
                paint_meter(painter, bar, cell.meter, self._color(cell.meter_tone), self._color("line"))
                left += METER_WIDTH + METER_GAP
            if cell.segments and right > left:
                # here the bar says more than the figure
                bar = QRectF(left, rect.top(), min(METER_WIDTH, right - left), rect.height())
                paint_segments(painter, bar, [(self._color(token), share) for token, share in cell.segments])
                left += METER_WIDTH + METER_GAP
                if right - left < metrics.horizontalAdvance(cell.text):
                    right = left
            if right > left:
                painter.setPen(self._ink(cell.tone))
                words = cell.text
                if cell.less and metrics.horizontalAdvance(words[: len(cell.less) + _MORE]) > right - left:
                    words = cell.less
                text = self._fitting(words, metrics, right - left, cell.mono, cell.middle)
                side = Qt.AlignmentFlag.AlignRight if cell.right else Qt.AlignmentFlag.AlignLeft
                flags = int(side | Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextSingleLine)
                painter.drawText(left, rect.top(), right - left, rect.height(), flags, text)
        if cell.opacity < 1.0:
            painter.setOpacity(1.0)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        text = self._source.cell(index.row(), index.column()).text
        return QSize(self._mono_metrics.horizontalAdvance(text) + 2 * CELL_PADDING, ROW_HEIGHT)

    @staticmethod
    def _meter_room(text: str, metrics: QFontMetrics) -> int:
        return METER_WIDTH + METER_GAP + metrics.horizontalAdvance(text)

    def _color(self, token: str) -> QColor:
        color = self._colors.get(token)
        if color is None:
            color = self._colors[token] = self._theme.color(token)
        return color

    def _ink(self, token: str) -> QColor:
        color = self._inks.get(token)
        if color is None:
            color = self._inks[token] = self._theme.ink(token)
        return color

    def _hover(self) -> QColor:
        color = self._colors.get("hover")
        if color is None:
            color = QColor(self._theme.color("dim"))
            color.setAlphaF(0.08)
            self._colors["hover"] = color
        return color

    def _fitting(self, text: str, metrics: QFontMetrics, width: int, mono: bool, middle: bool) -> str:
        key = (text, mono, middle, width)
        fitting = self._elided.get(key)
        if fitting is None:
            mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
            if len(self._elided) >= _ELIDED_KEPT:
                self._elided.clear()
            fitting = self._elided[key] = metrics.elidedText(text, mode, width)
        return fitting
