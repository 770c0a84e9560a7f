"""Names and values in a table: environment variables (masked) and tags."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

__all__ = ["PairTable"]

_MASK = "••••••••"


class _Masked(QStyledItemDelegate):
    """Shows dots in place of a value, always as many, so that not even its length is told."""

    hidden = True

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        super().initStyleOption(option, index)
        if self.hidden and index.data():
            option.text = _MASK


class PairTable(QWidget):
    """Rows of name and value; `changed` follows each edit. `masked` hides values until they are asked for."""

    changed = Signal()

    def __init__(self, object_name: str, words: str, *, masked: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableWidget(0, 2)
        self.table.setObjectName(object_name)
        self.table.setAccessibleName(words)
        self.table.setHorizontalHeaderLabels(["name", "value"])
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(30)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setHighlightSections(False)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(0, 190)
        self.table.itemChanged.connect(lambda _: self.changed.emit())

        add = QPushButton("Add")
        add.setObjectName(f"{object_name}_add")
        add.clicked.connect(self.add_row)
        remove = QPushButton("Remove")
        remove.setObjectName(f"{object_name}_remove")
        remove.clicked.connect(self._remove_rows)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(add)
        buttons.addWidget(remove)
        buttons.addStretch(1)
        if masked:
            self._mask = _Masked(self.table)
            self.table.setItemDelegateForColumn(1, self._mask)
            show = QCheckBox("Show values")
            show.setObjectName(f"{object_name}_show")
            show.toggled.connect(self._set_shown)
            buttons.addWidget(show)
        for button in (add, remove):
            button.setAutoDefault(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.table, 1)
        column.addLayout(buttons)

    def set_pairs(self, pairs: Mapping[str, str]) -> None:
        """Replace the rows."""
        self.table.setRowCount(0)
        for name, value in pairs.items():
            self._append(name, value)

    def pairs(self) -> dict[str, str]:
        """The rows that have a name or a value. Raises ValueError that names one given twice."""
        found: dict[str, str] = {}
        for place in range(self.table.rowCount()):
            name, value = self._text(place, 0).strip(), self._text(place, 1)
            if not name and not value:
                continue
            if name in found:
                raise ValueError(name)
            found[name] = value
        return found

    def add_row(self) -> None:
        """Append an empty row and begin to edit its name."""
        self._append("", "")
        place = self.table.rowCount() - 1
        self.table.setCurrentCell(place, 0)
        item = self.table.item(place, 0)
        if item is not None:
            self.table.editItem(item)

    def _append(self, name: str, value: str) -> None:
        place = self.table.rowCount()
        self.table.insertRow(place)
        self.table.setItem(place, 0, QTableWidgetItem(name))
        self.table.setItem(place, 1, QTableWidgetItem(value))

    def _remove_rows(self) -> None:
        rows = {index.row() for index in self.table.selectionModel().selectedIndexes()}
        for place in sorted(rows, reverse=True):
            self.table.removeRow(place)
        self.changed.emit()

    def _set_shown(self, shown: bool) -> None:
        self._mask.hidden = not shown
        self.table.viewport().update()

    def _text(self, place: int, column: int) -> str:
        item = self.table.item(place, column)
        return item.text() if item is not None else ""
