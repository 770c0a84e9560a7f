"""Rows that are known by a key, as a Qt table: what a live list of running things is made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex

__all__ = ["Index", "KeyedRows", "runs"]

Index = QModelIndex | QPersistentModelIndex
Row = TypeVar("Row")

# beyond this many separate runs, one signal for all between is cheaper than one for each
_RUNS_AT_MOST = 24


def runs(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Positions as ascending runs of neighbours, first and last included: {1, 2, 5} is [(1, 2), (5, 5)]."""
    found: list[tuple[int, int]] = []
    for position in sorted(set(positions)):
        if found and found[-1][1] == position - 1:
            found[-1] = (found[-1][0], position)
        else:
            found.append((position, position))
    return found


class KeyedRows(QAbstractTableModel, Generic[Row]):
    """Adapts rows with a key to Qt's table model: each change becomes the fewest Qt signals.

    A subclass gives `columnCount`, `data` and `headerData`, and calls the methods below; it never
    touches the list itself. Rows are appended, removed, put in another order and marked as changed,
    many at a time, so that a frame's events cost one signal of each kind. Selections and scroll
    positions hold on to their rows through all of it except `_reset_rows`.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[Row] = []
        self._keys: list[str] = []
        self._places: dict[str, int] = {}

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def keys(self) -> list[str]:
        """The keys in the order of the rows."""
        return list(self._keys)

    def row_at(self, place: int) -> Row:
        """The row in this place; raises IndexError."""
        return self._rows[place]

    def key_at(self, place: int) -> str:
        """The key of the row in this place; raises IndexError."""
        return self._keys[place]

    def place_of(self, key: str) -> int | None:
        """Where the row with this key stands, or None if it is not shown."""
        return self._places.get(key)

    # --- for subclasses

    def _append_rows(self, rows: Mapping[str, Row]) -> None:
        """Add rows at the end, in the mapping's order. Their keys must be new."""
        if not rows:
            return
        first = len(self._rows)
        self.beginInsertRows(QModelIndex(), first, first + len(rows) - 1)
        self._keys.extend(rows)
        self._rows.extend(rows.values())
        self._places.update((key, first + offset) for offset, key in enumerate(rows))
        self.endInsertRows()

    def _remove_rows(self, keys: Collection[str]) -> None:
        """Take out the rows with these keys; unknown keys are ignored."""
        # from the end, so that the places of the runs still to come stay right
        for first, last in reversed(runs(self._places[key] for key in keys if key in self._places)):
            self.beginRemoveRows(QModelIndex(), first, last)
            del self._keys[first : last + 1]
            del self._rows[first : last + 1]
            self._places = {key: place for place, key in enumerate(self._keys)}
            self.endRemoveRows()

    def _order_rows(self, keys: Sequence[str]) -> None:
        """Put the rows in the order of `keys`, which must be all keys; silent where they are already."""
        if list(keys) == self._keys:
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        held = [(self._keys[index.row()], index.column()) for index in before]
        rows = dict(zip(self._keys, self._rows, strict=True))
        self._keys = list(keys)
        self._rows = [rows[key] for key in keys]
        self._places = {key: place for place, key in enumerate(self._keys)}
        self.changePersistentIndexList(before, [self.index(self._places[key], column) for key, column in held])
        self.layoutChanged.emit()

    def _rows_changed(self, keys: Iterable[str], first_column: int = 0, last_column: int | None = None) -> None:
        """Announce that the rows with these keys look different, within the columns given."""
        last = self.columnCount() - 1 if last_column is None else last_column
        found = runs(self._places[key] for key in keys if key in self._places)
        if len(found) > _RUNS_AT_MOST:
            found = [(found[0][0], found[-1][1])]
        for top, bottom in found:
            self.dataChanged.emit(self.index(top, first_column), self.index(bottom, last))

    def _reset_rows(self, rows: Mapping[str, Row]) -> None:
        """Replace everything."""
        self.beginResetModel()
        self._keys = list(rows)
        self._rows = list(rows.values())
        self._places = {key: place for place, key in enumerate(self._keys)}
        self.endResetModel()
