"""The model of the instances: right at every step, and still while it is held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QMessageLogContext, QPersistentModelIndex, Qt, QtMsgType, qInstallMessageHandler
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication

from core.events import InstanceExited, InstancePhaseChanged, InstanceUpdated
from core.instances import InstanceExit, InstanceSnapshot, InstanceState, MemoryUsage, Phase
from gui.models.instance_row import LINGER, Column
from gui.models.instances import ID_ROLE, InstancesModel
from gui.models.keyed_rows import runs
from tests.gui.instances_support import changed, snapshot

S = InstanceState
IDS = [f"i-{number:08x}" for number in range(6)]
NAMES = ["words", "search"]


@contextmanager
def no_complaints() -> Iterator[None]:
    """What Qt's model tester has to say fails the test."""
    heard: list[str] = []

    def hear(_type: QtMsgType, _context: QMessageLogContext, message: str) -> None:
        heard.append(message)

    before = qInstallMessageHandler(hear)
    try:
        yield
    finally:
        qInstallMessageHandler(before)
    assert not heard


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def made_model(*instances: InstanceSnapshot) -> tuple[InstancesModel, Clock]:
    clock = Clock()
    model = InstancesModel(clock=clock)
    model.refill(instances)
    return model, clock


def texts(model: InstancesModel, column: Column) -> list[object]:
    return [model.data(model.index(row, column)) for row in range(model.rowCount())]


# --- a sequence of anything, against a plain dict


@dataclass
class Known:
    """The plain truth: what was said last of every instance, and when it ended."""

    clock: Clock
    said: dict[str, InstanceSnapshot] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    function: str | None = None
    held: bool = False

    def shown(self) -> set[str]:
        return {key for key, each in self.said.items() if self.function in {None, each.function_name}}

    def put(self, instance: InstanceSnapshot) -> None:
        self.said[instance.id] = instance
        if instance.state.final:
            self.gone.setdefault(instance.id, self.clock.now)
        else:
            self.gone.pop(instance.id, None)

    def settle(self) -> None:
        shown = self.shown()
        for key, at in tuple(self.gone.items()):
            # a failure lingers for longer; these all end well
            if self.clock.now >= at + LINGER and not (self.held and key in shown):
                del self.gone[key], self.said[key]


states = st.sampled_from([S.STARTING, S.IDLE, S.BUSY, S.DRAINING, S.TERMINATING, S.DEAD])
puts = st.tuples(st.just("put"), st.sampled_from(IDS), states, st.integers(0, 3))
steps = st.one_of(
    st.lists(puts, min_size=1, max_size=8),
    st.tuples(st.just("sort"), st.integers(-1, len(Column) - 1), st.booleans()),
    st.tuples(st.just("filter"), st.sampled_from([None, *NAMES])),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0.5, LINGER])),
    st.tuples(st.just("memory"), st.sampled_from(IDS), st.integers(0, 3)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=25))
def test_any_sequence_leaves_it_like_a_plain_dict(qapp: QApplication, sequence: list[object]) -> None:
    model, clock = made_model()
    known = Known(clock)
    with no_complaints():
        tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Warning)
        for step in sequence:
            before = model.keys()
            ordered = False
            match step:
                case list():
                    frame = []
                    for _, key, state, served in step:
                        number = IDS.index(key)
                        each = snapshot(
                            key, state=state, served=served, created=float(number), function_name=NAMES[number % 2]
                        )
                        known.put(each)
                        frame.append(changed(each))
                    model.take(frame)
                case ("sort", int() as column, descending):
                    model.sort(column, Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder)
                    ordered = True
                case ("filter", (str() | None) as name):
                    ordered = name != known.function
                    known.function = name
                    model.set_function(name)
                case ("hold", bool() as held):
                    known.held = held
                    model.hold(held)
                    model.settle()
                    known.settle()
                    ordered = not held
                case ("wait", float() as seconds):
                    clock.now += seconds
                    model.settle()
                    known.settle()
                    ordered = not known.held
                case ("memory", str() as key, int() as amount):
                    model.set_memory([(key, MemoryUsage(amount, amount, "sampled"))])
                case _:
                    raise AssertionError(step)
            after = model.keys()
            assert set(after) == known.shown()
            assert len(after) == len(set(after))
            if not ordered:
                # nothing moved: what was there stands where it stood, what is new comes at the end
                assert after[: len(before)] == before
            elif model.sort_column is None:
                assert after == sorted(after)
            elif model.sort_column is Column.SERVED:
                values = [known.said[key].served for key in after]
                assert values in (sorted(values), sorted(values, reverse=True))
            for place, key in enumerate(after):
                assert model.data(model.index(place, 0), ID_ROLE) == key
                assert model.place_of(key) == place
                assert model.data(model.index(place, Column.STATE)) == known.said[key].state.value
                assert model.data(model.index(place, Column.SERVED)) == str(known.said[key].served)
        del tester


# --- single promises


def test_positions_become_runs() -> None:
    assert runs([5, 1, 2, 2, 7, 6]) == [(1, 2), (5, 7)]
    assert runs([]) == []


def test_new_instances_come_last_and_a_frame_is_one_insertion(qapp: QApplication) -> None:
    model, _ = made_model(snapshot("i-1", created=1.0))
    inserted = []
    model.rowsInserted.connect(lambda _parent, first, last: inserted.append((first, last)))
    model.take([changed(snapshot(key, created=2.0)) for key in ("i-2", "i-3")])
    assert model.keys() == ["i-1", "i-2", "i-3"]
    assert inserted == [(1, 2)]


def test_a_frame_of_many_changes_is_few_signals(qapp: QApplication) -> None:
    instances = [snapshot(f"i-{number}", created=float(number)) for number in range(200)]
    model, _ = made_model(*instances)
    heard = []
    model.dataChanged.connect(lambda top, bottom, _roles: heard.append((top.row(), bottom.row())))
    model.take([changed(replace(each, state=S.BUSY)) for each in instances for _ in range(3)])
    assert heard == [(0, 199), (0, 199)]


def test_a_persistent_index_follows_its_instance_through_sorting(qapp: QApplication) -> None:
    model, _ = made_model(*(snapshot(f"i-{number}", created=float(number), served=number) for number in range(5)))
    index = QPersistentModelIndex(model.index(1, Column.SERVED))
    model.sort(Column.SERVED, Qt.SortOrder.DescendingOrder)
    assert model.keys() == ["i-4", "i-3", "i-2", "i-1", "i-0"]
    assert (index.row(), index.column(), index.data()) == (3, Column.SERVED, "1")


def test_rows_without_a_value_come_last_both_ways(qapp: QApplication) -> None:
    model, _ = made_model(
        snapshot("i-a", created=1.0, reap_at=None),
        snapshot("i-b", created=2.0, reap_at=30.0),
        snapshot("i-c", created=3.0, reap_at=20.0),
    )
    model.sort(Column.REAPED_IN, Qt.SortOrder.AscendingOrder)
    assert model.keys() == ["i-c", "i-b", "i-a"]
    model.sort(Column.REAPED_IN, Qt.SortOrder.DescendingOrder)
    assert model.keys() == ["i-b", "i-c", "i-a"]
    assert model.headerData(Column.REAPED_IN, Qt.Orientation.Horizontal) == "reaped in ↓"
    model.sort(-1)
    assert model.keys() == ["i-a", "i-b", "i-c"]


def test_a_sorted_table_is_put_in_order_again_only_when_it_settles(qapp: QApplication) -> None:
    instances = [snapshot(f"i-{number}", created=float(number), served=number) for number in range(3)]
    model, _ = made_model(*instances)
    model.sort(Column.SERVED)
    model.take([InstanceUpdated(instance=replace(instances[0], served=9))])
    assert model.keys() == ["i-0", "i-1", "i-2"]
    model.hold(True)
    model.settle()
    assert model.keys() == ["i-0", "i-1", "i-2"]
    model.hold(False)
    assert model.keys() == ["i-1", "i-2", "i-0"]


def test_an_ended_instance_stays_with_its_reason_and_then_leaves(qapp: QApplication) -> None:
    model, clock = made_model(snapshot("i-1", created=1.0), snapshot("i-2", created=2.0))
    model.take([changed(snapshot("i-1", created=1.0, state=S.DEAD, reason="idle for 300 s"))])
    assert texts(model, Column.REMARK) == ["idle for 300 s", ""]
    assert model.counts() == {S.IDLE: 1}
    assert model.living() == 1
    clock.now += LINGER - 0.1
    model.settle()
    assert model.keys() == ["i-1", "i-2"]
    clock.now += 0.1
    model.settle()
    assert model.keys() == ["i-2"]


def test_ended_instances_do_not_pile_up_under_a_mouse_that_stays(qapp: QApplication) -> None:
    model, clock = made_model()
    model.hold(True)
    for number in range(500):
        model.take([changed(snapshot(f"i-{number:03}", created=float(number), state=S.DEAD))])
    clock.now += LINGER
    model.settle()
    assert model.rowCount() == 200
    assert model.keys()[-1] == "i-499"


def test_phases_and_exits_reach_the_row(qapp: QApplication) -> None:
    model, clock = made_model(snapshot("i-1", state=S.STARTING, created=999.0))
    model.take([InstancePhaseChanged(instance_id="i-1", function_name="words", phase=Phase("init", clock.now))])
    assert texts(model, Column.LAST) == ["start 1.0 s"]
    assert texts(model, Column.START) == ["init"]
    model.take(
        [
            InstanceExited(instance_id="i-1", function_name="words", exit=InstanceExit(code=1)),
            changed(snapshot("i-1", state=S.FAILED, reason="it went away")),
            InstanceExited(instance_id="i-unknown", function_name="words", exit=InstanceExit(code=1)),
        ]
    )
    assert texts(model, Column.REMARK) == ["it went away, exit code 1"]


def test_time_alone_repaints_only_what_follows_from_it(qapp: QApplication) -> None:
    model, _ = made_model(snapshot("i-1", created=1.0), snapshot("i-2", created=2.0, state=S.BUSY))
    heard = []
    model.dataChanged.connect(
        lambda top, bottom, _roles: heard.append((top.row(), bottom.row(), top.column(), bottom.column()))
    )
    model.tick(only_lively=True)
    assert heard == [(1, 1, Column.AGE, Column.LAST)]
    heard.clear()
    model.tick()
    assert heard == [(0, 1, Column.AGE, Column.LAST)]


def test_memory_repaints_only_where_it_changed(qapp: QApplication) -> None:
    model, _ = made_model(snapshot("i-1", created=1.0), snapshot("i-2", created=2.0))
    usage = MemoryUsage(38 * 1024**2, 38 * 1024**2, "sampled")
    model.set_memory([("i-2", usage), ("i-gone", usage)])
    heard = []
    model.dataChanged.connect(lambda top, _bottom, _roles: heard.append((top.row(), top.column())))
    model.set_memory([("i-2", usage)])
    assert heard == []
    model.set_memory([("i-2", replace(usage, current=1))])
    assert heard == [(1, Column.MEMORY)]
    assert texts(model, Column.MEMORY) == ["", "1 B"]


def test_a_row_is_copied_with_its_id_in_full(qapp: QApplication) -> None:
    model, _ = made_model(snapshot("i-0123456789abcdef", served=1044, created=1_000.0 - 62))
    assert model.row_text(0) == "i-0123456789abcdef\tidle\twords\tprocess\t1m 02s\t\t1,044\t\t\t\t\t"
    assert texts(model, Column.INSTANCE) == ["i-012…cdef"]
