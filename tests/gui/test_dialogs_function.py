"""Adding and editing a function: guesses, errors in their places, nothing typed is lost."""

from __future__ import annotations

import asyncio
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QComboBox, QDialog, QLabel, QLineEdit, QPushButton, QSpinBox

from core.errors import ZipExtractionFailedError
from core.functions import LambdaFunction, Layer
from gui.dialogs.base import ask
from gui.dialogs.function import FunctionDialog
from gui.dialogs.function_form import Defaults
from gui.dialogs.guess import guess, name_for
from gui.tasks import Tasks
from tests.gui.window_support import ECHO, click, find, python_code, until


class Store:
    """Where the dialog puts functions; fails or waits as told."""

    def __init__(self) -> None:
        self.taken: list[LambdaFunction] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def __call__(self, function: LambdaFunction) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.taken.append(function)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def dialog(tasks: Tasks, store: Store) -> AsyncIterator[FunctionDialog]:
    made = FunctionDialog(None, "Add function", tasks, Defaults(), store=store, taken=("taken",))
    made.open()
    yield made
    made.reject()
    await tasks.cancel_all()


def fill(dialog: FunctionDialog, name: str, code: Path, handler: str = "app.handler") -> None:
    find(dialog, QLineEdit, "function_name").setText(name)
    find(dialog, QLineEdit, "code").setText(str(code))
    find(dialog, QLineEdit, "handler").setText(handler)


async def test_a_valid_function_is_stored_as_it_was_typed(dialog: FunctionDialog, store: Store, tmp_path: Path) -> None:
    fill(dialog, "words", tmp_path)
    runtime = find(dialog, QComboBox, "runtime")
    runtime.setCurrentIndex(runtime.findData("nodejs24.x"))
    find(dialog, QSpinBox, "timeout").setValue(30)
    find(dialog, QSpinBox, "min_warm").setValue(1)
    find(dialog, QSpinBox, "idle_ttl").setValue(60)
    find(dialog, QCheckBox, "record_payloads").setChecked(False)
    dialog.form.environment.set_pairs({"TOKEN": "s3cret"})
    dialog.form.tags.set_pairs({"team": "a"})
    dialog.form.layers.add(tmp_path / "one")
    dialog.form.layers.add(tmp_path / "two")
    dialog.form.layers.list.setCurrentRow(1)
    click(dialog, "yes")
    await until(lambda: dialog.result() == QDialog.DialogCode.Accepted)
    (found,) = store.taken
    assert found == LambdaFunction(
        function_name="words",
        runtime="nodejs24.x",
        handler="app.handler",
        code=tmp_path,
        timeout=30,
        min_warm=1,
        idle_ttl=60.0,
        record_payloads=False,
        environment={"TOKEN": "s3cret"},
        tags={"team": "a"},
        layers=[Layer("one", tmp_path / "one"), Layer("two", tmp_path / "two")],
    )


@pytest.mark.parametrize(
    ("name", "handler", "error", "says"),
    [
        ("two words", "app.handler", "function_name_error", "letters, digits, hyphens and underscores"),
        ("taken", "app.handler", "function_name_error", "there is a function of this name"),
        ("words", "", "handler_error", "Must not be empty"),
        ("words", "a b", "handler_error", "white space"),
    ],
)
async def test_an_error_stands_at_its_field(
    dialog: FunctionDialog, store: Store, tmp_path: Path, name: str, handler: str, error: str, says: str
) -> None:
    fill(dialog, name, tmp_path, handler)
    click(dialog, "yes")
    shown = find(dialog, QLabel, error)
    assert shown.isVisible()
    assert says in shown.text()
    assert find(dialog, QLineEdit, "function_name").text() == name
    assert not store.taken
    fill(dialog, "words", tmp_path)
    click(dialog, "yes")
    assert not shown.isVisible()
    await until(lambda: store.taken)


async def test_an_error_in_another_tab_brings_that_tab_to_the_front(dialog: FunctionDialog, tmp_path: Path) -> None:
    fill(dialog, "words", tmp_path)
    dialog.form.environment.set_pairs({"AWS_REGION": "eu-west-1"})
    click(dialog, "yes")
    assert dialog.form.tabs.tabText(dialog.form.tabs.currentIndex()) == "Environment"
    assert "reserved" in find(dialog, QLabel, "environment_error").text()
    dialog.form.environment.set_pairs({})
    dialog.form.tags.set_pairs({"aws:x": "y"})
    click(dialog, "yes")
    assert dialog.form.tabs.tabText(dialog.form.tabs.currentIndex()) == "Tags"


async def test_without_code_the_dialog_asks_for_it(dialog: FunctionDialog, store: Store) -> None:
    find(dialog, QLineEdit, "function_name").setText("words")
    click(dialog, "yes")
    assert "choose a zip or a folder" in find(dialog, QLabel, "code_error").text().lower()
    assert not store.taken


async def test_an_archive_that_is_refused_keeps_the_dialog_and_what_was_typed(
    dialog: FunctionDialog, store: Store, tmp_path: Path
) -> None:
    store.error = ZipExtractionFailedError(str(tmp_path / "a.zip"), "its path leaves the archive", "../evil")
    fill(dialog, "words", tmp_path / "a.zip")
    click(dialog, "yes")
    await until(find(dialog, QLabel, "code_error").isVisible)
    assert "leaves the archive" in find(dialog, QLabel, "code_error").text()
    assert find(dialog, QLineEdit, "handler").text() == "app.handler"
    assert find(dialog, QPushButton, "yes").isEnabled()
    store.error = OSError(28, "No space left on device")
    click(dialog, "yes")
    await until(find(dialog, QLabel, "function_error").isVisible)
    assert "No space left" in find(dialog, QLabel, "function_error").text()


async def test_a_layer_that_is_refused_is_told_at_the_layers(
    dialog: FunctionDialog, store: Store, tmp_path: Path
) -> None:
    layer = tmp_path / "layer.zip"
    store.error = ZipExtractionFailedError(str(layer), "it is encrypted")
    fill(dialog, "words", tmp_path)
    dialog.form.layers.add(layer)
    click(dialog, "yes")
    await until(lambda: dialog.form.tabs.tabText(dialog.form.tabs.currentIndex()) == "Layers")
    assert "encrypted" in find(dialog, QLabel, "layers_error").text()


async def test_while_it_is_stored_progress_shows_and_cancel_stops_it(
    tasks: Tasks, store: Store, tmp_path: Path
) -> None:
    store.gate = asyncio.Event()
    dialog = FunctionDialog(None, "Add function", tasks, Defaults(), store=store)
    answer = asyncio.ensure_future(ask(dialog))
    await asyncio.sleep(0)
    fill(dialog, "words", tmp_path)
    click(dialog, "yes")
    await until(dialog._busy.isVisible)
    assert not dialog.ok.isEnabled()
    click(dialog, "no")
    assert await answer == QDialog.DialogCode.Rejected
    store.gate.set()
    await asyncio.sleep(0.01)
    assert not store.taken


async def test_runtime_handler_and_name_are_guessed_but_what_was_typed_stays(
    dialog: FunctionDialog, tmp_path: Path
) -> None:
    code = python_code(tmp_path / "my function", ECHO)
    dialog.form.set_code(code)
    await until(lambda: find(dialog, QLineEdit, "handler").text() == "app.handler")
    assert find(dialog, QLineEdit, "function_name").text() == "my-function"
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert find(dialog, QComboBox, "runtime").currentData() == own
    handler = find(dialog, QLineEdit, "handler")
    handler.clear()
    QTest.keyClicks(handler, "mine.handler")
    other = tmp_path / "node"
    other.mkdir()
    (other / "index.mjs").write_text("export const handler = async () => 1\n")
    dialog.form.set_code(other)
    await until(lambda: str(find(dialog, QComboBox, "runtime").currentData()).startswith("nodejs"))
    assert handler.text() == "mine.handler"


async def test_environment_values_are_masked_until_they_are_asked_for(dialog: FunctionDialog) -> None:
    dialog.form.tabs.setCurrentIndex(1)
    dialog.form.environment.set_pairs({"TOKEN": "s3cret"})
    masked = dialog.form.environment.table.grab().toImage()
    dialog.form.environment.set_pairs({"TOKEN": "another and longer"})
    assert dialog.form.environment.table.grab().toImage() == masked
    find(dialog, QCheckBox, "environment_show").setChecked(True)
    assert dialog.form.environment.table.grab().toImage() != masked


async def test_layers_move_up_and_down(dialog: FunctionDialog, tmp_path: Path) -> None:
    layers = dialog.form.layers
    for name in ("one", "two", "three"):
        layers.add(tmp_path / name)
    dialog.form.tabs.setCurrentIndex(2)
    layers.list.setCurrentRow(2)
    click(dialog, "layers_up")
    click(dialog, "layers_up")
    assert [layer.name for layer in layers.layers()] == ["three", "one", "two"]
    click(dialog, "layers_remove")
    assert [layer.name for layer in layers.layers()] == ["one", "two"]


async def test_editing_shows_everything_and_keeps_a_fraction_of_a_second(
    dialog: FunctionDialog, store: Store, tmp_path: Path
) -> None:
    function = LambdaFunction(
        function_name="fine",
        runtime="python2.7",
        handler="a.b",
        code=tmp_path,
        environment={"TOKEN": "s3cret"},
        idle_ttl=1.5,
        max_instances=3,
        description="what it does",
        architecture="arm64",
    )
    dialog.form.show_function(function, "fine", rename=False)
    assert "deprecated" in find(dialog, QComboBox, "runtime").currentText()
    assert find(dialog, QLineEdit, "function_name").isReadOnly()
    click(dialog, "yes")
    await until(lambda: store.taken)
    assert store.taken == [function]


def test_the_wheel_scrolls_past_figures_without_changing_them(dialog: FunctionDialog) -> None:
    for name in ("timeout", "memory_size", "idle_ttl"):
        assert find(dialog, QSpinBox, name).focusPolicy() == Qt.FocusPolicy.StrongFocus


@pytest.mark.parametrize(
    ("files", "runtime", "handler"),
    [
        ({"bootstrap": "#!/bin/sh"}, "provided.al2023", "bootstrap"),
        ({"lambda_function.py": "def lambda_handler(e, c): pass"}, "python", "lambda_function.lambda_handler"),
        ({"util.py": "x = 1", "main.py": "async def handler(e, c): pass"}, "python", "main.handler"),
        ({"index.mjs": "export const handler = awslambda.streamifyResponse()"}, "nodejs", "index.handler"),
        ({"app.js": "exports.lambdaHandler = async () => 1"}, "nodejs", "app.lambdaHandler"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_what_a_folder_or_zip_most_likely_is(
    tmp_path: Path, files: dict[str, str], runtime: str, handler: str, zipped: bool
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for name, text in files.items():
        (code / name).write_text(text)
    if zipped:
        with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        code = tmp_path / "code.zip"
    found = guess(code)
    assert found is not None
    assert found.runtime.startswith(runtime)
    assert found.handler == handler


def test_nothing_is_guessed_where_nothing_tells(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    assert guess(tmp_path) is None
    (tmp_path / "broken.zip").write_text("no zip")
    assert guess(tmp_path / "broken.zip") is None
    assert guess(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("path", "name"), [("/a/my app.zip", "my-app"), ("/a/b.c", "b-c"), ("/a/" + "x" * 80, "x" * 64)]
)
def test_a_name_is_made_from_the_file(path: str, name: str) -> None:
    assert name_for(Path(path)) == name


async def test_a_refused_archive_leaves_the_cursor_at_the_code(
    dialog: FunctionDialog, store: Store, tmp_path: Path
) -> None:
    fill(dialog, "fine", python_code(tmp_path / "fine", ECHO))
    store.error = ZipExtractionFailedError(str(tmp_path / "fine"), "entry '../x': leaves the archive (..)")
    find(dialog, QPushButton, "yes").setFocus()
    click(dialog, "yes")
    error = find(dialog, QLabel, "code_error")
    await until(lambda: bool(error.text()))
    assert dialog.focusWidget() is find(dialog, QLineEdit, "code")


async def test_an_error_goes_when_its_field_is_mended(dialog: FunctionDialog, tmp_path: Path) -> None:
    fill(dialog, "x" * 65, python_code(tmp_path / "fine", ECHO))
    dialog.submit()
    error, name = find(dialog, QLabel, "function_name_error"), find(dialog, QLineEdit, "function_name")
    assert error.isVisible()
    QTest.keyClick(name, Qt.Key.Key_Backspace)
    assert not error.isVisible()
    assert not name.property("wrong")


async def test_an_error_among_many_rows_names_the_row(dialog: FunctionDialog, tmp_path: Path) -> None:
    fill(dialog, "fine", python_code(tmp_path / "fine", ECHO))
    dialog.form.environment.set_pairs({"FINE": "1", "AWS_REGION": "x"})
    dialog.submit()
    assert find(dialog, QLabel, "environment_error").text().startswith("AWS_REGION is reserved")
