"""One set of actions for menus, buttons and shortcuts."""

from __future__ import annotations

import asyncio
import sys

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton, QWidget
from pytestqt.qtbot import QtBot

from gui.actions import LAUNCH_COUNTS, Actions, tool_button
from gui.loop import QtLoop

NAMES = (
    "launch", "terminate", "kill", "pin", "evict", "reap_idle", "reap_stale", "stop_all", "show_logs",
    "add_zip", "add_folder", "edit", "clone", "remove", "invoke", "cancel",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_action_has_words_a_name_and_a_tooltip(qtbot: QtBot, name: str) -> None:
    actions = Actions()
    action = getattr(actions, name)
    assert action.objectName() == f"{name}_action"
    assert action.text()
    assert action.toolTip()


def test_no_two_actions_of_the_same_reach_share_a_shortcut(qtbot: QtBot) -> None:
    actions = Actions()
    taken = [
        keys.toString()
        for action in vars(actions).values()
        if hasattr(action, "shortcuts") and action.shortcutContext() == Qt.ShortcutContext.WindowShortcut
        for keys in action.shortcuts()
    ]
    assert len(taken) == len(set(taken))


def test_an_action_that_cannot_be_asked_for_says_why(qtbot: QtBot) -> None:
    actions = Actions()
    actions.set_available(actions.terminate, "no instance is selected")
    assert not actions.terminate.isEnabled()
    assert "no instance is selected" in actions.terminate.toolTip()
    actions.set_available(actions.terminate, None)
    assert actions.terminate.isEnabled()
    assert "no instance" not in actions.terminate.toolTip()


def test_a_button_follows_its_action(qtbot: QtBot) -> None:
    actions = Actions()
    button = tool_button(actions.kill, "kill", danger=True)
    qtbot.addWidget(button)
    actions.set_available(actions.kill, "no instance is selected")
    assert button.objectName() == "kill"
    assert button.text() == "Kill"
    assert not button.isEnabled()
    assert "no instance is selected" in button.toolTip()


def test_a_click_on_launch_asks_for_one_and_its_menu_for_more(qtbot: QtBot) -> None:
    actions = Actions()
    holder = QWidget()
    qtbot.addWidget(holder)
    menu = actions.launch_menu(holder)
    button = tool_button(actions.launch, "launch", menu=menu)
    button.setParent(holder)
    plain: list[bool] = []
    counts: list[int] = []
    actions.launch.triggered.connect(lambda: plain.append(True))
    actions.launch_requested.connect(counts.append)
    button.click()
    for action in menu.actions():
        if not action.isSeparator():
            action.trigger()
    assert plain == [True]
    assert counts == [*LAUNCH_COUNTS, 0]
    assert button.popupMode() == QToolButton.ToolButtonPopupMode.MenuButtonPopup
    actions.set_available(actions.launch, "no function is selected")
    assert not menu.isEnabled()


async def test_callbacks_do_not_eat_references_to_none() -> None:
    """PySide6 6.12.0 on Python below 3.12 loses one at each, and the interpreter aborts."""
    before = sys.getrefcount(None)
    for _ in range(10_000):
        await asyncio.sleep(0)
    assert sys.getrefcount(None) > before - 1000


async def test_async_gui_tests_run_under_the_windows_loop() -> None:
    assert isinstance(asyncio.get_running_loop(), QtLoop)
