"""What the window's actions do, and when they can be asked for.

What they do is with what they are about: `gui.function_commands`, `gui.instance_commands` and
`gui.pool_commands`. Every command runs as a task under a name in words; what fails reaches the person
through `Tasks.failed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QWidget

from core.events import Event
from gui.actions import Actions
from gui.context import Context
from gui.function_commands import NO_FUNCTION, FunctionCommands
from gui.instance_commands import InstanceCommands
from gui.panels.functions import FunctionsPanel
from gui.panels.instances import InstancesPanel
from gui.panels.workbench import WorkbenchPanel
from gui.pool_commands import PoolCommands

__all__ = ["Commands"]


class Commands(QObject):
    """Connects the actions to the runtime. `done(text)` says what was achieved."""

    done = Signal(str)

    def __init__(
        self,
        window: QWidget,
        context: Context,
        actions: Actions,
        *,
        functions: FunctionsPanel,
        instances: InstancesPanel,
        workbench: WorkbenchPanel,
    ) -> None:
        super().__init__(window)
        self._actions = actions
        self._workbench = workbench
        self._closing = False
        self._functions = FunctionCommands(window, context, actions, functions)
        self._instances = InstanceCommands(window, context, actions, instances)
        self._pool = PoolCommands(window, context, actions, functions)
        for each in (self._functions, self._instances, self._pool):
            each.done.connect(self.done)
        actions.invoke.triggered.connect(workbench.invoke)
        actions.cancel.triggered.connect(workbench.cancel)
        context.coalescer.add(self._take)
        functions.function_selected.connect(self.update)
        instances.selection_changed.connect(self.update)
        workbench.running_changed.connect(self.update)
        self.update()

    def close(self) -> None:
        """Offer nothing more: the window closes."""
        self._closing = True
        self.update()

    def add_function(self, code: Path | None = None) -> None:
        """Open the dialog for a new function, with its code chosen where it is known."""
        self._functions.add(code)

    async def tell_of_stale(self) -> None:
        """Say it when an earlier Stoker left something behind; what becomes of it is the person's to decide."""
        await self._pool.tell_of_stale()

    def update(self, *_: object) -> None:
        """Enable what can be done now; the rest says in its tooltip why it cannot."""
        for action, why_not in self._reasons():
            self._actions.set_available(action, "Stoker is closing" if self._closing else why_not)
        self._instances.name_pin()

    def _reasons(self) -> Iterable[tuple[QAction, str | None]]:
        yield from self._functions.reasons()
        yield self._actions.invoke, None if self._workbench.current is not None else NO_FUNCTION
        running = self._workbench.current_running()
        yield self._actions.cancel, None if running else "no invocation runs in this tab"
        yield from self._pool.reasons()
        yield from self._instances.reasons()

    def _take(self, events: Sequence[Event]) -> None:
        self.update()
