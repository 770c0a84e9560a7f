"""What shows while a zip or folder is dragged over the window, and takes the drop."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QWidget

from gui.icons import icon
from gui.theme import Theme

__all__ = ["DropOverlay", "dropped_code"]


def dropped_code(data: QMimeData) -> Path | None:
    """The one zip or folder that is being dragged; None for anything else."""
    urls = data.urls() if data.hasUrls() else []
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = Path(urls[0].toLocalFile())
    return path if path.suffix.lower() == ".zip" or path.is_dir() else None


class DropOverlay(QWidget):
    """Covers the window as long as the drag lasts, so that no view below can take the drop as text."""

    dropped = Signal(object)

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._outer = parent
        self.setObjectName("drop_overlay")
        self.setAcceptDrops(True)
        self.hide()

    def begin(self) -> None:
        """Cover the window."""
        self.setGeometry(self._outer.rect())
        self.show()
        self.raise_()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_code(event.mimeData()) is not None:
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        self.hide()
        code = dropped_code(event.mimeData())
        if code is not None:
            event.acceptProposedAction()
            self.dropped.emit(code)

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = self._theme.tokens
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = QColor(tokens.background)
        ground.setAlpha(225)
        painter.fillRect(self.rect(), ground)
        pen = QPen(QColor(tokens.accent), 2, Qt.PenStyle.DashLine)
        painter.setPen(pen)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(14, 14, -14, -14), 7, 7)
        middle = self.rect().center()
        icon("drop", tokens.accent, 48).paint(painter, middle.x() - 24, middle.y() - 56, 48, 48)
        painter.setPen(QColor(tokens.text))
        painter.drawText(
            self.rect().adjusted(0, 24, 0, 24), Qt.AlignmentFlag.AlignCenter, "Drop to add it as a function"
        )
