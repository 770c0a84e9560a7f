"""The schedule by itself: lanes, room, pauses, and its one timer."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING

import pytest

import core.event_queue.schedule
from core.event_queue.entries import Entries, Entry
from core.event_queue.policy import Policy, refusal_delay
from core.event_queue.schedule import Schedule
from core.names import Target
from core.registry import EventInvoke, Registry, Reserved
from core.runtime import LambdaRuntime

if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = itertools.count()


def entry(name: str = "f", *, due_in: float = 0.0, qualifier: str | None = None) -> Entry:
    now = asyncio.get_running_loop().time()
    request_id = f"{name}-{next(_numbers)}"
    return Entry(request_id, Target(name, qualifier), "api", 2, accepted=now, known=now, due=now + due_in)


class Bench:
    """A schedule whose deliveries the test ends by hand."""

    def __init__(self, at_once: Callable[[Target], int] = lambda _: 2, most: int = 100) -> None:
        self.begun: list[Entry] = []
        self.open: dict[Entry, float] = {}
        self.changed = asyncio.Event()
        self.schedule = Schedule(self._begin, at_once, most)

    def _begin(self, begun: Entry) -> None:
        self.begun.append(begun)
        self.open[begun] = asyncio.get_running_loop().time()
        self.changed.set()

    def add(self, *entries: Entry) -> None:
        for each in entries:
            self.schedule.add(each)
        for each in entries:
            self.schedule.run(each)

    def end(self, ended: Entry, reached: bool | None = True) -> None:
        self.schedule.ended(ended, self.open.pop(ended), reached=reached)

    async def until(self, begun: int) -> None:
        async with asyncio.timeout(10):
            while len(self.begun) < begun:
                self.changed.clear()
                await self.changed.wait()


async def test_a_lane_begins_as_many_as_have_room_in_the_order_they_are_due() -> None:
    bench = Bench()
    later, first, second, third = entry(due_in=0.05), entry(), entry(), entry()
    bench.add(later, first, second, third)
    assert bench.begun == [first, second]
    bench.end(second)
    assert bench.begun == [first, second, third]
    bench.end(first)
    assert len(bench.begun) == 3, "the last is not due yet"
    await bench.until(4)
    assert bench.begun[3] is later


async def test_the_unpublished_version_is_one_lane_with_and_without_its_qualifier() -> None:
    bench = Bench(lambda _: 1)
    bench.add(entry(), entry(qualifier="$LATEST"), entry(qualifier="live"), entry(qualifier="3"))
    assert [each.target.qualifier for each in bench.begun] == [None, "live", "3"]


async def test_beyond_the_room_of_all_each_lane_still_has_one_and_the_held_ones_take_turns() -> None:
    bench = Bench(lambda _: 10, most=3)
    busy = [entry("busy") for _ in range(6)]
    bench.add(*busy)
    assert bench.begun == busy[:3]
    other = [entry("other") for _ in range(3)]
    bench.add(*other)
    assert bench.begun == [*busy[:3], other[0]], "one of another function is never held up"
    bench.end(busy[0])
    assert len(bench.begun) == 4, "four were under way, and three is the most"
    bench.end(busy[1])
    bench.end(busy[2])
    assert len(bench.begun) == 6
    assert {each.target.name for each in bench.begun[4:]} == {"busy", "other"}
    while bench.open:
        bench.end(next(iter(bench.open)))
    assert set(bench.begun) == {*busy, *other}


async def test_a_lane_pauses_after_a_refusal_then_tries_one_and_then_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.event_queue.schedule, "_FIRST_PAUSE", 0.05)
    bench = Bench(lambda _: 3)
    bench.add(*(entry() for _ in range(10)))
    other = entry("other")
    first = bench.begun[:3]
    for each in first:
        bench.end(each, reached=False)
    assert len(bench.begun) == 3
    bench.add(other)
    assert bench.begun[3] is other, "only that function's events wait"
    await bench.until(5)
    assert len(bench.begun) == 5, "one goes ahead"
    began = bench.open[first[0]] = asyncio.get_running_loop().time()
    bench.end(bench.begun[4], reached=False)
    await bench.until(6)
    assert asyncio.get_running_loop().time() - began > 0.09, "twice as long the second time, though three were refused"
    bench.end(bench.begun[5], reached=True)
    assert len(bench.begun) == 9, "three at once again"


async def test_one_timer_serves_all_and_an_earlier_event_moves_it() -> None:
    loop = asyncio.get_running_loop()
    bench = Bench()
    distant, near = entry("a", due_in=600), entry("b", due_in=0.05)

    def timers() -> int:
        scheduled = loop._scheduled  # type: ignore[attr-defined]
        return sum(not handle.cancelled() and "Schedule" in repr(handle) for handle in scheduled)

    bench.add(*(entry("a", due_in=700 + n) for n in range(100)), distant)
    assert timers() == 1
    bench.add(near)
    assert timers() == 1
    await bench.until(1)
    assert bench.begun == [near]
    assert timers() == 1
    bench.schedule.stop()
    assert timers() == 0


async def test_what_was_dropped_is_not_begun_and_leaves_no_timer_behind() -> None:
    bench, entries = Bench(lambda _: 1), Entries()
    made = [entry(), entry(), entry(due_in=0.01)]
    for each in made:
        entries.add(each)
    bench.add(*made)
    assert entries.remove(made[1])
    assert not entries.remove(made[1])
    bench.end(made[0])
    await bench.until(2)
    assert bench.begun == [made[0], made[2]]


async def test_a_stopped_schedule_begins_nothing_more() -> None:
    bench = Bench(lambda _: 1)
    bench.add(entry(), entry(), entry(due_in=0.01))
    bench.schedule.stop()
    bench.end(bench.begun[0])
    bench.add(entry("other"))
    await asyncio.sleep(0.03)
    assert len(bench.begun) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_every_event_is_begun_and_the_bounds_hold(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.event_queue.schedule, "_FIRST_PAUSE", 0.001)
    draw = random.Random(seed)
    bench = Bench(lambda target: 1 + len(target.name), most=4)
    made = [entry("x" * draw.randint(1, 3), due_in=draw.random() * 0.05) for _ in range(200)]
    waiting = list(made)
    settled: set[Entry] = set()
    async with asyncio.timeout(20):
        while len(settled) < len(made):
            for _ in range(draw.randint(0, 9)):
                if waiting:
                    bench.add(waiting.pop())
            of_lane = [each.target.name for each in bench.open]
            assert all(of_lane.count(name) <= 1 + len(name) for name in of_lane)
            assert len(of_lane) <= 4 + len(set(of_lane))
            for each in draw.sample(list(bench.open), draw.randint(0, len(bench.open))):
                reached = draw.choice([True, True, False, None])
                if reached:
                    settled.add(each)
                else:
                    each.due = asyncio.get_running_loop().time() + draw.random() * 0.01
                    bench.schedule.add(each)
                bench.end(each, reached)
            await asyncio.sleep(0.001)
    assert bench.open == {}


# --- how long


def test_what_does_not_reach_its_function_waits_from_a_second_up_to_five_minutes() -> None:
    assert [refusal_delay(n) for n in (1, 2, 3, 9, 10, 1000)] == [1, 2, 4, 256, 300, 300]


async def test_lambdas_defaults_hold_where_nothing_is_configured(runtime: LambdaRuntime) -> None:
    policy = Policy(runtime.registry, Target("f"))
    assert [policy.after_failure(n, 0, 60) for n in (1, 2, 3)] == [60, 120, "RetriesExhausted"]
    assert policy.after_failure(1, 21_540, 60) == 60
    assert policy.after_failure(1, 21_541, 60) == "EventAgeExceeded"
    assert policy.after_refusal(1, 21_599) == 1
    assert policy.after_refusal(2, 21_599) == "EventAgeExceeded"
    assert (policy.destination("Success"), policy.destination("RetriesExhausted"), policy.forbidden) == (
        None,
        None,
        False,
    )


async def test_what_is_configured_holds_for_its_qualifier_and_empty_destinations_are_none(
    runtime: LambdaRuntime,
) -> None:
    registry: Registry = runtime.registry
    await registry.event_invokes.put(
        EventInvoke(name="f", qualifier="live", retries=0, max_age=60, on_success="", on_failure="arn:f")
    )
    await registry.reserved.put(Reserved(name="f", count=0))
    policy = Policy(registry, Target("f", "live"))
    assert policy.after_failure(1, 0, 60) == "RetriesExhausted"
    assert policy.after_refusal(7, 0) == "EventAgeExceeded"
    assert policy.destination("Success") is None
    assert policy.destination("EventAgeExceeded") == "arn:f"
    assert policy.forbidden
    assert Policy(registry, Target("f")).retries == 2
