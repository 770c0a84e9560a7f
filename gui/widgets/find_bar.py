"""A line to look for a text with: a field, previous, next, and a word when there is nothing."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QToolButton, QWidget

__all__ = ["FindBar"]


class FindBar(QWidget):
    """Emits `asked(text, backward)` while one types and on Enter or Shift+Enter, `closed` on Esc."""

    asked = Signal(str, bool)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = QLineEdit()
        self.field.setObjectName("find_field")
        self.field.setPlaceholderText("Find")
        self.field.setClearButtonEnabled(True)
        self.field.setMaximumWidth(320)
        self.field.textEdited.connect(lambda text: self.asked.emit(text, False))
        self.field.installEventFilter(self)
        self._word = QLabel()
        self._word.setProperty("role", "small")
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 6, 14, 2)
        row.setSpacing(8)
        row.addWidget(self.field, 1)
        row.addWidget(self._button("Previous", "The one before (Shift+Enter)", backward=True))
        row.addWidget(self._button("Next", "The next one (Enter)", backward=False))
        row.addWidget(self._word)
        row.addStretch(1)
        close = QToolButton()
        close.setText("Done")
        close.setToolTip("Close (Esc)")
        close.clicked.connect(self.closed)
        row.addWidget(close)
        self.hide()

    def open(self, text: str = "") -> None:
        """Show it, with `text` in the field if there is one, ready to type."""
        if text:
            self.field.setText(text)
        self.show_found(True)
        self.show()
        self.field.setFocus()
        self.field.selectAll()

    def show_found(self, found: bool) -> None:
        """Say so when nothing was found."""
        self._word.setText("" if found or not self.field.text() else "not found")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in {QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress}:
            assert isinstance(event, QKeyEvent)
            if event.key() == Qt.Key.Key_Escape:
                # the window's own Esc would take it otherwise
                event.accept()
                if event.type() == QEvent.Type.KeyPress:
                    self.closed.emit()
                return True
            if event.type() == QEvent.Type.KeyPress and event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter}:
                self.asked.emit(self.field.text(), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
                return True
        return super().eventFilter(watched, event)

    def _button(self, text: str, tooltip: str, *, backward: bool) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tooltip)
        button.clicked.connect(lambda: self.asked.emit(self.field.text(), backward))
        return button
