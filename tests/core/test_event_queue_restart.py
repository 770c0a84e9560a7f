"""What of the event queue outlives Stoker: a close, a kill, a clock that is set, thousands of events."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from core.events import EventReturned, EventSettled, InvocationEnded, InvocationStarted
from core.journal import QueuedEvent, queued_events
from core.names import Target, function_arn
from core.registry import EventInvoke
from core.runtime import LambdaRuntime
from tests.core.event_queue_support import Watch, attempts, noting_function, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.core.sources import Gate

ROOT = Path(__file__).parents[2]
HOUR = 3600.0


def queued(request_id: str, *, age: float = 0.0, due_in: float = 0.0, **fields: Any) -> QueuedEvent:
    """An event as an earlier start left it, `age` seconds old."""
    now = time.time()
    given: dict[str, Any] = {
        "function_name": "noting",
        "qualifier": None,
        "payload": b"{}",
        "client_context": None,
        "source": "api",
        "attempts": 0,
        **fields,
    }
    return QueuedEvent(request_id=request_id, queued_wall=now - age, due_wall=now + due_in, **given)


async def leave(home: Path, folder: Path, events: Iterable[QueuedEvent], **fields: Any) -> None:
    """Make a home with a noting function and one that is told, and these events in its journal."""
    async with LambdaRuntime.open(home=home) as runtime:
        await runtime.add_function(noting_function(folder, **fields))
        await runtime.add_function(noting_function(folder, "told"))
        await runtime.registry.event_invokes.put(
            EventInvoke(name="noting", qualifier="$LATEST", on_failure=function_arn("told"))
        )
    with closing(sqlite3.connect(home / "journal.sqlite")) as db, db:
        for event in events:
            queued_events.put(db, event)


async def test_a_kill_loses_no_event_and_the_next_start_delivers_each(tmp_path: Path, gate: Gate) -> None:
    home, folder = tmp_path / "home", tmp_path / "functions"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.core.event_queue_to_kill", str(home), str(folder), "30", str(gate.path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        runtimes = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    psutil.wait_procs(runtimes, timeout=10)
    before = Counter(each["id"] for each in attempts(folder))
    assert sorted(before.values()) == [1, 1], "two were under way"
    for _ in range(30):
        gate.open()
    async with LambdaRuntime.open(home=home, async_retry_delay=0.1) as runtime:
        watch = Watch(runtime)
        settled = await watch.settled(31)
        assert len(runtime.event_queue) == 0
    by_id = {each.request_id: each for each in settled}
    assert set(by_id) == {facts["failed"], *facts["ids"]}
    assert {by_id[each].outcome for each in facts["ids"]} == {"Success"}
    assert Counter(each["id"] for each in attempts(folder)) == before + Counter(facts["ids"])
    failed = by_id[facts["failed"]]
    assert (failed.outcome, failed.attempts) == ("RetriesExhausted", 3), "the attempt before the kill counts"
    assert len(attempts(folder, "failing")) == 3


@pytest.mark.parametrize("drain", [False, True])
async def test_closing_leaves_what_waits_and_what_it_cut_short_to_the_next_start(
    home: Path, tmp_path: Path, gate: Gate, drain: bool
) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        await runtime.add_function(noting_function(tmp_path, max_instances=2))
        watch = Watch(runtime)
        payload = json.dumps({"gate": str(gate.path)}).encode()
        ids = [await runtime.event_queue.put(Target("noting"), payload) for _ in range(5)]
        await watch.until(lambda: len(watch.of(InvocationStarted)) == 2)
        closing = asyncio.create_task(runtime.close(drain=drain))
        if drain:
            gate.open()
            gate.open()
        await closing
        assert len(watch.of(InvocationStarted)) == 2, "nothing more is begun"
        assert len(watch.of(EventSettled)) == (2 if drain else 0)
        assert watch.of(EventReturned) == [], "what closing cut short was no attempt"
    left = 3 if drain else 5
    async with LambdaRuntime.open(home=home) as runtime:
        watch = Watch(runtime)
        assert len(runtime.event_queue) == left
        for _ in range(left):
            gate.open()
        settled = await watch.settled(left)
        assert {(each.outcome, each.attempts) for each in settled} == {("Success", 1)}
    assert Counter(each["id"] for each in attempts(tmp_path)).keys() == set(ids)


async def test_attempts_and_due_times_outlive_a_restart(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=100) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        watch = Watch(runtime)
        await runtime.event_queue.put(Target("noting"), b'{"fail": 9}', source="boto3")
        await watch.returned()
    async with LambdaRuntime.open(home=home, async_retry_delay=100) as runtime:
        (waiting,) = runtime.event_queue.pending()
        assert (waiting.attempts, waiting.source) == (1, "boto3")
        assert 90 < waiting.due_in <= 100


async def test_events_of_a_function_that_is_gone_at_the_start_are_dropped_and_a_person_is_told(
    home: Path, tmp_path: Path
) -> None:
    gone = [queued(f"gone-{number}", function_name="gone") for number in range(3)]
    await leave(home, tmp_path, [*gone, queued("lost", qualifier="lost"), queued("kept")])
    async with LambdaRuntime.open(home=home) as runtime:
        news = sorted(each for each in runtime.news if "event" in each)
        assert news == [
            "3 queued events will not be delivered: there is no function named 'gone'",
            "queued event lost will not be delivered: there is no function named 'noting:lost'",
        ]
        assert [each.request_id for each in await Watch(runtime).settled()] == ["kept"]
        assert await runtime.journal.queued_events() == []


# --- ages and clocks


async def test_what_lay_longer_than_its_age_allows_while_no_stoker_ran_is_delivered_once(
    home: Path, tmp_path: Path
) -> None:
    events = [
        queued("works", age=7 * HOUR),
        queued("fails", age=7 * HOUR, payload=b'{"fail": 9}', attempts=1),
    ]
    await leave(home, tmp_path, events)
    async with LambdaRuntime.open(home=home) as runtime:
        settled = {each.request_id: each for each in await Watch(runtime).settled(3)}
        assert settled["works"].outcome == "Success"
        assert (settled["fails"].outcome, settled["fails"].attempts) == ("EventAgeExceeded", 2)
    (record,) = told(tmp_path)
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"]["errorMessage"] == "attempt 1"


async def test_what_cannot_be_brought_to_its_function_ages_too(home: Path, tmp_path: Path) -> None:
    await leave(home, tmp_path, [queued("stuck", age=7 * HOUR)], backend="nowhere")
    async with LambdaRuntime.open(home=home) as runtime:
        watch = Watch(runtime)
        assert [(each.outcome, each.attempts) for each in await watch.settled()] == [("EventAgeExceeded", 0)]
        await watch.settled(2)
    (record,) = told(tmp_path)
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responseContext"]["functionError"] == "ServiceException"
    assert record["responseContext"]["statusCode"] == 500


async def test_a_clock_that_was_set_back_while_no_stoker_ran_does_not_stall_events(home: Path, tmp_path: Path) -> None:
    await leave(home, tmp_path, [queued("r-1", age=-24 * HOUR, due_in=24 * HOUR, attempts=1)])
    async with LambdaRuntime.open(home=home) as runtime:
        (waiting,) = runtime.event_queue.pending()
        assert waiting.due_in <= 120


@pytest.mark.parametrize("jump", [-24 * HOUR, 24 * HOUR])
async def test_a_clock_that_is_set_while_stoker_runs_changes_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0.1) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        watch = Watch(runtime)
        await runtime.event_queue.put(Target("noting"), b'{"fail": 1}')
        await watch.returned()
        clock: Callable[[], float] = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + jump)
        await runtime.event_queue.put(Target("noting"), b"{}")
        assert {each.outcome for each in await watch.settled(2, seconds=10)} == {"Success"}


# --- thousands


@pytest.mark.any_python
async def test_a_start_with_ten_thousand_events_floods_neither_memory_nor_pool(home: Path, tmp_path: Path) -> None:
    filling = b'"' + b"x" * 10_000 + b'"'
    await leave(home, tmp_path, [queued(f"r-{n}", payload=filling) for n in range(10_000)], max_instances=2)
    process = psutil.Process()
    before = process.memory_info().rss
    async with LambdaRuntime.open(home=home) as runtime:
        queue, most = runtime.event_queue, 0

        def count(_: object) -> None:
            nonlocal most
            most = max(most, runtime.running())

        assert len(queue) == 10_000
        assert [each.request_id for each in queue.pending(limit=2)] == ["r-0", "r-1"]
        watch = Watch(runtime)
        runtime.events.subscribe(count)
        await watch.settled(200)
        assert most == 2
        assert process.memory_info().rss - before < 60_000_000, "100 MB of payloads stay where they are"
        assert len(asyncio.all_tasks()) < 30
        # a call of somebody else's waits for no more than what is under way
        await runtime.invoke("noting", b"{}")
        assert await queue.purge("noting") > 9_000
        await watch.settled(10_000)
        await watch.until(lambda: runtime.running() == 0)
        assert (len(queue), queue.waiting()) == (0, 0)
        assert {each.request_id for each in watch.of(InvocationEnded)[:3]} <= {"r-0", "r-1", "r-2", "r-3"}
