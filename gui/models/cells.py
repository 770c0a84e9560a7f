"""What one cell of a live table shows, apart from how it is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Cell", "CellSource"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a tone, with a pill round it, or a meter or a bar in parts before it.

    `tone` and `meter_tone` name tokens of the theme. `meter` is a fraction from 0 to 1, or None for
    no meter. `segments` are the parts of a bar, each with its token and its share. `less` stands in the
    text's place where there is no room for all of it. `mono` asks for the fixed-width face, `right` for
    the right edge, `middle` for an ellipsis in the middle (ids) instead of at the end (names).
    """

    text: str = ""
    tone: str = "text"
    mono: bool = False
    right: bool = False
    middle: bool = False
    pill: bool = False
    less: str = ""
    segments: tuple[tuple[str, float], ...] = ()
    meter: float | None = None
    meter_tone: str = "dim"
    opacity: float = 1.0


class CellSource(Protocol):
    """A table that can tell what each of its cells shows."""

    def cell(self, row: int, column: int) -> Cell:
        """The cell in this place; raises IndexError."""
        ...
