"""The strip at the top of the window that says what went wrong."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from gui.formatting import one_line
from gui.widgets.dot import Dot

__all__ = ["Banner"]


class Banner(QFrame):
    """One sentence, a button for the details and one that puts it away."""

    details_wanted = Signal()
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("error_banner")
        self.setAccessibleName("What went wrong")
        self._dot = Dot()
        self._text = QLabel()
        self._text.setObjectName("error_text")
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        details = QPushButton("Details…")
        details.setObjectName("error_details")
        details.clicked.connect(self.details_wanted)
        dismiss = QPushButton("Dismiss")
        dismiss.setObjectName("error_dismiss")
        dismiss.setProperty("flat", True)
        dismiss.clicked.connect(self.dismissed)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 6, 14, 6)
        row.setSpacing(8)
        row.addWidget(self._dot, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self._text, 1)
        row.addWidget(details)
        row.addWidget(dismiss)
        self.hide()

    def set_colour(self, colour: str) -> None:
        """The dot's colour, as #rrggbb."""
        self._dot.set_colour(colour)

    def show_problem(self, sentence: str, more: int = 0) -> None:
        """Show one sentence; `more` others are behind the details."""
        text = one_line(sentence, 320)
        self._text.setText(f"{text}  (and {more} more)" if more else text)
        self._text.setToolTip(sentence if len(sentence) > len(text) else "")
        self.show()
