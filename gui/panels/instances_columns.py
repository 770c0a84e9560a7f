"""How wide the columns of the instances are, and which give way in a narrow window."""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontMetrics

from gui.models.instance_row import TITLES, Column
from gui.theme import mono_font
from gui.widgets.cell_delegate import CELL_PADDING
from gui.widgets.meter import METER_GAP, METER_WIDTH
from gui.widgets.state_pill import pill_width

__all__ = ["GIVE_WAY", "NARROWEST", "ROOM_FOR_CPU", "usual_widths"]

# the longest text that each column usually has to show
_WIDEST = {
    Column.INSTANCE: "i-00000000.",
    Column.STATE: "terminating",
    Column.FUNCTION: "nightly-report-12",
    Column.BACKEND: "podman 0123456789ab",
    Column.AGE: "59m 59s",
    Column.REAPED_IN: "59:59",
    Column.SERVED: "100,000",
    Column.START: "prepare",
    Column.LAST: "streaming 10.2 s",
    Column.MEMORY: "1023 MB",
    Column.CPU: "100 %",
    Column.REMARK: "old deploy, pinned",
}
_PROPORTIONAL = frozenset({Column.STATE, Column.FUNCTION, Column.BACKEND, Column.REMARK})
NARROWEST = 44
# in less room than this, processor use is left to the tooltips
ROOM_FOR_CPU = 960
# which columns give way in a narrow window, and how far; a meter goes before its figure
GIVE_WAY = (
    (Column.REMARK, 104),
    (Column.BACKEND, 112),
    (Column.FUNCTION, 104),
    (Column.REMARK, 84),
    (Column.BACKEND, 84),
    (Column.START, METER_WIDTH + 2 * CELL_PADDING + 4),
    (Column.FUNCTION, 90),
    (Column.REMARK, 70),
    (Column.LAST, 118),
    (Column.REAPED_IN, 82),
    (Column.MEMORY, 74),
    (Column.REMARK, NARROWEST),
    (Column.START, 56),
    (Column.BACKEND, 74),
    (Column.LAST, 106),
    (Column.STATE, 102),
    (Column.FUNCTION, 82),
    (Column.START, 40),
    (Column.MEMORY, 68),
    (Column.SERVED, 70),
    (Column.LAST, 90),
)


def usual_widths(font: QFont) -> dict[int, int]:
    """How wide each column is where there is room; `font` is that of the panel."""
    widths: dict[int, int] = {}
    mono = QFontMetrics(mono_font())
    face = QFontMetrics(font)
    for column, widest in _WIDEST.items():
        metrics = face if column in _PROPORTIONAL else mono
        width = metrics.horizontalAdvance(widest) + 2 * CELL_PADDING + 4
        if column == Column.STATE:
            width = pill_width(widest, metrics) + 2 * CELL_PADDING
        if column in {Column.REAPED_IN, Column.START, Column.MEMORY}:
            width += METER_WIDTH + METER_GAP
        # the title must have room for the arrow of a sorted column too
        width = max(width, face.horizontalAdvance(f"{TITLES[column]} ↓") + 2 * CELL_PADDING + 4)
        widths[column] = width
    return widths
