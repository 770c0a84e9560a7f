"""What is done to the pool: instances are launched, evicted and reaped, or all are stopped."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QDialog, QWidget

from core.instances import InstanceState
from gui.actions import Actions
from gui.context import Context
from gui.dialogs.base import ask
from gui.dialogs.confirm import Choice, choose
from gui.formatting import plural
from gui.function_commands import NO_FUNCTION
from gui.models.functions import FunctionsModel
from gui.panels.functions import FunctionsPanel

__all__ = ["PoolCommands"]

_BUSY = (InstanceState.BUSY, InstanceState.DRAINING)


class PoolCommands(QObject):
    """Connects the actions that are about the pool. `done(text)` says what was achieved."""

    done = Signal(str)

    def __init__(self, window: QWidget, context: Context, actions: Actions, functions: FunctionsPanel) -> None:
        super().__init__(window)
        self._window = window
        self._context = context
        self._runtime = context.runtime
        self._actions = actions
        self._functions = functions
        actions.launch.triggered.connect(lambda: self._launch_requested(1))
        actions.launch_requested.connect(self._launch_requested)
        actions.evict.triggered.connect(self._evict_requested)
        actions.reap_idle.triggered.connect(lambda: self._start("Reap idle", self._reap_idle(functions.selected())))
        actions.reap_stale.triggered.connect(lambda: self._start("Reap stale", self._reap_stale()))
        actions.stop_all.triggered.connect(lambda: self._start("Stop all", self._stop_all()))

    def reasons(self) -> Iterable[tuple[QAction, str | None]]:
        """Each action with why it cannot be asked for now, or None."""
        a, model = self._actions, self._model
        name = self._functions.selected()
        row = model.row(name) if name is not None else None
        counts = row.counts if row is not None else model.instances()
        no_function = None if name is not None else NO_FUNCTION
        yield a.launch, no_function or (row.trouble if row is not None else None)
        yield a.evict, no_function or (None if row is not None and row.instances else "it has no instance")
        yield a.reap_idle, None if counts[InstanceState.IDLE] else "no instance is idle"
        yield a.reap_stale, None
        yield a.stop_all, None if model.total() else "there is no instance"

    async def tell_of_stale(self) -> None:
        """Say it when an earlier Stoker left something behind; what becomes of it is the person's to decide."""
        left = [each for each in await self._runtime.reap_stale(dry_run=True) if each.reap]
        if left:
            self.done.emit(
                f"An earlier Stoker left {plural(len(left), 'instance')} behind: see {self._actions.reap_stale.text()}"
            )

    def _start(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        self._context.tasks.start(what, work)

    @property
    def _model(self) -> FunctionsModel:
        return self._functions.model

    # a function's instances

    def _launch_requested(self, count: int) -> None:
        name = self._functions.selected()
        if name is not None:
            self._start(f"Launch {name}", self._launch(name, count))

    async def _launch(self, name: str, count: int) -> None:
        if count == 0:
            from gui.dialogs.launch import LaunchDialog

            row = self._model.row(name)
            cap = self._runtime.function(name).max_instances or self._runtime.settings.max_instances
            dialog = LaunchDialog(self._window, name, row.instances if row is not None else 0, cap)
            if await ask(dialog) != QDialog.DialogCode.Accepted:
                return
            count = dialog.count.value()
        launched = await self._runtime.launch(name, count)
        self.done.emit(f"Launched {plural(len(launched), 'instance')} of {name}")

    def _evict_requested(self) -> None:
        name = self._functions.selected()
        if name is not None:
            self._start(f"Evict {name}", self._evict(name))

    async def _evict(self, name: str) -> None:
        row = self._model.row(name)
        busy = sum(row.counts[state] for state in _BUSY) if row is not None else 0
        force = False
        if busy:
            text = (
                f"{plural(busy, 'instance')} of {name} {'is' if busy == 1 else 'are'} busy. "
                "They can finish what they do, or be ended now: their invocations then fail."
            )
            choices = [
                Choice("drain", "Let them finish", primary=True),
                Choice("end_now", "End them now", danger=True),
            ]
            answer = await choose(self._window, f"Evict {name}?", text, choices)
            if answer is None:
                return
            force = answer == "end_now"
        count = await self._runtime.evict(name, force)
        self.done.emit(f"Evicted {plural(count, 'instance')} of {name}")

    # everybody's

    async def _reap_idle(self, name: str | None) -> None:
        from gui.dialogs.reap_idle import ReapIdleDialog

        dialog = ReapIdleDialog(self._window, name, lambda ttl: self._runtime.idle_candidates(ttl, name))
        self._model.changed.connect(dialog.recount)
        try:
            if await ask(dialog) != QDialog.DialogCode.Accepted:
                return
        finally:
            self._model.changed.disconnect(dialog.recount)
        reaped = await self._runtime.reap_idle(float(dialog.ttl.value()), name)
        self.done.emit(f"Reaped {plural(len(reaped), 'idle instance')}")

    async def _reap_stale(self) -> None:
        from gui.dialogs.reap_stale import ReapStaleDialog

        dialog = ReapStaleDialog(
            self._window,
            self._context.theme,
            self._context.tasks,
            look=lambda: self._runtime.reap_stale(dry_run=True),
            reap=lambda ids: self._runtime.reap_stale(only=ids),
        )
        dialog.look()
        await ask(dialog)

    async def _stop_all(self) -> None:
        counts = self._model.instances()
        busy = sum(counts[state] for state in _BUSY)
        text = f"This ends {plural(self._model.total(), 'instance')} of all functions."
        if busy:
            text += f" {busy} of them {'is' if busy == 1 else 'are'} busy and can finish first."
        choices = [
            Choice("drain", "Let busy ones finish" if busy else "Stop all", primary=True),
            Choice("kill_all", "Kill all", danger=True),
        ]
        answer = await choose(self._window, "Stop all instances?", text, choices)
        if answer is not None:
            count = await self._runtime.stop_all(force=answer == "kill_all")
            self.done.emit(f"Stopped {plural(count, 'instance')}")
