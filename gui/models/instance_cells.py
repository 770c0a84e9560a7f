"""What each column of the instances shows of a row, and what it is sorted by."""

from __future__ import annotations

from PySide6.QtCore import Qt

from core.instances import InstanceState
from gui.formatting import format_count
from gui.models.cells import Cell
from gui.models.instance_row import Column, InstanceRow
from gui.tokens import state_token

__all__ = ["alignment", "cell_of", "sort_value"]

_RIGHT = frozenset({Column.SERVED})
_MONO = frozenset({Column.INSTANCE, Column.AGE, Column.REAPED_IN, Column.SERVED, Column.LAST, Column.MEMORY})
# what needs attention comes first
_STATE_ORDER = {
    InstanceState.BUSY: 0,
    InstanceState.FAILED: 1,
    InstanceState.STARTING: 2,
    InstanceState.IDLE: 3,
    InstanceState.DRAINING: 4,
    InstanceState.TERMINATING: 5,
    InstanceState.DEAD: 6,
}


def cell_of(row: InstanceRow, column: Column, now: float) -> Cell:
    """What the row shows in this column now."""
    snapshot = row.snapshot
    text, tone, meter, meter_tone = "", "text", None, "dim"
    match column:
        case Column.INSTANCE:
            text = row.id_shown()
        case Column.STATE:
            text, tone = snapshot.state.value, state_token(snapshot.state)
        case Column.FUNCTION:
            text = snapshot.function_name
        case Column.BACKEND:
            text, tone = snapshot.backend, "dim"
        case Column.AGE:
            text = row.age(now)
        case Column.REAPED_IN:
            countdown = row.countdown(now)
            if countdown is not None:
                (meter, text), meter_tone = countdown, "idle"
        case Column.SERVED:
            text = format_count(snapshot.served)
        case Column.LAST:
            text = row.last(now)
        case Column.MEMORY:
            memory = row.memory_shown()
            if memory is not None:
                meter, text = memory
                meter_tone = "starting" if meter >= 0.9 else "dim"
        case Column.REMARK:
            text, tone = row.remark(), "error" if row.failed else "dim"
    return Cell(
        text=text,
        tone=tone,
        mono=column in _MONO,
        right=column in _RIGHT,
        middle=column is Column.INSTANCE,
        pill=column is Column.STATE,
        meter=meter,
        meter_tone=meter_tone,
        opacity=row.opacity(now),
    )


def sort_value(row: InstanceRow, column: Column) -> str | float | None:
    """Values that hold still while time passes, so that a sorted table does too."""
    snapshot = row.snapshot
    match column:
        case Column.INSTANCE:
            return snapshot.id
        case Column.STATE:
            return _STATE_ORDER[snapshot.state]
        case Column.FUNCTION:
            return snapshot.function_name.casefold()
        case Column.BACKEND:
            return snapshot.backend
        case Column.AGE:
            return -snapshot.created
        case Column.REAPED_IN:
            return snapshot.reap_at
        case Column.SERVED:
            return snapshot.served
        case Column.LAST:
            return snapshot.last_duration_ms
        case Column.MEMORY:
            return row.memory.current if row.memory else None
        case Column.REMARK:
            return row.remark() or None


def alignment(column: Column) -> Qt.AlignmentFlag:
    """Figures stand at the right edge, the rest at the left."""
    side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
