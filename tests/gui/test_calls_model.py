"""The list of calls: events become rows, the last thousand of them, and nothing moves under the mouse."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from core.events import Event
from gui.models.call_row import TITLES, CallColumn
from gui.models.calls import CALLS_KEPT, CallsModel
from tests.gui.endpoint_support import (
    call_ended,
    call_started,
    invocation_ended,
    invocation_started,
    streaming,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model(qtbot: QtBot, clock: Clock) -> CallsModel:
    return CallsModel(clock=clock)


def text(model: CallsModel, row: int, column: CallColumn) -> str:
    return str(model.index(row, column).data())


def words(model: CallsModel, row: int = 0) -> dict[str, str]:
    return {TITLES[column]: text(model, row, column) for column in CallColumn}


def finished(count: int, first: int = 0, function: str = "words") -> list[Event]:
    found: list[Event] = []
    for number in range(first, first + count):
        found += [call_started(f"c-{number}", function=function), call_ended(f"c-{number}", function=function)]
    return found


def test_a_call_is_there_while_it_runs_and_says_how_it_ended(model: CallsModel, clock: Clock) -> None:
    model.take([call_started("c-1", at=clock.now)])
    clock.now += 1.9
    assert model.running() == 1
    shown = words(model)
    assert (shown["caller"], shown["operation"], shown["function"]) == ("Boto3/1.44.5", "Invoke", "words")
    assert (shown["status"], shown["duration"]) == ("running", "1.9 s")
    assert model.cell(0, CallColumn.STATUS).pill
    model.take([invocation_started("c-1"), streaming("c-1")])
    assert words(model)["status"] == "streaming"
    assert words(model)["instance"] == "i-1"
    model.take([call_ended("c-1", seconds=2.51)])
    assert (words(model)["status"], words(model)["duration"], words(model)[""]) == ("200", "2.51 s", "")
    assert not model.cell(0, CallColumn.STATUS).pill
    assert model.running() == 0


def test_an_error_is_red_with_its_code(model: CallsModel) -> None:
    model.take([call_started("c-1"), call_ended("c-1", 404, error="ResourceNotFoundException")])
    assert words(model)[""] == "ResourceNotFoundException"
    assert model.cell(0, CallColumn.STATUS).tone == "error"
    assert model.cell(0, CallColumn.REMARK).tone == "error"


def test_what_the_function_did_wrong_is_told_though_the_status_is_200(model: CallsModel) -> None:
    model.take([call_started("c-1"), invocation_started("c-1"), invocation_ended("c-1", "ValueError")])
    model.take([call_ended("c-1", 200)])
    assert (words(model)["status"], words(model)[""]) == ("200", "ValueError")
    assert model.cell(0, CallColumn.REMARK).tone == "error"
    assert model.cell(0, CallColumn.STATUS).tone == "dim"


def test_a_client_that_went_away_is_said_to_have_gone(model: CallsModel) -> None:
    model.take([call_started("c-1"), call_ended("c-1", 0, gone=True), call_started("c-2")])
    model.take([call_ended("c-2", 200, gone=True)])
    assert (words(model, 0)["status"], words(model, 0)[""]) == ("none", "client gone")
    assert (words(model, 1)["status"], words(model, 1)[""]) == ("200", "client gone")


def test_arns_are_shown_as_names_and_an_unreadable_name_as_it_came(model: CallsModel) -> None:
    arn = "arn:aws:lambda:us-east-1:000000000000:function:words"
    for number, name in enumerate((arn, f"{arn}:live", f"{arn}:$LATEST", "000000000000:function:words:3", "no//name")):
        model.take([call_started(f"c-{number}", function=name)])
    assert [text(model, row, CallColumn.FUNCTION) for row in range(5)] == [
        "words",
        "words:live",
        "words",
        "words:3",
        "no//name",
    ]


def test_an_end_without_a_beginning_is_a_row_too(model: CallsModel) -> None:
    model.take([call_ended("c-1", 200)])
    assert words(model)["status"] == "200"
    assert (model.seen, model.running()) == (1, 0)


def test_the_calls_of_one_function_with_all_its_versions_and_aliases(model: CallsModel) -> None:
    model.take([call_started("c-1"), call_started("c-2", function="words:live"), call_started("c-3", function="echo")])
    model.take([invocation_started("c-2", key="words:3"), call_started("c-4", "ListFunctions", None)])
    model.set_function("words")
    assert model.keys() == ["c-1", "c-2"]
    model.set_function("words:3")
    assert model.keys() == ["c-2"]
    model.set_function("word")
    assert model.keys() == []
    model.set_function(None)
    assert model.keys() == ["c-1", "c-2", "c-3", "c-4"]


def test_a_call_whose_function_is_told_later_comes_into_the_filtered_list(model: CallsModel) -> None:
    model.set_function("words")
    model.take([call_started("c-1", "CreateFunction", None), call_started("c-2", "FunctionUrl", None)])
    assert model.keys() == []
    model.take([invocation_started("c-2"), call_ended("c-1", 201)])
    assert sorted(model.keys()) == ["c-1", "c-2"]


def test_only_the_last_thousand_are_kept_and_what_runs_stays_however_old(model: CallsModel) -> None:
    model.take([call_started("long")])
    model.take(finished(CALLS_KEPT + 500))
    assert model.rowCount() == model.kept == CALLS_KEPT
    assert model.keys()[:2] == ["long", "c-501"]
    assert model.seen == CALLS_KEPT + 501
    model.take([call_ended("long"), *finished(1, 9_000)])
    assert model.place_of("long") is None


def test_nothing_leaves_while_it_is_held_and_it_catches_up_afterwards(model: CallsModel) -> None:
    model.take(finished(CALLS_KEPT))
    model.hold(True)
    before = model.keys()
    model.take(finished(600, 2_000))
    assert model.keys()[:CALLS_KEPT] == before
    model.take(finished(3_000, 4_000))
    assert model.keys()[:CALLS_KEPT] == before
    # one frame may go past it, but it does not grow for ever
    shown = model.rowCount()
    model.take(finished(3_000, 10_000))
    assert model.rowCount() == shown
    model.hold(False)
    assert model.keys() == [f"c-{number}" for number in range(12_000, 13_000)]


def test_asleep_it_keeps_the_books_and_tells_no_view(model: CallsModel) -> None:
    model.wake(False)
    told: list[str] = []
    model.rowsInserted.connect(lambda *_: told.append("inserted"))
    model.take([call_started("runs"), *finished(3)])
    assert (told, model.rowCount(), model.running(), model.kept) == ([], 0, 1, 4)
    model.wake(True)
    assert model.rowCount() == 4


def test_clear_forgets_what_is_over(model: CallsModel) -> None:
    model.take([call_started("runs"), *finished(5)])
    model.clear()
    assert model.keys() == ["runs"]
    model.take([call_ended("runs")])
    assert words(model)["status"] == "200"


def test_what_only_watches_is_not_counted_as_under_way(model: CallsModel) -> None:
    model.take([call_started("c-1"), call_started("c-2", "StreamEvents", None)])
    assert model.running() == 2
    assert model.running(but=frozenset({"StreamEvents"})) == 1


def test_a_long_call_is_counted_in_whole_seconds(model: CallsModel, clock: Clock) -> None:
    model.take([call_started("c-1", at=clock.now)])
    clock.now += 9.0
    assert model.tick()
    clock.now += 5.2
    assert not model.tick()
    assert words(model)["duration"] == "14 s"


def test_a_row_as_text_has_its_request_id_and_the_tooltip_is_escaped(model: CallsModel) -> None:
    model.take([call_started("c-1", caller="<b>evil</b>"), call_ended("c-1", caller="<b>evil</b>")])
    assert model.row_text(0).split("\t")[-1] == "c-1"
    tip = str(model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole))
    assert "<b>" not in tip
    assert "&lt;b&gt;evil" in tip


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 30)),
        st.tuples(st.just("end"), st.integers(0, 30)),
        st.tuples(st.just("take"), st.integers(0, 30)),
        st.tuples(st.sampled_from(["hold", "free", "wake", "sleep", "clear", "words", "all"]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_steps)
def test_whatever_happens_qt_is_told_rightly_and_it_catches_up(qtbot: QtBot, steps: list[tuple[str, int]]) -> None:
    model = CallsModel()
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    started: set[str] = set()
    for step, number in steps:
        key = f"c-{number}"
        function = "words" if number % 2 else "echo"
        match step:
            case "start" if key not in started:
                started.add(key)
                model.take([call_started(key, function=function)])
            case "end":
                model.take([call_ended(key, function=function)])
                started.add(key)
            case "take":
                model.take([invocation_started(key, function), invocation_ended(key, "E")])
            case "hold" | "free":
                model.hold(step == "hold")
            case "wake" | "sleep":
                model.wake(step == "wake")
            case "clear":
                model.clear()
            case "words" | "all":
                model.set_function("words" if step == "words" else None)
            case _:
                pass
    model.wake(True)
    model.hold(False)
    model.set_function(None)
    assert model.rowCount() == model.kept
    assert model.running() <= model.kept
    tester.deleteLater()
