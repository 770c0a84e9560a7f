"""The pool's one decision: who is served, what is launched and what is given up for it.

Pure and synchronous over the books: what is to be done outside comes out in their plan.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from core.errors import ContainerStartFailedError, TooManyRequestsError
from core.instances import Instance
from core.pool.books import COUNTED, Books, fail
from core.pool.state import PoolFunction, PoolLimits, Room

__all__ = ["decide", "refuse_what_never_fits"]


def decide(books: Books, limits: PoolLimits, now: float) -> None:
    """Serve the waiters of all functions, the oldest first. For each there is one of

    1. an idle instance of the current deploy, the most recently used: it is handed over;
    2. an instance that is starting and that no older waiter counts on: it will be handed over;
    3. room under the function's cap, the start limit and the budget: one is launched;
    4. a full budget, but an idle instance of another function: that one goes, one is launched;
    5. none of these: it waits, and so do the later waiters of the same function. Where it is the
       budget of memory that it waits for, nobody who came later gets any of that.

    After the waiters come the wishes to pre-warm, then the minimum each function keeps warm.
    """
    heap = [(room.waiters[0].sequence, name, 0) for name, room in books.rooms.items() if room.waiters]
    heapq.heapify(heap)
    owed = False
    while heap:
        _, name, ahead = heapq.heappop(heap)  # `ahead` older waiters count on instances that are starting
        room = books.rooms[name]
        if room.idle:
            books.hand_over(room, room.idle[-1], cold=False)
        elif ahead < room.starting - len(room.promised) or (not owed and _may_launch(books, limits, room, now)):
            if ahead >= room.starting - len(room.promised):
                books.launch(room, "an invocation waits")
            ahead += 1
        else:
            owed = owed or _gathers_memory(books, limits, room, now)
            continue
        if ahead < len(room.waiters):
            heapq.heappush(heap, (room.waiters[ahead].sequence, name, ahead))
    for room in books.rooms.values():
        if room.wishes:
            _grant_wishes(books, limits, room)
        if room.known and room.spec.min_warm > 0 and not owed and now >= room.warm_not_before:
            while room.counted < room.spec.min_warm:
                held = room.counted < room.held
                if not _may_launch(books, limits, room, now, evict=held):
                    break
                books.launch(room, "provisioned" if held else "kept warm")


def _may_launch(books: Books, limits: PoolLimits, room: Room, now: float, *, evict: bool = True) -> bool:
    spec = room.spec
    if room.counted >= spec.max_instances or books.starting >= limits.starts or now < room.not_before:
        return False
    if _fits(books, limits, spec):
        return True
    if not evict:
        return False
    victims: list[Instance] = []
    free, memory = limits.instances - books.counted, limits.memory_mb - books.memory
    for victim in sorted(_givable(books, room), key=lambda i: i.last_used):
        victims.append(victim)
        free, memory = free + 1, memory + victim.memory_limit_mb
        if free >= 1 and (limits.memory_mb == 0 or memory >= spec.memory_mb):
            for each in victims:
                books.end(each, f"gave its place to {spec.name}")
            return True
    return False


def _gathers_memory(books: Books, limits: PoolLimits, room: Room, now: float) -> bool:
    """Whether this waiter, now the oldest, only lacks memory that others will give back; takes what is idle.

    Otherwise a large function would wait for as long as small ones are asked for.
    """
    spec = room.spec
    if (
        limits.memory_mb == 0
        or room.counted >= spec.max_instances
        or books.starting >= limits.starts
        or now < room.not_before
        or books.counted >= limits.instances
    ):
        return False
    kept = sum(_kept(each) for each in books.rooms.values() if each is not room)
    kept += sum(i.memory_limit_mb for i in room.instances.values() if i.state in COUNTED and i.pinned)
    own = sum(i.memory_limit_mb for i in room.instances.values() if i.state in COUNTED and not i.pinned)
    if kept + own + spec.memory_mb > limits.memory_mb:
        return False
    for each in tuple(_givable(books, room)):
        books.end(each, f"gave its place to {spec.name}")
    return True


def _kept(room: Room) -> int:
    """MB that a function gives to no other."""
    pinned = sum(i.memory_limit_mb for i in room.instances.values() if i.state in COUNTED and i.pinned)
    return max(pinned, min(room.held, room.counted) * room.spec.memory_mb)


def refuse_what_never_fits(limits: PoolLimits, room: Room) -> None:
    """Raises ContainerStartFailedError where one instance alone is larger than the budget of memory."""
    budget = limits.memory_mb
    if budget and room.spec.memory_mb > budget:
        raise ContainerStartFailedError(
            room.spec.name,
            f"it asks for {room.spec.memory_mb:,} MB and the budget of all functions (memory_budget_mb) "
            f"is {budget:,} MB: raise the one or lower the other",
        )


def _fits(books: Books, limits: PoolLimits, spec: PoolFunction) -> bool:
    budget = limits.memory_mb
    return books.counted < limits.instances and (budget == 0 or books.memory + spec.memory_mb <= budget)


def _givable(books: Books, asking: Room) -> Iterator[Instance]:
    """Idle instances of other functions that may go for `asking`, the least recently used of each first."""
    for room in books.rooms.values():
        if room is not asking:
            spare = room.counted - room.held if room.held else len(room.idle)
            yield from [i for i in room.idle if not i.pinned][: max(0, spare)]


def _grant_wishes(books: Books, limits: PoolLimits, room: Room) -> None:
    while room.wishes:
        wish = room.wishes[0]
        if wish.done():
            room.wishes.popleft()
        elif room.counted >= room.spec.max_instances:
            room.wishes.popleft()
            fail(wish, TooManyRequestsError(room.spec.name, f"its limit is {room.spec.max_instances} instances"))
        elif not _fits(books, limits, room.spec):
            room.wishes.popleft()
            fail(wish, TooManyRequestsError(room.spec.name, "the budget of all functions is used up"))
        elif books.starting < limits.starts:
            room.wishes.popleft()
            room.promised[books.launch(room, "launched by hand").id] = wish
        else:
            return
