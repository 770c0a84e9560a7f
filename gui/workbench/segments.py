"""A row of words of which one is chosen."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QPushButton, QSizePolicy, QWidget

__all__ = ["APART", "CLOSE", "Segments"]

# the room at each side of a word
APART, CLOSE = 9, 3


class Segments(QFrame):
    """`chosen(name)` is emitted when the person chooses; `choose` is silent."""

    chosen = Signal(str)

    def __init__(self, names: tuple[str, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segments")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: dict[str, QPushButton] = {}
        layout = QHBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(0)
        for name in names:
            button = QPushButton(name, self)
            button.setObjectName(f"view_{name.lower()}")
            button.setCheckable(True)
            button.setAccessibleName(f"Show the response as {name}")
            button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, name=name: self.chosen.emit(name))
            self._group.addButton(button)
            self._buttons[name] = button
            layout.addWidget(button)
        self.set_narrow(False)

    @property
    def current(self) -> str:
        """The chosen word."""
        return next((name for name, button in self._buttons.items() if button.isChecked()), "")

    def choose(self, name: str) -> None:
        """Mark `name` as chosen."""
        self._buttons[name].setChecked(True)

    def set_narrow(self, narrow: bool) -> None:
        """Whether the words stand closer together."""
        for name, button in self._buttons.items():
            button.setFixedWidth(self._width_of(name, CLOSE if narrow else APART))

    def width_of_all(self, padding: int) -> int:
        """How wide all words are, also those that are not offered now, with so much room at their sides."""
        return sum(self._width_of(name, padding) for name in self._buttons) + 4

    def _width_of(self, name: str, padding: int) -> int:
        return self.fontMetrics().horizontalAdvance(name) + 2 * padding + 4

    def offer(self, name: str, offered: bool) -> None:
        """Show or hide one of the words."""
        self._buttons[name].setHidden(not offered)

    def offered(self, name: str) -> bool:
        """Whether `name` can be chosen."""
        return not self._buttons[name].isHidden()
