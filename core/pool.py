"""The warm pool: who waits, what runs, and the one decision what to hand over, launch and end.

Every input (an invocation that asks, an instance that is ready, released or gone) changes the state
and runs `_decide`, which is synchronous: there is no await between reading the state and changing
it, hence no lock and no race. What must be launched or ended comes out as a `Plan`, which the
facade carries out outside of the pool and answers with another input.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import secrets
import time
from collections.abc import Callable, Collection, Iterator

from core.errors import (
    ContainerStartFailedError,
    FunctionNotFoundError,
    InstanceNotFoundError,
    LambdaRuntimeError,
    RuntimeClosedError,
    TooManyRequestsError,
)
from core.events import Event, InstanceChanged, InstanceExited, InstanceUpdated, InvocationQueued, QueueChanged
from core.instances import Instance, InstanceExit, InstanceSnapshot, InstanceState, WarmInstance
from core.pool_state import Plan, PoolFunction, PoolLimits, Room, Waiter

__all__ = ["Plan", "PoolFunction", "PoolLimits", "Waiter", "WarmPool"]

_S = InstanceState
_COUNTED = frozenset({_S.STARTING, _S.IDLE, _S.BUSY})
_FIRST_BACKOFF = 0.25
_LONGEST_BACKOFF = 15.0


class WarmPool:
    """Keeps every instance's state; the only caller of `Instance.move`."""

    def __init__(self, limits: PoolLimits, publish: Callable[[Event], None], carry_out: Callable[[Plan], None]) -> None:
        self._limits = limits
        self._publish = publish
        self._carry_out = carry_out
        self._rooms: dict[str, Room] = {}
        self._instances: dict[str, Instance] = {}
        self._gone: dict[str, asyncio.Future[None]] = {}
        self._sequence = itertools.count()
        self._counted = 0
        self._memory = 0
        self._starting = 0
        self._waiting = 0
        self._closed = False
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._plan = Plan()

    # --- functions

    def configure(self, spec: PoolFunction) -> None:
        """Take a function in, or its new definition: instances of another deploy go or drain."""
        room = self._rooms.get(spec.name)
        if room is None:
            self._rooms[spec.name] = Room(spec)
        else:
            if room.spec.deploy_id != spec.deploy_id or not room.known:
                room.failures = room.crashes = 0
                room.not_before = room.warm_not_before = 0.0
            room.spec, room.known = spec, True
            for instance in tuple(room.instances.values()):
                if instance.deploy_id != spec.deploy_id:
                    if instance.current_deploy:
                        instance.current_deploy = False
                        self._publish(InstanceUpdated(instance=instance.snapshot()))
                    promise = room.promised.pop(instance.id, None)
                    if promise is not None:
                        # whoever wished for an instance wants it no less of the new deploy
                        room.wishes.appendleft(promise)
                    self._retire(instance, "an older deploy")
                elif instance.idle_ttl != spec.idle_ttl:
                    instance.idle_ttl = spec.idle_ttl
            self._count_down(room)
        self._run()

    def forget(self, name: str) -> None:
        """Let a function go: waiters are told, idle instances go, busy ones drain."""
        room = self._rooms.get(name)
        if room is None:
            return
        room.known = False
        for waiter in tuple(room.waiters):
            self._refuse(waiter, FunctionNotFoundError(name))
        for wish in (*room.wishes, *room.promised.values()):
            _fail(wish, FunctionNotFoundError(name))
        room.wishes.clear()
        for instance in tuple(room.instances.values()):
            self._retire(instance, "the function was removed")
        self._drop_if_empty(room)
        self._run()

    # --- invocations

    def enqueue(self, name: str, request_id: str, *, again: Waiter | None = None) -> Waiter:
        """Ask for an instance. `ready` may be done already.

        `again` is the waiter whose instance turned out to be gone: its place in the queue is kept.
        Raises FunctionNotFoundError, RuntimeClosedError, ContainerStartFailedError where no
        instance can ever fit, and TooManyRequestsError when the queue of the function is full.
        """
        room = self._room(name)
        if self._closed:
            raise RuntimeClosedError("Stoker is closing and takes no more invocations")
        self._refuse_what_never_fits(room)
        sequence = next(self._sequence) if again is None else again.sequence
        waiter = Waiter(name, request_id, sequence, asyncio.get_running_loop().create_future())
        place = len(room.waiters)
        while place and room.waiters[place - 1].sequence > sequence:
            place -= 1
        room.waiters.insert(place, waiter)
        self._waiting += 1
        self._run()
        if waiter.ready.done():
            return waiter
        # counted after the decision, so that an invocation that is served at once needs no room in the queue
        unserved = len(room.waiters) - room.starting
        if unserved > self._limits.queue and again is None:
            self._take_out(room, waiter)
            raise TooManyRequestsError(name, f"{self._limits.queue} invocations wait already")
        self._publish(InvocationQueued(request_id=request_id, function_name=name, position=self.position(waiter)))
        self._queue_changed(room)
        return waiter

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
        room = self._rooms.get(waiter.function_name)
        if room is not None and waiter in room.waiters:
            self._take_out(room, waiter)
            self._queue_changed(room)
            self._drop_if_empty(room)

    def position(self, waiter: Waiter) -> int:
        """The waiter's place in its function's queue, counted from 1; 0 once it was served."""
        room = self._rooms.get(waiter.function_name)
        return room.waiters.index(waiter) + 1 if room is not None and waiter in room.waiters else 0

    def waiting(self, name: str | None = None) -> int:
        """How many invocations wait, of one function or of all."""
        if name is None:
            return self._waiting
        room = self._rooms.get(name)
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
            if reuse and (room := self._rooms.get(instance.function_name)) is not None:
                room.crashes, room.warm_not_before = 0, 0.0
        instance.last_used = time.monotonic()
        if instance.state is _S.BUSY and reuse:
            self._move(instance, _S.IDLE, reason or "ready for the next invocation")
        elif instance.state is _S.BUSY or instance.state is _S.DRAINING:
            self._end(instance, instance.reason if reuse else reason, force=force)
        self._run()

    # --- launches

    def wish(self, name: str, count: int) -> list[asyncio.Future[Instance]]:
        """Pre-warm `count` instances; each future gets one when it is idle, or the reason why not."""
        room = self._room(name)
        if self._closed:
            raise RuntimeClosedError("Stoker is closing and launches nothing")
        self._refuse_what_never_fits(room)
        loop = asyncio.get_running_loop()
        wishes: list[asyncio.Future[Instance]] = [loop.create_future() for _ in range(count)]
        room.wishes.extend(wishes)
        room.not_before = 0.0
        self._run()
        return wishes

    def unwish(self, name: str, wishes: Collection[asyncio.Future[Instance]]) -> None:
        """Whoever wished has gone: what is not up yet is not brought up."""
        room = self._rooms.get(name)
        open_ = [wish for wish in wishes if not wish.done()]
        for wish in open_:
            wish.cancel()
        if room is None:
            return
        for instance_id in [key for key, promise in room.promised.items() if promise in open_]:
            self._end(self._instances[instance_id], "its launch was cancelled")
        self._run()

    def launched(self, instance: Instance, warm: WarmInstance) -> None:
        """The backend has brought it up: it goes to the first waiter, or is idle."""
        instance.warm = warm
        room = self._rooms[instance.function_name]
        room.failures, room.not_before = 0, 0.0
        instance.last_used = time.monotonic()
        promise = room.promised.pop(instance.id, None)
        if room.waiters and promise is None and instance.deploy_id == room.spec.deploy_id:
            # straight to the waiter, without a moment of idleness
            self._hand_over(room, instance, cold=True)
        else:
            self._move(instance, _S.IDLE, "started")
        if promise is not None and not promise.done():
            promise.set_result(instance)
        self._run()

    def launch_failed(self, instance: Instance, error: LambdaRuntimeError) -> None:
        """The start failed: exactly the oldest waiter is told, or the person who wished for it."""
        room = self._rooms[instance.function_name]
        promise = room.promised.pop(instance.id, None)
        was_ended = instance.state is _S.TERMINATING
        self._move(instance, _S.DEAD if was_ended else _S.FAILED, instance.reason if was_ended else str(error))
        if not was_ended:
            room.failures += 1
            room.not_before = _back_off(room.failures)
        if promise is not None:
            _fail(promise, error)
        elif room.waiters and not was_ended:
            self._refuse(room.waiters[0], error)
        self._drop_if_empty(room)
        self._run()

    # --- ends

    def terminate(self, instance_id: str, *, force: bool = False, reason: str = "terminated by hand") -> Instance:
        """End an instance: an idle or starting one now; a busy one drains, unless `force`."""
        instance = self._instances.get(instance_id)
        if instance is None:
            raise InstanceNotFoundError(instance_id)
        if instance.state is _S.BUSY and not force:
            self._move(instance, _S.DRAINING, reason)
        elif instance.state is _S.TERMINATING:
            if force:
                self._plan.terminate.append((instance, True))
        elif instance.state is not _S.DRAINING or force:
            self._end(instance, reason, force=force)
        self._run()
        return instance

    def exited(self, instance: Instance, exit_: InstanceExit) -> None:
        """The instance has ended by itself and leaves the pool at once."""
        if instance.state.final:
            return
        self._publish(InstanceExited(instance_id=instance.id, function_name=instance.function_name, exit=exit_))
        # a TERMINATING one is waited for by whoever ends it; a STARTING one by its launch
        if instance.state in {_S.IDLE, _S.BUSY, _S.DRAINING}:
            if instance.state is _S.IDLE and instance.served == 0:
                # it came up and fell over: keeping one warm must not become a loop
                room = self._rooms[instance.function_name]
                room.crashes += 1
                room.warm_not_before = _back_off(room.crashes)
            self._move(instance, _S.DEAD, exit_.reason or "exited by itself")
        self._run()

    def gone(self, instance: Instance) -> None:
        """The backend has ended it."""
        if instance.state is _S.TERMINATING:
            self._move(instance, _S.DEAD, instance.reason)
        self._run()

    def wait_gone(self, instance: Instance) -> asyncio.Future[None]:
        """Done once the instance is DEAD or FAILED."""
        loop = asyncio.get_running_loop()
        if instance.state.final:
            done: asyncio.Future[None] = loop.create_future()
            done.set_result(None)
            return done
        if instance.id not in self._gone:
            self._gone[instance.id] = loop.create_future()
        return self._gone[instance.id]

    # --- idle reaping

    def pin(self, instance_id: str, pinned: bool) -> None:
        """A pinned instance is never reaped for idleness, nor given up for the budget."""
        instance = self._instances.get(instance_id)
        if instance is None:
            raise InstanceNotFoundError(instance_id)
        if instance.pinned != pinned:
            instance.pinned = pinned
            self._count_down(self._rooms[instance.function_name])
            self._publish(InstanceUpdated(instance=instance.snapshot()))
            self._run()

    def idle_candidates(self, ttl: float | None, name: str | None = None) -> list[Instance]:
        """Idle instances that a reap would take: unpinned, idle for `ttl` s, beyond the minimum warm."""
        now = time.monotonic()
        return [
            instance
            for room in self._rooms.values()
            if name is None or room.spec.name == name
            for instance in self._reapable(room)
            if now - instance.last_used >= (instance.idle_ttl if ttl is None else ttl)
        ]

    def reap_idle(self, ttl: float | None, name: str | None = None) -> list[Instance]:
        """End those candidates; returns them."""
        candidates = self.idle_candidates(ttl, name)
        now = time.monotonic()
        for instance in candidates:
            self._end(instance, f"idle for {now - instance.last_used:.0f} s, reaped by hand")
        self._run()
        return candidates

    # --- views

    def instances(self, name: str | None = None) -> list[InstanceSnapshot]:
        """All that are not final, oldest first."""
        return [i.snapshot() for i in self._instances.values() if name is None or i.function_name == name]

    def instance(self, instance_id: str) -> Instance:
        """Raises InstanceNotFoundError."""
        try:
            return self._instances[instance_id]
        except KeyError:
            raise InstanceNotFoundError(instance_id) from None

    def __iter__(self) -> Iterator[Instance]:
        return iter(tuple(self._instances.values()))

    def close(self) -> None:
        """Take nothing more: everything that waits is told."""
        self._closed = True
        for room in tuple(self._rooms.values()):
            for waiter in tuple(room.waiters):
                self._refuse(waiter, RuntimeClosedError("Stoker is closing"))
            for wish in room.wishes:
                _fail(wish, RuntimeClosedError("Stoker is closing"))
            room.wishes.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the decision

    def _run(self) -> None:
        self._decide()
        if self._plan:
            plan, self._plan = self._plan, Plan()
            self._carry_out(plan)

    def _decide(self) -> None:
        """Serve the waiters of all functions, the oldest first. For each there is one of

        1. an idle instance of the current deploy, the most recently used: it is handed over;
        2. an instance that is starting and that no older waiter counts on: it will be handed over;
        3. room under the function's cap, the start limit and the budget: one is launched;
        4. a full budget, but an idle instance of another function: that one goes, one is launched;
        5. none of these: it waits, and so do the later waiters of the same function. Where it is the
           budget of memory that it waits for, nobody who came later gets any of that.

        After the waiters come the wishes to pre-warm, then the minimum each function keeps warm.
        """
        if self._closed:
            return
        now = time.monotonic()
        heap = [(room.waiters[0].sequence, name, 0) for name, room in self._rooms.items() if room.waiters]
        heapq.heapify(heap)
        owed = False
        while heap:
            _, name, ahead = heapq.heappop(heap)  # `ahead` older waiters count on instances that are starting
            room = self._rooms[name]
            if room.idle:
                self._hand_over(room, room.idle[-1], cold=False)
            elif ahead < room.starting - len(room.promised) or (not owed and self._may_launch(room, now)):
                if ahead >= room.starting - len(room.promised):
                    self._launch(room, "an invocation waits")
                ahead += 1
            else:
                owed = owed or self._gathers_memory(room, now)
                continue
            if ahead < len(room.waiters):
                heapq.heappush(heap, (room.waiters[ahead].sequence, name, ahead))
        for room in self._rooms.values():
            if room.wishes:
                self._grant_wishes(room)
            if room.known and room.spec.min_warm > 0 and not owed and now >= room.warm_not_before:
                while room.counted < room.spec.min_warm and self._may_launch(room, now, evict=False):
                    self._launch(room, "kept warm")
        self._arm(now)

    def _may_launch(self, room: Room, now: float, *, evict: bool = True) -> bool:
        spec = room.spec
        if room.counted >= spec.max_instances or self._starting >= self._limits.starts or now < room.not_before:
            return False
        if self._fits(spec):
            return True
        if not evict:
            return False
        victims: list[Instance] = []
        free, memory = self._limits.instances - self._counted, self._limits.memory_mb - self._memory
        for victim in sorted(self._givable(room), key=lambda i: i.last_used):
            victims.append(victim)
            free, memory = free + 1, memory + victim.memory_limit_mb
            if free >= 1 and (self._limits.memory_mb == 0 or memory >= spec.memory_mb):
                for each in victims:
                    self._end(each, f"gave its place to {spec.name}")
                return True
        return False

    def _gathers_memory(self, room: Room, now: float) -> bool:
        """Whether this waiter, now the oldest, only lacks memory that others will give back; takes what is idle.

        Otherwise a large function would wait for as long as small ones are asked for.
        """
        spec, limits = room.spec, self._limits
        if (
            limits.memory_mb == 0
            or room.counted >= spec.max_instances
            or self._starting >= limits.starts
            or now < room.not_before
            or self._counted >= limits.instances
        ):
            return False
        kept = sum(i.memory_limit_mb for i in self._instances.values() if i.state in _COUNTED and i.pinned)
        own = sum(i.memory_limit_mb for i in room.instances.values() if i.state in _COUNTED and not i.pinned)
        if kept + own + spec.memory_mb > limits.memory_mb:
            return False
        for each in tuple(self._givable(room)):
            self._end(each, f"gave its place to {spec.name}")
        return True

    def _refuse_what_never_fits(self, room: Room) -> None:
        budget = self._limits.memory_mb
        if budget and room.spec.memory_mb > budget:
            raise ContainerStartFailedError(
                room.spec.name,
                f"it asks for {room.spec.memory_mb:,} MB and the budget of all functions (memory_budget_mb) "
                f"is {budget:,} MB: raise the one or lower the other",
            )

    def _fits(self, spec: PoolFunction) -> bool:
        budget = self._limits.memory_mb
        return self._counted < self._limits.instances and (budget == 0 or self._memory + spec.memory_mb <= budget)

    def _givable(self, asking: Room) -> Iterator[Instance]:
        for room in self._rooms.values():
            if room is not asking:
                yield from (i for i in room.idle if not i.pinned)

    def _launch(self, room: Room, reason: str) -> Instance:
        spec = room.spec
        instance = Instance(
            id=f"i-{secrets.token_hex(4)}",
            function_name=spec.name,
            backend=spec.backend,
            deploy_id=spec.deploy_id,
            memory_limit_mb=spec.memory_mb,
            idle_ttl=spec.idle_ttl,
            reason=reason,
        )
        room.instances[instance.id] = self._instances[instance.id] = instance
        self._count(instance, +1)
        self._publish(InstanceChanged(instance=instance.snapshot(), old=None, new=_S.STARTING, reason=reason))
        self._plan.launch.append(instance)
        return instance

    def _grant_wishes(self, room: Room) -> None:
        while room.wishes:
            wish = room.wishes[0]
            if wish.done():
                room.wishes.popleft()
            elif room.counted >= room.spec.max_instances:
                room.wishes.popleft()
                _fail(wish, TooManyRequestsError(room.spec.name, f"its limit is {room.spec.max_instances} instances"))
            elif not self._fits(room.spec):
                room.wishes.popleft()
                _fail(wish, TooManyRequestsError(room.spec.name, "the budget of all functions is used up"))
            elif self._starting < self._limits.starts:
                room.wishes.popleft()
                room.promised[self._launch(room, "launched by hand").id] = wish
            else:
                return

    def _hand_over(self, room: Room, instance: Instance, *, cold: bool) -> None:
        waiter = room.waiters.popleft()
        self._waiting -= 1
        waiter.cold = cold
        instance.request_id = waiter.request_id
        self._move(instance, _S.BUSY, "serves an invocation")
        waiter.ready.set_result(instance)
        if time.monotonic() - waiter.enqueued > 0.001 or room.waiters:
            self._queue_changed(room)

    # --- keeping the books

    def _move(self, instance: Instance, new: InstanceState, reason: str) -> None:
        """The one place where a state changes: books, countdown and event with it."""
        room = self._rooms[instance.function_name]
        self._count(instance, -1)
        old = instance.move(new, reason)
        self._count(instance, +1)
        instance.reap_at = None
        if old is _S.IDLE:
            room.idle.remove(instance)
        if new is _S.IDLE:
            room.idle.append(instance)
            instance.idle_ttl = room.spec.idle_ttl
            if room.spec.min_warm == 0 and not instance.pinned:
                instance.reap_at = instance.last_used + instance.idle_ttl
        if new.final:
            del room.instances[instance.id], self._instances[instance.id]
        if room.spec.min_warm:
            self._count_down(room)
        self._publish(InstanceChanged(instance=instance.snapshot(), old=old, new=new, reason=reason))
        if new.final:
            gone = self._gone.pop(instance.id, None)
            if gone is not None and not gone.done():
                gone.set_result(None)
            self._drop_if_empty(room)

    def _count(self, instance: Instance, by: int) -> None:
        room = self._rooms[instance.function_name]
        if instance.state in _COUNTED:
            room.counted += by
            self._counted += by
            self._memory += by * instance.memory_limit_mb
        if instance.state is _S.STARTING:
            room.starting += by
            self._starting += by

    def _end(self, instance: Instance, reason: str, *, force: bool = False) -> None:
        promise = self._rooms[instance.function_name].promised.pop(instance.id, None)
        if promise is not None:
            _fail(promise, ContainerStartFailedError(instance.function_name, reason))
        self._move(instance, _S.TERMINATING, reason)
        self._plan.terminate.append((instance, force))

    def _retire(self, instance: Instance, reason: str) -> None:
        if instance.state is _S.BUSY:
            self._move(instance, _S.DRAINING, reason)
        elif instance.state in {_S.IDLE, _S.STARTING}:
            self._end(instance, reason)

    def _refuse(self, waiter: Waiter, error: LambdaRuntimeError) -> None:
        room = self._rooms[waiter.function_name]
        self._take_out(room, waiter)
        if not waiter.ready.done():
            waiter.ready.set_exception(error)
            waiter.ready.exception()  # the waiter may have been cancelled meanwhile: not "never retrieved"
        self._queue_changed(room)

    def _take_out(self, room: Room, waiter: Waiter) -> None:
        room.waiters.remove(waiter)
        self._waiting -= 1

    def _queue_changed(self, room: Room) -> None:
        self._publish(QueueChanged(function_name=room.spec.name, waiting=len(room.waiters), waiting_all=self._waiting))

    def _room(self, name: str) -> Room:
        room = self._rooms.get(name)
        if room is None or not room.known:
            raise FunctionNotFoundError(name)
        return room

    def _drop_if_empty(self, room: Room) -> None:
        if not room.known and not room.instances and not room.waiters:
            self._rooms.pop(room.spec.name, None)

    def _reapable(self, room: Room) -> list[Instance]:
        """Idle, unpinned, beyond the minimum warm; the least recently used first."""
        spare = room.counted - room.spec.min_warm if room.spec.min_warm else len(room.idle)
        return [i for i in room.idle if not i.pinned][: max(0, spare)]

    def _count_down(self, room: Room) -> None:
        reapable = set(map(id, self._reapable(room)))
        for instance in room.idle:
            reap_at = instance.last_used + instance.idle_ttl if id(instance) in reapable else None
            if instance.reap_at != reap_at:
                instance.reap_at = reap_at
                self._publish(InstanceUpdated(instance=instance.snapshot()))

    def _arm(self, now: float) -> None:
        """One timer, for the next idle reap or the end of a back-off."""
        due = [room.idle[0].reap_at for room in self._rooms.values() if room.idle and room.idle[0].reap_at]
        for room in self._rooms.values():
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
        for room in tuple(self._rooms.values()):
            for instance in tuple(room.idle):
                if instance.reap_at is not None and instance.reap_at <= now + 0.001:
                    self._end(instance, f"idle for {instance.idle_ttl:g} s")
        self._run()


def _back_off(failures: int) -> float:
    """Until when (monotonic) to wait after so many failures in a row: the first costs nothing."""
    if failures < 2:
        return 0.0
    return time.monotonic() + min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures - 2, 10))


def _fail(future: asyncio.Future[Instance], error: LambdaRuntimeError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever waits may be gone: not "never retrieved"
