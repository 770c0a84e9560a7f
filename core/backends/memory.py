"""Memory of a process tree by sampling, for where no control group can be had.

What counts is resident memory: runtimes such as Node reserve far more address space than they use.
Several processes that share pages count each page once (PSS) before a limit is held against them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

import psutil

from core.backends.leader import LeaderFiles

__all__ = ["MemoryWatch", "TreeMemory", "Watched"]

_log = logging.getLogger(__name__)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_INTERVAL = 0.1
_LARGE = 65_536
_HAS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()


class TreeMemory:
    """Resident memory of a process and all its descendants, in bytes.

    A descendant that was seen once stays known when its parent ends. Thorough samples may be made in
    any thread, the others are made in one, that of `open` and `close`.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[int, bytes] = {pid: b""}
        self._leader: LeaderFiles | None = None
        self._closed = False
        self.current = 0
        self.peak = 0

    def sample(self, *, thorough: bool = True) -> int:
        """Measure now; returns the present use and keeps the peak.

        Thorough looks for what every thread has started; else only for what main threads have, in
        some 12 us for one process whose files are open, and 40 us otherwise.
        """
        if not _HAS_CHILDREN:
            self._look_with_psutil()
        elif thorough or not self._look_at_leader():
            self._look(thorough)
        return self.current

    def open(self) -> None:
        """Measure, and hold two files of the first process open until `close`.

        Not where /proc does not tell of children, or where descriptors are scarce.
        """
        if _HAS_CHILDREN and self._leader is None and not self._closed:
            self._leader = LeaderFiles.open(self._pid)
            # compares its start: what was opened may be a later process of this pid
            self._look(thorough=False)

    def close(self) -> None:
        """Hold no file open from now on. Idempotent; what was measured stays."""
        self._closed = True
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.close()

    def processes(self) -> tuple[tuple[int, str], ...]:
        """Every process that was seen in the tree and has not been seen to end, as pid and start."""
        return tuple((pid, started.decode()) for pid, started in tuple(self._known.items()) if started)

    def exceeds(self, limit: int) -> bool:
        """Measure now, and say whether the tree uses, or its first process ever used, more than `limit`."""
        self.sample()
        if self.peak <= limit:
            return False
        if len(self._known) == 1 or not _HAS_CHILDREN:
            return True
        proportional = [_kilobytes(f"/proc/{pid}/smaps_rollup", b"Pss:") for pid in self._known]
        return sum(proportional) > limit if all(proportional) else self.current > limit

    def _look_at_leader(self) -> bool:
        """Measure it alone; False where there are others, or may be."""
        if self._leader is None or len(self._known) > 1 or not self._known.get(self._pid):
            return False
        found = self._leader.alone()
        if found is None:
            return False
        self.current, highest = found
        self.peak = max(self.peak, self.current, highest)
        return True

    def _look(self, thorough: bool) -> None:
        total, complete = 0, True
        waiting, seen = list(self._known), set(self._known)
        while waiting:
            pid = waiting.pop()
            try:
                data = _whole(f"/proc/{pid}/stat")
                fields = data[data.rfind(b")") + 2 :].split()
                if self._known.setdefault(pid, fields[19]) not in (b"", fields[19]):
                    raise ProcessLookupError(pid)
                self._known[pid] = fields[19]
                total += int(fields[21]) * _PAGE
                threads = os.listdir(f"/proc/{pid}/task") if thorough else (pid,)  # noqa: PTH208 - called often
                for thread in threads:
                    for child in map(int, _whole(f"/proc/{pid}/task/{thread}/children").split()):
                        if child not in seen:
                            seen.add(child)
                            waiting.append(child)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    complete = False
                else:
                    self._known.pop(pid, None)
        # without a descriptor to look with, what was seen last stands
        self.current = total if complete else max(total, self.current)
        highest = _kilobytes(f"/proc/{self._pid}/status", b"VmHWM:")
        self.peak = max(self.peak, total, highest)

    def _look_with_psutil(self) -> None:
        try:
            leader = psutil.Process(self._pid)
            processes = [leader, *leader.children(recursive=True)]
        except psutil.Error:
            processes = []
        total = 0
        for process in processes:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        self.current = total
        self.peak = max(self.peak, total)


class Watched(Protocol):
    """An instance whose memory is held to its limit while it is busy."""

    memory_limit: int

    @property
    def memory(self) -> TreeMemory | None:
        """Its processes; None where they are not to be seen."""
        ...

    @property
    def busy(self) -> bool:
        """Whether it is in its init, or serves an invocation."""
        ...

    def out_of_memory(self) -> None:
        """End it, as it used more than its limit."""
        ...


class MemoryWatch:
    """Samples all busy instances of a backend every 100 ms, and nothing while none is busy."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._busy: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, instance: Watched) -> None:
        """Sample this one until it is no longer busy."""
        self._busy.add(instance)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._sample(), name="stoker-memory-watch")

    def forget(self, instance: Watched) -> None:
        """Stop sampling it; harmless if it was not."""
        self._busy.discard(instance)
        if not self._busy and self._task is not None:
            self._task.cancel()
            self._task = None

    async def aclose(self) -> None:
        """Stop sampling."""
        self._busy.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while self._busy:
            await asyncio.sleep(_INTERVAL)
            self._busy = {instance for instance in self._busy if instance.busy}
            if not self._busy:
                return
            try:
                over = await loop.run_in_executor(self._executor, _over_limit, tuple(self._busy))
            except OSError:
                _log.exception("memory could not be sampled")
                continue
            for instance in over:
                if instance in self._busy:
                    self._busy.discard(instance)
                    instance.out_of_memory()


def _over_limit(instances: tuple[Watched, ...]) -> list[Watched]:
    return [each for each in instances if each.memory is not None and each.memory.exceeds(each.memory_limit)]


def _kilobytes(path: str, name: bytes) -> int:
    try:
        text = _whole(path)
        start = text.index(name) + len(name)
        return int(text[start : text.index(b"\n", start)].split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return 0


def _whole(path: str) -> bytes:
    """A file of /proc; half of the time that a file object takes, on the way of every response. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.read(file, _LARGE)
        # the kernel may give a long one in pieces of any size
        while more := os.read(file, _LARGE):
            found += more
        return found
    finally:
        os.close(file)
