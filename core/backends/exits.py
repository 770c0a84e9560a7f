"""Hearing of a process's end without polling: a pidfd on the loop, or one waiting thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from subprocess import Popen

__all__ = ["watch_exit"]


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
