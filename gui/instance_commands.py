"""What is done to the instances that are selected: they are ended, pinned, and looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction

from core.errors import InstanceNotFoundError
from gui.actions import Actions
from gui.context import Context
from gui.formatting import elide_middle, plural
from gui.panels.instances import InstancesPanel
from gui.widgets.live_table import copy_text

__all__ = ["InstanceCommands"]

_NO_INSTANCE = "no instance is selected"
_NO_CONTAINER = "no container of a running instance is selected"


class InstanceCommands(QObject):
    """Connects the actions that are about the selected instances. `done(text)` says what was achieved."""

    done = Signal(str)

    def __init__(self, parent: QObject, context: Context, actions: Actions, instances: InstancesPanel) -> None:
        super().__init__(parent)
        self._context = context
        self._runtime = context.runtime
        self._actions = actions
        self._instances = instances
        actions.terminate.triggered.connect(lambda: self._end_selected(force=False))
        actions.kill.triggered.connect(lambda: self._end_selected(force=True))
        actions.pin.triggered.connect(self._pin)
        actions.copy_container.triggered.connect(self._copy_container)
        actions.copy_shell.triggered.connect(self._copy_shell)

    def reasons(self) -> Iterable[tuple[QAction, str | None]]:
        """Each action with why it cannot be asked for now, or None."""
        a = self._actions
        ids = self._instances.selected_ids()
        no_instance = None if ids else _NO_INSTANCE
        ended = no_instance
        if ended is None and not any(map(self._lives, ids)):
            ended = "the selected instance has ended" if len(ids) == 1 else "the selected instances have ended"
        yield a.terminate, ended
        yield a.kill, ended
        yield a.pin, ended
        yield a.show_logs, no_instance
        containers = bool(self._instances.container_ids())
        yield a.copy_container, no_instance or (None if containers else _NO_CONTAINER)
        yield a.copy_shell, no_instance or (None if self._shell() else _NO_CONTAINER)

    def name_pin(self) -> None:
        """Have the action say what it would do to those that are selected."""
        pin = self._actions.pin
        pin.setText("Unpin" if self._all_pinned(self._instances.selected_ids()) else "Pin")
        pin.setIconText(pin.text())

    def _end_selected(self, *, force: bool) -> None:
        ids = self._instances.selected_ids()
        if ids:
            verb = "Kill" if force else "Terminate"
            self._context.tasks.start(f"{verb} {_which(ids)}", self._end(ids, force))

    async def _end(self, ids: Sequence[str], force: bool) -> None:
        ended = await asyncio.gather(*(self._runtime.terminate(each, force) for each in ids), return_exceptions=True)
        # one that has gone in the meantime is what was wanted
        failed = [each for each in ended if isinstance(each, Exception) and not isinstance(each, InstanceNotFoundError)]
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise ExceptionGroup("some instances could not be ended", failed)

    def _lives(self, instance_id: str) -> bool:
        try:
            return not self._runtime.instance(instance_id).state.final
        except InstanceNotFoundError:
            return False

    def _pin(self) -> None:
        ids = self._instances.selected_ids()
        pinned = not self._all_pinned(ids)
        for each in ids:
            try:
                self._runtime.pin(each, pinned)
            except InstanceNotFoundError:
                continue

    def _all_pinned(self, ids: Sequence[str]) -> bool:
        found = []
        for each in ids:
            try:
                found.append(self._runtime.instance(each).pinned)
            except InstanceNotFoundError:
                continue
        return bool(found) and all(found)

    def _copy_container(self) -> None:
        ids = self._instances.container_ids()
        if ids:
            copy_text("\n".join(ids))
            self.done.emit(f"Copied {ids[0][:12]}" if len(ids) == 1 else f"Copied {len(ids)} container ids")

    def _copy_shell(self) -> None:
        if command := self._shell():
            copy_text(command)
            self.done.emit(f"Copied {elide_middle(command, 72)}: paste it into a terminal")

    def _shell(self) -> str | None:
        """What opens a shell in the first selected instance that has an inside."""
        for each in self._instances.selected_ids():
            try:
                command = self._runtime.shell_command(each)
            except InstanceNotFoundError:
                continue
            if command:
                return command
        return None


def _which(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else plural(len(ids), "instance")
