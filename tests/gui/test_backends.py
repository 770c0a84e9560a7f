"""The backends in the window: how they stand, in the room there is, and which one is the default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QMenu, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from gui.formatting import health_words
from gui.main_window import MainWindow
from gui.tokens import DARK, LIGHT
from gui.widgets.backend_badge import BackendBadge
from gui.widgets.backend_strip import BackendStrip
from tests.gui.window_support import ECHO, appears, click, find, python_code, python_function, until
from tests.scenes.containers import engines_that_refuse

MANY = {
    "process": (True, "memory by sampling"),
    "docker": (True, "Docker 20.10.24+dfsg1, x86_64"),
    "podman": (False, "connection refused (the socket that CONTAINER_HOST names)"),
    "kubernetes": (False, "the cluster's certificate has expired, ask whoever runs it for another one"),
    "colima": (True, "Docker 28.2.1, arm64"),
    "docker-ci": (False, "not found"),
    "orbstack": (False, "not asked yet"),
}


@pytest.fixture(autouse=True)
def refusing() -> Iterator[None]:
    """No engine of this machine is where Stoker is told to look for one."""
    with engines_that_refuse():
        yield


@pytest.fixture
def strip(qtbot: QtBot) -> BackendStrip:
    made = BackendStrip()
    qtbot.addWidget(made)
    made.set_tokens(DARK)
    made.show_backends(MANY, "process")
    made.show()
    return made


def shown(strip: BackendStrip) -> list[BackendBadge]:
    return [badge for badge in strip.findChildren(BackendBadge) if badge.isVisible()]


@pytest.mark.parametrize(
    ("online", "detail", "words"),
    [
        (True, "Docker 20.10.24+dfsg1, x86_64", "docker 20.10.24"),
        (True, "28.2", "docker 28.2"),
        (True, "memory by sampling", "docker"),
        (False, "connection refused", "docker offline: connection refused"),
        (False, "", "docker offline"),
    ],
)
def test_how_a_backend_reads(online: bool, detail: str, words: str) -> None:
    assert health_words("docker", online, detail) == words


def test_with_room_every_backend_says_all_it_has_to_say(strip: BackendStrip) -> None:
    strip.resize(2_000, 30)
    assert [badge.shown_text() for badge in shown(strip)] == [badge.words for badge in shown(strip)]
    texts = {badge.name: badge.words for badge in shown(strip)}
    assert texts["process"] == "process · default"
    assert texts["docker"] == "docker 20.10.24"
    assert texts["docker-ci"] == "docker-ci offline: not found"
    assert texts["orbstack"] == "orbstack: looking…"
    assert not strip.more.isVisible()


def test_no_badge_lies_over_another_and_none_is_lost(strip: BackendStrip) -> None:
    for width in range(60, 1_500, 20):
        strip.resize(width, 30)
        badges = shown(strip)
        assert {badge.name for badge in badges} | set(strip.hidden_names) == set(MANY)
        assert "process" in {badge.name for badge in badges}, "the default stays"
        assert strip.more.isVisible() == bool(strip.hidden_names)
        parts: list[QWidget] = [*badges, *([strip.more] if strip.hidden_names else [])]
        edges = [(part.x(), part.x() + part.width()) for part in parts]
        assert all(left[1] <= right[0] for left, right in pairwise(edges))
        if len(badges) > 1:
            assert edges[0][0] >= 0
            assert edges[-1][1] <= width
            assert all(badge.shown_text().startswith(badge.name) for badge in badges), "a name is never cut"


def test_long_reasons_give_way_before_names_do_and_stay_in_the_tooltip(strip: BackendStrip) -> None:
    strip.resize(900, 30)
    texts = {badge.name: badge.shown_text() for badge in shown(strip)}
    assert texts["docker"] == "docker 20.10.24"
    long = find(strip, BackendBadge, "backend_kubernetes")
    assert texts["kubernetes"] != long.words
    assert "ask whoever runs it" in long.toolTip()


def test_an_engine_that_was_never_there_is_no_fault(qtbot: QtBot) -> None:
    badge = BackendBadge("podman")
    qtbot.addWidget(badge)
    badge.set_tokens(LIGHT)
    tones = []
    for online, detail in ((True, "4.3.1"), (False, "not found"), (False, "connection refused")):
        badge.show_health(online, detail, default=False)
        badge.resize(badge.sizeHint())
        picture = badge.grab().toImage()
        scale = picture.width() / badge.width()
        tones.append(picture.pixelColor(round(10 * scale), picture.height() // 2).name())
    assert tones == [LIGHT.ok, LIGHT.dim, LIGHT.error]


async def test_a_badge_opens_what_is_known_of_its_backend(window: MainWindow) -> None:
    click(window, "backend_process")
    menu = find(window, QMenu, "backend_menu")
    assert menu.isVisible()
    texts = [label.text() for label in find(menu, QWidget, "backend_details").findChildren(QLabel)]
    assert texts[0] == "process · online"
    assert window.context.runtime.backends()["process"].detail in texts
    assert "Functions that choose no backend start here." in texts
    assert menu.findChild(QAction, "make_default") is None, "it is the default: there is nothing to do"
    menu.close()


async def test_the_keyboard_opens_the_menu_and_makes_a_backend_the_default(window: MainWindow, tmp_path: Path) -> None:
    runtime = window.context.runtime
    code = python_code(tmp_path / "echo", ECHO)
    await runtime.add_function(python_function("free", code))
    await runtime.add_function(python_function("bound", code, backend="process"))
    (before,) = await runtime.launch("free")
    badge = find(window, QPushButton, "backend_docker")
    badge.setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(badge, Qt.Key.Key_Space)
    menu = find(window, QMenu, "backend_menu")
    active = menu.activeAction()
    assert active is not None
    assert active.objectName() == "make_default"
    QTest.keyClick(menu, Qt.Key.Key_Return)
    await until(lambda: runtime.default_backend() == "docker")
    await until(lambda: "default" in find(window, BackendBadge, "backend_docker").words)
    assert "default" not in find(window, BackendBadge, "backend_process").words
    model = window.functions.model
    await until(lambda: (row := model.row("free")) is not None and row.backend == "docker")
    bound = model.row("bound")
    assert bound is not None
    assert bound.backend == "process"
    assert runtime.instance(before.id).backend == "process", "what runs stays where it is"
    assert json.loads((runtime.home / "settings.json").read_text())["default_backend"] == "docker"
    assert "start on docker from now on" in window.toast.text
    assert not window.problems.kept


async def test_the_menu_bar_offers_the_same_choice(window: MainWindow) -> None:
    menu = find(window, QMenu, "default_backend_menu")
    menu.aboutToShow.emit()
    assert [(each.objectName(), each.isChecked()) for each in menu.actions()] == [
        ("default_process", True),
        ("default_docker", False),
        ("default_podman", False),
    ]
    find(menu, QAction, "default_podman").trigger()
    await until(lambda: window.context.runtime.default_backend() == "podman")
    menu.aboutToShow.emit()
    assert [each.isChecked() for each in menu.actions()] == [False, False, True]


async def test_what_cannot_be_kept_is_said_and_not_done(window: MainWindow) -> None:
    runtime = window.context.runtime
    (runtime.home / "settings.json").write_text("{ broken")
    window.backend_commands.make_default("docker")
    await until(lambda: window.problems.kept)
    assert "settings.json" in window.problems.kept[-1].sentence
    assert runtime.default_backend() == "process"


async def test_an_offline_engine_says_why_where_it_was_looked_for_and_what_happens_next(window: MainWindow) -> None:
    runtime = window.context.runtime
    await until(lambda: runtime.backends()["podman"].detail != "not asked yet")
    if runtime.backends()["podman"].online:
        pytest.skip("a podman is at one of the usual sockets of this machine")
    await until(lambda: "offline: connection refused" in find(window, BackendBadge, "backend_podman").words)
    click(window, "backend_podman")
    menu = find(window, QMenu, "backend_menu")
    told = " ".join(label.text() for label in find(menu, QWidget, "backend_details").findChildren(QLabel))
    assert "engine.sock (CONTAINER_HOST)" in told
    assert "connects by itself" in told
    find(menu, QAction, "copy_backend_details").trigger()
    assert "podman offline: connection refused" in QGuiApplication.clipboard().text()
    menu.close()


async def test_a_function_of_an_offline_engine_says_why_and_an_invocation_what_to_do(
    window: MainWindow, tmp_path: Path
) -> None:
    runtime = window.context.runtime
    await until(lambda: runtime.backends()["docker"].detail != "not asked yet")
    if runtime.backends()["docker"].online:
        pytest.skip("a docker is at one of the usual sockets of this machine")
    await runtime.add_function(python_function("echo", python_code(tmp_path / "echo", ECHO), backend="docker"))
    await until(lambda: window.functions.model.row("echo"))
    window.functions.select("echo")
    row = window.functions.model.row("echo")
    assert row is not None
    await until(lambda: row.trouble is not None and row.trouble.startswith("docker offline: connection refused"))
    assert not window.actions_.launch.isEnabled()
    assert "docker offline: connection refused" in window.actions_.launch.toolTip()
    assert not window.actions_.pull_image.isEnabled()
    await until(window.actions_.invoke.isEnabled)
    window.actions_.invoke.trigger()
    advice = await appears(window, QLabel, "error_advice")
    assert advice.text().startswith("Start docker: Stoker connects by itself once it answers.")


async def test_more_backends_than_fit_are_behind_one_button(window: MainWindow) -> None:
    window.resize(1_100, 700)
    strip = window.top_bar.backends
    strip.show_backends({**MANY, **{f"engine-{number}": (True, "1.0") for number in range(8)}}, "process")
    await until(lambda: strip.hidden_names and strip.more.isVisible())
    assert strip.more.text() == f"+{len(strip.hidden_names)}"
    assert window.top_bar.endpoint.geometry().right() <= window.top_bar.width()
    assert window.width() == 1_100, "they do not make the window wider"
