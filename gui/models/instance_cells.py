"""What each column of the instances shows of a row, and what it is sorted by."""

from __future__ import annotations

from PySide6.QtCore import Qt

from core.instances import InstanceState
from gui.formatting import format_count, format_ms
from gui.models.cells import Cell
from gui.models.instance_row import Column, InstanceRow
from gui.tokens import state_token

__all__ = ["alignment", "cell_of", "sort_value"]

_RIGHT = frozenset({Column.SERVED, Column.CPU})
_MONO = frozenset(Column) - {Column.STATE, Column.FUNCTION, Column.BACKEND, Column.REMARK}
_CONTAINER_SHOWN = 12
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
    less = ""
    segments: tuple[tuple[str, float], ...] = ()
    match column:
        case Column.INSTANCE:
            text = row.id_shown()
        case Column.STATE:
            text, tone = snapshot.state.value, state_token(snapshot.state)
        case Column.FUNCTION:
            text = snapshot.function_name
        case Column.BACKEND:
            text, tone = snapshot.backend, "dim"
            if row.container:
                text, less = f"{text} {row.container[:_CONTAINER_SHOWN]}", text
        case Column.AGE:
            text = row.age(now)
        case Column.REAPED_IN:
            countdown = row.countdown(now)
            if countdown is not None:
                (meter, text), meter_tone = countdown, "idle"
        case Column.SERVED:
            text = format_count(snapshot.served)
        case Column.START:
            segments = tuple((part.token, part.seconds) for part in row.cold_start(now))
            took = row.start_took()
            text, tone = row.phase(), "starting"
            if took is not None:
                text, tone = format_ms(took * 1000), "dim"
        case Column.LAST:
            text = row.last(now)
        case Column.MEMORY:
            memory = row.memory_shown()
            if memory is not None:
                meter, text = memory
                meter_tone = "starting" if meter >= 0.9 else "dim"
        case Column.CPU:
            text = row.cpu_shown()
        case Column.REMARK:
            text, tone = row.remark(), _remark_tone(row)
    return Cell(
        text=text,
        tone=tone,
        mono=column in _MONO,
        right=column in _RIGHT,
        middle=column is Column.INSTANCE,
        pill=column is Column.STATE,
        less=less,
        segments=segments,
        meter=meter,
        meter_tone=meter_tone,
        opacity=row.opacity(now),
    )


def _remark_tone(row: InstanceRow) -> str:
    if row.failed:
        return "error"
    # whoever waits for chunks here waits in vain
    return "starting" if "transport" in row.snapshot.details else "dim"


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
        case Column.START:
            return row.start_took()
        case Column.LAST:
            return snapshot.last_duration_ms
        case Column.MEMORY:
            return row.memory.current if row.memory else None
        case Column.CPU:
            return row.memory.cpu if row.memory else None
        case Column.REMARK:
            return row.remark() or None


def alignment(column: Column) -> Qt.AlignmentFlag:
    """Figures stand at the right edge, the rest at the left."""
    side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
