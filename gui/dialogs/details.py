"""What went wrong, at length: every problem of this window with its traceback."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from gui.dialogs.base import StokerDialog
from gui.errors import Problem
from gui.theme import mono_font

__all__ = ["DetailsDialog"]


class DetailsDialog(StokerDialog):
    """Newest first, as text that can be copied."""

    def __init__(self, parent: QWidget | None, problems: Sequence[Problem]) -> None:
        super().__init__(parent, "What went wrong", "details")
        self.resize(760, 460)
        self._text = QPlainTextEdit()
        self._text.setObjectName("details_text")
        self._text.setAccessibleName("What went wrong, with tracebacks")
        self._text.setReadOnly(True)
        self._text.setFont(mono_font(1.0))
        self._text.setPlainText("\n\n".join(_told(problem) for problem in reversed(problems)))
        self.body.addWidget(self._text)
        copy = self.button("Copy", "copy")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._text.toPlainText()))
        self.foot.addStretch(1)
        close = self.button("Close", "close", default=True)
        close.clicked.connect(self.accept)
        close.setFocus()


def _told(problem: Problem) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(problem.wall))
    times = f" ({problem.count} times)" if problem.count > 1 else ""
    head = f"{when}  {problem.sentence}{times}"
    return f"{head}\n{problem.details.rstrip()}" if problem.details else head
