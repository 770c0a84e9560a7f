"""Core events to the models, gathered: at most one flush a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer

from core.events import Event, EventBus

__all__ = ["Coalescer"]

FRAME_MS = 33
Receiver = Callable[[Sequence[Event]], None]


class Coalescer(QObject):
    """Subscribes to the bus once and hands all events of a frame to every receiver together.

    The timer is single-shot and armed by the first event of a frame: an idle pool costs nothing.
    """

    def __init__(self, bus: EventBus, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._receivers: list[Receiver] = []
        self._pending: list[Event] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self.flush)
        self._unsubscribe = bus.subscribe(self._take)

    def add(self, receiver: Receiver) -> None:
        """Call `receiver` with the events of every frame, in order."""
        self._receivers.append(receiver)

    def close(self) -> None:
        """Take no more events."""
        self._unsubscribe()
        self._timer.stop()
        self._pending.clear()

    def flush(self) -> None:
        """Deliver what is pending now."""
        if not self._pending:
            return
        events, self._pending = self._pending, []
        for receiver in self._receivers:
            receiver(events)

    def _take(self, event: Event) -> None:
        self._pending.append(event)
        if not self._timer.isActive():
            self._timer.start()
