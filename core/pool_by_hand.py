"""What people ask of the pool: instances ahead of need, or their end; each request waits for what comes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from core.instances import InstanceState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.instances import Instance, InstanceSnapshot
    from core.pool import WarmPool

__all__ = ["PoolByHand"]


class PoolByHand:
    """See `LambdaRuntime` for what each method does and raises."""

    def __init__(self, pool: WarmPool) -> None:
        self._pool = pool

    async def launch(self, name: str, count: int) -> list[InstanceSnapshot]:
        """Bring instances of a function up; cancelling the call ends those that are not up yet."""
        if count < 1:
            return []
        wishes = self._pool.wish(name, count)
        try:
            await asyncio.wait(wishes)
        except asyncio.CancelledError:
            self._pool.unwish(name, wishes)
            raise
        return [wish.result().snapshot() for wish in wishes]

    async def terminate(self, instance_id: str, force: bool) -> None:
        """End an instance, and wait until it has gone unless it drains."""
        reason = "killed by hand" if force else "terminated by hand"
        instance = self._pool.terminate(instance_id, force=force, reason=reason)
        if instance.state is not InstanceState.DRAINING:
            await asyncio.shield(self._pool.wait_gone(instance))

    async def evict(self, name: str, force: bool) -> int:
        """End all instances of a function. Returns how many."""
        return await self._end([i for i in self._pool if i.function_name == name], force, "evicted by hand")

    async def keep_image(self, name: str, image: str) -> int:
        """End the instances of a function that run on another image. Returns how many."""
        others = [i for i in self._pool if i.function_name == name and i.warm is not None]
        others = [i for i in others if i.warm is not None and i.warm.details.get("image", image) != image]
        return await self._end(others, False, "an older image")

    async def stop_all(self, force: bool) -> int:
        """End every instance. Returns how many."""
        return await self._end(list(self._pool), force, "all stopped by hand")

    async def reap_idle(self, ttl: float | None, name: str | None) -> list[InstanceSnapshot]:
        """End instances that were idle for long enough. Returns those that went, once they have."""
        reaped = self._pool.reap_idle(ttl, name)
        await self._all_gone(reaped)
        return [instance.snapshot() for instance in reaped]

    async def close(self) -> None:
        """End every instance, busy ones at once and idle ones politely."""
        await self._end(list(self._pool), False, "Stoker closes", busy_too=True)

    async def _end(self, instances: Sequence[Instance], force: bool, reason: str, *, busy_too: bool = False) -> int:
        ended = []
        for instance in instances:
            if instance.state.final:
                continue
            hard = force or (busy_too and instance.state in {InstanceState.BUSY, InstanceState.DRAINING})
            self._pool.terminate(instance.id, force=hard, reason=reason)
            ended.append(instance)
        await self._all_gone([i for i in ended if i.state is not InstanceState.DRAINING])
        return len(ended)

    async def _all_gone(self, instances: Sequence[Instance]) -> None:
        waits = [self._pool.wait_gone(instance) for instance in instances]
        if waits:
            await asyncio.wait(waits)
