"""The event loop of the window: asyncio on Qt's own."""

from __future__ import annotations

import asyncio

from PySide6.QtWidgets import QApplication
from qasync import QEventLoop  # type: ignore[import-untyped]

__all__ = ["QtLoop", "make_loop"]

QtLoop = QEventLoop


def make_loop(app: QApplication) -> asyncio.AbstractEventLoop:
    """A loop that runs on `app`; for `asyncio.Runner(loop_factory=...)`."""
    loop: asyncio.AbstractEventLoop = QEventLoop(app)
    return loop
