"""The pool under whatever comes in whatever order: its books, its queue and its promises always hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ContainerStartFailedError, LambdaRuntimeError
from core.events import Event
from core.instances import Instance, InstanceExit, InstanceState, ProcessHandle, WarmInstance
from core.pool import Plan, PoolFunction, PoolLimits, Waiter, WarmPool

S = InstanceState
NAMES = ("a", "b", "c")
BUDGET, MEMORY, STARTS, QUEUE = 5, 2048, 3, 6


class World:
    """A pool with everything around it played: backends that start and end, callers that ask and give up."""

    def __init__(self) -> None:
        self.pool = WarmPool(PoolLimits(BUDGET, MEMORY, STARTS, QUEUE), self.heard, self.carry_out)
        self.starting: list[Instance] = []
        self.ending: list[Instance] = []
        self.waiting: list[Waiter] = []
        self.flights: list[Waiter] = []
        self.wishes: list[asyncio.Future[Instance]] = []
        self.asked = 0
        self.closed = False

    def heard(self, event: Event) -> None:
        assert event.at > 0

    def carry_out(self, plan: Plan) -> None:
        pool = self.pool
        for instance in plan.launch:
            assert instance.state in {S.STARTING, S.TERMINATING}
            self.starting.append(instance)
        for instance, _ in plan.terminate:
            assert instance.state is S.TERMINATING
            if instance.reason.startswith("gave its place"):
                room = pool._books.rooms[instance.function_name]
                assert room.counted >= room.held, "what is provisioned is given to nobody"
            if instance not in self.ending:
                self.ending.append(instance)
        if plan.launch:
            assert not self.closed
            for room in pool._books.rooms.values():
                for_waiters = [i for i in plan.launch if i.reason == "an invocation waits"]
                if any(i.function_name == room.spec.name for i in for_waiters):
                    unpromised = room.starting - len(room.promised)
                    assert unpromised <= len(room.waiters) + room.spec.min_warm, "more starts than waiters need"
                if any(i.function_name == room.spec.name for i in plan.launch):
                    assert room.counted <= room.spec.max_instances
            assert pool._books.counted <= BUDGET
            assert pool._books.memory <= MEMORY
            assert pool._books.starting <= STARTS

    # --- what may happen

    def configure(self, n: int) -> None:
        self.pool.configure(
            PoolFunction(
                name=NAMES[n % 3],
                backend="process",
                deploy_id=f"d{n // 3 % 2}",
                memory_mb=(128, 512, 1024)[n % 3],
                max_instances=1 + n // 6 % 4,
                idle_ttl=300.0 + n % 2,
                min_warm=(0, 0, 1, 2)[n // 24 % 4],
                held=(0, 0, 1, 1)[n // 24 % 4],
            )
        )

    def forget(self, n: int) -> None:
        self.pool.forget(NAMES[n % 3])

    def enqueue(self, n: int) -> None:
        self.asked += 1
        try:
            self.waiting.append(self.pool.enqueue(NAMES[n % 3], f"r{self.asked}"))
        except LambdaRuntimeError:
            return

    def withdraw(self, n: int) -> None:
        # also one that was served in this very moment and has not noticed
        several = self.waiting + self.flights[-1:]
        if several:
            waiter = several[n % len(several)]
            (self.waiting if waiter in self.waiting else self.flights).remove(waiter)
            self.pool.withdraw(waiter)

    def launched(self, n: int) -> None:
        if self.starting:
            instance = self.starting.pop(n % len(self.starting))
            if instance.state is S.STARTING:
                self.pool.launched(instance, WarmInstance(f"emulator://{instance.id}", ProcessHandle(1, "t")))
            else:
                self.gone(instance)

    def failed(self, n: int) -> None:
        if self.starting:
            instance = self.starting.pop(n % len(self.starting))
            if instance in self.ending:
                self.ending.remove(instance)
            self.pool.launch_failed(instance, ContainerStartFailedError(instance.function_name, "no luck"))

    def ended(self, n: int) -> None:
        if self.ending:
            instance = self.ending[n % len(self.ending)]
            if instance in self.starting:
                self.starting.remove(instance)
            self.gone(instance)

    def gone(self, instance: Instance) -> None:
        if instance in self.ending:
            self.ending.remove(instance)
        self.pool.gone(instance)

    def release(self, n: int) -> None:
        if self.flights:
            waiter = self.flights.pop(n % len(self.flights))
            self.pool.release(
                waiter.ready.result(), reuse=n % 4 != 0, reason="no use", duration_ms=1.0, force=n % 2 == 0
            )

    def any_instance(self, n: int) -> Instance | None:
        instances = list(self.pool)
        return instances[n % len(instances)] if instances else None

    def exited(self, n: int) -> None:
        instance = self.any_instance(n)
        if instance is not None and instance not in self.starting:
            self.pool.exited(instance, InstanceExit(code=1, reason="exit status 1"))

    def terminate(self, n: int) -> None:
        instance = self.any_instance(n // 2)
        if instance is not None:
            self.pool.terminate(instance.id, force=n % 2 == 0)

    def pin(self, n: int) -> None:
        instance = self.any_instance(n // 2)
        if instance is not None:
            self.pool.pin(instance.id, n % 2 == 0)

    def wish(self, n: int) -> None:
        try:
            self.wishes += self.pool.wish(NAMES[n % 3], 1 + n // 3 % 3)
        except LambdaRuntimeError:
            return

    def reap(self, n: int) -> None:
        self.pool.reap_idle(0, NAMES[n % 3])

    def backed_off(self, _: int) -> None:
        for room in self.pool._books.rooms.values():
            room.not_before = 0.0
        self.pool._run()

    def close(self, n: int) -> None:
        if n > 95:
            self.closed = True
            self.pool.close()

    # --- what always holds

    def check(self) -> None:
        pool = self.pool
        served = [w for w in self.waiting if w.ready.done()]
        for waiter in served:
            self.waiting.remove(waiter)
            if waiter.ready.exception() is None:
                self.flights.append(waiter)
                older = [w for w in self.waiting if w.function_name == waiter.function_name and not w.ready.done()]
                assert all(w.sequence > waiter.sequence for w in older), "served out of turn"
        instances = list(pool)
        counted = [i for i in instances if i.state in {S.STARTING, S.IDLE, S.BUSY}]
        assert pool._books.counted == len(counted)
        assert pool._books.memory == sum(i.memory_limit_mb for i in counted)
        assert pool._books.starting == sum(i.state is S.STARTING for i in instances)
        assert pool._books.waiting == pool.waiting() == sum(len(r.waiters) for r in pool._books.rooms.values())
        held = [w.ready.result() for w in self.flights]
        assert len({id(i) for i in held}) == len(held), "one instance, two invocations"
        for instance in instances:
            if instance.state in {S.BUSY, S.DRAINING}:
                assert instance in held, "busy with nothing"
            if instance.state is S.TERMINATING:
                assert instance in self.ending, "nobody ends it"
            if instance.state is S.STARTING:
                assert instance in self.starting, "nobody starts it"
        for name, room in pool._books.rooms.items():
            own = [i for i in instances if i.function_name == name]
            assert list(room.instances.values()) == own
            assert room.counted == sum(i in counted for i in own)
            assert room.starting == sum(i.state is S.STARTING for i in own)
            assert {i.id for i in room.idle} == {i.id for i in own if i.state is S.IDLE}
            assert room.idle == sorted(room.idle, key=lambda i: i.last_used)
            assert list(room.waiters) == sorted(room.waiters, key=lambda w: w.sequence)
            assert all(not w.ready.done() and w in self.waiting for w in room.waiters)
            assert set(room.promised) <= {i.id for i in own if i.state is S.STARTING}
            assert all(i.deploy_id == room.spec.deploy_id for i in (*room.idle,)), "an old deploy is kept"
            assert room.known or not (room.idle or room.waiters)
            assert room.known or room.instances, "an empty room of a function that was removed"
            assert not (room.waiters and room.idle), "an instance is free and an invocation waits"
        for wish in self.wishes:
            known = [w for r in pool._books.rooms.values() for w in (*r.wishes, *r.promised.values())]
            assert wish.done() or wish in known, "a promise that nobody keeps"
        for waiter in self.waiting:
            assert waiter.ready.done() or pool.position(waiter) > 0, "a waiter that nobody serves"

    def finish(self) -> None:
        """Let everything go well from here on: nobody is left waiting."""
        for _ in range(500):
            self.check()
            if not (self.starting or self.ending or self.flights or self.waiting):
                break
            for instance in list(self.pool):
                self.pool.pin(instance.id, False)
            self.backed_off(0)
            for step in (self.launched, self.ended, lambda _: self.release(1)):
                step(0)
                self.check()
        assert not self.waiting
        assert not self.flights
        assert all(w.done() for w in self.wishes)
        assert self.pool._books.gone == {}


STEPS: dict[str, Callable[[World, int], None]] = {
    name: getattr(World, name)
    for name in (
        *("configure", "forget", "enqueue", "withdraw", "launched", "failed", "ended", "release"),
        *("exited", "terminate", "pin", "wish", "reap", "backed_off", "close"),
    )
}
OFTEN = [*STEPS, *["enqueue"] * 5, *["launched"] * 3, *["release"] * 3, "ended", "ended", "configure", "wish"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OFTEN), st.integers(0, 99)), max_size=60))
def test_whatever_happens_the_books_balance_and_nobody_is_forgotten(steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        world = World()
        for n in range(3):
            world.configure(n + 18)
        for name, n in steps:
            STEPS[name](world, n)
            world.check()
        world.finish()
        world.pool.close()

    asyncio.run(play())
