"""The program's SVG icons, recoloured for the theme in force."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap

import resources

__all__ = ["icon", "icon_path"]


def icon_path(name: str) -> Path:
    """Where the icon's file is. Raises FileNotFoundError."""
    path = Path(resources.__file__).parent / "icons" / f"{name}.svg"
    if not path.is_file():
        raise FileNotFoundError(path)
    return path


@lru_cache(maxsize=64)
def icon(name: str, color: str = "", size: int = 16) -> QIcon:
    """The icon at `size` logical pixels; `color` (#rrggbb) stands where the file says currentColor."""
    # imported here: not every start shows an icon that must be drawn
    from PySide6.QtSvg import QSvgRenderer

    text = icon_path(name).read_text(encoding="utf-8").replace("currentColor", color or "#808080")
    renderer = QSvgRenderer(QByteArray(text.encode()))
    made = QIcon()
    for scale in (1, 2, 3):
        pixmap = QPixmap(size * scale, size * scale)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        renderer.render(painter, QRectF(0, 0, size * scale, size * scale))
        painter.end()
        pixmap.setDevicePixelRatio(scale)
        made.addPixmap(pixmap)
    return made
