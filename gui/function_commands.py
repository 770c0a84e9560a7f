"""What is done to functions: they are added, changed, copied and forgotten, and their images fetched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QDialog, QWidget

from core.errors import ConflictError, FunctionNotFoundError, ImagePullError
from core.functions import LambdaFunction
from core.names import LATEST, split_key
from gui.actions import Actions
from gui.context import Context
from gui.dialogs.base import ask
from gui.dialogs.confirm import Choice, choose
from gui.formatting import elide_end, health_words, plural
from gui.models.functions import FunctionsModel
from gui.panels.functions import FunctionsPanel

if TYPE_CHECKING:
    from gui.dialogs.function import FunctionDialog

__all__ = ["NO_FUNCTION", "FunctionCommands"]

_OfFunction = Callable[[str], Coroutine[Any, Any, None]]

NO_FUNCTION = "select a function first"
_PUBLISHED = "a published version cannot be changed"


class FunctionCommands(QObject):
    """Connects the actions that are about functions. `done(text)` says what was achieved."""

    done = Signal(str)

    def __init__(self, window: QWidget, context: Context, actions: Actions, functions: FunctionsPanel) -> None:
        super().__init__(window)
        self._window = window
        self._context = context
        self._runtime = context.runtime
        self._actions = actions
        self._functions = functions
        self._connect()

    def reasons(self) -> Iterable[tuple[QAction, str | None]]:
        """Each action with why it cannot be asked for now, or None."""
        a = self._actions
        name = self._functions.selected()
        row = self._model.row(name) if name is not None else None
        no_function = None if name is not None else NO_FUNCTION
        published = _PUBLISHED if row is not None and row.version is not None else None
        yield a.add, None
        yield a.add_zip, None
        yield a.add_folder, None
        yield a.edit, no_function or published
        yield a.reload, no_function or published
        yield a.clone, no_function
        yield a.remove, no_function
        yield a.pull_image, no_function or self._why_no_pull(str(name))

    def add(self, code: Path | None) -> None:
        """Open the dialog for a new function, with its code chosen where it is known."""
        self._start("Add a function", self._add(code))

    def _connect(self) -> None:
        a = self._actions
        a.add.triggered.connect(lambda: self.add(None))
        a.add_zip.triggered.connect(lambda: self._start("Add a function", self._add_chosen(folder=False)))
        a.add_folder.triggered.connect(lambda: self._start("Add a function", self._add_chosen(folder=True)))
        a.edit.triggered.connect(lambda: self._of_function("Edit", self._edit))
        a.reload.triggered.connect(lambda: self._of_function("Reload the code of", self._reload))
        a.clone.triggered.connect(lambda: self._of_function("Clone", self._clone))
        a.remove.triggered.connect(lambda: self._of_function("Remove", self._remove))
        a.pull_image.triggered.connect(lambda: self._of_function("Pull the image of", self._pull))

    def _start(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        self._context.tasks.start(what, work)

    def _of_function(self, what: str, work: _OfFunction) -> None:
        name = self._functions.selected()
        if name is not None:
            self._start(f"{what} {name}", work(name))

    @property
    def _model(self) -> FunctionsModel:
        return self._functions.model

    # adding and changing

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
        if self._runtime.function(name).image_uri is not None:
            found = "instances on an older image end" if changed else "no instance runs on an older image"
            self.done.emit(f"{name}: {found}")
        else:
            self.done.emit(f"Reloaded the code of {name}" if changed else f"The code of {name} has not changed")

    async def _clone(self, name: str) -> None:
        names = self._model.names()
        dialog = self._function_dialog(f"Clone {name}", taken=names)
        dialog.form.show_function(self._runtime.function(name), _copy_of(name, names), rename=True)
        if await ask(dialog) != QDialog.DialogCode.Accepted or dialog.stored is None:
            return
        for event in await self._runtime.saved_events(split_key(name)[0]):
            await self._runtime.save_event(dialog.stored.function_name, event.title, event.payload)
        self._stored(dialog.stored, "Added")

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

    # forgetting

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

    # images

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


def _copy_of(name: str, taken: Collection[str]) -> str:
    number = 1
    while True:
        suffix = "-copy" if number == 1 else f"-copy-{number}"
        copy = elide_end(split_key(name)[0], 64 - len(suffix)).removesuffix("…") + suffix
        if copy not in taken:
            return copy
        number += 1
