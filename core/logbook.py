"""The last lines of every instance, also for a while after it has gone."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

__all__ = ["CHARACTERS_KEPT", "GONE_KEPT", "LINES_KEPT", "LogBook"]

LINES_KEPT = 2_000
CHARACTERS_KEPT = 1_000_000
GONE_KEPT = 100


class _Book:
    """The last lines of one instance, within both bounds."""

    __slots__ = ("_size", "lines")

    def __init__(self) -> None:
        self.lines: deque[str] = deque()
        self._size = 0

    def add(self, lines: Sequence[str]) -> None:
        kept = self.lines
        kept.extend(lines)
        self._size += sum(map(len, lines))
        while len(kept) > LINES_KEPT or (self._size > CHARACTERS_KEPT and len(kept) > 1):
            self._size -= len(kept.popleft())


class LogBook:
    """Bounded: `LINES_KEPT` lines and `CHARACTERS_KEPT` an instance, `GONE_KEPT` instances that have gone."""

    def __init__(self) -> None:
        self._living: dict[str, _Book] = {}
        self._gone: OrderedDict[str, _Book] = OrderedDict()

    def add(self, instance_id: str, lines: Sequence[str]) -> None:
        """Keep what an instance wrote."""
        book = self._living.get(instance_id) or self._gone.get(instance_id)
        if book is None:
            book = self._living[instance_id] = _Book()
        book.add(lines)

    def end(self, instance_id: str) -> None:
        """The instance has gone; its lines stay until enough others have."""
        book = self._living.pop(instance_id, None)
        if book is not None:
            self._gone[instance_id] = book
            while len(self._gone) > GONE_KEPT:
                self._gone.popitem(last=False)

    def lines(self, instance_id: str) -> list[str]:
        """What is kept, oldest first; empty for one that never wrote, or is forgotten."""
        book = self._living.get(instance_id) or self._gone.get(instance_id)
        return list(book.lines) if book is not None else []
