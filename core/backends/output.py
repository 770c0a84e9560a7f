"""What a runtime writes to stdout and stderr, through one pipe so that its order is kept."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

__all__ = ["OutputPipe"]

_READ = 64 * 1024
_READS_A_TICK = 4
_READS_A_DRAIN = 64


class OutputPipe:
    """A pipe whose read end is watched by the running loop and fed into `sink` as raw bytes.

    `write_end` is for the child; close it with `opened()` once the child has it.
    """

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._watched = False
        self._loop.add_reader(self._read_end, self._readable)
        self._watched = True
        self._anything = select.poll()
        self._anything.register(self._read_end, select.POLLIN)

    def opened(self) -> None:
        """Let go of the write end, so that the pipe ends when the last process that has it ends."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def drain(self) -> None:
        """Feed everything written so far, up to a bound that a flooding thread cannot extend."""
        # asked first, on the way of every response: most functions write nothing, and a read that fails costs more
        if self._read_end >= 0 and self._anything.poll(0):
            self._read(_READS_A_DRAIN)

    def close(self) -> None:
        """Feed the rest and let everything go. Idempotent."""
        self.opened()
        if self._read_end >= 0:
            self.drain()
            self._unwatch()
            os.close(self._read_end)
            self._read_end = -1

    def _readable(self) -> None:
        self._read(_READS_A_TICK)

    def _read(self, times: int) -> None:
        if self._read_end < 0:
            return
        for _ in range(times):
            try:
                data = os.read(self._read_end, _READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._unwatch()
                return
            self._sink(data)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._read_end)
