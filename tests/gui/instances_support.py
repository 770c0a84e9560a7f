"""What the tests of instances and logs share: snapshots, and a runtime that only holds them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

from core.errors import InstanceNotFoundError
from core.events import EventBus, InstanceChanged, InstanceLogged
from core.instances import InstanceSnapshot, InstanceState, MemoryUsage, ProcessHandle
from core.runtime import LambdaRuntime
from gui.context import Context
from gui.models.coalescer import Coalescer
from gui.tasks import Tasks
from gui.theme import Theme


def snapshot(instance_id: str = "i-7c1e90ab", **fields: Any) -> InstanceSnapshot:
    """An idle instance of `words`, a minute old, with these fields changed."""
    now = time.monotonic()
    values: dict[str, Any] = {
        "id": instance_id,
        "function_name": "words",
        "backend": "process",
        "state": InstanceState.IDLE,
        "deploy_id": "ab12cd34ef56ab12cd34ef56ab12cd34ef56",
        "current_deploy": True,
        "created": now - 60,
        "created_wall": time.time() - 60,
        "changed": now - 2,
        "last_used": now - 2,
        "reap_at": None,
        "idle_ttl": 300.0,
        "served": 0,
        "last_duration_ms": None,
        "request_id": None,
        "pinned": False,
        "reason": "",
        "handle": ProcessHandle(4711, "token"),
        "phases": (),
        "details": {},
        "memory_limit_mb": 256,
    }
    return InstanceSnapshot(**{**values, **fields})


def changed(instance: InstanceSnapshot, old: InstanceState | None = None) -> InstanceChanged:
    """The event that brings this snapshot."""
    return InstanceChanged(instance=instance, old=old, new=instance.state, reason=instance.reason)


class Pool:
    """Stands where the runtime does for views: real events on a real bus, and what a view may ask."""

    def __init__(self, *instances: InstanceSnapshot) -> None:
        self.events = EventBus()
        self.known = {each.id: each for each in instances}
        self.usage: dict[str, MemoryUsage] = {}
        self.written: dict[str, list[str]] = {}
        self.memory_asked: list[str] = []

    def instances(self, name: str | None = None) -> list[InstanceSnapshot]:
        return [each for each in self.known.values() if name in {None, each.function_name}]

    def instance(self, instance_id: str) -> InstanceSnapshot:
        if instance_id not in self.known:
            raise InstanceNotFoundError(instance_id)
        return self.known[instance_id]

    def memory(self, instance_id: str) -> MemoryUsage | None:
        self.memory_asked.append(instance_id)
        return self.usage.get(self.instance(instance_id).id)

    def log_lines(self, instance_id: str) -> list[str]:
        return list(self.written.get(instance_id, ()))

    # --- what happens in it

    def put(self, instance: InstanceSnapshot) -> None:
        """The instance looks like this from now on."""
        before = self.known.get(instance.id)
        if instance.state.final:
            self.known.pop(instance.id, None)
        else:
            self.known[instance.id] = instance
        self.events.publish(changed(instance, before.state if before else None))

    def write(self, instance_id: str, *lines: str) -> None:
        """The instance writes these lines."""
        self.written.setdefault(instance_id, []).extend(lines)
        self.events.publish(InstanceLogged(instance_id=instance_id, function_name="words", lines=lines))


def window_context(pool: Pool, theme: Theme) -> Context:
    """The services of a window over this pool."""
    return Context(cast(LambdaRuntime, pool), Tasks(), theme, Coalescer(pool.events))


class Frames:
    """Waits, frame by frame, until something is so. Made after the views that are looked at."""

    def __init__(self, coalescer: Coalescer) -> None:
        self._came = asyncio.Event()
        coalescer.add(lambda _events: self._came.set())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._came.clear()
                await self._came.wait()
