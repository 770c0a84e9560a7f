"""Add, edit or clone a function: the form, its errors in their places, and progress while it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QProgressBar, QWidget
from shiboken6 import isValid

from core.errors import InvalidFunctionError, LambdaRuntimeError, NoCodeZipError, ZipExtractionFailedError
from core.functions import LambdaFunction
from gui.dialogs.base import StokerDialog
from gui.dialogs.choose import choose_folder, choose_zip
from gui.dialogs.function_form import Defaults, FunctionForm
from gui.dialogs.guess import guess
from gui.errors import words_for
from gui.formatting import elide_end
from gui.tasks import Tasks

__all__ = ["FunctionDialog"]

_VERBS = ("is ", "may ", "must ", "has ")

Store = Callable[[LambdaFunction], Awaitable[object]]


class FunctionDialog(StokerDialog):
    """Stays open, with what was typed, until the function is stored or the person gives up.

    `store` does the storing. Names in `taken` are refused. `stored` is the function once it is.
    """

    def __init__(
        self,
        parent: QWidget | None,
        title: str,
        tasks: Tasks,
        defaults: Defaults,
        *,
        store: Store,
        taken: Collection[str] = (),
    ) -> None:
        super().__init__(parent, title, "function_dialog")
        self.stored: LambdaFunction | None = None
        self._tasks = tasks
        self._store = store
        self._taken = frozenset(taken)
        self._storing: asyncio.Task[None] | None = None
        self.resize(640, 600)
        self.form = FunctionForm(tasks, defaults)
        self.body.addWidget(self.form)
        self._error = self.say("", "error")
        self._error.setObjectName("function_error")
        self._error.hide()
        self._busy = QProgressBar()
        self._busy.setRange(0, 0)
        self._busy.setTextVisible(False)
        self._busy.setAccessibleName("Storing the function")
        # its room is kept, so that nothing moves when it shows
        policy = self._busy.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._busy.setSizePolicy(policy)
        self._busy.hide()
        self.body.addWidget(self._busy)
        self.foot.addStretch(1)
        self.button("Cancel", "no").clicked.connect(self.reject)
        self.ok = self.button("Save", "yes", primary=True, default=True)
        self.ok.clicked.connect(self.submit)
        self.form.zip_wanted.connect(lambda: tasks.start("Choose the code", self._choose(folder=False)))
        self.form.folder_wanted.connect(lambda: tasks.start("Choose the code", self._choose(folder=True)))
        self.form.code_changed.connect(lambda code: tasks.start("Look at the code", self._guess(code)))

    def submit(self) -> None:
        """Check the fields and store the function."""
        if self._storing is not None:
            return
        self.form.clear_errors()
        self._error.hide()
        try:
            function = self.form.function()
            if function.function_name in self._taken:
                raise InvalidFunctionError(
                    "function_name", function.function_name, "is taken: there is a function of this name"
                )
        except InvalidFunctionError as error:
            self._show(error)
            return
        self._storing = self._tasks.start(f"Store {function.function_name}", self._put(function))

    def reject(self) -> None:
        """Give up; what is being stored is stopped."""
        if self._storing is not None:
            self._storing.cancel()
        super().reject()

    async def _put(self, function: LambdaFunction) -> None:
        self._set_busy(True)
        try:
            await self._store(function)
        except (LambdaRuntimeError, OSError) as error:
            # a disabled field could not take the focus, which would stay on Cancel
            self._set_busy(False)
            self._show(error)
        else:
            self.stored = function
            # outside of this task: who awaits the dialog may go on at once
            QTimer.singleShot(0, self.accept)
        finally:
            self._storing = None
            if isValid(self):
                self._set_busy(False)

    def _show(self, error: Exception) -> None:
        text = words_for(error)
        match error:
            case InvalidFunctionError(field="environment" | "tags" as field, value=str(value), rule=rule) if value:
                shown = self.form.wrong(field, _about_row(value, rule))
            case InvalidFunctionError(field=field, rule=rule):
                shown = self.form.wrong(field, _sentence(rule))
            case ZipExtractionFailedError(archive=archive):
                layers = {str(layer.content) for layer in self.form.layers.layers()}
                shown = self.form.wrong("layers" if str(archive) in layers else "code", text)
            case NoCodeZipError():
                shown = self.form.wrong("code", text)
            case _:
                shown = False
        if not shown:
            self._error.setText(text)
            self._error.show()

    def _set_busy(self, busy: bool) -> None:
        self._busy.setVisible(busy)
        self.form.setEnabled(not busy)
        self.ok.setEnabled(not busy)

    async def _choose(self, *, folder: bool) -> None:
        typed = self.form.code.text().strip()
        start = Path(typed).parent if typed else None
        path = await (choose_folder if folder else choose_zip)(self, "Choose the code", start)
        if path is not None:
            self.form.set_code(path)

    async def _guess(self, code: str) -> None:
        # a folder may be on a slow disk; a thread of its own ends with the question
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stoker-guess")
        try:
            found = await asyncio.wrap_future(thread.submit(guess, Path(code)))
        finally:
            thread.shutdown(wait=False)
        # the dialog may have been closed in the meantime
        if isValid(self):
            self.form.apply_guess(code, found)


def _about_row(value: str, rule: str) -> str:
    """The rule with the row that breaks it before it, as there may be many."""
    named = elide_end(value, 64)
    joint = " " if rule.startswith(_VERBS) else ": "
    return named + joint + rule + ("" if rule.endswith(".") else ".")


def _sentence(rule: str) -> str:
    return rule[:1].upper() + rule[1:] + ("" if rule.endswith(".") else ".")
