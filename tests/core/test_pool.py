"""The pool's decision by itself: no backend, only what it would launch, hand over and end."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import (
    BackendUnavailableError,
    ContainerStartFailedError,
    FunctionNotFoundError,
    InstanceNotFoundError,
    RuntimeClosedError,
    TooManyRequestsError,
)
from core.events import Event, InstanceChanged, QueueChanged
from core.instances import Instance, InstanceExit, InstanceState, ProcessHandle, WarmInstance
from core.pool import Plan, PoolFunction, PoolLimits, Waiter, WarmPool

S = InstanceState


class Outside:
    """What surrounds a pool: keeps its plans and events, and answers launches when told to."""

    def __init__(self, *, instances: int = 100, memory_mb: int = 0, starts: int = 16, queue: int = 1000) -> None:
        self.events: list[Event] = []
        self.launches: list[Instance] = []
        self.ends: list[tuple[Instance, bool]] = []
        self.asked = asyncio.Event()
        self.pool = WarmPool(PoolLimits(instances, memory_mb, starts, queue), self.events.append, self.take)

    def take(self, plan: Plan) -> None:
        self.launches += plan.launch
        self.ends += plan.terminate
        self.asked.set()

    def function(self, name: str = "f", *, deploy: str = "d1", cap: int = 10, warm: int = 0, mb: int = 128) -> None:
        self.pool.configure(PoolFunction(name, "process", deploy, mb, cap, 300.0, warm))

    def ready(self, instance: Instance) -> Instance:
        self.launches.remove(instance)
        self.pool.launched(instance, WarmInstance(f"emulator://{instance.id}", ProcessHandle(1, "t")))
        return instance

    def next_ready(self) -> Instance:
        return self.ready(self.launches[0])

    def idle(self, name: str = "f", count: int = 1) -> list[Instance]:
        self.pool.wish(name, count)
        return [self.next_ready() for _ in range(count)]

    def served(self, waiter: Waiter) -> Instance:
        assert waiter.ready.done()
        return waiter.ready.result()

    def states(self) -> list[str]:
        return [str(i.state) for i in self.pool]


async def test_the_first_invocation_launches_and_is_handed_the_new_instance() -> None:
    out = Outside()
    out.function()
    waiter = out.pool.enqueue("f", "r1")
    assert not waiter.ready.done()
    assert len(out.launches) == 1
    instance = out.next_ready()
    assert out.served(waiter) is instance
    assert waiter.cold
    assert instance.state is S.BUSY
    changes = [(e.old, e.new) for e in out.events if isinstance(e, InstanceChanged)]
    assert changes == [(None, S.STARTING), (S.STARTING, S.BUSY)]


async def test_an_idle_instance_is_used_before_one_is_launched_and_the_latest_used_first() -> None:
    out = Outside()
    out.function()
    first, second = out.idle(count=2)
    assert out.served(out.pool.enqueue("f", "r1")) is second
    assert out.served(out.pool.enqueue("f", "r2")) is first
    out.pool.release(second)
    out.pool.release(first)
    waiter = out.pool.enqueue("f", "r3")
    assert out.served(waiter) is first
    assert not waiter.cold
    assert out.launches == []


async def test_never_more_launches_than_waiters_need() -> None:
    out = Outside()
    out.function()
    waiters = [out.pool.enqueue("f", f"r{n}") for n in range(3)]
    assert len(out.launches) == 3
    out.pool.withdraw(waiters[0])
    out.pool.enqueue("f", "r3")
    assert len(out.launches) == 3


async def test_hand_over_is_in_order_of_arrival_whatever_start_ends_first() -> None:
    out = Outside()
    out.function()
    waiters = [out.pool.enqueue("f", f"r{n}") for n in range(3)]
    last = out.ready(out.launches[2])
    assert out.served(waiters[0]) is last
    assert [w.ready.done() for w in waiters] == [True, False, False]


async def test_the_cap_makes_invocations_wait_and_a_release_serves_the_first() -> None:
    out = Outside()
    out.function(cap=1)
    running = out.pool.enqueue("f", "r1")
    instance = out.next_ready()
    waiting = [out.pool.enqueue("f", f"w{n}") for n in range(3)]
    assert out.launches == []
    assert [out.pool.position(w) for w in waiting] == [1, 2, 3]
    out.pool.withdraw(waiting[0])
    out.pool.release(out.served(running), duration_ms=1.0)
    assert out.served(waiting[1]) is instance
    assert instance.served == 1
    assert instance.request_id == "w1"


async def test_the_global_start_limit_bounds_launches_of_all_functions() -> None:
    out = Outside(starts=2)
    out.function("a")
    out.function("b")
    for n in range(2):
        out.pool.enqueue("a", f"a{n}")
        out.pool.enqueue("b", f"b{n}")
    assert len(out.launches) == 2
    out.next_ready()
    assert len(out.launches) == 2
    assert [i.function_name for i in out.launches] == ["b", "a"]


async def test_a_full_queue_throttles() -> None:
    out = Outside(queue=2)
    out.function(cap=1)
    out.pool.enqueue("f", "r")
    out.next_ready()
    out.pool.enqueue("f", "w1")
    out.pool.enqueue("f", "w2")
    with pytest.raises(TooManyRequestsError, match="2 invocations wait"):
        out.pool.enqueue("f", "w3")
    assert out.pool.waiting("f") == 2


async def test_a_failed_start_fails_exactly_the_oldest_waiter_and_the_others_get_new_starts() -> None:
    out = Outside()
    out.function()
    first, second = out.pool.enqueue("f", "r1"), out.pool.enqueue("f", "r2")
    failing = out.launches.pop(1)
    out.pool.launch_failed(failing, ContainerStartFailedError("f", "no luck"))
    with pytest.raises(ContainerStartFailedError, match="no luck"):
        first.ready.result()
    assert not second.ready.done()
    assert failing.state is S.FAILED
    assert out.next_ready() is out.served(second)


async def test_repeated_failures_back_off_and_a_new_deploy_starts_afresh() -> None:
    out = Outside()
    out.function()
    for n in range(3):
        out.pool.enqueue("f", f"r{n}")
        if out.launches:
            out.pool.launch_failed(out.launches.pop(), ContainerStartFailedError("f", "broken"))
    waiter = out.pool.enqueue("f", "later")
    assert out.launches == []
    out.function(deploy="d2")
    assert len(out.launches) >= 1
    assert not waiter.ready.done()


async def test_the_end_of_a_back_off_launches_by_itself() -> None:
    out = Outside()
    out.function()
    for n in range(2):
        out.pool.enqueue("f", f"r{n}")
        out.pool.launch_failed(out.launches.pop(), ContainerStartFailedError("f", "broken"))
    out.pool.enqueue("f", "later")
    assert out.launches == []
    out.asked.clear()
    async with asyncio.timeout(5):
        await out.asked.wait()
    assert len(out.launches) == 1


async def test_a_backend_that_is_back_ends_the_back_off_of_its_functions_only() -> None:
    out = Outside()
    for name, backend in (("a", "here"), ("b", "there")):
        out.pool.configure(PoolFunction(name, backend, "d1", 128, 10, 300.0, 0))
    for name in ("a", "b"):
        for n in range(3):
            out.pool.enqueue(name, f"{name}{n}")
            if out.launches:
                out.pool.launch_failed(out.launches.pop(), BackendUnavailableError("x", "away"))
        out.pool.enqueue(name, "later")
    assert out.launches == []
    out.pool.start_anew("here")
    assert {each.function_name for each in out.launches} == {"a"}


async def test_a_full_budget_takes_the_least_recently_used_idle_instance_of_another_function() -> None:
    out = Outside(instances=2)
    out.function("a")
    out.function("b")
    old, new = out.idle("a", 2)
    waiter = out.pool.enqueue("b", "r")
    assert [i for i, _ in out.ends] == [old]
    assert old.state is S.TERMINATING
    assert "gave its place to b" in old.reason
    assert out.next_ready() is out.served(waiter)
    assert new.state is S.IDLE


async def test_with_nothing_idle_the_next_released_instance_is_retired_for_the_oldest_waiter() -> None:
    out = Outside(instances=1)
    out.function("a")
    out.function("b")
    out.pool.enqueue("a", "r1")
    instance = out.next_ready()
    other = out.pool.enqueue("b", "older")
    own = out.pool.enqueue("a", "younger")
    out.pool.release(instance)
    assert instance.state is S.TERMINATING
    assert out.launches[0].function_name == "b"
    assert out.next_ready() is out.served(other)
    assert not own.ready.done()


async def test_a_budget_of_memory_counts_megabytes() -> None:
    out = Outside(memory_mb=1024)
    out.function("big", mb=1024)
    out.function("small", mb=128)
    smalls = out.idle("small", 2)
    waiter = out.pool.enqueue("big", "r")
    assert [i for i, _ in out.ends] == smalls
    assert out.next_ready() is out.served(waiter)


async def test_a_pinned_instance_is_not_given_up() -> None:
    out = Outside(instances=1)
    out.function("a")
    out.function("b")
    (instance,) = out.idle("a")
    out.pool.pin(instance.id, True)
    waiter = out.pool.enqueue("b", "r")
    assert out.ends == []
    assert not waiter.ready.done()
    out.pool.pin(instance.id, False)
    assert instance.state is S.TERMINATING
    assert not waiter.ready.done()
    assert out.launches[0].function_name == "b"


async def test_a_new_deploy_ends_idle_instances_at_once_and_drains_busy_ones() -> None:
    out = Outside()
    out.function()
    idle, busy = out.idle(count=2)
    assert out.served(out.pool.enqueue("f", "r")) is busy
    (wish,) = out.pool.wish("f", 1)
    out.function(deploy="d2")
    assert (idle.state, busy.state) == (S.TERMINATING, S.DRAINING)
    assert not busy.current_deploy
    out.pool.gone(out.launches.pop(0))
    assert not wish.done()
    # who wished for an instance gets one of the new deploy
    assert out.next_ready() is wish.result()
    assert wish.result().deploy_id == "d2"
    out.pool.terminate(wish.result().id)
    waiter = out.pool.enqueue("f", "r2")
    out.pool.release(busy)
    assert busy.state is S.TERMINATING
    assert not waiter.ready.done()


async def test_a_released_instance_that_is_not_reusable_goes_with_the_reason() -> None:
    out = Outside()
    out.function()
    waiter = out.pool.enqueue("f", "r")
    out.next_ready()
    instance = out.served(waiter)
    out.pool.release(instance, reuse=False, reason="timed out", force=True)
    assert out.ends == [(instance, True)]
    assert instance.reason == "timed out"
    out.pool.gone(instance)
    assert instance.state is S.DEAD
    assert out.states() == []


async def test_terminate_drains_a_busy_instance_and_force_ends_it() -> None:
    out = Outside()
    out.function()
    waiter = out.pool.enqueue("f", "r")
    out.next_ready()
    instance = out.served(waiter)
    out.pool.terminate(instance.id)
    assert instance.state is S.DRAINING
    assert out.ends == []
    out.pool.terminate(instance.id, force=True)
    assert out.ends == [(instance, True)]
    with pytest.raises(InstanceNotFoundError):
        out.pool.terminate("i-none")


async def test_an_instance_that_exits_leaves_the_pool_at_once() -> None:
    out = Outside()
    out.function()
    (instance,) = out.idle()
    out.pool.exited(instance, InstanceExit(code=1, reason="exit status 1"))
    assert instance.state is S.DEAD
    assert out.states() == []
    out.pool.enqueue("f", "r")
    assert len(out.launches) == 1


async def test_a_cancelled_waiter_that_was_just_served_gives_its_instance_back() -> None:
    out = Outside()
    out.function(cap=1)
    first = out.pool.enqueue("f", "r1")
    second = out.pool.enqueue("f", "r2")
    instance = out.next_ready()
    out.pool.withdraw(first)
    assert out.served(second) is instance
    assert instance.served == 0


async def test_minimum_warm_is_kept_and_not_reaped() -> None:
    out = Outside()
    out.function(warm=2)
    assert len(out.launches) == 2
    one, two = out.next_ready(), out.next_ready()
    (extra,) = out.idle()
    assert [i.reap_at is None for i in (one, two, extra)].count(True) == 2
    assert out.pool.reap_idle(0) == [one]
    out.pool.gone(one)
    assert out.launches == []
    out.pool.exited(two, InstanceExit(code=0))
    assert len(out.launches) == 1


async def test_idle_instances_are_reaped_when_their_time_has_come() -> None:
    out = Outside()
    out.pool.configure(PoolFunction("f", "process", "d1", 128, 10, 0.02, 0))
    one, pinned = out.idle(count=2)
    out.pool.pin(pinned.id, True)
    out.asked.clear()
    async with asyncio.timeout(5):
        await out.asked.wait()
    assert out.ends == [(one, False)]
    assert one.reason == "idle for 0.02 s"
    assert pinned.state is S.IDLE
    assert pinned.reap_at is None


async def test_prewarming_beyond_the_cap_says_so() -> None:
    out = Outside()
    out.function(cap=2)
    wishes = out.pool.wish("f", 3)
    assert len(out.launches) == 2
    assert isinstance(wishes[2].exception(), TooManyRequestsError)


async def test_a_removed_function_refuses_its_waiters_and_ends_its_instances() -> None:
    out = Outside()
    out.function(cap=1)
    out.pool.enqueue("f", "r1")
    busy = out.next_ready()
    waiter = out.pool.enqueue("f", "r2")
    out.pool.forget("f")
    assert isinstance(waiter.ready.exception(), FunctionNotFoundError)
    assert busy.state is S.DRAINING
    with pytest.raises(FunctionNotFoundError):
        out.pool.enqueue("f", "r3")
    out.pool.release(busy)
    out.pool.gone(busy)
    assert out.states() == []


async def test_closing_tells_everything_that_waits() -> None:
    out = Outside()
    out.function()
    waiter = out.pool.enqueue("f", "r")
    out.pool.close()
    assert isinstance(waiter.ready.exception(), RuntimeClosedError)
    with pytest.raises(RuntimeClosedError):
        out.pool.enqueue("f", "r2")


async def test_the_queue_is_told_when_it_grows_and_when_it_shrinks() -> None:
    out = Outside()
    out.function(cap=1)
    out.pool.enqueue("f", "r1")
    instance = out.next_ready()
    out.events.clear()
    waiters = [out.pool.enqueue("f", f"w{n}") for n in range(3)]
    out.pool.release(instance)
    out.pool.withdraw(waiters[2])
    assert [e.waiting for e in out.events if isinstance(e, QueueChanged)] == [1, 2, 3, 2, 1]


async def test_an_ended_prewarming_is_told_at_once_and_no_longer_counted_on() -> None:
    out = Outside()
    out.function()
    (wish,) = out.pool.wish("f", 1)
    out.pool.terminate(out.launches[0].id)
    assert isinstance(wish.exception(), ContainerStartFailedError)
    out.pool.enqueue("f", "r")
    out.pool.pin(out.launches[0].id, True)  # any input makes the pool decide once more
    assert len(out.launches) == 2, "one waiter needs one start"


async def test_a_cancelled_prewarming_ends_what_starts_and_leaves_what_is_up() -> None:
    out = Outside(starts=2)
    out.function()
    wishes = out.pool.wish("f", 3)
    up = out.next_ready()
    starting, last = out.launches
    for wish in wishes[1:]:
        assert not wish.done()
    out.pool.unwish("f", wishes)
    assert up.state is S.IDLE
    assert (starting.state, last.state) == (S.TERMINATING, S.TERMINATING)
    for instance in (starting, last):
        out.pool.gone(instance)
    assert out.states() == [S.IDLE]


async def test_an_invocation_that_asks_again_keeps_its_place() -> None:
    out = Outside(queue=1)
    out.function(cap=1)
    first = out.pool.enqueue("f", "r1")
    instance = out.next_ready()
    waiting = out.pool.enqueue("f", "r2")
    again = out.pool.enqueue("f", "r1", again=first)
    assert [out.pool.position(w) for w in (again, waiting)] == [1, 2]
    out.pool.release(instance, reuse=False, reason="gone", force=True)
    out.pool.gone(instance)
    assert out.next_ready() is out.served(again)
    assert not waiting.ready.done()


async def test_a_large_function_is_not_starved_by_small_ones_that_came_later() -> None:
    out = Outside(memory_mb=1024)
    out.function("big", mb=1024)
    out.function("small", mb=256)
    first = [out.pool.enqueue("small", f"s{n}") for n in range(4)]
    while out.launches:
        out.next_ready()
    big = out.pool.enqueue("big", "b")
    later = [out.pool.enqueue("small", f"l{n}") for n in range(4)]
    for waiter in first:
        out.pool.release(out.served(waiter))
    assert [i.function_name for i in out.launches] == ["big"]
    out.pool.release(out.served(big) if big.ready.done() else out.next_ready())
    assert big.ready.done()
    assert not any(w.ready.done() for w in later)
    assert [i.function_name for i in out.launches] == ["small"] * 4


async def test_a_function_larger_than_the_whole_budget_is_told_so_at_once() -> None:
    out = Outside(memory_mb=512)
    out.function(mb=1024)
    with pytest.raises(ContainerStartFailedError, match=r"1,024 MB .*memory_budget_mb.* 512 MB"):
        out.pool.enqueue("f", "r")
    with pytest.raises(ContainerStartFailedError, match="memory_budget_mb"):
        out.pool.wish("f", 1)
    assert out.pool.waiting() == 0


async def test_keeping_one_warm_that_falls_over_backs_off_and_a_served_invocation_forgives() -> None:
    out = Outside()
    out.function(warm=1)
    for _ in range(2):
        out.pool.exited(out.next_ready(), InstanceExit(code=1, reason="exit status 1"))
    assert out.launches == [], "it must not loop"
    # an invocation does not wait for that
    waiter = out.pool.enqueue("f", "r")
    instance = out.next_ready()
    assert out.served(waiter) is instance
    out.pool.release(instance)
    out.pool.exited(instance, InstanceExit(code=1, reason="exit status 1"))
    assert len(out.launches) == 1


async def test_starts_that_fail_for_the_minimum_warm_back_off() -> None:
    out = Outside()
    out.function(warm=1)
    for _ in range(2):
        out.pool.launch_failed(out.launches.pop(), ContainerStartFailedError("f", "broken"))
    assert out.launches == []
    out.asked.clear()
    async with asyncio.timeout(5):
        await out.asked.wait()
    assert len(out.launches) == 1
