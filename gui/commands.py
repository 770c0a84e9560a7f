"""What the window's actions do, and when they can be asked for.

Every command runs as a task under a name in words; what fails reaches the person through
`Tasks.failed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QDialog, QWidget

from core.errors import ConflictError, FunctionNotFoundError, ImagePullError, InstanceNotFoundError
from core.events import Event
from core.functions import LambdaFunction
from core.instances import InstanceState
from core.names import LATEST, split_key
from gui.actions import Actions
from gui.context import Context
from gui.dialogs.base import ask
from gui.dialogs.confirm import Choice, choose
from gui.formatting import elide_end, elide_middle, health_words, plural
from gui.models.functions import FunctionsModel
from gui.panels.functions import FunctionsPanel
from gui.panels.instances import InstancesPanel
from gui.panels.workbench import WorkbenchPanel
from gui.widgets.live_table import copy_text

if TYPE_CHECKING:
    from gui.dialogs.function import FunctionDialog

__all__ = ["Commands"]

_OfFunction = Callable[[str], Coroutine[Any, Any, None]]

_BUSY = (InstanceState.BUSY, InstanceState.DRAINING)
_NO_FUNCTION = "select a function first"
_PUBLISHED = "a published version cannot be changed"
_NO_INSTANCE = "no instance is selected"
_NO_CONTAINER = "no container of a running instance is selected"


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
        self._window = window
        self._context = context
        self._runtime = context.runtime
        self._actions = actions
        self._functions = functions
        self._instances = instances
        self._workbench = workbench
        self._closing = False
        self._connect()
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
        self._start("Add a function", self._add(code))

    # --- when

    async def tell_of_stale(self) -> None:
        """Say it when an earlier Stoker left something behind; what becomes of it is the person's to decide."""
        left = [each for each in await self._runtime.reap_stale(dry_run=True) if each.reap]
        if left:
            self.done.emit(
                f"An earlier Stoker left {plural(len(left), 'instance')} behind: see {self._actions.reap_stale.text()}"
            )

    def update(self, *_: object) -> None:
        """Enable what can be done now; the rest says in its tooltip why it cannot."""
        a, set_available = self._actions, self._actions.set_available
        for action, why_not in self._reasons():
            set_available(action, "Stoker is closing" if self._closing else why_not)
        pinned = self._all_pinned(self._instances.selected_ids())
        a.pin.setText("Unpin" if pinned else "Pin")
        a.pin.setIconText(a.pin.text())

    def _reasons(self) -> Iterable[tuple[QAction, str | None]]:
        a, model = self._actions, self._model
        name = self._functions.selected()
        row = model.row(name) if name is not None else None
        ids = self._instances.selected_ids()
        counts = row.counts if row is not None else model.instances()
        no_function = None if name is not None else _NO_FUNCTION
        no_instance = None if ids else _NO_INSTANCE
        trouble = row.trouble if row is not None else None
        yield a.add, None
        yield a.add_zip, None
        yield a.add_folder, None
        published = _PUBLISHED if row is not None and row.version is not None else None
        yield a.edit, no_function or published
        yield a.reload, no_function or published
        yield a.clone, no_function
        yield a.remove, no_function
        yield a.invoke, None if self._workbench.current is not None else _NO_FUNCTION
        yield a.cancel, None if self._workbench.current_running() else "no invocation runs in this tab"
        yield a.pull_image, no_function or self._why_no_pull(str(name))
        yield a.launch, no_function or trouble
        yield a.evict, no_function or (None if row is not None and row.instances else "it has no instance")
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
        yield a.reap_idle, None if counts[InstanceState.IDLE] else "no instance is idle"
        yield a.reap_stale, None
        yield a.stop_all, None if model.total() else "there is no instance"

    def _take(self, events: Sequence[Event]) -> None:
        self.update()

    @property
    def _model(self) -> FunctionsModel:
        return self._functions.model

    # --- what

    def _connect(self) -> None:
        a = self._actions
        a.add.triggered.connect(lambda: self._start("Add a function", self._add(None)))
        a.add_zip.triggered.connect(lambda: self._start("Add a function", self._add_chosen(folder=False)))
        a.add_folder.triggered.connect(lambda: self._start("Add a function", self._add_chosen(folder=True)))
        a.edit.triggered.connect(lambda: self._of_function("Edit", self._edit))
        a.reload.triggered.connect(lambda: self._of_function("Reload the code of", self._reload))
        a.clone.triggered.connect(lambda: self._of_function("Clone", self._clone))
        a.remove.triggered.connect(lambda: self._of_function("Remove", self._remove))
        a.invoke.triggered.connect(self._workbench.invoke)
        a.cancel.triggered.connect(self._workbench.cancel)
        a.launch.triggered.connect(lambda: self._launch_requested(1))
        a.launch_requested.connect(self._launch_requested)
        a.evict.triggered.connect(lambda: self._of_function("Evict", self._evict))
        a.terminate.triggered.connect(lambda: self._end_selected(force=False))
        a.kill.triggered.connect(lambda: self._end_selected(force=True))
        a.pin.triggered.connect(self._pin)
        a.pull_image.triggered.connect(lambda: self._of_function("Pull the image of", self._pull))
        a.copy_container.triggered.connect(self._copy_container)
        a.copy_shell.triggered.connect(self._copy_shell)
        a.reap_idle.triggered.connect(lambda: self._start("Reap idle", self._reap_idle(self._functions.selected())))
        a.reap_stale.triggered.connect(lambda: self._start("Reap stale", self._reap_stale()))
        a.stop_all.triggered.connect(lambda: self._start("Stop all", self._stop_all()))

    def _start(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        self._context.tasks.start(what, work)

    def _of_function(self, what: str, work: _OfFunction) -> None:
        name = self._functions.selected()
        if name is not None:
            self._start(f"{what} {name}", work(name))

    # functions

    async def _add(self, code: Path | None) -> None:
        dialog = self._function_dialog("Add function", taken=self._model.names())
        if code is not None:
            dialog.form.set_code(code)
        if await ask(dialog) == QDialog.DialogCode.Accepted and dialog.stored is not None:
            self._stored(dialog.stored, "Added")

    async def _add_chosen(self, *, folder: bool) -> None:
        from gui.dialogs.choose import choose_folder, choose_zip

        code = await (choose_folder if folder else choose_zip)(self._window, "Choose the code")
        if code is not None:
            await self._add(code)

    async def _edit(self, name: str) -> None:
        dialog = self._function_dialog(f"Edit {name}", taken=())
        dialog.form.show_function(self._runtime.function(name), name, rename=False)
        if await ask(dialog) == QDialog.DialogCode.Accepted and dialog.stored is not None:
            self._stored(dialog.stored, "Saved")

    async def _reload(self, name: str) -> None:
        changed = await self._runtime.refresh_code(name)
        self.done.emit(f"Reloaded the code of {name}" if changed else f"The code of {name} has not changed")

    async def _pull(self, name: str) -> None:
        image = self._runtime.image_of(name)
        try:
            await self._runtime.prepull(name)
        except ImagePullError:
            # its row says so, and stays
            return
        self.done.emit(f"{image} is there: {name} can start")

    def _why_no_pull(self, name: str) -> str | None:
        """Why the function's image cannot be fetched now, or None where it can."""
        try:
            backend = self._runtime.function(name).backend or self._runtime.default_backend()
        except FunctionNotFoundError:
            # its row goes with the next frame
            return "it has been removed"
        health = self._runtime.backends().get(backend)
        if health is not None and not health.online:
            return health_words(backend, health.online, health.detail)
        return None if self._runtime.image_of(name) else f"it runs on {backend}, which needs no image"

    async def _clone(self, name: str) -> None:
        names = self._model.names()
        dialog = self._function_dialog(f"Clone {name}", taken=names)
        dialog.form.show_function(self._runtime.function(name), _copy_of(name, names), rename=True)
        if await ask(dialog) != QDialog.DialogCode.Accepted or dialog.stored is None:
            return
        for event in await self._runtime.saved_events(split_key(name)[0]):
            await self._runtime.save_event(dialog.stored.function_name, event.title, event.payload)
        self._stored(dialog.stored, "Added")

    async def _remove(self, name: str) -> None:
        base, version = split_key(name)
        goes = [name]
        if version != LATEST:
            if aliases := self._runtime.registry.aliases_of(base, version):
                await self._cannot_remove(name, [alias.qualifier for alias in aliases])
                return
            text = f"Only this version is forgotten: {base} and its other versions stay."
        else:
            goes += self._model.versions(base)
            text = f"{name} and its saved events are forgotten. Its code stays where it came from."
            aliases = self._runtime.registry.aliases.of(base)
            along = [
                plural(len(goes) - 1, "published version") if len(goes) > 1 else "",
                plural(len(aliases), "alias", "aliases") if aliases else "",
            ]
            if any(along):
                one = len(goes) - 1 + len(aliases) == 1
                text += f"\n\n{' and '.join(filter(None, along))} {'goes' if one else 'go'} with it."
        instances = sum(row.instances for row in map(self._model.row, goes) if row is not None)
        if instances:
            text += f"\n\nIts {plural(instances, 'instance')} will end; busy ones finish first."
        if not await choose(self._window, f"Remove {name}?", text, [Choice("remove", "Remove", danger=True)]):
            return
        try:
            await self._runtime.remove_function(name)
        except ConflictError:
            # an alias was pointed at it while the question stood
            await self._cannot_remove(
                name, [each.qualifier for each in self._runtime.registry.aliases_of(base, version)]
            )
        else:
            self.done.emit(f"Removed {name}")

    async def _cannot_remove(self, name: str, aliases: Sequence[str]) -> None:
        one = len(aliases) == 1
        text = (
            f"{'The alias' if one else 'These aliases'} {', '.join(aliases)} {'stands' if one else 'stand'} for it. "
            f"Let {'it' if one else 'them'} stand for another version first, or delete {'it' if one else 'them'}: "
            "aws lambda update-alias, delete-alias."
        )
        await choose(self._window, f"{name} cannot be removed", text, [], no="Close")

    def _function_dialog(self, title: str, *, taken: Collection[str]) -> FunctionDialog:
        # imported here: a start is quicker without the forms
        from gui.dialogs.function import FunctionDialog
        from gui.dialogs.function_form import Defaults

        settings = self._runtime.settings
        backends = self._runtime.backends()
        defaults = Defaults(
            backends=tuple(backends),
            offline={each: health.detail for each, health in backends.items() if not health.online},
            backend=self._runtime.default_backend(),
            max_instances=settings.max_instances,
            idle_ttl=settings.idle_ttl,
        )
        return FunctionDialog(
            self._window, title, self._context.tasks, defaults, store=self._runtime.add_function, taken=taken
        )

    def _stored(self, function: LambdaFunction, verb: str) -> None:
        # the row is there with the next frame; select needs it now
        self._context.coalescer.flush()
        self._functions.select(function.function_name)
        self.done.emit(f"{verb} {function.function_name}")

    # the pool

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

    def _end_selected(self, *, force: bool) -> None:
        ids = self._instances.selected_ids()
        if ids:
            verb = "Kill" if force else "Terminate"
            self._start(f"{verb} {_which(ids)}", self._end(ids, force))

    async def _end(self, ids: Sequence[str], force: bool) -> None:
        ended = await asyncio.gather(*(self._runtime.terminate(each, force) for each in ids), return_exceptions=True)
        # one that has gone in the meantime is what was wanted
        failed = [each for each in ended if isinstance(each, Exception) and not isinstance(each, InstanceNotFoundError)]
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise ExceptionGroup("some instances could not be ended", failed)

    def _pin(self) -> None:
        ids = self._instances.selected_ids()
        pinned = not self._all_pinned(ids)
        for each in ids:
            try:
                self._runtime.pin(each, pinned)
            except InstanceNotFoundError:
                continue

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

    def _lives(self, instance_id: str) -> bool:
        try:
            return not self._runtime.instance(instance_id).state.final
        except InstanceNotFoundError:
            return False

    def _all_pinned(self, ids: Sequence[str]) -> bool:
        found = []
        for each in ids:
            try:
                found.append(self._runtime.instance(each).pinned)
            except InstanceNotFoundError:
                continue
        return bool(found) and all(found)

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


def _which(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else plural(len(ids), "instance")


def _copy_of(name: str, taken: Collection[str]) -> str:
    number = 1
    while True:
        suffix = "-copy" if number == 1 else f"-copy-{number}"
        copy = elide_end(split_key(name)[0], 64 - len(suffix)).removesuffix("…") + suffix
        if copy not in taken:
            return copy
        number += 1
