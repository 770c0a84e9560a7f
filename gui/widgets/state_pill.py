"""A state as a pill: a dot and the word, both in the state's colour."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen

__all__ = ["paint_pill", "pill_width"]

_DOT = 7
_PAD = 9
_GAP = 6
_HEIGHT = 20


def pill_width(text: str, metrics: QFontMetrics) -> int:
    """How wide the pill with this text is, in pixels."""
    return _PAD + _DOT + _GAP + metrics.horizontalAdvance(text) + _PAD


def paint_pill(painter: QPainter, rect: QRectF, text: str, color: QColor, ink: QColor) -> None:
    """Paint the pill at the left of `rect`, centred in its height, in the painter's font; `ink` is for the word."""
    room = int(rect.width()) - pill_width("", painter.fontMetrics())
    text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, max(0, room))
    width = min(pill_width(text, painter.fontMetrics()), int(rect.width()))
    height = min(float(_HEIGHT), rect.height())
    outline = QRectF(rect.left() + 0.5, rect.center().y() - height / 2 + 0.5, width - 1, height - 1)
    ground, edge = QColor(color), QColor(color)
    ground.setAlphaF(0.11)
    edge.setAlphaF(0.45)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(QPen(edge, 1))
    painter.setBrush(ground)
    painter.drawRoundedRect(outline, height / 2, height / 2)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawEllipse(QPointF(outline.left() + _PAD + _DOT / 2, outline.center().y()), _DOT / 2, _DOT / 2)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.setPen(ink)
    left = outline.left() + _PAD + _DOT + _GAP
    words = QRectF(left, outline.top(), outline.right() - left, outline.height())
    painter.drawText(words, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)
