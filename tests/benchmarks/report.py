"""What a benchmark reports: figures against the budgets of the design, as one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Figure", "percentile", "print_table"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `at_most` and `at_least` are budgets; without either it is for comparison."""

    what: str
    value: float | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None without a budget or a value."""
        if self.value is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def budget(self) -> str:
        if self.at_most is not None:
            return f"<= {_number(self.at_most)}"
        return f">= {_number(self.at_least)}" if self.at_least is not None else ""


def percentile(values: Iterable[float], part: float) -> float:
    """The value below which `part` (0 to 1) of the values lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def print_table(figures: Sequence[Figure]) -> None:
    """Print one line a figure: what, value, unit, budget, whether it is met, and the note."""
    words = {True: "met", False: "NOT MET", None: ""}
    rows = [("figure", "value", "unit", "budget", "", "note")]
    rows += [(f.what, _number(f.value), f.unit, f.budget, words[f.met], f.note) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for index, row in enumerate(rows):
        cells = [
            cell.rjust(width) if column == 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip(), flush=True)
        if index == 0:
            print("  ".join("-" * width for width in widths))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
