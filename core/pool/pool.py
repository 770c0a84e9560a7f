"""The warm pool: its inputs, each of which changes the books and runs the one decision.

An input is an invocation that asks, or an instance that is ready, released or gone. All of it is
synchronous: there is no await between reading the state and changing it, hence no lock and no
race. What must be launched or ended comes out as a `Plan`, which the facade carries out outside of
the pool and answers with another input.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Iterator

from core.errors import (
    FunctionNotFoundError,
    InstanceNotFoundError,
    LambdaRuntimeError,
    RuntimeClosedError,
    TooManyRequestsError,
)
from core.events import Event, InstanceExited, InstanceUpdated, InvocationQueued
from core.instances import Instance, InstanceExit, InstanceSnapshot, InstanceState, WarmInstance
from core.pool.books import Books, fail
from core.pool.decision import decide, refuse_what_never_fits
from core.pool.state import Plan, PoolFunction, PoolLimits, Room, Waiter

__all__ = ["WarmPool"]

_S = InstanceState
_FIRST_BACKOFF = 0.25
_LONGEST_BACKOFF = 15.0


class WarmPool:
    """All instances of all functions, and who waits for one."""

    def __init__(self, limits: PoolLimits, publish: Callable[[Event], None], carry_out: Callable[[Plan], None]) -> None:
        self._limits = limits
        self._carry_out = carry_out
        self._books = Books(publish)
        self._sequence = itertools.count()
        self._closed = False
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0

    # --- functions

    def configure(self, spec: PoolFunction) -> None:
        """Take a function in, or its new definition: instances of another deploy go or drain."""
        room = self._books.rooms.get(spec.name)
        if room is None:
            self._books.rooms[spec.name] = Room(spec)
        else:
            if room.spec.deploy_id != spec.deploy_id or not room.known:
                room.failures = room.crashes = 0
                room.trouble = ""
                room.not_before = room.warm_not_before = 0.0
            released = room.spec.held - spec.held
            room.spec, room.known = spec, True
            for instance in tuple(room.instances.values()):
                if instance.deploy_id != spec.deploy_id:
                    if instance.current_deploy:
                        instance.current_deploy = False
                        self._books.publish(InstanceUpdated(instance=instance.snapshot()))
                    promise = room.promised.pop(instance.id, None)
                    if promise is not None:
                        # whoever wished for an instance wants it no less of the new deploy
                        room.wishes.appendleft(promise)
                    self._books.retire(instance, "an older deploy")
                elif instance.idle_ttl != spec.idle_ttl:
                    instance.idle_ttl = spec.idle_ttl
            for instance in self._books.surplus(room, released):
                self._books.end(instance, "no longer provisioned")
            self._books.count_down(room)
        self._run()

    def forget(self, name: str) -> None:
        """Let a function go: waiters are told, idle instances go, busy ones drain."""
        room = self._books.rooms.get(name)
        if room is None:
            return
        room.known = False
        for waiter in tuple(room.waiters):
            self._books.refuse(waiter, FunctionNotFoundError(name))
        for wish in (*room.wishes, *room.promised.values()):
            fail(wish, FunctionNotFoundError(name))
        room.wishes.clear()
        for instance in tuple(room.instances.values()):
            self._books.retire(instance, "the function was removed")
        self._books.drop_if_empty(room)
        self._run()

    # --- invocations

    def enqueue(self, name: str, request_id: str, *, again: Waiter | None = None) -> Waiter:
        """Ask for an instance. `ready` may be done already.

        `again` is the waiter whose instance turned out to be gone: its place in the queue is kept.
        Raises FunctionNotFoundError, RuntimeClosedError, ContainerStartFailedError where no
        instance can ever fit, and TooManyRequestsError when the queue of the function is full.
        """
        room = self._books.room(name)
        if self._closed:
            raise RuntimeClosedError("Stoker is closing and takes no more invocations")
        refuse_what_never_fits(self._limits, room)
        sequence = next(self._sequence) if again is None else again.sequence
        waiter = Waiter(name, request_id, sequence, asyncio.get_running_loop().create_future())
        place = len(room.waiters)
        while place and room.waiters[place - 1].sequence > sequence:
            place -= 1
        room.waiters.insert(place, waiter)
        self._books.waiting += 1
        if room.idle and len(room.waiters) == 1:
            # what the decision comes to: nobody else can have it, and nothing gets free by this
            self._books.hand_over(room, room.idle[-1], cold=False)
        else:
            self._run()
        if waiter.ready.done():
            return waiter
        # counted after the decision, so that an invocation that is served at once needs no room in the queue
        unserved = len(room.waiters) - room.starting
        if unserved > self._limits.queue and again is None:
            self._books.take_out(room, waiter)
            raise TooManyRequestsError(name, f"{self._limits.queue} invocations wait already")
        self._books.publish(InvocationQueued(request_id=request_id, function_name=name, position=self.position(waiter)))
        self._books.queue_changed(room)
        return waiter

    def ready(self, name: str) -> Instance | None:
        """The instance that `enqueue` would hand over at once; None where an invocation would have to wait."""
        room = self._books.rooms.get(name)
        if room is None or self._closed or not room.known or room.waiters:
            return None
        return room.idle[-1] if room.idle else None

    def take(self, name: str, request_id: str) -> Instance:
        """Hand over what `ready` has just shown, without a waiter and its future."""
        instance = self._books.rooms[name].idle[-1]
        self._books.serve(instance, request_id)
        return instance

    def withdraw(self, waiter: Waiter) -> None:
        """The invocation asks no longer (cancelled, or its deadline passed).

        If an instance had been handed over in the same moment, it is released unused.
        """
        ready = waiter.ready
        if ready.done():
            if not ready.cancelled() and ready.exception() is None:
                self.release(ready.result(), served=False)
            return
        ready.cancel()
        room = self._books.rooms.get(waiter.function_name)
        if room is not None and waiter in room.waiters:
            self._books.take_out(room, waiter)
            self._books.queue_changed(room)
            self._books.drop_if_empty(room)

    def position(self, waiter: Waiter) -> int:
        """The waiter's place in its function's queue, counted from 1; 0 once it was served."""
        room = self._books.rooms.get(waiter.function_name)
        return room.waiters.index(waiter) + 1 if room is not None and waiter in room.waiters else 0

    def waiting(self, name: str | None = None) -> int:
        """How many invocations wait, of one function or of all."""
        if name is None:
            return self._books.waiting
        room = self._books.rooms.get(name)
        return len(room.waiters) if room else 0

    def release(
        self,
        instance: Instance,
        *,
        reuse: bool = True,
        served: bool = True,
        reason: str = "",
        duration_ms: float | None = None,
        force: bool = False,
    ) -> None:
        """An invocation is over. `reuse` False ends the instance, for `reason`."""
        instance.request_id = None
        if served:
            instance.served += 1
            instance.last_duration_ms = duration_ms
            if reuse and (room := self._books.rooms.get(instance.function_name)) is not None:
                room.crashes, room.warm_not_before = 0, 0.0
        instance.last_used = time.monotonic()
        if instance.state is _S.BUSY and reuse:
            self._books.move(instance, _S.IDLE, reason or "ready for the next invocation")
            if self._nobody_wants_it(instance):
                return
        elif instance.state is _S.BUSY or instance.state is _S.DRAINING:
            self._books.end(instance, instance.reason if reuse else reason, force=force)
        self._run()

    # --- launches

    def wish(self, name: str, count: int) -> list[asyncio.Future[Instance]]:
        """Pre-warm `count` instances; each future gets one when it is idle, or the reason why not."""
        room = self._books.room(name)
        if self._closed:
            raise RuntimeClosedError("Stoker is closing and launches nothing")
        refuse_what_never_fits(self._limits, room)
        loop = asyncio.get_running_loop()
        wishes: list[asyncio.Future[Instance]] = [loop.create_future() for _ in range(count)]
        room.wishes.extend(wishes)
        room.not_before = 0.0
        self._run()
        return wishes

    def unwish(self, name: str, wishes: Collection[asyncio.Future[Instance]]) -> None:
        """Whoever wished has gone: what is not up yet is not brought up."""
        room = self._books.rooms.get(name)
        open_ = [wish for wish in wishes if not wish.done()]
        for wish in open_:
            wish.cancel()
        if room is None:
            return
        for instance_id in [key for key, promise in room.promised.items() if promise in open_]:
            self._books.end(self._books.instances[instance_id], "its launch was cancelled")
        self._run()

    def launched(self, instance: Instance, warm: WarmInstance) -> None:
        """The backend has brought it up: it goes to the first waiter, or is idle."""
        instance.warm = warm
        room = self._books.rooms[instance.function_name]
        room.failures, room.not_before, room.trouble = 0, 0.0, ""
        instance.last_used = time.monotonic()
        promise = room.promised.pop(instance.id, None)
        if room.waiters and promise is None and instance.deploy_id == room.spec.deploy_id:
            # straight to the waiter, without a moment of idleness
            self._books.hand_over(room, instance, cold=True)
        else:
            self._books.move(instance, _S.IDLE, "started")
        if promise is not None and not promise.done():
            promise.set_result(instance)
        self._run()

    def launch_failed(self, instance: Instance, error: LambdaRuntimeError) -> None:
        """The start failed: exactly the oldest waiter is told, or the person who wished for it."""
        room = self._books.rooms[instance.function_name]
        promise = room.promised.pop(instance.id, None)
        was_ended = instance.state is _S.TERMINATING
        self._books.move(instance, _S.DEAD if was_ended else _S.FAILED, instance.reason if was_ended else str(error))
        if not was_ended:
            room.failures += 1
            room.trouble = str(error)
            room.not_before = _back_off(room.failures)
        if promise is not None:
            fail(promise, error)
        elif room.waiters and not was_ended:
            self._books.refuse(room.waiters[0], error)
        self._books.drop_if_empty(room)
        self._run()

    def start_anew(self, backend: str) -> None:
        """The backend is there again: what failed while it was away is no reason to wait any longer."""
        for room in self._books.rooms.values():
            if room.spec.backend == backend:
                room.failures, room.not_before = 0, 0.0
        self._run()

    # --- ends

    def terminate(self, instance_id: str, *, force: bool = False, reason: str = "terminated by hand") -> Instance:
        """End an instance: an idle or starting one now; a busy one drains, unless `force`."""
        instance = self._books.instances.get(instance_id)
        if instance is None:
            raise InstanceNotFoundError(instance_id)
        if instance.state is _S.BUSY and not force:
            self._books.move(instance, _S.DRAINING, reason)
        elif instance.state is _S.TERMINATING:
            if force:
                self._books.plan.terminate.append((instance, True))
        elif instance.state is not _S.DRAINING or force:
            self._books.end(instance, reason, force=force)
        self._run()
        return instance

    def exited(self, instance: Instance, exit_: InstanceExit) -> None:
        """The instance has ended by itself and leaves the pool at once."""
        if instance.state.final:
            return
        self._books.publish(InstanceExited(instance_id=instance.id, function_name=instance.function_name, exit=exit_))
        # a TERMINATING one is waited for by whoever ends it; a STARTING one by its launch
        if instance.state in {_S.IDLE, _S.BUSY, _S.DRAINING}:
            if instance.state is _S.IDLE and instance.served == 0:
                # it came up and fell over: keeping one warm must not become a loop
                room = self._books.rooms[instance.function_name]
                room.crashes += 1
                if room.crashes > 1:
                    room.trouble = exit_.reason or "it exited by itself"
                room.warm_not_before = _back_off(room.crashes)
            self._books.move(instance, _S.DEAD, exit_.reason or "exited by itself")
        self._run()

    def gone(self, instance: Instance) -> None:
        """The backend has ended it."""
        if instance.state is _S.TERMINATING:
            self._books.move(instance, _S.DEAD, instance.reason)
        self._run()

    def wait_gone(self, instance: Instance) -> asyncio.Future[None]:
        """Done once the instance is DEAD or FAILED."""
        loop = asyncio.get_running_loop()
        if instance.state.final:
            done: asyncio.Future[None] = loop.create_future()
            done.set_result(None)
            return done
        if instance.id not in self._books.gone:
            self._books.gone[instance.id] = loop.create_future()
        return self._books.gone[instance.id]

    # --- idle reaping

    def pin(self, instance_id: str, pinned: bool) -> None:
        """A pinned instance is never reaped for idleness, nor given up for the budget."""
        instance = self._books.instances.get(instance_id)
        if instance is None:
            raise InstanceNotFoundError(instance_id)
        if instance.pinned != pinned:
            instance.pinned = pinned
            self._books.count_down(self._books.rooms[instance.function_name])
            self._books.publish(InstanceUpdated(instance=instance.snapshot()))
            self._run()

    def idle_candidates(self, ttl: float | None, name: str | None = None) -> list[Instance]:
        """Idle instances that a reap would take: unpinned, idle for `ttl` s, beyond the minimum warm."""
        now = time.monotonic()
        return [
            instance
            for room in self._books.rooms.values()
            if name is None or room.spec.name == name
            for instance in self._books.reapable(room)
            if now - instance.last_used >= (instance.idle_ttl if ttl is None else ttl)
        ]

    def reap_idle(self, ttl: float | None, name: str | None = None) -> list[Instance]:
        """End those candidates; returns them."""
        candidates = self.idle_candidates(ttl, name)
        now = time.monotonic()
        for instance in candidates:
            self._books.end(instance, f"idle for {now - instance.last_used:.0f} s, reaped by hand")
        self._run()
        return candidates

    # --- views

    def trouble(self, name: str) -> str | None:
        """Why the function's last start failed, or its instances fall over unused; None once one came up."""
        room = self._books.rooms.get(name)
        return room.trouble or None if room is not None else None

    def instances(self, name: str | None = None) -> list[InstanceSnapshot]:
        """All that are not final, oldest first."""
        return [i.snapshot() for i in self._books.instances.values() if name is None or i.function_name == name]

    def instance(self, instance_id: str) -> Instance:
        """Raises InstanceNotFoundError."""
        try:
            return self._books.instances[instance_id]
        except KeyError:
            raise InstanceNotFoundError(instance_id) from None

    def __iter__(self) -> Iterator[Instance]:
        return iter(tuple(self._books.instances.values()))

    def close(self) -> None:
        """Take nothing more: everything that waits is told."""
        self._closed = True
        for room in tuple(self._books.rooms.values()):
            for waiter in tuple(room.waiters):
                self._books.refuse(waiter, RuntimeClosedError("Stoker is closing"))
            for wish in room.wishes:
                fail(wish, RuntimeClosedError("Stoker is closing"))
            room.wishes.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- decide, carry out, wait for the next time

    def _nobody_wants_it(self, instance: Instance) -> bool:
        """Whether an instance has become idle and there is nothing to decide, nor an earlier time to wait for."""
        if self._books.waiting or self._closed:
            return False
        reap_at = instance.reap_at
        if reap_at is not None and (self._timer is None or self._timer_at > reap_at):
            return False
        return not any(room.wishes or room.spec.min_warm for room in self._books.rooms.values())

    def _run(self) -> None:
        if not self._closed:
            now = time.monotonic()
            decide(self._books, self._limits, now)
            self._arm(now)
        if self._books.plan:
            plan, self._books.plan = self._books.plan, Plan()
            self._carry_out(plan)

    def _arm(self, now: float) -> None:
        """One timer, for the next idle reap or the end of a back-off."""
        due = [room.idle[0].reap_at for room in self._books.rooms.values() if room.idle and room.idle[0].reap_at]
        for room in self._books.rooms.values():
            if any(i.pinned for i in room.idle):
                due.extend(i.reap_at for i in room.idle if i.reap_at)
            if room.not_before > now and (room.waiters or room.counted < room.spec.min_warm):
                due.append(room.not_before)
            if room.warm_not_before > now and room.counted < room.spec.min_warm:
                due.append(room.warm_not_before)
        if not due:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        when = min(due)
        if self._timer is not None:
            # an earlier timer is harmless: it finds nothing to do and arms itself again
            if now < self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = max(when, now)
        self._timer = asyncio.get_running_loop().call_later(self._timer_at - now, self._due)

    def _due(self) -> None:
        self._timer = None
        now = time.monotonic()
        for room in tuple(self._books.rooms.values()):
            for instance in tuple(room.idle):
                if instance.reap_at is not None and instance.reap_at <= now + 0.001:
                    self._books.end(instance, f"idle for {instance.idle_ttl:g} s")
        self._run()


def _back_off(failures: int) -> float:
    """Until when (monotonic) to wait after so many failures in a row: the first costs nothing."""
    if failures < 2:
        return 0.0
    return time.monotonic() + min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures - 2, 10))
