"""The pool's books: what is there, what counts against which limit, and the one place where states change."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from core.errors import ContainerStartFailedError, FunctionNotFoundError, LambdaRuntimeError
from core.events import Event, InstanceChanged, InstanceUpdated, QueueChanged
from core.instances import Instance, InstanceState
from core.pool.state import Plan, Room, Waiter

__all__ = ["COUNTED", "Books", "fail"]

_S = InstanceState
COUNTED = frozenset({_S.STARTING, _S.IDLE, _S.BUSY})
"""The states that count against a function's cap and the budget of all."""

_IN_USE = frozenset({_S.IDLE, _S.BUSY})


class Books:
    """Rooms, instances and counts, always in agreement; the only caller of `Instance.move`.

    `counted` and `memory` (MB) are of all instances in a counted state, `starting` of those that
    start, `waiting` of all waiters. `plan` gathers what is to be carried out.
    """

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self.publish = publish
        self.rooms: dict[str, Room] = {}
        self.instances: dict[str, Instance] = {}
        self.gone: dict[str, asyncio.Future[None]] = {}
        self.counted = 0
        self.memory = 0
        self.starting = 0
        self.waiting = 0
        self.plan = Plan()

    def hand_over(self, room: Room, instance: Instance, *, cold: bool) -> None:
        """The first waiter gets the instance."""
        waiter = room.waiters.popleft()
        self.waiting -= 1
        waiter.cold = cold
        self.serve(instance, waiter.request_id)
        waiter.ready.set_result(instance)
        if time.monotonic() - waiter.enqueued > 0.001 or room.waiters:
            self.queue_changed(room)

    def serve(self, instance: Instance, request_id: str) -> None:
        """The instance is an invocation's from now on."""
        instance.request_id = request_id
        self.move(instance, _S.BUSY, "serves an invocation")

    def launch(self, room: Room, reason: str) -> Instance:
        """Reserve an instance: it counts from now on, and the plan brings it up."""
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
        room.instances[instance.id] = self.instances[instance.id] = instance
        self._count(instance, +1)
        self.publish(InstanceChanged(instance=instance.snapshot(), old=None, new=_S.STARTING, reason=reason))
        self.plan.launch.append(instance)
        return instance

    def move(self, instance: Instance, new: InstanceState, reason: str) -> None:
        """The one place where a state changes: books, countdown and event with it."""
        room = self.rooms[instance.function_name]
        old = instance.state
        if old in _IN_USE and new in _IN_USE:
            instance.move(new, reason)  # counted alike before and after
        else:
            self._count(instance, -1)
            instance.move(new, reason)
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
            del room.instances[instance.id], self.instances[instance.id]
        if room.spec.min_warm:
            self.count_down(room)
        self.publish(InstanceChanged(instance=instance.snapshot(), old=old, new=new, reason=reason))
        if new.final:
            gone = self.gone.pop(instance.id, None)
            if gone is not None and not gone.done():
                gone.set_result(None)
            self.drop_if_empty(room)

    def _count(self, instance: Instance, by: int) -> None:
        room = self.rooms[instance.function_name]
        if instance.state in COUNTED:
            room.counted += by
            self.counted += by
            self.memory += by * instance.memory_limit_mb
        if instance.state is _S.STARTING:
            room.starting += by
            self.starting += by

    def end(self, instance: Instance, reason: str, *, force: bool = False) -> None:
        """TERMINATING from now on; the plan ends it, at once with `force`. Whoever wished for it is told."""
        promise = self.rooms[instance.function_name].promised.pop(instance.id, None)
        if promise is not None:
            fail(promise, ContainerStartFailedError(instance.function_name, reason))
        self.move(instance, _S.TERMINATING, reason)
        self.plan.terminate.append((instance, force))

    def retire(self, instance: Instance, reason: str) -> None:
        """Idle and starting ones end; a busy one drains."""
        if instance.state is _S.BUSY:
            self.move(instance, _S.DRAINING, reason)
        elif instance.state in {_S.IDLE, _S.STARTING}:
            self.end(instance, reason)

    def refuse(self, waiter: Waiter, error: LambdaRuntimeError) -> None:
        """The waiter gets the reason why there is no instance for it."""
        room = self.rooms[waiter.function_name]
        self.take_out(room, waiter)
        if not waiter.ready.done():
            waiter.ready.set_exception(error)
            waiter.ready.exception()  # the waiter may have been cancelled meanwhile: not "never retrieved"
        self.queue_changed(room)

    def take_out(self, room: Room, waiter: Waiter) -> None:
        """The waiter waits no longer."""
        room.waiters.remove(waiter)
        self.waiting -= 1

    def queue_changed(self, room: Room) -> None:
        """Tell how many wait now."""
        self.publish(QueueChanged(function_name=room.spec.name, waiting=len(room.waiters), waiting_all=self.waiting))

    def room(self, name: str) -> Room:
        """A known function's room. Raises FunctionNotFoundError."""
        room = self.rooms.get(name)
        if room is None or not room.known:
            raise FunctionNotFoundError(name)
        return room

    def drop_if_empty(self, room: Room) -> None:
        """Forget the room of a function that was removed, once nothing is in it."""
        if not room.known and not room.instances and not room.waiters:
            self.rooms.pop(room.spec.name, None)

    def reapable(self, room: Room) -> list[Instance]:
        """Idle, unpinned, beyond the minimum warm; the least recently used first."""
        spare = room.counted - room.spec.min_warm if room.spec.min_warm else len(room.idle)
        return [i for i in room.idle if not i.pinned][: max(0, spare)]

    def surplus(self, room: Room, most: int) -> list[Instance]:
        """At most so many that nobody uses, waits for or keeps warm: those that start, then the idle ones."""
        most = min(most, room.counted - room.spec.min_warm)
        if most <= 0:
            return []
        starting = [i for i in room.instances.values() if i.state is _S.STARTING and i.id not in room.promised][
            len(room.waiters) :
        ]
        return (starting + [i for i in room.idle if not i.pinned])[:most]

    def count_down(self, room: Room) -> None:
        """Work out anew when each idle instance is reaped, and tell what changed."""
        reapable = set(map(id, self.reapable(room)))
        for instance in room.idle:
            reap_at = instance.last_used + instance.idle_ttl if id(instance) in reapable else None
            if instance.reap_at != reap_at:
                instance.reap_at = reap_at
                self.publish(InstanceUpdated(instance=instance.snapshot()))


def fail(future: asyncio.Future[Instance], error: LambdaRuntimeError) -> None:
    """The future gets the error, unless it has something already."""
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever waits may be gone: not "never retrieved"
