"""Small buttons that appear at the end of the row under the mouse."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRect, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from gui.theme import Theme

__all__ = ["RowActions"]

_HEIGHT = 22


class RowActions(QWidget):
    """A strip over a table's viewport; `chosen(name)` tells which of its buttons was clicked."""

    chosen = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._ground = "background"
        self._buttons: dict[str, QToolButton] = {}
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(4, 0, 6, 0)
        self._row.setSpacing(0)
        self.setCursor(Qt.CursorShape.ArrowCursor)
        self.hide()

    def add(self, name: str, text: str, tooltip: str) -> QToolButton:
        """A button with a short word."""
        button = QToolButton(self)
        button.setText(text)
        button.setToolTip(tooltip)
        button.setObjectName(f"row_{name}")
        button.setProperty("flat", True)
        # the keyboard has the context menu and the shortcuts; tabbing into what the mouse moves would be lost
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setFixedHeight(_HEIGHT)
        button.setStyleSheet("QToolButton { padding: 0 5px; min-height: 0; border-radius: 5px; }")
        font = button.font()
        if font.pointSizeF() > 0:
            font.setPointSizeF(max(7.0, font.pointSizeF() - 1))
        button.setFont(font)
        button.clicked.connect(lambda: self.chosen.emit(name))
        self._row.addWidget(button)
        self._buttons[name] = button
        return button

    def set_text(self, name: str, text: str) -> None:
        """Change a button's word."""
        if self._buttons[name].text() != text:
            self._buttons[name].setText(text)

    def set_shown(self, name: str, shown: bool) -> None:
        """Offer a button, or not."""
        self._buttons[name].setVisible(shown)

    def place(self, row: QRect, *, selected: bool) -> None:
        """Stand at the right end of this row, given in the viewport's coordinates."""
        self._ground = "selection" if selected else "background"
        width = self.sizeHint().width()
        self.setGeometry(row.right() - width + 1, row.top(), width, row.height())
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.color(self._ground))
        if self._ground == "background":
            hover = self._theme.color("dim")
            hover.setAlphaF(0.08)
            painter.fillRect(self.rect(), hover)
        painter.end()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self.update()
