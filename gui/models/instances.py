"""The table of instances: core's events become rows that keep still under the mouse."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from PySide6.QtCore import QObject, Qt

from core.events import (
    Event,
    InstanceChanged,
    InstanceExited,
    InstancePhaseChanged,
    InstanceUpdated,
    InvocationEnded,
    InvocationStarted,
    InvocationStreaming,
)
from core.instances import InstanceSnapshot, InstanceState, MemoryUsage
from gui.models.cells import Cell
from gui.models.cold_start import tooltip as start_tooltip
from gui.models.instance_cells import alignment, cell_of, sort_value
from gui.models.instance_row import FADE_IN, TITLES, Column, InstanceRow
from gui.models.keyed_rows import Index, KeyedRows

__all__ = ["ID_ROLE", "InstancesModel"]

ID_ROLE = int(Qt.ItemDataRole.UserRole)

# While the mouse holds the table, rows of instances that ended stay; these many at most.
_ENDED_HELD = 200
# what is there at the start, or where motion is reduced, has been seen for long
_SEEN = 10 * FADE_IN
_SERVING = frozenset({InstanceState.IDLE, InstanceState.BUSY})


class InstancesModel(KeyedRows[InstanceRow]):
    """Adapts core's instance events to a Qt table; also the `CellSource` of its delegate.

    Contents change at once. Places change only in `settle`, which the panel calls about once a
    second: there, instances that ended long enough ago leave and a sorted table is put in order
    again. While `hold` is on (the mouse is over the rows, or a menu is open) nothing moves at all;
    new rows come at the end, which moves nothing either. Without a sorted column the order is that
    of creation, newest last.
    """

    def __init__(self, parent: QObject | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parent)
        self._clock = clock
        self._all: dict[str, InstanceRow] = {}
        self._function: str | None = None
        self._held = False
        self._sort_column: Column | None = None
        self._descending = False
        self._fresh: dict[str, float] = {}
        #: whether new rows fade in; off where motion is reduced
        self.fading = True
        #: whether any instance has told its use of processors
        self.tells_cpu = False
        #: a token's colour for words in tooltips, as #rrggbb
        self.colour_of: Callable[[str], str] = lambda _token: ""

    # --- what comes in

    def refill(self, snapshots: Sequence[InstanceSnapshot]) -> None:
        """Start over with these instances, without fading them in."""
        now = self._clock()
        self._all = {}
        self._fresh = {}
        for snapshot in snapshots:
            self._all[snapshot.id] = self._new_row(snapshot, now - _SEEN)
        self._show_all()

    def take(self, events: Sequence[Event]) -> None:
        """Apply a frame's events, in order."""
        now = self._clock()
        new: dict[str, InstanceRow] = {}
        changed: set[str] = set()
        served: set[str] = set()
        for event in events:
            match event:
                case InstanceChanged(instance=snapshot) | InstanceUpdated(instance=snapshot):
                    row = self._all.get(snapshot.id)
                    if row is None:
                        self._all[snapshot.id] = row = self._new_row(snapshot, now if self.fading else now - _SEEN)
                        if self._shown(row):
                            new[snapshot.id] = row
                    else:
                        (served if _only_served(row.snapshot, snapshot) else changed).add(snapshot.id)
                        row.take(snapshot, now)
                case InstancePhaseChanged(instance_id=instance_id, phase=phase):
                    row = self._all.get(instance_id)
                    if row is not None:
                        row.take_phase(phase)
                        changed.add(instance_id)
                case InvocationStarted(instance_id=instance_id, request_id=request_id, source=source):
                    row = self._all.get(instance_id)
                    if row is not None:
                        # for its tooltip, which is asked for when it is wanted
                        row.asked = (request_id, source)
                case InvocationStreaming(instance_id=instance_id, request_id=request_id):
                    row = self._all.get(instance_id)
                    if row is not None:
                        row.streaming = request_id
                        changed.add(instance_id)
                case InvocationEnded(instance_id=str(instance_id), result=result):
                    row = self._all.get(instance_id)
                    # only the first one is a part of the start
                    if row is not None and result is not None and result.cold_start and row.first_byte_ms is None:
                        row.first_byte_ms = result.first_byte_ms
                        changed.add(instance_id)
                case InstanceExited(instance_id=instance_id, exit=exit_):
                    row = self._all.get(instance_id)
                    if row is not None:
                        row.exit = exit_
                        changed.add(instance_id)
                case _:
                    pass
        self._append_rows(new)
        self._fresh.update((key, now) for key in new)
        self._rows_changed(changed - new.keys())
        served -= changed | new.keys()
        # what most events change; the other cells need no painting
        self._rows_changed(served, Column.STATE, Column.STATE)
        self._rows_changed(served, Column.REAPED_IN, Column.LAST)

    def set_memory(self, usages: Iterable[tuple[str, MemoryUsage | None]]) -> None:
        """What some instances use now."""
        changed = []
        for instance_id, usage in usages:
            row = self._all.get(instance_id)
            if row is not None and row.memory != usage:
                row.memory = usage
                changed.append(instance_id)
                self.tells_cpu = self.tells_cpu or (usage is not None and usage.cpu is not None)
        self._rows_changed(changed, Column.MEMORY, Column.CPU)

    # --- what is shown, and in which order

    @property
    def function(self) -> str | None:
        """The function whose instances are shown; None for all."""
        return self._function

    def set_function(self, name: str | None) -> None:
        """Show the instances of one function, or of all with None."""
        if name != self._function:
            self._function = name
            self._show_all()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column at once, or with -1 go back to the order of creation."""
        self._sort_column = Column(column) if 0 <= column < len(Column) else None
        self._descending = order == Qt.SortOrder.DescendingOrder
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(Column) - 1)
        self._order_rows(self._ordered())

    @property
    def sort_column(self) -> Column | None:
        """The column it is sorted by, or None."""
        return self._sort_column

    @property
    def held(self) -> bool:
        """Whether nothing may move now."""
        return self._held

    def hold(self, held: bool) -> None:
        """Let nothing move from now on, or catch up with what was put off."""
        if held != self._held:
            self._held = held
            self.settle()

    def settle(self) -> None:
        """Let ended instances leave and put the rest in order, unless held."""
        now = self._clock()
        due = [key for key, row in self._all.items() if row.due(now)]
        if self._held:
            # hidden ones move nothing; of those shown the oldest go only when they are too many
            shown = [key for key in due if self.place_of(key) is not None]
            keep = set(shown[max(0, len(shown) - _ENDED_HELD) :])
            due = [key for key in due if key not in keep]
        for key in due:
            del self._all[key]
        self._remove_rows(due)
        if not self._held:
            self._order_rows(self._ordered())

    def tick(self, *, only_lively: bool = False) -> None:
        """Let what follows from the time of day be painted again: ages, countdowns, running times."""
        now = self._clock()
        self._rows_changed((key for key in self._keys if self._all[key].gone is not None), 0)
        self._rows_changed(
            (key for key in self._keys if not only_lively or self._all[key].lively(now)), Column.AGE, Column.LAST
        )

    def tick_fresh(self) -> bool:
        """Let new rows be painted a step further in; whether any is not there yet."""
        now = self._clock()
        fresh = list(self._fresh)
        for key in fresh:
            if now - self._fresh[key] >= FADE_IN:
                del self._fresh[key]
        self._rows_changed(fresh)
        return bool(self._fresh)

    # --- what is asked

    @property
    def lively(self) -> bool:
        """Whether a shown row changes several times a second."""
        now = self._clock()
        return any(row.lively(now) for row in self._rows)

    @property
    def anything(self) -> bool:
        """Whether there is any row, shown or not."""
        return bool(self._all)

    def counts(self) -> Counter[InstanceState]:
        """How many living instances are shown, by state."""
        return Counter(row.snapshot.state for row in self._rows if row.gone is None)

    def living(self) -> int:
        """How many living instances there are, shown or not."""
        return sum(row.gone is None for row in self._all.values())

    def find(self, instance_id: str) -> InstanceRow | None:
        """The row of an instance, shown or not."""
        return self._all.get(instance_id)

    def cell(self, row: int, column: int) -> Cell:
        """What a cell shows now."""
        return cell_of(self._rows[row], Column(column), self._clock())

    def row_text(self, row: int) -> str:
        """A row as text with tabs, ids in full, for the clipboard."""
        found = self._rows[row]
        now = self._clock()
        texts = [cell_of(found, column, now).text for column in Column]
        texts[Column.INSTANCE] = found.snapshot.id
        return "\t".join(texts)

    # --- Qt's side

    def columnCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row, column = self._rows[index.row()], Column(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return cell_of(row, column, self._clock()).text
            case Qt.ItemDataRole.ToolTipRole:
                return self._tooltip(row, column)
            case Qt.ItemDataRole.TextAlignmentRole:
                return int(alignment(column))
            case _ if role == ID_ROLE:
                return row.snapshot.id
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(TITLES):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            # an arrow of the style's own would lie over a title at the right edge
            arrow = "" if section != self._sort_column else " ↓" if self._descending else " ↑"
            return TITLES[section] + arrow
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(alignment(Column(section)))
        return None

    # --- inside

    def _new_row(self, snapshot: InstanceSnapshot, appeared: float) -> InstanceRow:
        row = InstanceRow(snapshot, appeared)
        row.take(snapshot, self._clock())
        return row

    def _tooltip(self, row: InstanceRow, column: Column) -> str:
        now = self._clock()
        if column is Column.START and (parts := row.cold_start(now)):
            return start_tooltip(parts, self.colour_of)
        return row.tooltip(now)

    def _shown(self, row: InstanceRow) -> bool:
        return self._function is None or row.snapshot.function_name == self._function

    def _show_all(self) -> None:
        shown = {key: row for key, row in self._all.items() if self._shown(row)}
        self._reset_rows({key: shown[key] for key in self._sorted(shown)})

    def _ordered(self) -> list[str]:
        return self._sorted({key: self._all[key] for key in self._keys})

    def _sorted(self, rows: dict[str, InstanceRow]) -> list[str]:
        """Rows without a value come last, whichever way it is sorted; ties keep the order of creation."""
        order = sorted(rows, key=lambda key: (rows[key].snapshot.created, key))
        if self._sort_column is None:
            return order
        values = {key: sort_value(rows[key], self._sort_column) for key in order}
        with_value = [key for key in order if values[key] is not None]
        with_value.sort(key=lambda key: values[key], reverse=self._descending)  # type: ignore[arg-type, return-value]
        return with_value + [key for key in order if values[key] is None]


def _only_served(old: InstanceSnapshot, new: InstanceSnapshot) -> bool:
    """Whether nothing but its invocations came between the two."""
    return (
        old.state in _SERVING
        and new.state in _SERVING
        and old.pinned == new.pinned
        and old.current_deploy == new.current_deploy
        and old.details == new.details
    )
