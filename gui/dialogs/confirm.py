"""Asks before something that cannot be taken back, and how to do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtWidgets import QDialog, QWidget

from gui.dialogs.base import StokerDialog, ask

__all__ = ["Choice", "ConfirmDialog", "choose"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One button: the answer it stands for (also its object name) and its words."""

    answer: str
    words: str
    danger: bool = False
    primary: bool = False


class ConfirmDialog(StokerDialog):
    """A question with a few answers. Esc and the close button mean "no", the last button.

    `answer` is the chosen one's, None for no.
    """

    def __init__(
        self,
        parent: QWidget | None,
        title: str,
        text: str,
        choices: Sequence[Choice],
        no: str = "Cancel",
    ) -> None:
        super().__init__(parent, title, "confirm")
        self.answer: str | None = None
        self.text = self.say(text)
        self.text.setObjectName("confirm_text")
        self.setMinimumWidth(420)
        self.foot.addStretch(1)
        for choice in choices:
            button = self.button(choice.words, choice.answer, danger=choice.danger, primary=choice.primary)
            button.clicked.connect(lambda _=False, answer=choice.answer: self._chosen(answer))
        # what changes nothing has the focus: Enter by habit must not destroy
        refuse = self.button(no, "no", default=True)
        refuse.clicked.connect(self.reject)
        refuse.setFocus()

    def _chosen(self, answer: str) -> None:
        self.answer = answer
        self.accept()


async def choose(
    parent: QWidget | None, title: str, text: str, choices: Sequence[Choice], no: str = "Cancel"
) -> str | None:
    """Ask, and return the answer that was chosen; None for no."""
    dialog = ConfirmDialog(parent, title, text, choices, no)
    accepted = await ask(dialog) == QDialog.DialogCode.Accepted
    return dialog.answer if accepted else None
