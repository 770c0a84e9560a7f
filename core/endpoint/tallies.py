"""Counters and histograms by labels, as Prometheus wants them, with a bound on how many functions are told apart."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["OTHERS", "FunctionNames", "Histogram", "Tally"]

OTHERS = "(others)"
"""The label of functions that are not told apart; no function has such a name."""


class Histogram:
    """Observations of one kind by function. `bounds` are upper bounds, ascending, in seconds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._labels = [*map(str, bounds), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, name: str, seconds: float) -> None:
        """Take one in."""
        counts = self._counts.get(name)
        if counts is None:
            counts = self._counts[name] = [0] * (len(self._bounds) + 1)
        counts[bisect_left(self._bounds, seconds)] += 1
        self._sums[name] = self._sums.get(name, 0.0) + seconds

    def __iter__(self) -> Iterator[tuple[str, list[tuple[str, float]], float]]:
        """Each function with its cumulative buckets and its sum."""
        for name, counts in self._counts.items():
            total = 0
            buckets: list[tuple[str, float]] = []
            for label, count in zip(self._labels, counts, strict=True):
                total += count
                buckets.append((label, float(total)))
            yield name, buckets, self._sums[name]

    def merge(self, name: str, into: str) -> None:
        """Count what was one function's among another's."""
        counts = self._counts.pop(name, None)
        if counts is not None:
            mine = self._counts.setdefault(into, [0] * len(counts))
            self._counts[into] = [a + b for a, b in zip(mine, counts, strict=True)]
            self._sums[into] = self._sums.get(into, 0.0) + self._sums.pop(name)


class Tally:
    """Counts by labels; the first label is a function."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, ...]] = Counter()

    def add(self, *labels: str) -> None:
        """One more."""
        self._counts[labels] += 1

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], int]]:
        return iter(self._counts.items())

    def merge(self, name: str, into: str) -> None:
        """Count what was one function's among another's."""
        for labels in [labels for labels in self._counts if labels[0] == name]:
            self._counts[(into, *labels[1:])] += self._counts.pop(labels)


class FunctionNames:
    """Which functions have labels of their own: at most `most`.

    Past that the one that was seen first among those that are gone joins the others; where all are
    there still, the newcomer does. `merge` is told of a function that joins them.
    """

    def __init__(self, most: int, known: Callable[[], Iterable[str]], merge: Callable[[str], None]) -> None:
        self._most = most
        self._known = known
        self._merge = merge
        self._names: dict[str, None] = {}

    def label(self, name: str) -> str:
        """The label under which a function is counted."""
        if name in self._names:
            return name
        if len(self._names) >= self._most:
            there = set(self._known())
            gone = next((each for each in self._names if each not in there), None)
            if gone is None:
                return OTHERS
            del self._names[gone]
            self._merge(gone)
        self._names[name] = None
        return name
