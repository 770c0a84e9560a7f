"""Ending process trees for certain, many at once in one pass over the system's processes."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Executor
from typing import TypeVar

import psutil

from core.backends import guard
from core.backends.guard import Target

__all__ = ["TreeKiller", "kill_stale_trees", "kill_trees_anywhere", "living", "to_the_end"]

_T = TypeVar("_T")


def kill_trees_anywhere(targets: list[Target]) -> None:
    """Kill everything that belongs to `targets`. Blocks. Where there is no /proc, psutil finds descendants."""
    descendants = [] if guard.has_proc() else _descendants(targets)
    guard.kill_trees(targets)
    for process in descendants:
        with contextlib.suppress(psutil.Error):
            process.kill()


def living(targets: list[Target]) -> list[int]:
    """How many processes of each target live, each proven by start time or token. Blocks."""
    if guard.has_proc():
        members = guard.find_members(targets)
        return [len(members[index]) for index in range(len(targets))]
    return [len(_with_token(target.token)) for target in targets]


def kill_stale_trees(targets: list[Target]) -> None:
    """Kill what others started: only processes that are proven to belong to a target. Blocks."""
    if guard.has_proc():
        guard.kill_trees(targets)
        return
    for target in targets:
        for process in _with_token(target.token):
            with contextlib.suppress(psutil.Error):
                process.kill()


def _with_token(token: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if any(token in value for value in process.environ().values()):
                found.append(process)
    return found


def _descendants(targets: list[Target]) -> list[psutil.Process]:
    found = []
    for target in targets:
        with contextlib.suppress(psutil.Error):
            found += psutil.Process(target.pid).children(recursive=True)
    return found


class TreeKiller:
    """Kills trees in a thread. Those that are asked for while a pass goes on share the next one."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: list[tuple[Target, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def kill(self, target: Target) -> None:
        """Return once nothing of the tree is left (or it cannot be killed)."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((target, done))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._passes(), name="stoker-kill-trees")
        await done

    async def _passes(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            error: BaseException | None = None
            try:
                await loop.run_in_executor(self._executor, kill_trees_anywhere, [target for target, _ in batch])
            except (OSError, RuntimeError) as failed:
                error = failed
            for _, done in batch:
                if not done.done():
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(error)


async def to_the_end(task: asyncio.Task[_T]) -> _T:
    """Wait for `task` even if the waiter is cancelled meanwhile; the cancellation is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except BaseException:
            if not task.done():
                raise
    if cancelled is not None:
        # the task's own error, if any, counts less than being cancelled; mark it as seen
        task.exception()
        raise cancelled
    return task.result()
