"""The last lines of every instance, also for a while after it has gone."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

__all__ = ["LogBook"]

LINES_KEPT = 2_000
GONE_KEPT = 100


class LogBook:
    """Bounded: `LINES_KEPT` lines an instance, `GONE_KEPT` instances that have gone."""

    def __init__(self) -> None:
        self._living: dict[str, deque[str]] = {}
        self._gone: OrderedDict[str, deque[str]] = OrderedDict()

    def add(self, instance_id: str, lines: Sequence[str]) -> None:
        """Keep what an instance wrote."""
        book = self._living.get(instance_id)
        if book is None:
            book = self._gone.get(instance_id)
            if book is None:
                book = self._living[instance_id] = deque(maxlen=LINES_KEPT)
        book.extend(lines)

    def end(self, instance_id: str) -> None:
        """The instance has gone; its lines stay until enough others have."""
        book = self._living.pop(instance_id, None)
        if book:
            self._gone[instance_id] = book
            while len(self._gone) > GONE_KEPT:
                self._gone.popitem(last=False)

    def lines(self, instance_id: str) -> list[str]:
        """What is kept, oldest first; empty for one that never wrote, or is forgotten."""
        return list(self._living.get(instance_id) or self._gone.get(instance_id) or ())
