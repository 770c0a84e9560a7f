"""The dialogs that reap: what is ticked, what cannot be, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QLabel, QPushButton, QSpinBox

from core.backends.base import StaleCandidate
from core.instances import Instance, InstanceSnapshot
from core.owners import Owner
from gui.dialogs.base import ask
from gui.dialogs.confirm import Choice, choose
from gui.dialogs.launch import LaunchDialog
from gui.dialogs.reap_idle import ReapIdleDialog
from gui.dialogs.reap_stale import ReapStaleDialog
from gui.tasks import Tasks
from gui.theme import Theme
from tests.gui.window_support import appears, click, find, until

DEAD = StaleCandidate("one", "process", "process", "pid 12", "dead-owner", "words", 61.0, True, "its owner is dead")
UNKNOWN = replace(DEAD, id="two", owner="stranger", age=None, reap=False, reason="nothing is known of its owner")


@pytest.fixture
def living_owner() -> Iterator[str]:
    owner = Owner.acquire()
    yield owner.id
    owner.release()


class Engine:
    """What is left behind, until it is reaped; what is in `stuck` stays."""

    def __init__(self, *candidates: StaleCandidate) -> None:
        self.left = list(candidates)
        self.stuck: set[str] = set()
        self.error: Exception | None = None

    async def look(self) -> list[StaleCandidate]:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return list(self.left)

    async def reap(self, ids: Collection[str]) -> list[StaleCandidate]:
        await asyncio.sleep(0)
        self.left = [each for each in self.left if each.id not in ids or each.id in self.stuck]
        return []


Open = Callable[[Engine], ReapStaleDialog]


@pytest.fixture
async def opened(tasks: Tasks, theme: Theme) -> AsyncIterator[Open]:
    made: list[ReapStaleDialog] = []

    def open_dialog(engine: Engine) -> ReapStaleDialog:
        dialog = ReapStaleDialog(None, theme, tasks, engine.look, engine.reap)
        dialog.look()
        dialog.open()
        made.append(dialog)
        return dialog

    yield open_dialog
    await tasks.cancel_all()
    for dialog in made:
        dialog.reject()


async def test_only_what_belongs_to_the_dead_is_ticked(opened: Open, living_owner: str) -> None:
    alive = replace(DEAD, id="three", owner=living_owner, reap=False, reason="its owner runs")
    dialog = opened(Engine(DEAD, UNKNOWN, alive))
    await until(lambda: dialog.table.rowCount() == 3)
    assert dialog.ticked() == ["one"]
    assert [item.text() for column in (1, 2, 4, 6) if (item := dialog.table.item(0, column))] == [
        "process pid 12", "words", "1m 01s", "its owner is dead",
    ]  # fmt: skip
    unknown, living = dialog.table.item(1, 0), dialog.table.item(2, 0)
    assert unknown is not None
    assert living is not None
    assert unknown.flags() & Qt.ItemFlag.ItemIsUserCheckable
    assert not living.flags() & Qt.ItemFlag.ItemIsUserCheckable
    assert find(dialog, QPushButton, "yes").text() == "Reap 1"
    unknown.setCheckState(Qt.CheckState.Checked)
    assert dialog.ticked() == ["one", "two"]
    assert find(dialog, QPushButton, "yes").text() == "Reap 2"


async def test_what_is_ticked_is_reaped_and_the_outcome_told(opened: Open) -> None:
    engine = Engine(DEAD, UNKNOWN)
    dialog = opened(engine)
    await until(lambda: dialog.table.rowCount() == 2)
    click(dialog, "yes")
    await until(lambda: dialog.table.rowCount() == 1)
    assert [each.id for each in engine.left] == ["two"]
    text = find(dialog, QLabel, "reap_stale_text").text()
    assert text.startswith("Removed 1 item.")
    assert not find(dialog, QPushButton, "yes").isEnabled()


async def test_what_could_not_be_removed_is_told(opened: Open) -> None:
    engine = Engine(DEAD)
    engine.stuck.add("one")
    dialog = opened(engine)
    await until(lambda: dialog.table.rowCount() == 1)
    click(dialog, "yes")
    await until(lambda: "could not be removed" in find(dialog, QLabel, "reap_stale_text").text())


async def test_nothing_left_behind_is_said_and_a_failure_too(opened: Open, tasks: Tasks) -> None:
    engine = Engine()
    dialog = opened(engine)
    await until(lambda: find(dialog, QLabel, "reap_stale_text").text() == "Nothing was left behind.")
    engine.error = PermissionError(13, "Permission denied", "/x")
    failures: list[str] = []
    tasks.failed.connect(lambda what, _: failures.append(what))
    click(dialog, "look_again")
    await until(lambda: failures)
    assert "Permission denied" in find(dialog, QLabel, "reap_stale_text").text()


def _instance(name: str) -> InstanceSnapshot:
    return Instance(
        id="i-1", function_name=name, backend="process", deploy_id="d", memory_limit_mb=128, idle_ttl=300.0
    ).snapshot()


async def test_reap_idle_counts_again_when_the_time_or_the_pool_changes() -> None:
    pool = [(10.0, _instance("words")), (20.0, _instance("words")), (30.0, _instance("echo"))]
    dialog = ReapIdleDialog(None, None, lambda ttl: [each for idle, each in pool if idle >= ttl])
    assert find(dialog, QLabel, "reap_idle_count").text() == "This ends 3 instances."
    find(dialog, QSpinBox, "reap_idle_ttl").setValue(15)
    assert find(dialog, QLabel, "reap_idle_count").text() == "This ends 2 instances."
    pool.clear()
    dialog.recount()
    assert "Nothing is idle" in find(dialog, QLabel, "reap_idle_count").text()
    assert not find(dialog, QPushButton, "yes").isEnabled()
    dialog.deleteLater()


async def test_launch_n_offers_no_more_than_the_limit_leaves() -> None:
    dialog = LaunchDialog(None, "words", has=4, cap=10)
    assert (dialog.count.minimum(), dialog.count.maximum()) == (1, 6)
    dialog.deleteLater()


async def test_a_question_that_is_cancelled_goes_away(tmp_path: Path) -> None:
    from PySide6.QtWidgets import QWidget

    parent = QWidget()
    parent.show()
    asked = asyncio.ensure_future(choose(parent, "Really?", "It is gone then.", [Choice("go", "Go")]))
    await appears(parent, QDialog, "confirm")
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: not any(each.isVisible() for each in parent.findChildren(QDialog)))


async def test_escape_means_no_and_enter_by_habit_destroys_nothing() -> None:
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QWidget

    parent = QWidget()
    parent.show()
    for key in (Qt.Key.Key_Escape, Qt.Key.Key_Return):
        asked = asyncio.ensure_future(choose(parent, "Really?", "Gone.", [Choice("go", "Go", danger=True)]))
        dialog = await appears(parent, QDialog, "confirm")
        QTest.keyClick(dialog, key)
        assert await asked is None


async def test_a_dialog_is_deleted_once_it_was_answered() -> None:
    dialog = QDialog()
    gone: list[bool] = []
    dialog.destroyed.connect(lambda: gone.append(True))
    answer = asyncio.ensure_future(ask(dialog))
    await asyncio.sleep(0)
    dialog.accept()
    assert await answer == QDialog.DialogCode.Accepted
    await until(lambda: gone)
