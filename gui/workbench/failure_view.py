"""Shows a failure: its name, what happened, what to do, and where it came from."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from gui.theme import mono_font
from gui.workbench.failure import Failure

__all__ = ["FailureView"]


class FailureView(QWidget):
    """Everything in it can be selected and copied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._failure: Failure | None = None
        self.title = self._label("error_title")
        self.message = self._label("error_message")
        self.advice = self._label("error_advice")
        self.advice.setProperty("role", "dim")
        self.trace = QPlainTextEdit(self)
        self.trace.setObjectName("error_trace")
        self.trace.setAccessibleName("Stack trace")
        self.trace.setReadOnly(True)
        self.trace.setFrameShape(QPlainTextEdit.Shape.NoFrame)
        self.trace.setFont(mono_font())
        self.trace.document().setDocumentMargin(0)
        self.trace.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._details = QPushButton("Details…", self)
        self._details.setObjectName("error_details")
        self._details.setCheckable(True)
        self._details.toggled.connect(self._fill_trace)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title, 1)
        head.addWidget(self._details, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(head)
        layout.addWidget(self.message)
        layout.addWidget(self.advice)
        layout.addSpacing(4)
        layout.addWidget(self.trace, 1)
        layout.addStretch(0)

    def show_failure(self, failure: Failure) -> None:
        """Show `failure` in place of any other."""
        self._failure = failure
        self.title.setText(failure.title)
        self.message.setText(failure.message)
        self.advice.setText(failure.advice)
        self.advice.setVisible(bool(failure.advice))
        self._details.setVisible(bool(failure.details))
        self._details.setChecked(False)
        self._fill_trace()

    def _label(self, name: str) -> QLabel:
        label = QLabel(self)
        label.setObjectName(name)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        return label

    def _fill_trace(self) -> None:
        if self._failure is not None:
            text = self._failure.details if self._details.isChecked() else self._failure.trace
            self.trace.setPlainText(text)
            self.trace.setAccessibleName("Traceback" if self._details.isChecked() else "Stack trace")
