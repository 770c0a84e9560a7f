"""What the scenes share: the camera, and ways to get there and to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from core.runtime import LambdaRuntime
    from gui.main_window import MainWindow

__all__ = ["Scene", "Studio", "invoke", "settled", "until", "warm_up"]

Scene = Callable[["MainWindow", "Studio"], Awaitable[None]]


class Studio:
    """What a scene is given: a camera that takes the window, and a dialog over it, in both schemes, and a folder."""

    def __init__(self, out: Path, prefix: str, folder: Path) -> None:
        self._out = out
        self._prefix = prefix
        self.folder = folder

    async def take(self, window: MainWindow, over: QWidget | None = None, *, settle: bool = True) -> None:
        """Take the pictures, once what has happened is on the screen."""
        from PySide6.QtGui import QColor, QPainter

        from gui.tokens import DARK, LIGHT

        if settle:
            await settled(window)
        for scheme, tokens in (("dark", DARK), ("light", LIGHT)):
            window.theme.force(tokens)
            window.coalescer.flush()
            # a turn of the loop for what the new colours set off; never `processEvents`, which would enter it twice
            await asyncio.sleep(0.02)
            picture = window.grab()
            if over is not None:
                corner = window.rect().center() - over.rect().center()
                with QPainter(picture) as painter:
                    painter.fillRect(window.rect(), QColor(0, 0, 0, 90))
                    painter.drawPixmap(corner, over.grab())
            path = self._out / f"{self._prefix}{scheme}.png"
            if not picture.save(str(path)):
                raise OSError(f"{path} could not be written")
            print(f"{path} ({path.stat().st_size / 1000:.0f} kB)", flush=True)


async def warm_up(runtime: LambdaRuntime) -> None:
    """Some warm instances that have served, one of them pinned."""
    await runtime.launch("sample-echo", 3)
    for together in (3, 3, 2, 1):
        await asyncio.gather(*(runtime.invoke("sample-echo", b'{"message": "warm"}') for _ in range(together)))
    runtime.pin(runtime.instances("sample-echo")[0].id)
    await runtime.launch("sample-words")


async def invoke(window: MainWindow) -> None:
    """As a person does: the action behind Invoke, once it is offered."""
    await until(window, window.actions_.invoke.isEnabled, "Invoke to be offered")
    await settled(window)
    window.actions_.invoke.trigger()


async def settled(window: MainWindow) -> None:
    """A few frames, so that what has happened is on the screen."""
    for _ in range(8):
        await asyncio.sleep(0.04)
        window.coalescer.flush()


async def until(window: MainWindow, reached: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Look again at every frame until `reached`. Raises TimeoutError naming `what`."""
    try:
        async with asyncio.timeout(seconds):
            while not reached():
                await asyncio.sleep(0.02)
                window.coalescer.flush()
    except TimeoutError:
        raise TimeoutError(f"waited {seconds:g} s in vain for {what}") from None
