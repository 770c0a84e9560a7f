"""Runs the window as `stoker` does, and prints the monotonic time of its first paint."""

from __future__ import annotations

import sys
import time

from PySide6.QtCore import QEvent

import gui.app
from gui.main_window import MainWindow


def main() -> int:
    """Hook the first paint of the main window, then start."""
    plain = MainWindow.event
    told = False

    def event(self: MainWindow, what: QEvent) -> bool:
        nonlocal told
        handled = plain(self, what)
        if not told and what.type() == QEvent.Type.Paint:
            told = True
            print(f"painted {time.monotonic():.6f}", flush=True)
        return handled

    MainWindow.event = event  # type: ignore[assignment, method-assign]
    return gui.app.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
