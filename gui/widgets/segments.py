"""A thin bar in parts: how the time of a cold start was spent."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter

__all__ = ["paint_segments"]

_HEIGHT = 7.0
_GAP = 1.0
_LEAST = 2.0


def paint_segments(painter: QPainter, rect: QRectF, parts: Sequence[tuple[QColor, float]]) -> None:
    """Paint the parts side by side over the width of `rect`, each as wide as its share of the whole.

    None vanishes: a part of next to nothing is still a line, with a gap to its neighbours, so that the
    parts can be counted without their colours.
    """
    whole = sum(share for _, share in parts)
    if whole <= 0 or rect.width() <= 0:
        return
    room = rect.width() - _GAP * (len(parts) - 1) - _LEAST * len(parts)
    x, top = rect.left(), rect.center().y() - _HEIGHT / 2
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(Qt.PenStyle.NoPen)
    for colour, share in parts:
        width = _LEAST + max(0.0, room) * share / whole
        painter.setBrush(colour)
        painter.drawRoundedRect(QRectF(x, top, width, _HEIGHT), 1.0, 1.0)
        x += width + _GAP
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
