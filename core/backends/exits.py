"""Hearing of a process's end without polling, and saying in Lambda's words how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from subprocess import Popen
from typing import NamedTuple

__all__ = ["Ending", "how_it_ended", "signal_words", "watch_exit"]

# as Go's runtime, in which Lambda's own supervisor is written, words them
_SIGNALS: dict[int, str] = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
}


class Ending(NamedTuple):
    """Exit status or signal of a process that has ended, and Lambda's words for it."""

    code: int | None
    signal: int | None
    description: str


def signal_words(number: int) -> str:
    """A signal in Lambda's words, as in "signal: killed"."""
    return f"signal: {_SIGNALS.get(number, f'signal {number}')}"


def how_it_ended(process: Popen[bytes]) -> Ending:
    """How `process` ended, without reaping it, so that its pid stays its own."""
    dumped = False
    if process.returncode is not None:
        status, killed = abs(process.returncode), process.returncode < 0
    else:
        info = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return Ending(None, None, "unknown")
        status, killed = info.si_status, info.si_code != os.CLD_EXITED
        dumped = info.si_code == os.CLD_DUMPED
    if not killed:
        return Ending(status, None, f"exit status {status}")
    words = signal_words(status)
    return Ending(None, status, f"{words} (core dumped)" if dumped else words)


def watch_exit(process: Popen[bytes], ended: Callable[[], None]) -> Callable[[], None]:
    """Call `ended` on the running loop once `process` has ended; returns what stops the watch.

    With a pidfd the process is still a zombie then, so that its group can be signalled safely and
    `process.poll()` reaps it. Without (macOS, an old kernel) a thread waits and has reaped it.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return _watch_by_thread(loop, process, ended)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def readable() -> None:
        # a loop that queues what it hears may call this once more after the watch was stopped
        if not stopped:
            stop()
            ended()

    loop.add_reader(descriptor, readable)
    return stop


def _watch_by_thread(
    loop: asyncio.AbstractEventLoop, process: Popen[bytes], ended: Callable[[], None]
) -> Callable[[], None]:
    stopped = threading.Event()

    def tell() -> None:
        if not stopped.is_set():
            ended()

    def wait() -> None:
        process.wait()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=wait, name=f"stoker-exit-{process.pid}", daemon=True).start()
    return stopped.set
