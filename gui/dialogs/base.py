"""What all dialogs share: how one is awaited, and how its foot of buttons looks."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

__all__ = ["StokerDialog", "ask"]


async def ask(dialog: QDialog) -> int:
    """Open `dialog` and return its result when the person has closed it. It is deleted then.

    Cancelling the call closes the dialog. `exec` is never used: under qasync it would stop the loop.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()

    def finished(result: int) -> None:
        if not answer.done():
            answer.set_result(result)

    dialog.finished.connect(finished)
    dialog.open()
    try:
        return await answer
    finally:
        # the parent may have taken it along
        with suppress(RuntimeError):
            dialog.finished.disconnect(finished)
            dialog.close()
            dialog.deleteLater()


class StokerDialog(QDialog):
    """A title, a body to fill (`self.body`) and a foot of buttons (`self.foot`), modal to its window."""

    def __init__(self, parent: QWidget | None, title: str, object_name: str) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setWindowTitle(f"{title} · Stoker")
        self.setAccessibleName(title)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        heading = QLabel(title)
        heading.setProperty("role", "title")
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        self.foot = QHBoxLayout()
        self.foot.setSpacing(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(heading)
        column.addLayout(self.body, 1)
        column.addLayout(self.foot)

    def say(self, text: str, role: str = "") -> QLabel:
        """Add a paragraph to the body."""
        label = QLabel(text)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        if role:
            label.setProperty("role", role)
        self.body.addWidget(label)
        return label

    def button(
        self, words: str, object_name: str, *, primary: bool = False, danger: bool = False, default: bool = False
    ) -> QPushButton:
        """Add a button to the foot, from left to right; the caller connects it."""
        made = QPushButton(words)
        made.setObjectName(object_name)
        made.setProperty("primary", primary)
        made.setProperty("danger", danger)
        made.setAutoDefault(False)
        made.setDefault(default)
        self.foot.addWidget(made)
        return made
