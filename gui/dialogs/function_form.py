"""The fields of a function: shows a definition, and gives back one that is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from core.errors import InvalidFunctionError
from core.functions import LambdaFunction
from core.runtimes import known_runtimes
from gui.dialogs.fields import Fields, whole_number
from gui.dialogs.guess import Guess, name_for
from gui.dialogs.layers import LayerList
from gui.dialogs.pairs import PairTable
from gui.tasks import Tasks

__all__ = ["Defaults", "FunctionForm"]

_UNSET = -1
_TAB_OF = {"environment": 1, "layers": 2, "tags": 3}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a field means that is left as it is: from the settings and the running backends."""

    backends: Sequence[str] = ("process",)
    backend: str = "process"
    max_instances: int = 10
    idle_ttl: float = 300.0


class FunctionForm(QWidget):
    """All fields. `zip_wanted` and `folder_wanted` ask for the code's path, `code_changed` says it is another."""

    zip_wanted = Signal()
    folder_wanted = Signal()
    code_changed = Signal(str)

    def __init__(self, tasks: Tasks, defaults: Defaults, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._defaults = defaults
        self._base: LambdaFunction | None = None
        self._image = False
        self._touched: set[str] = set()
        self.main = Fields()
        self.settings = Fields()
        self.environment = PairTable("environment", "Environment variables", masked=True)
        self.layers = LayerList(tasks)
        self.tags = PairTable("tags", "Tags")
        self._tab_errors: dict[str, QLabel] = {}
        self._make_main()
        self._make_settings()
        self.tabs = QTabWidget()
        self.tabs.setObjectName("function_tabs")
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.addTab(self._page(self.settings), "Settings")
        self.tabs.addTab(self._page(self.environment, "environment"), "Environment")
        self.tabs.addTab(self._page(self.layers, "layers"), "Layers")
        self.tabs.addTab(self._page(self.tags, "tags"), "Tags")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self.main)
        column.addWidget(self.tabs, 1)

    # --- in and out

    def show_function(self, function: LambdaFunction, name: str, *, rename: bool) -> None:
        """Show a definition under `name`; without `rename` the name is fixed."""
        self._base = function
        self._image = function.package_type == "Image"
        self.name.setText(name)
        # it can be read and copied, so it is not greyed out
        self.name.setReadOnly(not rename)
        if not rename:
            self.name.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            self.name.setToolTip("The name stays: Clone… makes a function with another one")
        self.code.setText(str(function.code or function.image_uri or ""))
        if self._image:
            for each in (self.runtime, self.handler, self._zip, self._folder, self.layers):
                each.setEnabled(False)
            self.code.setPlaceholderText("Name of the image")
        else:
            self.runtime.setCurrentIndex(max(0, self.runtime.findData(function.runtime)))
            self.handler.setText(function.handler or "")
        self._touched |= {"name", "runtime", "handler"}
        self.description.setText(function.description)
        self.timeout.setValue(function.timeout)
        self.memory.setValue(function.memory_size)
        self.storage.setValue(function.ephemeral_storage)
        self.backend.setCurrentIndex(max(0, self.backend.findData(function.backend)))
        self.most.setValue(0 if function.max_instances is None else function.max_instances)
        self.idle.setValue(_UNSET if function.idle_ttl is None else round(function.idle_ttl))
        self.warm.setValue(function.min_warm)
        self.record.setChecked(function.record_payloads)
        self.environment.set_pairs(function.environment)
        self.layers.set_layers(function.layers)
        self.tags.set_pairs(function.tags)

    def function(self) -> LambdaFunction:
        """What the fields say. Raises InvalidFunctionError."""
        fields: dict[str, Any] = {
            "function_name": self.name.text().strip(),
            "description": self.description.text(),
            "timeout": self.timeout.value(),
            "memory_size": self.memory.value(),
            "ephemeral_storage": self.storage.value(),
            "backend": self.backend.currentData(),
            "max_instances": self.most.value() or None,
            "idle_ttl": self._idle_ttl(),
            "min_warm": self.warm.value(),
            "record_payloads": self.record.isChecked(),
            "environment": _pairs("environment", self.environment),
            "tags": _pairs("tags", self.tags),
        }
        code = self.code.text().strip()
        if self._image:
            fields["image_uri"] = code
        else:
            if not code:
                raise InvalidFunctionError("code", "", "choose a zip or a folder with the function's code")
            fields |= {
                "runtime": self.runtime.currentData(),
                "handler": self.handler.text().strip(),
                "code": Path(code),
                "layers": self.layers.layers(),
            }
        if self._base is not None:
            return self._base.replace(**fields)
        return LambdaFunction(**fields)

    def set_code(self, path: Path) -> None:
        """Choose a zip or folder, as the person would."""
        self.code.setText(str(path))
        self._code_edited()

    def apply_guess(self, code: str, found: Guess | None) -> None:
        """Fill in what the person has not, unless the code is another one by now."""
        if code != self.code.text().strip():
            return
        if found is None:
            self.hint.setText("Choose the runtime and the handler: nothing in the code says what they are.")
        else:
            if "runtime" not in self._touched:
                self.runtime.setCurrentIndex(max(0, self.runtime.findData(found.runtime)))
            if "handler" not in self._touched:
                self.handler.setText(found.handler)
            self.hint.setText(f"Runtime and handler are taken from {found.because}.")
        self.hint.setVisible(not {"runtime", "handler"} <= self._touched)

    def wrong(self, field: str, text: str) -> bool:
        """Show an error at its field; False where there is no such field."""
        key = {"image_uri": "code", "function_name": "function_name"}.get(field, field)
        if self.main.has(key):
            self.main.wrong(key, text)
        elif self.settings.has(key):
            self.tabs.setCurrentIndex(0)
            self.settings.wrong(key, text)
        elif key in _TAB_OF:
            self.tabs.setCurrentIndex(_TAB_OF[key])
            self._tab_errors[key].setText(text)
            self._tab_errors[key].show()
        else:
            return False
        return True

    def clear_errors(self) -> None:
        """Nothing is wrong any more."""
        self.main.clear()
        self.settings.clear()
        for error in self._tab_errors.values():
            error.hide()

    # --- building

    def _make_main(self) -> None:
        self.name = _line("function_name", "Name")
        self.name.setPlaceholderText("Letters, digits, hyphens and underscores")
        self.name.textEdited.connect(lambda: self._touched.add("name"))
        self.main.add("function_name", "Name", self.name)

        self.code = _line("code", "Code: a zip or a folder")
        self.code.setPlaceholderText("A zip or a folder")
        self.code.editingFinished.connect(self._code_edited)
        self._zip, self._folder = QPushButton("Zip…"), QPushButton("Folder…")
        self._zip.setObjectName("choose_zip")
        self._folder.setObjectName("choose_folder")
        self._zip.clicked.connect(self.zip_wanted)
        self._folder.clicked.connect(self.folder_wanted)
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        line.addWidget(self.code, 1)
        for button in (self._zip, self._folder):
            button.setAutoDefault(False)
            line.addWidget(button)
        self.main.add("code", "Code", self.code, row)

        self.runtime = QComboBox()
        self.runtime.setObjectName("runtime")
        self.runtime.setAccessibleName("Runtime")
        self.runtime.setMaxVisibleItems(16)
        known = known_runtimes()
        for each in sorted(known, key=lambda runtime: runtime.deprecated):
            self.runtime.addItem(
                f"{each.identifier}  (deprecated)" if each.deprecated else each.identifier, each.identifier
            )
        self.runtime.setCurrentIndex(max(0, self.runtime.findData("python3.13")))
        self.runtime.activated.connect(lambda _: self._touched.add("runtime"))
        self.main.add("runtime", "Runtime", self.runtime)

        self.handler = _line("handler", "Handler")
        self.handler.setPlaceholderText("lambda_function.lambda_handler")
        self.handler.textEdited.connect(lambda: self._touched.add("handler"))
        self.hint = QLabel()
        self.hint.setProperty("role", "small")
        self.hint.hide()
        cell = QWidget()
        column = QVBoxLayout(cell)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.handler)
        column.addWidget(self.hint)
        self.main.add("handler", "Handler", self.handler, cell)

    def _make_settings(self) -> None:
        d = self._defaults
        self.description = _line("description", "Description")
        self.timeout = whole_number("timeout", "Timeout in seconds", (1, 900), suffix=" s")
        self.timeout.setValue(3)
        self.memory = whole_number("memory_size", "Memory in MB", (128, 10_240), suffix=" MB")
        self.storage = whole_number("ephemeral_storage", "Ephemeral storage in MB", (512, 10_240), suffix=" MB")
        self.backend = QComboBox()
        self.backend.setObjectName("backend")
        self.backend.setAccessibleName("Backend")
        self.backend.addItem(f"default ({d.backend})", None)
        for name in d.backends:
            self.backend.addItem(name, name)
        self.most = whole_number(
            "max_instances", "At most so many instances", (0, 10_000), least_means=f"default ({d.max_instances})"
        )
        self.idle = whole_number(
            "idle_ttl",
            "Reap after so many idle seconds",
            (_UNSET, 31_536_000),
            suffix=" s",
            least_means=f"default ({d.idle_ttl:g} s)",
        )
        self.idle.setValue(_UNSET)
        self.warm = whole_number("min_warm", "Keep so many warm", (0, 10_000))
        self.record = QCheckBox("Keep events and responses in the history")
        self.record.setObjectName("record_payloads")
        self.record.setChecked(True)
        add = self.settings.add
        add("description", "Description", self.description)
        pairs = (
            (("timeout", "Timeout", self.timeout), ("max_instances", "Most instances", self.most)),
            (("memory_size", "Memory", self.memory), ("min_warm", "Keep warm", self.warm)),
            (("ephemeral_storage", "Storage", self.storage), ("idle_ttl", "Reap after idle", self.idle)),
        )
        for left, right in pairs:
            add(*left, left=True)
            self.settings.beside(*right)
        add("backend", "Backend", self.backend, left=True)
        add("record_payloads", "History", self.record, left=True)
        self.settings.finish()

    def _page(self, content: QWidget, key: str = "") -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 12, 0, 0)
        column.setSpacing(8)
        column.addWidget(content, 1)
        if key:
            error = QLabel()
            error.setObjectName(f"{key}_error")
            error.setProperty("role", "error")
            error.setTextFormat(Qt.TextFormat.PlainText)
            error.setWordWrap(True)
            error.hide()
            column.addWidget(error)
            self._tab_errors[key] = error
        return page

    def _code_edited(self) -> None:
        code = self.code.text().strip()
        if not code or self._image:
            return
        if "name" not in self._touched:
            self.name.setText(name_for(Path(code)))
        self.code_changed.emit(code)

    def _idle_ttl(self) -> float | None:
        seconds = self.idle.value()
        if seconds == _UNSET:
            return None
        before = self._base.idle_ttl if self._base is not None else None
        # the box shows whole seconds; one that was not changed keeps its fraction
        return before if before is not None and round(before) == seconds else float(seconds)


def _line(object_name: str, words: str) -> QLineEdit:
    made = QLineEdit()
    made.setObjectName(object_name)
    made.setAccessibleName(words)
    return made


def _pairs(field: str, table: PairTable) -> dict[str, str]:
    try:
        return table.pairs()
    except ValueError as error:
        raise InvalidFunctionError(field, str(error), "this name is there twice") from None
