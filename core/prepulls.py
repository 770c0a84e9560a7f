"""Fetches the images of functions that are added or changed, behind the scenes, so that a launch finds them there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from core.errors import LambdaRuntimeError
from core.events import BackendChanged, Event, EventBus, FunctionAdded, FunctionChanged, FunctionRemoved

__all__ = ["Prepulls"]

_log = logging.getLogger(__name__)


class Prepulls:
    """Waits for a function's backend where that is offline. How a pull goes is told by ImagePullChanged."""

    def __init__(
        self, events: EventBus, prepull: Callable[[str], Awaitable[None]], online: Callable[[str], bool]
    ) -> None:
        self._prepull = prepull
        self._online = online
        self._later: set[str] = set()  # functions whose backend is offline
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe = events.subscribe(
            self._heard, FunctionAdded, FunctionChanged, FunctionRemoved, BackendChanged
        )

    def want(self, names: Iterable[str]) -> None:
        """Fetch the images of these functions too."""
        for name in names:
            self._want(name)

    async def aclose(self) -> None:
        """Begin none any more, and give up those under way."""
        self._unsubscribe()
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _heard(self, event: Event) -> None:
        match event:
            case FunctionAdded(function=function) | FunctionChanged(function=function, deploy_changed=True):
                self._want(function.function_name)
            case FunctionRemoved(function_name=name):
                self._later.discard(name)
                if name in self._tasks:
                    self._tasks[name].cancel()
            case BackendChanged(online=True):
                waiting, self._later = self._later, set()
                for name in waiting:
                    self._want(name)

    def _want(self, name: str) -> None:
        if not self._online(name):
            self._later.add(name)
            return
        if name in self._tasks:
            self._tasks[name].cancel()
        task = self._tasks[name] = asyncio.get_running_loop().create_task(self._fetch(name), name=f"prepull {name}")
        task.add_done_callback(lambda done: self._done(name, done))

    async def _fetch(self, name: str) -> None:
        with suppress(LambdaRuntimeError):
            # the pull itself has told; a launch says it again
            await self._prepull(name)

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the image of %s", name, exc_info=error)
