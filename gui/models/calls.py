"""The calls of the endpoint: core's events become rows, oldest first, the last thousand of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QObject, Qt

from core.events import CallEnded, CallStarted, Event, InvocationEnded, InvocationStarted, InvocationStreaming
from gui.models.call_row import TITLES, CallColumn, CallRow
from gui.models.cells import Cell
from gui.models.keyed_rows import Index, KeyedRows

__all__ = ["CALLS_KEPT", "CallsModel"]

CALLS_KEPT = 1_000
_RIGHT = CallColumn.DURATION


class CallsModel(KeyedRows[CallRow]):
    """Adapts the endpoint's events to a Qt table; also the `CellSource` of its delegate.

    New rows come at the end and old ones leave at the top, so that nothing else ever moves. While
    `hold` is on (the mouse is over the rows) none leaves; once there are twice as many as are kept,
    none comes either, and `settle` catches up. While it is not `awake` only the books are kept.
    """

    def __init__(self, parent: QObject | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parent)
        self._clock = clock
        self._all: dict[str, CallRow] = {}
        self._running: dict[str, CallRow] = {}
        self._function: str | None = None
        self._held = False
        self._awake = True
        self.seen = 0
        """How many calls there were in all."""

    # --- what comes in

    def take(self, events: Sequence[Event]) -> None:
        """Apply a frame's events, in order."""
        new: dict[str, CallRow] = {}
        changed: set[str] = set()
        for event in events:
            match event:
                case CallStarted(call_id=call_id):
                    new[call_id] = self._running[call_id] = self._all[call_id] = CallRow.began(event)
                    self.seen += 1
                case CallEnded(call_id=call_id):
                    self._running.pop(call_id, None)
                    if (row := self._all.get(call_id)) is None:
                        new[call_id] = self._all[call_id] = CallRow.missed(event)
                        self.seen += 1
                    else:
                        row.end(event)
                        changed.add(call_id)
                case InvocationStarted(request_id=call_id, function_name=key, instance_id=instance_id):
                    if (row := self._all.get(call_id)) is not None:
                        row.key, row.instance_id = key, instance_id
                        changed.add(call_id)
                case InvocationStreaming(request_id=call_id):
                    if (row := self._all.get(call_id)) is not None:
                        row.streaming = True
                        changed.add(call_id)
                case InvocationEnded(request_id=call_id):
                    if (row := self._all.get(call_id)) is not None:
                        row.judge(event)
                        changed.add(call_id)
                case _:
                    pass
        self._trim()
        if not self._awake:
            return
        changed -= new.keys()
        if not self._held or len(self._rows) < 2 * CALLS_KEPT:
            # what a call is about may be told at its end only
            told = sorted(key for key in changed if key in self._all and key not in self._places)
            rows = {key: self._all[key] for key in (*told, *new) if key in self._all}
            self._append_rows({key: row for key, row in rows.items() if self._shown(row)})
        self._rows_changed(changed)
        if not self._held:
            self._drop_old()

    # --- what is shown

    @property
    def function(self) -> str | None:
        """The function whose calls are shown; None for all."""
        return self._function

    def set_function(self, name: str | None) -> None:
        """Show the calls of one function, or of all with None."""
        if name != self._function:
            self._function = name
            self._show_all()

    def clear(self) -> None:
        """Forget the calls that are over."""
        self._all = dict(self._running)
        self._show_all()

    def hold(self, held: bool) -> None:
        """Let nothing move from now on, or catch up with what was put off."""
        if held != self._held:
            self._held = held
            if not held:
                self.settle()

    def settle(self) -> None:
        """Let old rows leave, and show those that were kept back."""
        if self._awake:
            self._drop_old()
            self._append_rows({k: row for k, row in self._all.items() if k not in self._places and self._shown(row)})

    def wake(self, awake: bool) -> None:
        """Whether anybody looks."""
        if awake != self._awake:
            self._awake = awake
            if awake:
                self._show_all()

    def tick(self) -> bool:
        """Let the durations of running calls be painted again; whether any shows tenths."""
        now = self._clock()
        running = [key for key in self._running if key in self._places]
        self._rows_changed(running, CallColumn.DURATION, CallColumn.DURATION)
        return any(self._running[key].hasty(now) for key in running)

    # --- what is asked

    def running(self, *, but: frozenset[str] = frozenset()) -> int:
        """How many calls are under way, apart from those of the operations in `but`."""
        return sum(row.operation not in but for row in self._running.values())

    def running_shown(self) -> int:
        """How many of them are shown."""
        return sum(key in self._places for key in self._running)

    @property
    def kept(self) -> int:
        """How many are remembered, shown or not."""
        return len(self._all)

    def cell(self, row: int, column: int) -> Cell:
        """What a cell shows now."""
        return self._rows[row].cell(CallColumn(column), self._clock())

    def row_text(self, row: int) -> str:
        """A row as text with tabs, with its request id, for the clipboard."""
        found, now = self._rows[row], self._clock()
        return "\t".join((*(found.text(column, now) for column in CallColumn), found.id))

    # --- Qt's side

    def columnCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(CallColumn)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row, column = self._rows[index.row()], CallColumn(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return row.text(column, self._clock())
            case Qt.ItemDataRole.ToolTipRole:
                return row.tooltip(self._clock())
            case Qt.ItemDataRole.TextAlignmentRole:
                return _alignment(column)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(TITLES):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return TITLES[section]
        return _alignment(section) if role == Qt.ItemDataRole.TextAlignmentRole else None

    # --- inside

    def _shown(self, row: CallRow) -> bool:
        return self._function is None or row.concerns(self._function)

    def _show_all(self) -> None:
        if self._awake:
            self._reset_rows({key: row for key, row in self._all.items() if self._shown(row)})

    def _trim(self) -> None:
        """Forget the oldest; what still runs stays, however old."""
        over = len(self._all) - CALLS_KEPT
        if over <= 0:
            return
        for key in [key for key, row in self._all.items() if row.over][:over]:
            del self._all[key]

    def _drop_old(self) -> None:
        self._remove_rows([key for key in self._keys if key not in self._all])


def _alignment(column: int) -> int:
    side = Qt.AlignmentFlag.AlignRight if column == _RIGHT else Qt.AlignmentFlag.AlignLeft
    return int(side | Qt.AlignmentFlag.AlignVCenter)
