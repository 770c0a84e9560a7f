"""A stream into the workbench on screen: how fast it is taken, and how long a click would have to wait."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from core.runtime import LambdaRuntime
from tests.benchmarks.functions import writer
from tests.benchmarks.loops import run_qt
from tests.benchmarks.report import Figure

__all__ = ["figures"]

_BIG = (65536, 2400)
_SMALL = (64, 120_000)
_VIEWS = ("Text", "Chunks", "Hex")


def figures() -> list[Figure]:
    """One endless line, which is the dearest text there is, in each view; then what a tab keeps."""
    return run_qt(_measure)


async def _measure() -> list[Figure]:
    from PySide6.QtGui import QGuiApplication

    from gui.context import Context
    from gui.models.coalescer import Coalescer
    from gui.panels.workbench import WorkbenchPanel
    from gui.tasks import Tasks
    from gui.theme import Theme
    from gui.tokens import DARK
    from tests.benchmarks.stream import _Gaps
    from tests.gui.workbench.waiting import until

    # the loop must outlive the panel
    QGuiApplication.setQuitOnLastWindowClosed(False)
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
        root = Path(folder)
        async with LambdaRuntime.open(home=root / "home") as runtime:
            await runtime.add_function(writer(root))
            await runtime.launch("writer")
            theme, tasks, coalescer = Theme(), Tasks(), Coalescer(runtime.events)
            theme.force(DARK)
            panel = WorkbenchPanel(Context(runtime, tasks, theme, coalescer))
            panel.resize(1155, 330)
            panel.show()
            for size, count in (_BIG, _SMALL):
                for view in _VIEWS:
                    panel.show_function("writer")
                    tab = panel.current
                    assert tab is not None
                    tab.event_editor.use(None, json.dumps({"size": size, "count": count}))
                    tab.response.choose_view(view)
                    # the window is up and drawn before the stream begins
                    await asyncio.sleep(0.3)
                    gaps = _Gaps()
                    started = time.perf_counter()
                    panel.invoke()
                    run = tab.run
                    assert run is not None
                    await until(lambda run=run: run.over, 120)  # type: ignore[misc]
                    seconds = time.perf_counter() - started
                    # and what is left to show comes after the end
                    await until(lambda run=run: not run.dirty, 120)  # type: ignore[misc]
                    gap = gaps.stop()
                    assert run.response.size == size * count, run.error or run.result
                    found += _figures(view, size, count, seconds, gap)
                    panel.close_tab(0)
            await panel.cancel_all()
            await tasks.cancel_all()
            coalescer.close()
            panel.deleteLater()
    return found


def _figures(view: str, size: int, count: int, seconds: float, gap: float) -> list[Figure]:
    if size >= 65536:
        speed = Figure(
            f"workbench, {view} view, 64 KiB chunks", size * count / seconds / 1e6, "MB/s", note="on screen as it comes"
        )
    else:
        speed = Figure(f"workbench, {view} view, chunks of {size} bytes", count / seconds, "chunks/s")
    return [speed, Figure(f"longest gap, {view} view, chunks of {size:,} bytes", gap, "ms", at_most=100.0)]
