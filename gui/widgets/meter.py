"""A meter: a thin bar that is partly filled."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter

__all__ = ["METER_GAP", "METER_WIDTH", "paint_meter"]

METER_WIDTH = 48
METER_GAP = 8
_HEIGHT = 5.0


def paint_meter(painter: QPainter, rect: QRectF, fraction: float, fill: QColor, track: QColor) -> None:
    """Paint the bar over the width of `rect`, centred in its height; `fraction` is from 0 to 1."""
    radius = _HEIGHT / 2
    bar = QRectF(rect.left(), rect.center().y() - radius, rect.width(), _HEIGHT)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(track)
    painter.drawRoundedRect(bar, radius, radius)
    filled = bar.width() * max(0.0, min(1.0, fraction))
    if filled > 0:
        # never narrower than its own ends, so that a little still looks like a little
        bar.setWidth(max(_HEIGHT, filled))
        painter.setBrush(fill)
        painter.drawRoundedRect(bar, radius, radius)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
