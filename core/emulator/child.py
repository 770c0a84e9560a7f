"""The runtime's process where the emulator runs by itself: started, watched, ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Child", "describe_exit"]

_READ = 64 * 1024
_DRAIN_MOST = 1024 * 1024
_POLITE = 2.0  # seconds between the request to end and the end


def describe_exit(code: int) -> str:
    """A `Popen.returncode` in the words of Lambda: "exit status 1", "signal: killed"."""
    if code >= 0:
        return f"exit status {code}"
    return f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"


class Child:
    """A process in a session of its own. `output` gets what it writes, `exited` its returncode.

    Raises OSError where the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        output: Callable[[bytes], None],
        exited: Callable[[int], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._output = output
        self._exited = exited
        self._over = asyncio.Event()
        self._popen = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._popen.stdout is not None
        self._out = self._popen.stdout.fileno()
        os.set_blocking(self._out, False)
        self._loop.add_reader(self._out, self._read)
        self._pidfd = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(self._popen.pid)
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._ended)
        else:
            threading.Thread(target=self._wait, name=f"wait-{self._popen.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id, which is the group's as well."""
        return self._popen.pid

    def drain(self) -> None:
        """Pass on what has been written so far."""
        for _ in range(_DRAIN_MOST // _READ):
            if not self._read():
                return

    def peak_memory(self) -> int | None:
        """The process's peak resident size in bytes since `reset_memory`; None where it is not told."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None

    def reset_memory(self) -> None:
        """Count the peak from now."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; once it has ended, to nobody."""
        if self._over.is_set():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def stop(self) -> None:
        """End the process, politely at first, and all that is left of its group. Idempotent."""
        self.signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLITE):
                    await self._over.wait()
        finally:
            self.signal(signal.SIGKILL)
        await self._over.wait()
        self._close_output()

    def _read(self) -> int:
        if self._out < 0:
            return 0
        try:
            data = os.read(self._out, _READ)
        except (BlockingIOError, InterruptedError):
            return 0
        if data:
            self._output(data)
        else:
            self._close_output()
        return len(data)

    def _close_output(self) -> None:
        if self._out >= 0 and self._popen.stdout is not None:
            self._loop.remove_reader(self._out)
            self._out = -1
            self._popen.stdout.close()

    def _wait(self) -> None:
        # where there is no pidfd: waits without taking the exit status, which `_ended` does on the loop
        os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        # while the leader is not reaped its number, which is the group's, belongs to nobody else
        self.signal(signal.SIGKILL)
        code = self._popen.wait()
        self.drain()
        self._over.set()
        self._exited(code)
