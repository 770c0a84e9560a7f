"""Images on their way: how far they are, what became of them, and what a person can do about it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import cast

import pytest
from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton
from pytestqt.qtbot import QtBot

from core.errors import ImagePullError
from core.events import EventBus, ImagePullChanged
from core.functions import LambdaFunction
from core.images import ImagePull, PullState
from core.runtime import LambdaRuntime
from gui.context import Context
from gui.formatting import format_share
from gui.models.coalescer import Coalescer
from gui.models.pulls import Pulls
from gui.panels.pulls import PullsPanel
from gui.tasks import Tasks
from gui.theme import Theme
from gui.widgets.pull_row import PullRow, progress_of
from tests.gui.window_support import click, find, until

MB = 1024 * 1024
PULL = ImagePull(
    id="p-1",
    backend="docker",
    image="registry.example/team/checkout:3",
    state=PullState.PULLING,
    layers=7,
    layers_done=3,
    received=41 * MB,
    total=120 * MB,
    detail="",
    started=time.monotonic(),
)


class Engines:
    """What the panel asks the runtime: functions, their images, and pulls that a test carries out."""

    def __init__(self) -> None:
        self.events = EventBus()
        self.cancelled: list[str] = []
        self.asked: list[str] = []
        self.known = [LambdaFunction(function_name="checkout", package_type="Image", image_uri=PULL.image)]

    def pulls(self) -> list[ImagePull]:
        return []

    def functions(self) -> list[LambdaFunction]:
        return self.known

    def default_backend(self) -> str:
        return "docker"

    def image_of(self, name: str) -> str | None:
        return PULL.image if name == "checkout" else None

    def cancel_pull(self, pull_id: str) -> bool:
        self.cancelled.append(pull_id)
        return True

    async def prepull(self, name: str) -> None:
        self.asked.append(name)
        raise ImagePullError(PULL.image, "docker", "manifest unknown")


@pytest.fixture
def engines() -> Engines:
    return Engines()


@pytest.fixture
def context(engines: Engines, theme: Theme) -> Context:
    return Context(cast(LambdaRuntime, engines), Tasks(), theme, Coalescer(engines.events))


@pytest.fixture
def panel(qtbot: QtBot, context: Context) -> PullsPanel:
    made = PullsPanel(context)
    qtbot.addWidget(made)
    return made


def tell(context: Context, *pulls: ImagePull) -> None:
    """A frame with these events."""
    for pull in pulls:
        context.runtime.events.publish(ImagePullChanged(pull=pull))
    context.coalescer.flush()


@pytest.mark.parametrize(
    ("done", "of", "words"),
    [
        (41 * MB, 120 * MB, "41 of 120 MB"),
        (0, 120 * MB, "0 of 120 MB"),
        (500, 1_400, "0.5 of 1.4 KB"),
        (41 * MB, 0, "41 MB"),
        (0, 0, ""),
    ],
)
def test_bytes_that_have_come_read_in_the_unit_of_all(done: int, of: int, words: str) -> None:
    assert format_share(done, of) == words


def test_progress_is_of_bytes_else_of_layers_else_unknown() -> None:
    assert progress_of(PULL) == pytest.approx(41 / 120)
    assert progress_of(replace(PULL, total=0)) == pytest.approx(3 / 7)
    assert progress_of(replace(PULL, total=0, layers_done=0)) is None
    assert progress_of(replace(PULL, received=200 * MB)) == 1.0


def test_a_failed_pull_stays_until_the_image_is_fetched_once_more(qtbot: QtBot) -> None:
    model = Pulls()
    model.take([ImagePullChanged(pull=PULL)])
    model.take([ImagePullChanged(pull=replace(PULL, state=PullState.FAILED, detail="manifest unknown"))])
    assert [pull.state for pull in model.all()] == [PullState.FAILED]
    again = replace(PULL, id="p-2", received=0)
    model.take([ImagePullChanged(pull=again)])
    assert model.all() == [again]
    model.take([ImagePullChanged(pull=replace(again, state=PullState.DONE))])
    assert model.all() == []


def test_it_takes_no_room_while_nothing_is_pulled(panel: PullsPanel, context: Context) -> None:
    assert panel.isHidden()
    tell(context, PULL)
    assert not panel.isHidden()
    tell(context, replace(PULL, state=PullState.DONE))
    assert panel.isHidden()


def test_a_row_says_what_is_pulled_how_far_and_for_whom(panel: PullsPanel, context: Context) -> None:
    tell(context, PULL)
    panel.show()
    assert find(panel, QLabel, "pull_state").text() == "pulling"
    assert find(panel, QLabel, "pull_image_name").text() == PULL.image
    assert find(panel, QLabel, "pull_detail").text() == "on docker, for checkout"
    assert find(panel, QLabel, "pull_layers").text() == "layers 3 of 7"
    assert find(panel, QLabel, "pull_bytes").text() == "41 of 120 MB"
    bar = find(panel, QProgressBar, "pull_bar")
    assert bar.value() / bar.maximum() == pytest.approx(41 / 120, abs=0.01)
    tell(context, replace(PULL, layers_done=5, received=90 * MB))
    assert find(panel, QLabel, "pull_bytes").text() == "90 of 120 MB"
    assert len(panel.findChildren(PullRow)) == 1, "it is the same row"


def test_cancel_gives_exactly_this_pull_up(panel: PullsPanel, context: Context, engines: Engines) -> None:
    tell(context, PULL, replace(PULL, id="p-2", image="other:1"))
    panel.show()
    rows = panel.findChildren(PullRow)
    click(rows[1], "pull_cancel")
    assert engines.cancelled == ["p-2"]


def test_what_became_of_it_is_said(panel: PullsPanel, context: Context, qtbot: QtBot) -> None:
    said: list[str] = []
    panel.said.connect(said.append)
    tell(context, PULL, replace(PULL, state=PullState.DONE))
    tell(context, replace(PULL, id="p-2"), replace(PULL, id="p-2", state=PullState.CANCELLED))
    assert said[0] == f"Pulled {PULL.image} on docker"
    assert said[1].startswith(f"Gave up the pull of {PULL.image}")


async def test_a_failure_stands_there_with_its_reason_and_a_retry(
    panel: PullsPanel, context: Context, engines: Engines
) -> None:
    failed: list[object] = []
    context.tasks.failed.connect(lambda what, error: failed.append(error))
    tell(context, PULL, replace(PULL, state=PullState.FAILED, detail="manifest unknown"))
    panel.show()
    assert find(panel, QLabel, "pull_state").text() == "pull failed"
    assert find(panel, QLabel, "pull_detail").text() == "on docker: manifest unknown"
    assert not find(panel, QPushButton, "pull_cancel").isVisible()
    click(panel, "pull_retry")
    await until(lambda: engines.asked == ["checkout"])
    await context.tasks.cancel_all()
    assert not failed, "the row says it already"
    click(panel, "pull_dismiss")
    assert panel.isHidden()


def test_nobody_can_retry_for_a_function_that_has_gone(panel: PullsPanel, context: Context, engines: Engines) -> None:
    engines.known.clear()
    tell(context, PULL, replace(PULL, state=PullState.FAILED, detail="manifest unknown"))
    panel.show()
    assert not find(panel, QPushButton, "pull_retry").isVisible()
    assert find(panel, QPushButton, "pull_dismiss").isVisible()


def test_many_pulls_show_as_three_and_a_count(panel: PullsPanel, context: Context) -> None:
    tell(context, *(replace(PULL, id=f"p-{number}", image=f"image:{number}") for number in range(5)))
    assert len([row for row in panel.findChildren(PullRow) if not row.isHidden()]) == 3
    assert find(panel, QLabel, "pulls_more").text() == "and 2 more images"
