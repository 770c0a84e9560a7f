"""Functions that are images, their backend and their architecture, in the dialog."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from PySide6.QtWidgets import QComboBox, QDialog, QLabel, QLineEdit, QTabWidget

from core.functions import ImageConfig, LambdaFunction, host_architecture
from gui.dialogs.function import FunctionDialog
from gui.dialogs.function_form import Defaults
from gui.tasks import Tasks
from tests.gui.window_support import click, find, until

URI = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/checkout:3"
DEFAULTS = Defaults(backends=("process", "docker", "podman"), offline={"podman": "connection refused"})


@pytest.fixture
def stored() -> list[LambdaFunction]:
    return []


@pytest.fixture
async def dialog(tasks: Tasks, stored: list[LambdaFunction]) -> AsyncIterator[FunctionDialog]:
    async def store(function: LambdaFunction) -> None:
        stored.append(function)

    made = FunctionDialog(None, "Add function", tasks, DEFAULTS, store=store)
    made.open()
    yield made
    made.reject()
    await tasks.cancel_all()


def choose(dialog: FunctionDialog, name: str, data: str | None) -> None:
    """As a person does: `activated` is only emitted for what a person chooses."""
    box = find(dialog, QComboBox, name)
    box.setCurrentIndex(box.findData(data) if data is not None else 0)
    box.activated.emit(box.currentIndex())


def shown(dialog: FunctionDialog) -> set[str]:
    names = ("code", "handler", "image_uri", "entry_point", "command", "working_directory")
    return {name for name in names if find(dialog, QLineEdit, name).isVisible()}


async def test_the_package_decides_which_fields_there_are(dialog: FunctionDialog) -> None:
    tabs = find(dialog, QTabWidget, "function_tabs")
    assert shown(dialog) == {"code", "handler"}
    assert tabs.isTabVisible(2)
    choose(dialog, "package_type", "Image")
    assert shown(dialog) == {"image_uri", "entry_point", "command", "working_directory"}
    assert not tabs.isTabVisible(2), "an image takes no layers"
    choose(dialog, "package_type", "Zip")
    assert shown(dialog) == {"code", "handler"}


async def test_an_image_function_is_stored_as_it_was_typed(
    dialog: FunctionDialog, stored: list[LambdaFunction]
) -> None:
    other = "arm64" if host_architecture() == "x86_64" else "x86_64"
    find(dialog, QLineEdit, "function_name").setText("checkout")
    choose(dialog, "package_type", "Image")
    find(dialog, QLineEdit, "image_uri").setText(f" {URI} ")
    find(dialog, QLineEdit, "entry_point").setText("/entry.sh --flag 'two words'")
    find(dialog, QLineEdit, "command").setText("app.handler")
    find(dialog, QLineEdit, "working_directory").setText("/srv")
    choose(dialog, "architecture", other)
    click(dialog, "yes")
    await until(lambda: dialog.result() == QDialog.DialogCode.Accepted)
    assert stored == [
        LambdaFunction(
            function_name="checkout",
            package_type="Image",
            image_uri=URI,
            image_config=ImageConfig(("/entry.sh", "--flag", "two words"), ("app.handler",), "/srv"),
            architecture=other,
            backend="docker",
        )
    ]


async def test_an_image_is_meant_for_an_engine_that_is_there(dialog: FunctionDialog) -> None:
    backend = find(dialog, QComboBox, "backend")
    assert backend.currentData() is None
    choose(dialog, "package_type", "Image")
    assert backend.currentData() == "docker"
    choose(dialog, "package_type", "Zip")
    assert backend.currentData() is None
    choose(dialog, "backend", "process")
    choose(dialog, "package_type", "Image")
    assert backend.currentData() == "process", "what a person chose stays"
    assert find(dialog, QLabel, "backend_note").text() == "Local processes run no images: choose docker or podman."


async def test_an_offline_backend_can_be_chosen_and_says_so(dialog: FunctionDialog) -> None:
    backend = find(dialog, QComboBox, "backend")
    assert [backend.itemText(place) for place in range(backend.count())] == [
        "default (process)",
        "process",
        "docker",
        "podman (offline)",
    ]
    note = find(dialog, QLabel, "backend_note")
    assert not note.isVisible()
    choose(dialog, "backend", "podman")
    assert note.isVisible()
    assert note.text().startswith("podman is offline: connection refused.")
    choose(dialog, "backend", "docker")
    assert not note.isVisible()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"image_uri": ""}, "image_uri"),
        ({"image_uri": "two words"}, "image_uri"),
        ({"image_uri": URI, "entry_point": "sh -c 'open"}, "entry_point"),
        ({"image_uri": URI, "command": "it's"}, "command"),
        ({"image_uri": URI, "working_directory": "/" + "x" * 1_000}, "working_directory"),
    ],
)
async def test_what_is_wrong_with_an_image_stands_at_its_field(
    dialog: FunctionDialog, stored: list[LambdaFunction], fields: dict[str, str], wrong: str
) -> None:
    find(dialog, QLineEdit, "function_name").setText("checkout")
    choose(dialog, "package_type", "Image")
    for name, text in fields.items():
        find(dialog, QLineEdit, name).setText(text)
    click(dialog, "yes")
    error = find(dialog, QLabel, f"{wrong}_error")
    assert error.isVisible()
    assert error.text()
    assert not stored
    others = {"image_uri", "entry_point", "command", "working_directory"} - {wrong}
    assert not any(find(dialog, QLabel, f"{name}_error").isVisible() for name in others)


async def test_an_image_function_is_edited_with_all_it_has(
    dialog: FunctionDialog, stored: list[LambdaFunction]
) -> None:
    config = ImageConfig(("/entry.sh", "a b"), ("app.handler",), "/srv")
    before = LambdaFunction(
        function_name="checkout", package_type="Image", image_uri=URI, image_config=config, backend="podman", timeout=9
    )
    dialog.form.show_function(before, "checkout", rename=False)
    assert not find(dialog, QComboBox, "package_type").isEnabled()
    assert find(dialog, QLineEdit, "entry_point").text() == "/entry.sh 'a b'"
    click(dialog, "yes")
    await until(lambda: dialog.result() == QDialog.DialogCode.Accepted)
    assert stored == [before]


async def test_a_backend_that_is_not_here_stays_as_it_is(dialog: FunctionDialog, stored: list[LambdaFunction]) -> None:
    before = LambdaFunction(function_name="f", package_type="Image", image_uri=URI, backend="kubernetes")
    dialog.form.show_function(before, "f", rename=False)
    assert find(dialog, QComboBox, "backend").currentText() == "kubernetes (not here)"
    assert "no backend kubernetes" in find(dialog, QLabel, "backend_note").text()
    click(dialog, "yes")
    await until(lambda: dialog.result() == QDialog.DialogCode.Accepted)
    assert stored == [before]
