"""Runs a coroutine to its end on a standard loop or on the window's own."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["LOOPS", "run_plain", "run_qt"]

T = TypeVar("T")


def run_plain(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On asyncio's own loop."""
    with asyncio.Runner() as runner:
        return runner.run(main())


def run_qt(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On the loop that the window runs on (qasync), off screen."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtWidgets import QApplication

    from gui.loop import make_loop

    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(["stoker-benchmarks"])
    _KEEP.append(app)
    try:
        with asyncio.Runner(loop_factory=lambda: make_loop(app)) as runner:
            return runner.run(main())
    finally:
        # The closed loop's timers are garbage in a cycle. Collected later, and on another thread, they end the process.
        gc.collect()


# an application that is collected takes the next measurement with it
_KEEP: list[object] = []


LOOPS = {"asyncio": run_plain, "Qt loop": run_qt}
