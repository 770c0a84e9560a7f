"""The line at the foot of the window: instances, queue, memory and journal.

Counts follow the pool's events. Memory and the journal's size are asked for once events have come,
at most once a second; while an instance is busy its memory changes without an event, and is asked
for again. An idle pool costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from core.errors import InstanceNotFoundError, LambdaRuntimeError
from core.events import Event
from core.instances import InstanceState
from gui.context import Context
from gui.formatting import format_bytes, format_count
from gui.models.functions import FunctionsModel

__all__ = ["StatusLine"]

_ASK_MS = 1000
_SOON_MS = 150
_AT_ONCE = 50


class StatusLine(QFrame):
    """Figures that are true, in places that stay put."""

    def __init__(self, context: Context, model: FunctionsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._runtime = context.runtime
        self._model = model
        self.setObjectName("status_line")
        self.setAccessibleName("Status")
        self.instances = self._label("status_instances")
        self.queue = self._label("status_queue")
        self.memory = self._label("status_memory")
        self.journal = self._label("status_journal")
        # its figure comes with every second: what follows it must not move
        self.memory.setMinimumWidth(self.memory.fontMetrics().horizontalAdvance("memory 0000 MB"))
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 5, 14, 5)
        row.setSpacing(24)
        for label in (self.instances, self.queue, self.memory):
            row.addWidget(label)
        row.addStretch(1)
        row.addWidget(self.journal)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.ask)
        self._asking: asyncio.Task[None] | None = None
        self._stopped = False
        self._asked = 0.0
        model.changed.connect(self._count)
        context.coalescer.add(self._take)
        self._count()
        self._show_memory(0)

    def ask(self) -> None:
        """Ask for memory and the journal's size now."""
        if not self.isVisible() or self.window().isMinimized():
            # an engine tells of its containers only as long as somebody asks
            return
        self._asked = time.monotonic()
        if self._asking is None and not self._stopped:
            self._asking = self._context.tasks.start("Read the figures", self._ask())

    def stop(self) -> None:
        """Ask no more: the window closes."""
        self._stopped = True
        self._timer.stop()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._take(())

    @staticmethod
    def _label(name: str) -> QLabel:
        label = QLabel()
        label.setObjectName(name)
        label.setProperty("role", "small")
        return label

    def _take(self, events: Sequence[Event]) -> None:
        if self._timer.isActive() or self._stopped:
            return
        # soon after a rest, then once a second
        rested = time.monotonic() - self._asked > _ASK_MS / 1000
        self._timer.start(_SOON_MS if rested else _ASK_MS)

    def _count(self) -> None:
        budget = self._runtime.settings.instance_budget
        self.instances.setText(f"instances {format_count(self._model.total())} / {format_count(budget)}")
        self.queue.setText(f"queue {format_count(self._model.waiting_all)}")

    async def _ask(self) -> None:
        try:
            self._show_memory(await self._sum())
            try:
                events = await self._runtime.journal.event_count()
            except LambdaRuntimeError:
                # a journal that fails has said so; one that is closed has nothing to count
                self.journal.setText("")
            else:
                self.journal.setText(f"journal {format_count(events)} event{'' if events == 1 else 's'}")
        finally:
            self._asking = None
        if self._model.instances()[InstanceState.BUSY]:
            self._take(())

    async def _sum(self) -> int:
        total = 0
        for place, instance in enumerate(self._runtime.instances()):
            if place % _AT_ONCE == _AT_ONCE - 1:
                # a crowded pool must not hold up a frame
                await asyncio.sleep(0)
            try:
                usage = self._runtime.memory(instance.id)
            except InstanceNotFoundError:
                continue
            total += usage.current if usage is not None else 0
        return total

    def _show_memory(self, used: int) -> None:
        budget = self._runtime.settings.memory_budget_mb
        of = f" / {format_bytes(budget * 1024 * 1024)}" if budget else ""
        self.memory.setText(f"memory {format_bytes(used) if used else '0 MB'}{of}")
