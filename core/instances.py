"""An execution environment: what a backend brings up, and its life in the pool.

The table in `_NEXT` is the whole state machine. The pool is the only caller of `Instance.move`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "BackendHandle",
    "ContainerHandle",
    "Instance",
    "InstanceExit",
    "InstanceSnapshot",
    "InstanceState",
    "MemoryUsage",
    "Phase",
    "PodHandle",
    "ProcessHandle",
    "WarmInstance",
]


class InstanceState(StrEnum):
    """Where an instance stands in its life. FAILED and DEAD are final."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    TERMINATING = "terminating"
    FAILED = "failed"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        """Whether nothing follows this state."""
        return not _NEXT[self]


_S = InstanceState
_NEXT: Mapping[InstanceState, frozenset[InstanceState]] = {
    _S.STARTING: frozenset({_S.IDLE, _S.BUSY, _S.FAILED, _S.TERMINATING}),
    _S.IDLE: frozenset({_S.BUSY, _S.TERMINATING, _S.DEAD}),
    _S.BUSY: frozenset({_S.IDLE, _S.DRAINING, _S.TERMINATING, _S.DEAD}),
    _S.DRAINING: frozenset({_S.TERMINATING, _S.DEAD}),
    _S.TERMINATING: frozenset({_S.DEAD}),
    _S.FAILED: frozenset(),
    _S.DEAD: frozenset(),
}


@dataclass(frozen=True, slots=True)
class BackendHandle:
    """What a backend needs to find its instance again. Opaque to the pool."""


@dataclass(frozen=True, slots=True)
class ProcessHandle(BackendHandle):
    """A process tree in a session of its own, led by `pid`."""

    pid: int
    token: str


@dataclass(frozen=True, slots=True)
class ContainerHandle(BackendHandle):
    """A container of a local engine."""

    id: str


@dataclass(frozen=True, slots=True)
class PodHandle(BackendHandle):
    """A pod of a cluster."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class WarmInstance:
    """A runtime that is initialised and waits for events.

    `endpoint` is the base URL under which the facade POSTs
    `/2015-03-31/functions/function/invocations`. `details` are facts for people: which interpreter
    runs it, that its memory is sampled, and so on.
    """

    endpoint: str
    handle: BackendHandle
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstanceExit:
    """How an instance ended by itself: exit code or signal, and the last lines it wrote."""

    code: int | None = None
    signal: int | None = None
    reason: str = ""
    log_tail: tuple[str, ...] = ()
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Memory of the whole process tree, in bytes; `source` is "cgroup", "sampled" or "engine".

    `cpu` is the use of processors in percent of one of them, None where it is not told.
    """

    current: int
    peak: int
    source: str
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a cold start: its name, monotonic start in seconds, and length once it ended."""

    name: str
    started: float
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class InstanceSnapshot:
    """What one instance looks like at a moment; what events carry and `instances()` returns.

    Times are `time.monotonic()` seconds; `created_wall` is `time.time()`.
    `reap_at` is when the idle reaper would take it, or None (busy, pinned, or kept warm).
    """

    id: str
    function_name: str
    backend: str
    state: InstanceState
    deploy_id: str
    current_deploy: bool
    created: float
    created_wall: float
    changed: float
    last_used: float
    reap_at: float | None
    idle_ttl: float
    served: int
    last_duration_ms: float | None
    request_id: str | None
    pinned: bool
    reason: str
    handle: BackendHandle | None
    phases: tuple[Phase, ...]
    details: Mapping[str, str]
    memory_limit_mb: int

    @property
    def where(self) -> str:
        """The pid, container or pod as a person would look for it."""
        match self.handle:
            case ProcessHandle(pid=pid):
                return f"pid {pid}"
            case ContainerHandle(id=container):
                return container[:12]
            case PodHandle(namespace=namespace, name=name):
                return f"{namespace}/{name}"
            case _:
                return ""

    @property
    def pid(self) -> int | None:
        """The process that leads the instance's tree; None unless it is a local process."""
        return self.handle.pid if isinstance(self.handle, ProcessHandle) else None


@dataclass(slots=True, eq=False)
class Instance:
    """One execution environment as the pool keeps it. Only the pool writes to it."""

    id: str
    function_name: str
    backend: str
    deploy_id: str
    memory_limit_mb: int
    idle_ttl: float
    state: InstanceState = InstanceState.STARTING
    created: float = field(default_factory=time.monotonic)
    created_wall: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.monotonic)
    last_used: float = field(default_factory=time.monotonic)
    served: int = 0
    last_duration_ms: float | None = None
    request_id: str | None = None
    pinned: bool = False
    current_deploy: bool = True
    reap_at: float | None = None
    reason: str = ""
    warm: WarmInstance | None = None
    phases: list[Phase] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def move(self, new: InstanceState, reason: str) -> InstanceState:
        """Go to `new`, keep `reason`, and return the state that was left.

        Raises ValueError where the state machine has no such step.
        """
        if new not in _NEXT[self.state]:
            raise ValueError(f"instance {self.id} cannot go from {self.state} to {new} ({reason})")
        old, self.state = self.state, new
        self.changed = time.monotonic()
        self.reason = reason
        return old

    def snapshot(self) -> InstanceSnapshot:
        """A frozen copy for events and views."""
        warm = self.warm
        return InstanceSnapshot(
            id=self.id,
            function_name=self.function_name,
            backend=self.backend,
            state=self.state,
            deploy_id=self.deploy_id,
            current_deploy=self.current_deploy,
            created=self.created,
            created_wall=self.created_wall,
            changed=self.changed,
            last_used=self.last_used,
            reap_at=self.reap_at,
            idle_ttl=self.idle_ttl,
            served=self.served,
            last_duration_ms=self.last_duration_ms,
            request_id=self.request_id,
            pinned=self.pinned,
            reason=self.reason,
            handle=warm.handle if warm else None,
            phases=tuple(self.phases),
            details={**(warm.details if warm else {}), **self.notes} if self.notes or warm is None else warm.details,
            memory_limit_mb=self.memory_limit_mb,
        )
