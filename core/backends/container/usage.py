"""Memory and processor use of containers, as their engine tells it, for as long as somebody asks.

Asking for a container's figures begins to follow them; where nobody has asked for a while, they are followed
no more. Nothing of this takes a thread.
The figures: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from core.backends.container.engine import OLDEST_API
from core.backends.container.engine_stream import StreamRefusedError, engine_stream
from core.instances import MemoryUsage

if TYPE_CHECKING:
    from core.backends.container.engine import Engine

__all__ = ["UsageStreams", "usage_of"]

_log = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds without a question, after which nobody looks


class UsageStreams:
    """Follows those containers of an engine that somebody looks at."""

    def __init__(self) -> None:
        self._latest: dict[str, MemoryUsage | None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, float] = {}

    def __len__(self) -> int:
        """How many are followed."""
        return len(self._tasks)

    def ask(self, engine: Engine, container: str) -> MemoryUsage | None:
        """The last figures; None until the first have come, which is in a second or two."""
        loop = asyncio.get_running_loop()
        self._asked[container] = loop.time()
        if container not in self._tasks:
            task = loop.create_task(self._follow(engine, container), name=f"usage {container[:12]}")
            self._tasks[container] = task
            task.add_done_callback(lambda _: self._over(container))
        return self._latest.get(container)

    def forget(self, container: str) -> None:
        """The container has ended."""
        task = self._tasks.get(container)
        if task is not None:
            task.cancel()

    async def aclose(self) -> None:
        """Follow none any more."""
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, engine: Engine, container: str) -> None:
        loop = asyncio.get_running_loop()
        target = f"/v{OLDEST_API}/containers/{container}/stats?stream=true"
        peak = 0
        try:
            async with aclosing(engine_stream(engine.url, "GET", target, tls=engine.ssl_context())) as figures:
                async for told in figures:
                    if (usage := usage_of(told, peak)) is not None:
                        peak = usage.peak
                        self._latest[container] = usage
                    if loop.time() - self._asked[container] > _PATIENCE:
                        return
        except (StreamRefusedError, OSError) as error:
            # the container or the engine has gone, which others tell
            _log.debug("the figures of %s: %s", container[:12], error)

    def _over(self, container: str) -> None:
        for each in (self._tasks, self._latest, self._asked):
            each.pop(container, None)


def usage_of(told: dict[str, Any], peak: int = 0) -> MemoryUsage | None:
    """What an engine's figures say; None where they are those of a container that does not run."""
    memory = told.get("memory_stats") or {}
    used = memory.get("usage")
    if not isinstance(used, int) or used <= 0:
        return None
    details = memory.get("stats") or {}
    # what the kernel would give back at once is not counted, as in `docker stats`
    spare = details.get("total_inactive_file", details.get("inactive_file", 0))
    current = used - spare if isinstance(spare, int) and spare < used else used
    return MemoryUsage(current, max(peak, current), "engine", _percent(told))


def _percent(told: dict[str, Any]) -> float | None:
    """Of one processor, since the figures before."""
    now, before = told.get("cpu_stats") or {}, told.get("precpu_stats") or {}
    try:
        busy = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
        whole = now["system_cpu_usage"] - before["system_cpu_usage"]
        processors = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or (0,))
    except (KeyError, TypeError):
        return None
    return 100.0 * busy / whole * processors if whole > 0 and busy >= 0 else None
