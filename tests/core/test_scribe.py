"""What of events and invocations gets into the journal, how soon, and what stays out of it."""

from __future__ import annotations

import gc
import resource
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import core.events
from core.events import (
    BackendChanged,
    DefaultBackendChanged,
    Event,
    EventBus,
    FunctionAdded,
    FunctionChanged,
    FunctionRemoved,
    InstanceChanged,
    InstanceExited,
    InstanceLogged,
    InvocationQueued,
    InvocationStarted,
    Trouble,
)
from core.flight import Ending
from core.functions import LambdaFunction
from core.instances import Instance, InstanceExit, InstanceState
from core.invocation import InvocationResult
from core.journal import Journal
from core.scribe import Scribe
from core.settings import Settings

if TYPE_CHECKING:
    from core.flight import Flight

SECRET = "hunter2"
LIMIT = 1000


class Ended:
    """A flight as it is when it has ended."""

    function_name = "words"
    instance_id = "i-1"
    source = "api"
    asked_wall = 1000.5
    cold = False

    def __init__(self, request_id: str = "r-1", payload: bytes = b"{}", kept: bytes = b"[]") -> None:
        self.request_id = request_id
        self.payload = payload
        self.kept = bytearray(kept)


class Desk:
    """A scribe with its bus and its journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.bus = EventBus()
        self.scribe = Scribe(journal, self.bus, Settings(record_limit=LIMIT))

    def ended(self, flight: Ended, ending: Ending, keep_payloads: bool = True) -> None:
        self.scribe.invocation(cast("Flight", flight), ending, keep_payloads)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
async def desk(path: Path) -> AsyncIterator[Desk]:
    journal = await Journal.open(path)
    yield Desk(journal)
    await journal.close()


def function() -> LambdaFunction:
    return LambdaFunction(
        function_name="words", runtime="python3.12", handler="app.handler", environment={"KEY": SECRET}
    )


def instance() -> Instance:
    return Instance("i-1", "words", "process", "d-1", 128, 300.0, notes={"note": SECRET})


def moved(reason: str = "an invocation") -> InstanceChanged:
    return InstanceChanged(
        instance=instance().snapshot(), old=InstanceState.IDLE, new=InstanceState.BUSY, reason=reason
    )


def result(**more: Any) -> InvocationResult:
    return InvocationResult("r-1", "words", duration_ms=1.5, received=2, **more)


KEPT: list[tuple[Callable[[], Event], dict[str, object]]] = [
    (moved, {"instance": "i-1", "function": "words", "old": "idle", "new": "busy", "reason": "an invocation"}),
    (
        lambda: InstanceExited(
            instance_id="i-1", function_name="words", exit=InstanceExit(1, None, "exit status 1", (SECRET,))
        ),
        {"instance": "i-1", "function": "words", "code": 1, "signal": None, "reason": "exit status 1"},
    ),
    (
        lambda: InvocationQueued(request_id="r-1", function_name="words", position=3),
        {"request": "r-1", "function": "words", "position": 3},
    ),
    (
        lambda: InvocationStarted(
            request_id="r-1", function_name="words", instance_id="i-1", cold_start=True, waited=0.12345678, source="api"
        ),
        {"request": "r-1", "function": "words", "instance": "i-1", "waited": 0.123457},
    ),
    (lambda: FunctionAdded(function=function()), {"function": "words"}),
    (
        lambda: FunctionChanged(function=function(), deploy_changed=True),
        {"function": "words", "deploy_changed": True},
    ),
    (lambda: FunctionRemoved(function_name="words"), {"function": "words"}),
    (
        lambda: BackendChanged(backend="docker", online=False, detail="gone"),
        {"backend": "docker", "online": False, "detail": "gone"},
    ),
    (lambda: DefaultBackendChanged(backend="process"), {"backend": "process"}),
    (lambda: Trouble(about="words", message="it failed"), {"about": "words", "message": "it failed"}),
]


async def test_every_kind_that_is_kept_has_its_facts_and_no_secret(desk: Desk, path: Path) -> None:
    events = [make() for make, _ in KEPT]
    for event in events:
        desk.bus.publish(event)
    assert await desk.journal.flush()
    found = list(reversed(await desk.journal.events()))
    assert [(row.kind, row.payload) for row in found] == [
        (type(event).__name__, facts) for event, (_, facts) in zip(events, KEPT, strict=True)
    ]
    assert [row.wall for row in found] == [event.wall for event in events]
    await desk.journal.close()
    assert SECRET.encode() not in path.read_bytes()


async def test_other_kinds_are_not_even_queued(desk: Desk) -> None:
    kept = {type(make()) for make, _ in KEPT}
    everything = [each for each in vars(core.events).values() if isinstance(each, type) and issubclass(each, Event)]
    assert {each for each in everything if desk.bus.wants(each)} == kept
    desk.bus.publish(InstanceLogged(instance_id="i-1", function_name="words", lines=(SECRET,)))
    assert len(desk.journal._writer.pending) == 0


async def test_an_invocation_is_kept_as_it_ended(desk: Desk) -> None:
    desk.ended(Ended("r-1"), Ending(result(log_tail="START", max_memory_mb=31), None, True, ""))
    failed = result(function_error="Unhandled", error_type="ValueError", error_message="no", error_payload=b"{}")
    desk.ended(Ended("r-2"), Ending(failed, None, True, ""))
    desk.ended(Ended("r-3"), Ending(result(cancelled=True), None, False, "cancelled"))
    desk.ended(Ended("r-4"), Ending(None, "no instance came up", False, "it failed"))
    found = {row.request_id: row for row in await desk.journal.invocations()}
    assert [found[f"r-{n}"].status for n in range(1, 5)] == ["ok", "function error", "cancelled", "failed"]
    first = found["r-1"]
    assert (first.payload, first.response, first.log_tail, first.max_memory_mb) == (b"{}", b"[]", "START", 31)
    assert (first.started_wall, first.source, first.instance_id) == (1000.5, "api", "i-1")
    assert (found["r-2"].error_type, found["r-2"].error_message) == ("ValueError", "no")
    assert found["r-4"].error_message == "no instance came up"


async def test_of_a_large_payload_only_what_is_kept_of_it_waits(desk: Desk) -> None:
    desk.ended(Ended(payload=b"x" * 5_000_000), Ending(result(), None, True, ""))
    assert desk.journal._writer.pending._bytes < 10_000
    (row,) = await desk.journal.invocations()
    assert (row.payload, row.payload_size) == (b"x" * LIMIT, 5_000_000)


async def test_without_payloads_none_are_kept(desk: Desk) -> None:
    desk.ended(Ended(payload=SECRET.encode(), kept=b""), Ending(result(), None, True, ""), keep_payloads=False)
    (row,) = await desk.journal.invocations()
    assert (row.payload, row.response, row.payload_size) == (None, None, len(SECRET))


async def test_neither_an_event_nor_a_flight_is_held_once_it_is_written(desk: Desk) -> None:
    flight, ending = Ended(), Ending(result(), None, True, "")
    # an event takes no weak reference, so that what it carries is looked at
    note = type("Note", (str,), {})("an invocation")
    seen = weakref.ref(flight), weakref.ref(note)
    desk.ended(flight, ending)
    desk.bus.publish(moved(note))
    del flight, ending
    assert seen[0]() is None
    del note
    assert await desk.journal.flush()
    # with its next work the thread has let go of the last
    await desk.journal.event_count()
    gc.collect()
    assert seen[1]() is None


async def test_while_the_disk_is_full_large_things_wait_within_the_bound(desk: Desk, path: Path) -> None:
    pending = desk.journal._writer.pending
    await desk.journal.put_owner("o-1")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("journal.sqlite-wal").stat().st_size, hard))
    try:
        for number in range(40):
            large = (f"{number} " * 1_000_000)[:3_000_000]
            desk.bus.publish(moved(large))
            error = result(function_error="Unhandled", error_message=large, error_payload=large.encode())
            desk.ended(Ended(f"r-{number}"), Ending(error, None, True, ""))
            assert pending._bytes <= pending._max_bytes
        assert not await desk.journal.flush()
        assert 0 < pending._bytes <= pending._max_bytes
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await desk.journal.flush()
    assert (await desk.journal.invocations())[0].request_id == "r-39"


async def test_what_happens_after_the_close_is_passed_over(desk: Desk) -> None:
    desk.bus.publish(moved())
    desk.scribe.close()
    desk.scribe.close()
    for make, _ in KEPT:
        desk.bus.publish(make())
    assert await desk.journal.event_count() == 1
    await desk.journal.close()
    desk.ended(Ended(), Ending(result(), None, True, ""))


def test_events_that_wait_to_be_written_cannot_change() -> None:
    for make, _ in KEPT:
        event = make()
        for each in fields(event):
            with pytest.raises(AttributeError):
                setattr(event, each.name, None)
