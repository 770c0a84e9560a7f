"""Keeps Python's cyclic garbage collection on the window's thread.

The collector runs on whichever thread happens to allocate, the journal's for one. A Qt object that
it finds there, in a dialog's cycle of references say, is destroyed on the wrong thread: "Timers cannot be
stopped from another thread", and then a segmentation fault.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QAbstractEventDispatcher, QObject, Slot

__all__ = ["Garbage"]


class Garbage(QObject):
    """Collects on the thread that made it, as the event loop is about to wait, by Python's own thresholds.

    `start` before other threads exist; `stop` gives the collection back to Python.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._dispatcher: QAbstractEventDispatcher | None = None

    def start(self) -> None:
        """Take over. What exists by now is set aside, so that later collections stay short."""
        dispatcher = QAbstractEventDispatcher.instance()
        if dispatcher is None:
            raise RuntimeError("there is no event loop on this thread yet: make the QApplication first")
        gc.collect()
        gc.freeze()
        gc.disable()
        dispatcher.aboutToBlock.connect(self._collect_if_due)
        self._dispatcher = dispatcher

    def stop(self) -> None:
        """Collect once more and let Python decide again. Harmless when called twice."""
        if self._dispatcher is None:
            return
        self._dispatcher.aboutToBlock.disconnect(self._collect_if_due)
        self._dispatcher = None
        gc.unfreeze()
        gc.collect()
        gc.enable()

    @Slot()
    def _collect_if_due(self) -> None:
        young, middle, old = gc.get_count()
        limits = gc.get_threshold()
        if young > limits[0]:
            gc.collect(2 if old > (limits[2] or 10) else 1 if middle > limits[1] else 0)
