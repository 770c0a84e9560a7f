"""What the pool keeps: its limits, each function's room, who waits, and a plan to carry out."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from core.instances import Instance

__all__ = ["Plan", "PoolFunction", "PoolLimits", "Room", "Waiter"]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What holds for all functions together. `memory_mb` 0 means no budget of memory."""

    instances: int
    memory_mb: int
    starts: int
    queue: int


@dataclass(frozen=True, slots=True)
class PoolFunction:
    """What the pool must know of a function. Times are in seconds, memory in MB.

    `min_warm` instances are kept up where there is room for them. Of these, `held` are provisioned:
    other functions give way to them, and they give way to none.
    """

    name: str
    backend: str
    deploy_id: str
    memory_mb: int
    max_instances: int
    idle_ttl: float
    min_warm: int
    held: int = 0


@dataclass(slots=True, eq=False)
class Waiter:
    """One invocation that wants an instance. `ready` gets it, or the reason why there is none."""

    function_name: str
    request_id: str
    sequence: int
    ready: asyncio.Future[Instance]
    enqueued: float = field(default_factory=time.monotonic)
    cold: bool = False


@dataclass(slots=True)
class Plan:
    """What the facade has to carry out: instances to bring up, and to end (at once, or politely)."""

    launch: list[Instance] = field(default_factory=list)
    terminate: list[tuple[Instance, bool]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.launch or self.terminate)


@dataclass(slots=True, eq=False)
class Room:
    """One function's part of the pool. `idle` is ordered by last use, the latest at the end.

    `failures` counts starts that failed in a row, `trouble` is the reason why the function cannot be
    started or kept up, and no launch is begun before `not_before`;
    `crashes` counts instances that came up and exited without having served, and none is begun
    merely to be kept warm before `warm_not_before`.
    """

    spec: PoolFunction
    known: bool = True
    instances: dict[str, Instance] = field(default_factory=dict)
    idle: list[Instance] = field(default_factory=list)
    waiters: deque[Waiter] = field(default_factory=deque)
    wishes: deque[asyncio.Future[Instance]] = field(default_factory=deque)
    promised: dict[str, asyncio.Future[Instance]] = field(default_factory=dict)
    starting: int = 0
    counted: int = 0
    failures: int = 0
    trouble: str = ""
    not_before: float = 0.0
    crashes: int = 0
    warm_not_before: float = 0.0

    @property
    def held(self) -> int:
        """How many instances it gives to no other function."""
        return self.spec.held if self.known else 0
