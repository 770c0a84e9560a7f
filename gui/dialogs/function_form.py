"""The fields of a function: shows a definition, and gives back one that is checked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from core.functions import ImageConfig, LambdaFunction, host_architecture
from core.runtimes import known_runtimes
from gui.dialogs.fields import Fields, whole_number
from gui.dialogs.guess import Guess, name_for
from gui.dialogs.layers import LayerList
from gui.dialogs.pairs import PairTable
from gui.tasks import Tasks

__all__ = ["Defaults", "FunctionForm"]

_UNSET = -1
_PROCESS = "process"
_OF_ZIP = ("code", "runtime", "handler")
_OF_IMAGE = ("image_uri", "entry_point", "command", "working_directory")
_TAB_OF = {"environment": 1, "layers": 2, "tags": 3}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a field means that is left as it is: from the settings and the running backends."""

    backends: Sequence[str] = ("process",)
    offline: Mapping[str, str] = field(default_factory=dict)
    """Why, for those that are not there now."""
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
        self._package_changed()

    # --- in and out

    def show_function(self, function: LambdaFunction, name: str, *, rename: bool) -> None:
        """Show a definition under `name`; without `rename` the name is fixed."""
        self._base = function
        self.package.setCurrentIndex(self.package.findData(function.package_type))
        self._package_changed()
        self.name.setText(name)
        # it can be read and copied, so it is not greyed out
        self.name.setReadOnly(not rename)
        if not rename:
            self.name.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            self.name.setToolTip("The name stays: Clone… makes a function with another one")
            # as on Lambda
            self.package.setEnabled(False)
            self.package.setToolTip("The package type stays: Clone… makes a function with another one")
        if self._image:
            config = function.image_config or ImageConfig()
            self.image.setText(function.image_uri or "")
            self.entry_point.setText(shlex.join(config.entry_point))
            self.command.setText(shlex.join(config.command))
            self.directory.setText(config.working_directory or "")
        else:
            self.code.setText(str(function.code or ""))
            self.runtime.setCurrentIndex(max(0, self.runtime.findData(function.runtime)))
            self.handler.setText(function.handler or "")
        self._touched |= {"name", "runtime", "handler", "backend"}
        self.description.setText(function.description)
        self.timeout.setValue(function.timeout)
        self.memory.setValue(function.memory_size)
        self.storage.setValue(function.ephemeral_storage)
        self._choose_backend(function.backend)
        self.architecture.setCurrentIndex(self.architecture.findData(function.architecture))
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
            "architecture": self.architecture.currentData(),
            "max_instances": self.most.value() or None,
            "idle_ttl": self._idle_ttl(),
            "min_warm": self.warm.value(),
            "record_payloads": self.record.isChecked(),
            "environment": _pairs("environment", self.environment),
            "tags": _pairs("tags", self.tags),
        }
        if self._image:
            fields |= {
                "package_type": "Image",
                "image_uri": self.image.text().strip(),
                "image_config": self._image_config(),
                "runtime": None,
                "handler": None,
                "code": None,
                "layers": (),
            }
        else:
            code = self.code.text().strip()
            if not code:
                raise InvalidFunctionError("code", "", "choose a zip or a folder with the function's code")
            fields |= {
                "package_type": "Zip",
                "image_uri": None,
                "image_config": None,
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
        key = field.removeprefix("image_config.")
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

        self.package = QComboBox()
        self.package.setObjectName("package_type")
        self.package.setAccessibleName("Package type")
        self.package.addItem("Zip or folder", "Zip")
        self.package.addItem("Container image", "Image")
        self.package.activated.connect(lambda _: self._package_chosen())
        self.main.add("package_type", "Package", self.package, left=True)

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
        self._make_image()

    def _make_image(self) -> None:
        self.image = _line("image_uri", "Name of the image")
        self.image.setPlaceholderText("As the engine knows it: registry/repository:tag")
        self.entry_point = _line("entry_point", "Entry point, in place of the image's")
        self.command = _line("command", "Command, in place of the image's")
        self.directory = _line("working_directory", "Working directory, in place of the image's")
        for field_ in (self.entry_point, self.command, self.directory):
            field_.setPlaceholderText("The image's own")
        for field_ in (self.entry_point, self.command):
            field_.setToolTip("Words as in a shell; quote one that has blanks")
        self.main.add("image_uri", "Image", self.image)
        self.main.add("entry_point", "Entry point", self.entry_point)
        self.main.add("command", "Command", self.command)
        self.main.add("working_directory", "Directory", self.directory)

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
            self.backend.addItem(f"{name} (offline)" if name in d.offline else name, name)
            if name in d.offline:
                tip = f"offline: {d.offline[name]}"
                self.backend.setItemData(self.backend.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.backend.activated.connect(lambda _: self._touched.add("backend"))
        self.backend.currentIndexChanged.connect(lambda _: self._tell_of_backend())
        self.architecture = QComboBox()
        self.architecture.setObjectName("architecture")
        self.architecture.setAccessibleName("Architecture")
        for each in ("x86_64", "arm64"):
            here = " (this machine)" if each == host_architecture() else ""
            self.architecture.addItem(f"{each}{here}", each)
        self.architecture.setCurrentIndex(self.architecture.findData(host_architecture()))
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
        self.settings.beside("architecture", "Architecture", self.architecture)
        self._backend_note = self.settings.note("backend_note")
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

    # --- what depends on what

    @property
    def _image(self) -> bool:
        return bool(self.package.currentData() == "Image")

    def _package_chosen(self) -> None:
        self._package_changed()
        if self._image and "backend" not in self._touched:
            # processes run no images: an engine that is there will be meant
            there = [name for name in self._defaults.backends if name not in {_PROCESS, *self._defaults.offline}]
            if self._defaults.backend == _PROCESS and there:
                self.backend.setCurrentIndex(self.backend.findData(there[0]))
        elif "backend" not in self._touched:
            self.backend.setCurrentIndex(0)
        (self.image if self._image else self.code).setFocus(Qt.FocusReason.OtherFocusReason)

    def _package_changed(self) -> None:
        image = self._image
        for key in _OF_ZIP:
            self.main.set_shown(key, not image)
        for key in _OF_IMAGE:
            self.main.set_shown(key, image)
        self.tabs.setTabVisible(_TAB_OF["layers"], not image)
        self._tell_of_backend()

    def _choose_backend(self, name: str | None) -> None:
        """Also one that this Stoker does not have: saving must not make it another."""
        if name is not None and self.backend.findData(name) < 0:
            self.backend.addItem(f"{name} (not here)", name)
        self.backend.setCurrentIndex(self.backend.findData(name) if name is not None else 0)

    def _tell_of_backend(self) -> None:
        name = self.backend.currentData() or self._defaults.backend
        offline = self._defaults.offline
        if self._image and name == _PROCESS:
            engines = [each for each in self._defaults.backends if each != _PROCESS]
            text = "Local processes run no images"
            text += f": choose {' or '.join(engines)}." if engines else "."
        elif name in offline:
            text = f"{name} is offline: {offline[name]}. The function is kept, and can start once {name} is back."
        elif name not in self._defaults.backends:
            text = f"There is no backend {name} here. The function is kept, and cannot start."
        else:
            text = ""
        self._backend_note.setText(text)
        self._backend_note.setVisible(bool(text))

    def _image_config(self) -> ImageConfig | None:
        words = {}
        for key, field_ in (("entry_point", self.entry_point), ("command", self.command)):
            try:
                words[key] = tuple(shlex.split(field_.text()))
            except ValueError as error:
                rule = f"cannot be read as words of a shell: {str(error).lower()}"
                raise InvalidFunctionError(f"image_config.{key}", field_.text(), rule) from None
        directory = self.directory.text().strip() or None
        if not any(words.values()) and directory is None:
            return None
        return ImageConfig(words["entry_point"], words["command"], directory)

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
