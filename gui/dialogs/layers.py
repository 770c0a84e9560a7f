"""The layers of a function, in the order in which they are attached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from core.functions import Layer
from gui.dialogs.choose import choose_folder, choose_zip
from gui.tasks import Tasks

__all__ = ["LayerList"]

_PATH = Qt.ItemDataRole.UserRole
_NAME = Qt.ItemDataRole.UserRole + 1


class LayerList(QWidget):
    """A list with buttons to add, remove and move. Later layers lie over earlier ones."""

    changed = Signal()

    def __init__(self, tasks: Tasks, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self.list = QListWidget()
        self.list.setObjectName("layers")
        self.list.setAccessibleName("Layers, in attach order")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for words, name, slot in (
            ("Add zip…", "layers_add_zip", self._add_zip),
            ("Add folder…", "layers_add_folder", self._add_folder),
            ("Remove", "layers_remove", self._remove),
            ("Up", "layers_up", lambda: self._move(-1)),
            ("Down", "layers_down", lambda: self._move(1)),
        ):
            button = QPushButton(words)
            button.setObjectName(name)
            button.setAutoDefault(False)
            button.clicked.connect(lambda _=False, call=slot: call())
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.list, 1)
        column.addLayout(buttons)

    def set_layers(self, layers: Sequence[Layer]) -> None:
        """Replace what is listed."""
        self.list.clear()
        for layer in layers:
            self._append(layer.name, layer.content)

    def add(self, path: Path) -> None:
        """Attach a zip or folder after the others."""
        self._append(path.stem or str(path), path)
        self.changed.emit()

    def layers(self) -> list[Layer]:
        """What is listed. Raises InvalidFunctionError."""
        items = [self.list.item(place) for place in range(self.list.count())]
        return [Layer(name=item.data(_NAME), content=Path(item.data(_PATH))) for item in items]

    def _append(self, name: str, path: Path) -> None:
        item = QListWidgetItem(f"{name}  ·  {path}")
        item.setData(_PATH, str(path))
        item.setData(_NAME, name)
        item.setToolTip(str(path))
        self.list.addItem(item)

    def _add_zip(self) -> None:
        self._tasks.start("Choose a layer", self._chosen(folder=False))

    def _add_folder(self) -> None:
        self._tasks.start("Choose a layer", self._chosen(folder=True))

    async def _chosen(self, *, folder: bool) -> None:
        path = await (choose_folder if folder else choose_zip)(self.window(), "Choose a layer")
        if path is not None:
            self.add(path)

    def _remove(self) -> None:
        place = self.list.currentRow()
        if place >= 0:
            self.list.takeItem(place)
            self.changed.emit()

    def _move(self, step: int) -> None:
        place = self.list.currentRow()
        if place < 0 or not 0 <= place + step < self.list.count():
            return
        item = self.list.takeItem(place)
        self.list.insertItem(place + step, item)
        self.list.setCurrentRow(place + step)
        self.changed.emit()
