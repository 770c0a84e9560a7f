"""What is held in memory of every queued event: all but its payload, which stays in the journal."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.journal import QueuedEvent
    from core.names import Target

__all__ = ["Entries", "Entry", "PendingEvent", "Settlement"]

_sequence = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    """A queued event that waits. `attempts` reached the function; the next is due in `due_in` s. `size` is in bytes."""

    request_id: str
    function_name: str
    qualifier: str | None
    source: str
    size: int
    attempts: int
    due_in: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an event ended (`EventSettled.outcome`), and the event that takes its place: its destination's."""

    outcome: str
    instead: QueuedEvent | None


@dataclass(slots=True, eq=False)
class Entry:
    """One queued event. Times are the loop's own (monotonic), so that no change of the clock moves them.

    `accepted` may lie before this start; `known` is when this start learned of it, and `tried` whether it has tried it.
    `refusals` counts in a row the deliveries that did not reach the function. `settlement` is set where the
    event has ended but the journal could not be told yet. `dropped` ones need nothing more.
    """

    request_id: str
    target: Target
    source: str
    size: int
    accepted: float
    known: float
    due: float
    attempts: int = 0
    tried: bool = False
    refusals: int = 0
    began: float | None = None
    settlement: Settlement | None = None
    dropped: bool = False
    sequence: int = field(default_factory=lambda: next(_sequence))

    def age(self, now: float) -> float:
        """How old it is, in seconds, for the limit on its age.

        The time when no Stoker ran counts only once this one has tried it: what a restart finds is delivered.
        """
        return now - (self.accepted if self.tried else self.known)


class Entries:
    """All queued events of a home, by request id and by function."""

    def __init__(self) -> None:
        self.bytes = 0
        self._by_id: dict[str, Entry] = {}
        self._by_name: dict[str, dict[str, Entry]] = {}
        self._under_way: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._by_id

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_id.values())

    def get(self, request_id: str) -> Entry | None:
        """The event of this id, or None."""
        return self._by_id.get(request_id)

    def of(self, name: str) -> list[Entry]:
        """A function's events, whatever the qualifier, in the order they came."""
        return list(self._by_name.get(name, {}).values())

    def add(self, entry: Entry) -> None:
        """Take it in."""
        self._by_id[entry.request_id] = entry
        self._by_name.setdefault(entry.target.name, {})[entry.request_id] = entry
        self.bytes += entry.size

    def remove(self, entry: Entry) -> bool:
        """It needs nothing more. False where that was known."""
        if self._by_id.get(entry.request_id) is not entry:
            return False
        entry.dropped = True
        del self._by_id[entry.request_id]
        of_function = self._by_name[entry.target.name]
        del of_function[entry.request_id]
        if not of_function:
            del self._by_name[entry.target.name]
        self.bytes -= entry.size
        if entry.began is not None:
            self._count(entry, -1)
        return True

    def began(self, entry: Entry, now: float) -> None:
        """It is being delivered from now on."""
        entry.began = now
        if not entry.dropped:
            self._count(entry, 1)

    def ended(self, entry: Entry) -> None:
        """It is not being delivered any more."""
        entry.began = None
        if not entry.dropped:
            self._count(entry, -1)

    def waiting(self, name: str | None) -> int:
        """How many are not being delivered, of one function or of all."""
        if name is None:
            return len(self._by_id) - self._under_way.total()
        return len(self._by_name.get(name, ())) - self._under_way[name]

    def _count(self, entry: Entry, by: int) -> None:
        name = entry.target.name
        self._under_way[name] += by
        if not self._under_way[name]:
            del self._under_way[name]
