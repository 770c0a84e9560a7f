"""What lies over the window while it closes: what is waited for, and a button not to wait."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

__all__ = ["ClosingCard"]


class ClosingCard(QWidget):
    """Covers `parent` and takes its clicks. `hurry` is emitted by the button."""

    hurry = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._outer = parent
        self.setObjectName("closing")
        self.setAccessibleName("Stoker closes")
        card = QFrame()
        card.setObjectName("closing_card")
        card.setFixedWidth(380)
        title = QLabel("Closing Stoker")
        title.setProperty("role", "heading")
        self._text = QLabel()
        self._text.setObjectName("closing_text")
        self._text.setProperty("role", "dim")
        bar = QProgressBar()
        bar.setRange(0, 0)
        bar.setTextVisible(False)
        self.button = QPushButton()
        self.button.setObjectName("closing_hurry")
        self.button.clicked.connect(self.hurry)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.button)
        column = QVBoxLayout(card)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        for each in (title, self._text, bar):
            column.addWidget(each)
        column.addLayout(foot)
        outer = QVBoxLayout(self)
        outer.addWidget(card, 0, Qt.AlignmentFlag.AlignCenter)
        parent.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def tell(self, text: str, button: str) -> None:
        """Say what is waited for, and what the button does."""
        self._text.setText(text)
        self.button.setText(button)
        if not self.isVisible():
            self.setGeometry(self._outer.rect())
            self.show()
            self.raise_()
            self.button.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self.setGeometry(self._outer.rect())
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        ground = QColor(self.palette().window().color())
        ground.setAlpha(190)
        QPainter(self).fillRect(self.rect(), ground)
