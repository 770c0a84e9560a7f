"""The chunks of a response as a table: when each came, after how long, how much, and how it begins."""

from __future__ import annotations

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont

from gui.formatting import format_bytes, format_count, format_ms
from gui.workbench.response import Response, show_bytes

__all__ = ["ChunkModel"]

_NONE = QModelIndex()
_HEADERS = ("#", "offset", "gap", "size", "total", "begins with")
_TIPS = (
    "The chunk's number, in order of arrival",
    "When it arrived, counted from when the instance took the event",
    "Time since the chunk before",
    "Bytes of this chunk",
    "Bytes received with this chunk",
    "Its first bytes; control characters as signs, bytes that are no text as \\x..",
)
_Index = QModelIndex | QPersistentModelIndex


class ChunkModel(QAbstractTableModel):
    """Rows are only ever added, many at a time, by `sync`; a cell is made when it is looked at."""

    NUMBER, OFFSET, GAP, SIZE, TOTAL, PREVIEW = range(6)

    def __init__(self, mono: QFont, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mono = mono
        self._response: Response | None = None
        self._base = 0.0
        self._rows = 0

    def show_response(self, response: Response | None) -> None:
        """List the chunks of another response."""
        self.beginResetModel()
        self._response = response
        self._rows = 0
        self.endResetModel()

    def sync(self, base: float) -> None:
        """Take in what has arrived since the last call; offsets count from `base` (monotonic seconds)."""
        response = self._response
        if response is None:
            return
        if base != self._base:
            self._base = base
            if self._rows:
                column = self.OFFSET
                self.dataChanged.emit(self.index(0, column), self.index(self._rows - 1, column))
        listed = response.listed
        if listed > self._rows:
            self.beginInsertRows(_NONE, self._rows, listed - 1)
            self._rows = listed
            self.endInsertRows()

    def rowCount(self, parent: _Index = _NONE) -> int:
        return 0 if parent.isValid() else self._rows

    def columnCount(self, parent: _Index = _NONE) -> int:
        return 0 if parent.isValid() else len(_HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _HEADERS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(section)
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        response = self._response
        if response is None or not index.isValid() or index.row() >= self._rows:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(response, index.row(), index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(index.column())
        if role == Qt.ItemDataRole.FontRole:
            return self._mono
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == self.SIZE:
            return f"{format_count(response.length(index.row()))} bytes"
        return None

    def _text(self, response: Response, row: int, column: int) -> str:
        if column == self.NUMBER:
            return format_count(row + 1)
        if column == self.OFFSET:
            return format_offset(response.at(row) - self._base)
        if column == self.GAP:
            gap = response.gap(row)
            return "" if gap is None else format_ms(gap * 1000)
        if column == self.SIZE:
            return format_bytes(response.length(row))
        if column == self.TOTAL:
            return format_bytes(response.total(row))
        return show_bytes(response.beginning(row))

    def _alignment(self, column: int) -> int:
        side = Qt.AlignmentFlag.AlignLeft if column == self.PREVIEW else Qt.AlignmentFlag.AlignRight
        return int(side | Qt.AlignmentFlag.AlignVCenter)


def format_offset(seconds: float) -> str:
    """When, counted from the start, with decimals that stay put: "+0.006 s", "+1.920 s"."""
    return f"+{max(0.0, seconds):.3f} s"
