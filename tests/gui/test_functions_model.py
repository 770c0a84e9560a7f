"""The functions list: figures follow the pool's events, the filter works at the source."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from core.backends.base import BackendHealth
from core.errors import FunctionNotFoundError
from core.events import (
    BackendChanged,
    Event,
    FunctionAdded,
    FunctionChanged,
    FunctionRemoved,
    ImagePullChanged,
    InstanceChanged,
    InvocationEnded,
    QueueChanged,
)
from core.functions import LambdaFunction
from core.images import ImagePull, PullState
from core.instances import Instance, InstanceSnapshot, InstanceState
from core.invocation import InvocationResult
from gui.models.functions import ROW_ROLE, FunctionRow, FunctionsModel


class Core:
    """What the model asks the runtime, answered from lists."""

    def __init__(self, *functions: LambdaFunction) -> None:
        self.known = {function.function_name: function for function in functions}
        self.cannot: dict[str, str] = {}
        self.health = BackendHealth(True, "1.0")

    def functions(self) -> list[LambdaFunction]:
        return list(self.known.values())

    def instances(self) -> list[InstanceSnapshot]:
        return []

    def waiting(self, name: str | None = None) -> int:
        return 0

    def default_backend(self) -> str:
        return "process"

    def backends(self) -> dict[str, BackendHealth]:
        return {"process": self.health}

    def image_of(self, name: str) -> str | None:
        if name not in self.known:
            raise FunctionNotFoundError(name)
        return f"images/{name}:1"

    def unsupported(self, name: str) -> str | None:
        return self.cannot.get(name)


def function(name: str, runtime: str = "python3.13") -> LambdaFunction:
    return LambdaFunction(function_name=name, runtime=runtime, handler="app.handler", code=Path("/nowhere"))


def moved(name: str, instance_id: str, new: InstanceState) -> InstanceChanged:
    instance = Instance(
        id=instance_id,
        function_name=name,
        backend="process",
        deploy_id="d",
        memory_limit_mb=128,
        idle_ttl=300.0,
        state=new,
        created=time.monotonic(),
    )
    return InstanceChanged(instance=instance.snapshot(), old=None, new=new, reason="a test")


def ended(name: str, error: str | None = None, *, cancelled: bool = False) -> InvocationEnded:
    result = InvocationResult(
        request_id="r",
        function_name=name,
        function_error="Unhandled" if error else None,
        error_type=error,
        cancelled=cancelled,
    )
    return InvocationEnded(
        request_id="r", function_name=name, instance_id="i-1", result=result, error=None, source="window"
    )


@pytest.fixture
def core() -> Core:
    return Core(function("words", "provided.al2023"), function("checkout"), function("thumbs", "nodejs24.x"))


@pytest.fixture
def model(core: Core, qtbot: QtBot) -> FunctionsModel:
    made = FunctionsModel(core)  # type: ignore[arg-type]
    tester = QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Fatal, made)
    assert tester is not None
    return made


def row(model: FunctionsModel, name: str) -> FunctionRow:
    found = model.row(name)
    assert found is not None
    return found


def test_functions_are_listed_by_name(model: FunctionsModel) -> None:
    assert model.shown == ["checkout", "thumbs", "words"]
    index = model.index(0)
    assert index.data() == "checkout"
    assert isinstance(index.data(ROW_ROLE), FunctionRow)
    assert "python3.13 · process" in index.data(Qt.ItemDataRole.AccessibleTextRole)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("WORD", ["words"]),
        ("node", ["thumbs"]),
        ("process", ["checkout", "thumbs", "words"]),
        ("python proc", ["checkout"]),
        ("nothing", []),
    ],
)
def test_the_filter_looks_at_name_runtime_and_backend(model: FunctionsModel, text: str, shown: list[str]) -> None:
    model.set_filter(text)
    assert model.shown == shown
    model.set_filter("")
    assert model.shown == ["checkout", "thumbs", "words"]


def test_states_queue_and_failures_follow_the_events(model: FunctionsModel) -> None:
    model.take([moved("words", "i-1", InstanceState.STARTING), moved("words", "i-2", InstanceState.STARTING)])
    model.take([moved("words", "i-1", InstanceState.BUSY), moved("words", "i-2", InstanceState.IDLE)])
    model.take([QueueChanged(function_name="words", waiting=4, waiting_all=7), ended("words", "ValueError")])
    words = row(model, "words")
    assert +words.counts == Counter({InstanceState.BUSY: 1, InstanceState.IDLE: 1})
    assert (words.waiting, model.waiting_all, words.failed, model.total()) == (4, 7, "ValueError", 2)
    assert "4 invocations wait" in words.summary
    model.take([ended("words", "ValueError", cancelled=True)])
    assert words.failed == "ValueError"
    model.take([ended("words")])
    assert words.failed is None
    model.take([moved("words", "i-1", InstanceState.DEAD), moved("words", "i-2", InstanceState.FAILED)])
    assert (words.instances, model.total()) == (0, 0)
    assert "cold" in words.summary


def test_a_function_that_is_changed_keeps_its_figures(model: FunctionsModel, core: Core) -> None:
    model.take([moved("words", "i-1", InstanceState.IDLE), ended("words", "ValueError")])
    changed = function("words", "python3.12")
    core.known["words"] = changed
    model.take([FunctionChanged(function=changed, deploy_changed=True)])
    words = row(model, "words")
    assert (words.runtime, words.instances, words.failed) == ("python3.12", 1, "ValueError")


def test_added_and_removed_functions_come_and_go_in_their_places(model: FunctionsModel, core: Core) -> None:
    core.known["echo"] = function("echo")
    model.take([FunctionAdded(function=core.known["echo"])])
    assert model.shown == ["checkout", "echo", "thumbs", "words"]
    del core.known["checkout"]
    model.take([FunctionRemoved(function_name="checkout")])
    assert model.shown == ["echo", "thumbs", "words"]


def test_a_function_that_cannot_run_says_why_and_an_offline_backend_too(core: Core, qtbot: QtBot) -> None:
    core.cannot["thumbs"] = "node is not installed"
    model = FunctionsModel(core)  # type: ignore[arg-type]
    assert row(model, "thumbs").trouble == "node is not installed"
    assert row(model, "words").trouble is None
    core.health = BackendHealth(False, "connection refused")
    model.take([BackendChanged(backend="process", online=False, detail="connection refused")])
    assert row(model, "words").trouble == "process offline: connection refused"


STATES = st.sampled_from(list(InstanceState))
CHANGES = st.lists(st.tuples(st.sampled_from(["checkout", "words", "gone"]), st.integers(0, 5), STATES), max_size=60)


@given(CHANGES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counts_are_those_of_a_plain_dict(qtbot: QtBot, changes: list[tuple[str, int, InstanceState]]) -> None:
    model = FunctionsModel(Core(function("checkout"), function("words")))  # type: ignore[arg-type]
    plain: dict[str, tuple[str, InstanceState]] = {}
    events: list[Event] = []
    for name, number, state in changes:
        # an id belongs to one function for ever
        key = f"i-{name}-{number}"
        events.append(moved(name, key, state))
        if state.final:
            plain.pop(key, None)
        else:
            plain[key] = (name, state)
    for place in range(0, len(events), 7):
        model.take(events[place : place + 7])
    for name in ("checkout", "words"):
        assert +row(model, name).counts == Counter(state for owner, state in plain.values() if owner == name)
    assert model.total() == len(plain)


def test_a_function_whose_image_is_on_its_way_says_so_until_it_is_there(core: Core, qtbot: QtBot) -> None:
    model = FunctionsModel(core)  # type: ignore[arg-type]
    pull = ImagePull("p-1", "process", "images/words:1", PullState.PULLING, 3, 1, 10, 30, "", 0.0)
    model.take([ImagePullChanged(pull=pull)])
    assert row(model, "words").pulling == "images/words:1"
    assert "its image is being pulled: images/words:1" in row(model, "words").summary
    assert [name for name in model.names() if row(model, name).pulling] == ["words"]
    model.take([FunctionChanged(function=core.known["words"], deploy_changed=True)])
    assert row(model, "words").pulling, "an edit does not stop it"
    model.take([ImagePullChanged(pull=replace(pull, backend="other", state=PullState.DONE))])
    assert row(model, "words").pulling, "that was another engine's"
    model.take([ImagePullChanged(pull=replace(pull, state=PullState.FAILED, detail="no"))])
    assert row(model, "words").pulling is None


def test_a_pull_of_a_function_that_was_removed_in_the_same_frame_is_no_fault(core: Core, qtbot: QtBot) -> None:
    model = FunctionsModel(core)  # type: ignore[arg-type]
    pull = ImagePull("p-1", "process", "images/words:1", PullState.PULLING, 3, 1, 10, 30, "", 0.0)
    del core.known["words"]
    model.take([ImagePullChanged(pull=pull), FunctionRemoved(function_name="words")])
    assert model.row("words") is None
