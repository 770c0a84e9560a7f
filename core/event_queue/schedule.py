"""Which queued event is delivered next: a lane for each function, and one timer for all.

Nothing here awaits or knows of a journal; `begin` is called for an event whose time has come.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.names import LATEST, Target

if TYPE_CHECKING:
    from core.event_queue.entries import Entry

__all__ = ["Schedule"]

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class _Lane:
    """The events of a function under one qualifier, so that none waits for another function's.

    After a delivery that did not reach the function the lane pauses, and goes on with one at a time
    until one does: a function that cannot start must not keep the pool busy with thousands of events.
    """

    __slots__ = ("failures", "not_before", "target", "under_way", "waiting")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.waiting: list[tuple[float, int, Entry]] = []
        self.under_way = 0
        self.failures = 0
        self.not_before = 0.0


class Schedule:
    """Calls `begin` for what is due, as far as there is room; `ended` must follow for each.

    `at_once` says how many deliveries of a function may be under way. `most` bounds those of all
    functions together, except that one of each may always be.
    """

    def __init__(self, begin: Callable[[Entry], None], at_once: Callable[[Target], int], most: int) -> None:
        self._begin = begin
        self._at_once = at_once
        self._most = most
        self._lanes: dict[Target, _Lane] = {}
        self._held: dict[_Lane, None] = {}
        self._under_way = 0
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._stopped = False

    def add(self, entry: Entry) -> None:
        """It is to be delivered when it is due."""
        lane = self._lane(entry)
        heapq.heappush(lane.waiting, (entry.due, entry.sequence, entry))

    def run(self, entry: Entry) -> None:
        """Look at the events of this one's function."""
        self._run(self._lane(entry))

    def run_all(self) -> None:
        """Look at all events."""
        self._disarm()
        for lane in tuple(self._lanes.values()):
            self._run(lane)

    def ended(self, entry: Entry, began: float, *, reached: bool | None) -> None:
        """Its delivery, which `began` then, is over. `reached`: whether the function got it; None where not tried."""
        lane = self._lane(entry)
        lane.under_way -= 1
        self._under_way -= 1
        if reached:
            lane.failures = 0
        elif reached is False and began >= lane.not_before:
            # those that began before the pause tell nothing new
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(lane.failures, 10))
            lane.failures += 1
            lane.not_before = asyncio.get_running_loop().time() + pause
        self._run_held()
        self._run(lane)

    def discard_dropped(self) -> None:
        """Let go of what was dropped while it waited."""
        for key, lane in tuple(self._lanes.items()):
            lane.waiting = [item for item in lane.waiting if not item[2].dropped]
            heapq.heapify(lane.waiting)
            self._drop_if_empty(key, lane)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True
        self._disarm()

    def _lane(self, entry: Entry) -> _Lane:
        key = entry.target if entry.target.qualifier != LATEST else Target(entry.target.name)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key)
        return lane

    def _drop_if_empty(self, key: Target, lane: _Lane) -> None:
        if not lane.waiting and not lane.under_way:
            self._held.pop(lane, None)
            if self._lanes.get(key) is lane:
                del self._lanes[key]

    def _run(self, lane: _Lane) -> None:
        """Begin what is due and has room; else see to it that the lane is looked at again."""
        if self._stopped:
            return
        now = asyncio.get_running_loop().time()
        room = 0
        while lane.waiting:
            due, _, entry = lane.waiting[0]
            if entry.dropped:
                heapq.heappop(lane.waiting)
                continue
            if (when := max(due, lane.not_before)) > now:
                self._arm(when)
                return
            if not room:
                room = (1 if lane.failures else self._at_once(lane.target)) - lane.under_way
                if room <= 0:
                    return  # the end of one that is under way comes back here
            if lane.under_way and self._under_way >= self._most:
                self._held[lane] = None
                return
            heapq.heappop(lane.waiting)
            room -= 1
            lane.under_way += 1
            self._under_way += 1
            self._begin(entry)
            if not room:
                return
        self._drop_if_empty(lane.target, lane)

    def _run_held(self) -> None:
        """There may be room for lanes that had found none; one that gets it goes to the end of the line."""
        held, self._held = self._held, {}
        served = []
        for lane in held:
            before = self._under_way
            self._run(lane)
            if self._under_way > before:
                served.append(lane)
        for lane in served:
            if lane in self._held:
                del self._held[lane]
                self._held[lane] = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            # an earlier timer is harmless: it finds what is due, and arms itself again for the rest
            if self._timer_at <= when:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_at = when
        self._timer = loop.call_later(when - loop.time(), self.run_all)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
