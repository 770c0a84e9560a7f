"""The states of the window that have to do with the samples and their instances."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING

from core.errors import LambdaRuntimeError
from tests.scenes.studio import Scene, Studio, invoke, settled, until, warm_up

if TYPE_CHECKING:
    from gui.main_window import MainWindow

__all__ = ["CROWD", "SCENES"]

CROWD = 240


async def _empty(window: MainWindow, studio: Studio) -> None:
    await studio.take(window)


async def _idle(window: MainWindow, studio: Studio) -> None:
    runtime = window.context.runtime
    await warm_up(runtime)
    window.functions.select("sample-echo")
    await invoke(window)
    await until(window, lambda: window.workbench.running() == 0, "the echo's end")
    window.functions.select(None)
    await studio.take(window)


async def _streaming(window: MainWindow, studio: Studio) -> None:
    runtime = window.context.runtime
    await warm_up(runtime)
    if shutil.which("node"):
        window.functions.select("sample-sse")
        await invoke(window)
    window.functions.select("sample-words")
    await invoke(window)
    await until(window, lambda: _chunks(window) >= 14, "chunk 14 of the words")
    window.tasks.start("Launch sample-slow-init", _until_closed(runtime.launch("sample-slow-init")))
    await until(window, lambda: _chunks(window) >= 24, "chunk 24 of the words")
    window.functions.select(None)
    await settled(window)
    if not window.workbench.current_running():
        raise RuntimeError("the stream was over before its picture was taken")
    await studio.take(window, settle=False)


async def _failed(window: MainWindow, studio: Studio) -> None:
    await warm_up(window.context.runtime)
    window.functions.select("sample-fails")
    await invoke(window)
    await until(window, lambda: window.workbench.running() == 0, "the failure")
    await studio.take(window)


async def _reap_stale(window: MainWindow, studio: Studio) -> None:
    from gui.dialogs.reap_stale import ReapStaleDialog

    await warm_up(window.context.runtime)
    window.actions_.reap_stale.trigger()

    def filled() -> bool:
        dialogs = window.findChildren(ReapStaleDialog)
        return bool(dialogs) and dialogs[0].table.rowCount() > 0

    await until(window, filled, "the candidates")
    (dialog,) = window.findChildren(ReapStaleDialog)
    await studio.take(window, dialog)
    dialog.reject()


async def _crowd(window: MainWindow, studio: Studio) -> None:
    runtime = window.context.runtime
    await asyncio.gather(runtime.launch("sample-words", CROWD - 40), runtime.launch("sample-echo", 40))
    window.functions.select("sample-words")
    for _ in range(3):
        await invoke(window)
    window.functions.select(None)
    await until(window, lambda: _chunks(window) >= 10, "chunk 10 of the words")
    await studio.take(window, settle=False)


def _chunks(window: MainWindow) -> int:
    tab = window.workbench.current
    return tab.run.response.chunks if tab is not None and tab.run is not None else 0


async def _until_closed(work: Awaitable[object]) -> None:
    """A launch that is still under way when the window closes is no failure here."""
    with suppress(LambdaRuntimeError):
        await work


SCENES: dict[str, Scene] = {
    "empty": _empty,
    "idle": _idle,
    "streaming": _streaming,
    "failed": _failed,
    "reap-stale": _reap_stale,
    "crowd": _crowd,
}
