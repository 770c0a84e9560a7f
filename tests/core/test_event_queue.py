"""Queued events: accepted into the journal, delivered by the pool, tried again as Lambda does."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import core.event_queue.queue
from core.errors import (
    FunctionNotFoundError,
    HomeUnusableError,
    InvalidRequestError,
    RequestTooLargeError,
    RuntimeClosedError,
    TooManyRequestsError,
)
from core.event_queue import MAX_EVENT
from core.events import EventQueued, EventReturned, InvocationEnded, InvocationStarted
from core.names import Target, function_arn
from core.registry import Alias, EventInvoke, Reserved
from core.runtime import LambdaRuntime
from tests.core.event_queue_support import Watch, attempts, noting_function, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.core.conftest import Leftovers
    from tests.core.sources import Gate

NOTING = Target("noting")


def kept(home: Path) -> list[tuple[Any, ...]]:
    """The rows of queued events, as another process finds them."""
    with closing(sqlite3.connect(home / "journal.sqlite")) as db:
        return db.execute("SELECT request_id, function_name, qualifier, payload FROM queued_events").fetchall()


@contextmanager
def disk_without_room() -> Iterator[None]:
    """No file can be written beyond its first page: nothing can be committed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- accepting


async def test_an_event_reaches_its_function_with_its_request_id_and_is_gone_from_the_journal(
    runtime: LambdaRuntime, tmp_path: Path, home: Path
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    watch = Watch(runtime)
    request_id = await runtime.event_queue.put(NOTING, b'{"a": [1, 2]}', source="boto3")
    (settled,) = await watch.settled()
    assert (settled.request_id, settled.outcome, settled.attempts) == (request_id, "Success", 1)
    assert [(each["id"], each["event"]) for each in attempts(tmp_path)] == [(request_id, {"a": [1, 2]})]
    assert [(e.request_id, e.source) for e in watch.of(InvocationEnded)] == [(request_id, "boto3")]
    assert [e.request_id for e in watch.of(EventQueued)] == [request_id]
    assert len(runtime.event_queue) == 0
    assert kept(home) == []


async def test_an_event_is_in_the_journal_before_put_returns(
    runtime: LambdaRuntime, tmp_path: Path, home: Path, gate: Gate
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    watch = Watch(runtime)
    payload = json.dumps({"gate": str(gate.path)}).encode()
    request_id = await runtime.event_queue.put(Target("noting", "$LATEST"), payload, request_id="mine-1")
    assert kept(home) == [("mine-1", "noting", "$LATEST", payload)]
    await watch.until(lambda: bool(watch.of(InvocationStarted)))
    assert [row[0] for row in kept(home)] == [request_id], "it stays there while it is delivered"
    gate.open()
    await watch.settled()
    assert kept(home) == []


async def test_what_cannot_be_accepted_is_refused_and_leaves_nothing(
    runtime: LambdaRuntime, tmp_path: Path, home: Path, gate: Gate
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    queue = runtime.event_queue
    for target in (Target("nobody"), Target("noting", "live"), Target("noting", "7")):
        with pytest.raises(FunctionNotFoundError):
            await queue.put(target, b"{}")
    with pytest.raises(RequestTooLargeError) as too_large:
        await queue.put(NOTING, b'"' + b"x" * MAX_EVENT + b'"')
    assert (too_large.value.size, too_large.value.limit) == (MAX_EVENT + 2, 1_048_576)
    for request_id in ("", "two words", "x" * 129, "a/b"):
        with pytest.raises(InvalidRequestError):
            await queue.put(NOTING, b"{}", request_id=request_id)
    assert (len(queue), kept(home)) == (0, [])
    await queue.put(NOTING, json.dumps({"gate": str(gate.path)}).encode(), request_id="twice")
    with pytest.raises(InvalidRequestError, match="is queued"):
        await queue.put(NOTING, b"{}", request_id="twice")
    gate.open()


async def test_an_event_of_exactly_one_mebibyte_is_delivered_whole(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(noting_function(tmp_path))
    watch = Watch(runtime)
    await runtime.event_queue.put(NOTING, b'"' + b"x" * (MAX_EVENT - 2) + b'"')
    await watch.settled()
    assert [len(each["event"]) for each in attempts(tmp_path)] == [MAX_EVENT - 2]


async def test_the_number_and_the_bytes_of_what_waits_are_bounded(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.add_function(noting_function(tmp_path, max_instances=1))
    watch, queue = Watch(runtime), runtime.event_queue
    held = json.dumps({"gate": str(gate.path)}).encode()
    monkeypatch.setattr(core.event_queue.queue, "MAX_QUEUED", 3)
    results = await asyncio.gather(*(queue.put(NOTING, held) for _ in range(5)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, TooManyRequestsError)]
    assert (len(queue), len(refused)) == (3, 2), "also when they come all at once"
    monkeypatch.setattr(core.event_queue.queue, "MAX_QUEUED", 100)
    monkeypatch.setattr(core.event_queue.queue, "MAX_QUEUED_BYTES", 4 * len(held))
    await queue.put(NOTING, held)
    with pytest.raises(TooManyRequestsError, match="wait already"):
        await queue.put(NOTING, b"{}")
    for _ in range(4):
        gate.open()
    await watch.settled(4)
    await queue.put(NOTING, b"{}")
    await watch.settled(5)


async def test_a_cancelled_put_does_not_take_the_event_back(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(noting_function(tmp_path))
    watch = Watch(runtime)
    putting = asyncio.create_task(runtime.event_queue.put(NOTING, b"{}", request_id="left"))
    await asyncio.sleep(0)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert [each.request_id for each in await watch.settled()] == ["left"]


async def test_a_disk_without_room_accepts_nothing_and_later_it_does(
    runtime: LambdaRuntime, tmp_path: Path, home: Path
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    watch, queue = Watch(runtime), runtime.event_queue
    with disk_without_room(), pytest.raises(HomeUnusableError, match=r"journal\.sqlite"):
        await queue.put(NOTING, b'"' + b"x" * 500_000 + b'"', request_id="first")
    assert (len(queue), queue.pending(), kept(home)) == (0, [], [])
    await queue.put(NOTING, b'"second"', request_id="first")
    await watch.settled()
    assert [each["event"] for each in attempts(tmp_path)] == ["second"]


async def test_an_event_whose_end_cannot_be_written_is_settled_later_and_not_delivered_again(
    runtime: LambdaRuntime, tmp_path: Path, home: Path, gate: Gate
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    watch = Watch(runtime)
    await runtime.event_queue.put(NOTING, json.dumps({"gate": str(gate.path)}).encode())
    await watch.until(lambda: bool(watch.of(InvocationStarted)))
    with disk_without_room():
        gate.open()
        await watch.until(lambda: any("queued events cannot be delivered for now" in each for each in watch.troubles))
        assert len(runtime.event_queue) == 1
    assert [each.outcome for each in await watch.settled()] == ["Success"]
    assert len(attempts(tmp_path)) == 1
    assert kept(home) == []


async def test_nothing_is_accepted_once_stoker_closes(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        await runtime.close()
        with pytest.raises(RuntimeClosedError):
            await runtime.event_queue.put(NOTING, b"{}")


# --- attempts


async def test_a_function_that_fails_is_tried_twice_more_after_one_delay_and_after_two(
    home: Path, tmp_path: Path
) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0.1) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        watch = Watch(runtime)
        request_id = await runtime.event_queue.put(NOTING, b'{"fail": 9}')
        (settled,) = await watch.settled()
        assert (settled.outcome, settled.attempts) == ("RetriesExhausted", 3)
        assert [each["id"] for each in attempts(tmp_path)] == [request_id] * 3
        returned = watch.of(EventReturned)
        assert [(each.attempts, each.due_in, each.reason) for each in returned] == [
            (1, 0.1, "attempt 1"),
            (2, 0.2, "attempt 2"),
        ]
        started = [each.at for each in watch.of(InvocationStarted)]
        assert started[1] - returned[0].at > 0.09
        assert started[2] - returned[1].at > 0.19
        assert len(runtime.event_queue) == 0


async def test_the_second_attempt_may_succeed(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0.05) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        watch = Watch(runtime)
        await runtime.event_queue.put(NOTING, b'{"fail": 1}')
        assert [(each.outcome, each.attempts) for each in await watch.settled()] == [("Success", 2)]


async def test_the_configuration_counts_as_it_is_when_the_event_is_delivered(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0.2) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        await runtime.registry.event_invokes.put(EventInvoke(name="noting", qualifier="$LATEST", retries=2))
        watch = Watch(runtime)
        await runtime.event_queue.put(NOTING, b'{"fail": 9}')
        await watch.returned()
        await runtime.registry.event_invokes.put(EventInvoke(name="noting", qualifier="$LATEST", retries=0))
        assert [(each.outcome, each.attempts) for each in await watch.settled()] == [("RetriesExhausted", 2)]


async def test_the_configuration_is_that_of_the_qualifier_the_event_was_sent_to(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0.02) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        version = (await runtime.publish_version("noting")).version
        await runtime.registry.aliases.put(Alias(name="noting", qualifier="live", function_version=version))
        for configured, retries in (("$LATEST", 0), (version, 1), ("live", 2)):
            await runtime.registry.event_invokes.put(EventInvoke(name="noting", qualifier=configured, retries=retries))
        watch = Watch(runtime)
        for qualifier in (None, "$LATEST", version, "live"):
            await runtime.event_queue.put(Target("noting", qualifier), b'{"fail": 9}')
        settled = await watch.settled(4)
        assert {each.qualifier: each.attempts for each in settled} == {None: 1, "$LATEST": 1, version: 2, "live": 3}
        assert {each["arn"] for each in attempts(tmp_path)} == {
            function_arn("noting"),
            function_arn("noting", "$LATEST"),
            function_arn("noting", version),
            function_arn("noting", "live"),
        }


async def test_an_instance_that_is_killed_by_hand_was_an_attempt(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0.02) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        watch = Watch(runtime)
        await runtime.event_queue.put(NOTING, json.dumps({"gate": str(gate.path)}).encode())
        await watch.until(lambda: len(attempts(tmp_path)) == 1)
        (started,) = watch.of(InvocationStarted)
        await runtime.terminate(started.instance_id, force=True)
        assert [each.attempts for each in await watch.returned()] == [1]
        gate.open()
        assert [(each.outcome, each.attempts) for each in await watch.settled()] == [("Success", 2)]


async def test_a_throttled_event_goes_back_without_having_been_an_attempt(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    await runtime.registry.reserved.put(Reserved(name="noting", count=1))
    watch = Watch(runtime)
    other = asyncio.create_task(runtime.invoke("noting", json.dumps({"gate": str(gate.path)})))
    await watch.until(lambda: bool(watch.of(InvocationStarted)))
    request_id = await runtime.event_queue.put(NOTING, b"{}")
    (returned,) = await watch.returned()
    assert (returned.request_id, returned.attempts, returned.due_in) == (request_id, 0, 1.0)
    assert "reserved concurrency" in returned.reason
    (waiting,) = runtime.event_queue.pending()
    assert (waiting.request_id, waiting.attempts) == (request_id, 0)
    assert 0 < waiting.due_in <= 1.0
    gate.open()
    await other
    assert [(each.outcome, each.attempts) for each in await watch.settled()] == [("Success", 1)]


async def test_a_function_that_cannot_start_keeps_its_events_until_it_can(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    function = await runtime.add_function(noting_function(tmp_path, max_instances=10))
    await runtime.add_function(function.replace(backend="nowhere"))
    watch = Watch(runtime)
    for number in range(20):
        await runtime.event_queue.put(NOTING, str(number).encode())
    await watch.returned()
    assert len(watch.of(EventReturned)) <= 10, "all are not tried for nothing while it is known not to start"
    await runtime.add_function(function)
    settled = await watch.settled(20)
    assert {(each.outcome, each.attempts) for each in settled} == {("Success", 1)}
    assert sorted(each["event"] for each in attempts(tmp_path)) == list(range(20))


async def test_no_reserved_concurrency_at_all_sends_events_to_the_destination_for_failures(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    await runtime.add_function(noting_function(tmp_path, "told"))
    await runtime.registry.reserved.put(Reserved(name="noting", count=0))
    await runtime.registry.event_invokes.put(
        EventInvoke(name="noting", qualifier="$LATEST", on_failure=function_arn("told"))
    )
    watch = Watch(runtime)
    await runtime.event_queue.put(NOTING, b'{"a": 1}')
    assert [each.outcome for each in await watch.settled(2)] == ["ZeroReservedConcurrency", "Success"]
    assert attempts(tmp_path) == []
    (record,) = told(tmp_path)
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["requestPayload"] == {"a": 1}
    assert "responseContext" not in record


# --- side by side


async def test_no_more_are_under_way_than_the_function_may_have_instances(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(noting_function(tmp_path, max_instances=3))
    watch, queue = Watch(runtime), runtime.event_queue
    most = 0

    def count(_: object) -> None:
        nonlocal most
        most = max(most, runtime.running())

    runtime.events.subscribe(count)
    for _ in range(12):
        await queue.put(NOTING, json.dumps({"gate": str(gate.path)}).encode())
    await watch.until(lambda: len(watch.of(InvocationStarted)) == 3)
    assert (len(queue), queue.waiting(), queue.waiting("noting"), queue.waiting("nobody")) == (12, 9, 9, 0)
    for _ in range(12):
        gate.open()
    await watch.settled(12)
    assert most == 3
    assert (len(queue), queue.waiting(), queue.waiting("noting")) == (0, 0, 0)


async def test_a_stuck_function_holds_up_no_other(home: Path, tmp_path: Path, gate: Gate) -> None:
    # room for two instances in all: the stuck ones hold one of them, and want many
    async with LambdaRuntime.open(home=home, instance_budget=2) as runtime:
        await runtime.add_function(noting_function(tmp_path, "stuck", max_instances=1))
        await runtime.add_function(noting_function(tmp_path, "quick", max_instances=1))
        watch = Watch(runtime)
        for _ in range(10):
            await runtime.event_queue.put(Target("stuck"), json.dumps({"gate": str(gate.path)}).encode())
        for _ in range(10):
            await runtime.event_queue.put(Target("quick"), b"{}")
        assert {each.function_name for each in await watch.settled(10)} == {"quick"}
        assert runtime.event_queue.waiting("stuck") == 9
        for _ in range(10):
            gate.open()
        await watch.settled(20)


# --- taking out


async def test_a_removed_function_takes_its_events_with_it_and_a_person_is_told(
    runtime: LambdaRuntime, tmp_path: Path, home: Path, gate: Gate
) -> None:
    await runtime.add_function(noting_function(tmp_path, max_instances=1))
    await runtime.add_function(noting_function(tmp_path, "other"))
    watch, queue = Watch(runtime), runtime.event_queue
    for _ in range(5):
        await queue.put(NOTING, json.dumps({"gate": str(gate.path)}).encode())
    await watch.until(lambda: len(watch.of(InvocationStarted)) == 1)
    await runtime.remove_function("noting")
    assert {each.outcome for each in await watch.settled(5)} == {"Dropped"}
    await watch.until(lambda: bool(watch.troubles))
    assert len(watch.troubles) == 1
    assert "5 events for noting will not be delivered: noting was removed" in watch.troubles[0]
    gate.open()
    await queue.put(Target("other"), b"{}")
    assert (await watch.settled(6))[-1].function_name == "other"
    await watch.until(lambda: len(watch.of(InvocationEnded)) == 2)
    assert (len(queue), queue.waiting(), kept(home)) == (0, 0, [])
    assert len(attempts(tmp_path)) == 1, "the one that was under way went on; no other was begun"


async def test_a_removed_version_takes_only_its_own_events(runtime: LambdaRuntime, tmp_path: Path, gate: Gate) -> None:
    await runtime.add_function(noting_function(tmp_path, max_instances=1))
    version = (await runtime.publish_version("noting")).version
    watch, queue = Watch(runtime), runtime.event_queue
    held = json.dumps({"gate": str(gate.path)}).encode()
    for _ in range(2):
        await queue.put(NOTING, held)
        await queue.put(Target("noting", version), held)
    await runtime.remove_function(f"noting:{version}")
    assert {(each.qualifier, each.outcome) for each in await watch.settled(2)} == {(version, "Dropped")}
    assert len(queue) == 2
    for _ in range(4):
        gate.open()
    await watch.settled(4)


async def test_an_event_can_be_forgotten_while_it_waits_and_while_it_is_delivered(
    home: Path, tmp_path: Path, gate: Gate
) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0) as runtime:
        await runtime.add_function(noting_function(tmp_path, max_instances=1))
        watch, queue = Watch(runtime), runtime.event_queue
        held = json.dumps({"gate": str(gate.path), "fail": 9}).encode()
        first, second = [await queue.put(NOTING, held) for _ in range(2)]
        await watch.until(lambda: bool(watch.of(InvocationStarted)))
        assert [each.request_id for each in queue.pending("noting")] == [second]
        assert await queue.forget(second)
        assert await queue.forget(first)
        assert not await queue.forget(first)
        assert not await queue.forget("never")
        assert (len(queue), kept(home)) == (0, [])
        gate.open()
        await watch.until(lambda: bool(watch.of(InvocationEnded)))
        await queue.put(NOTING, b"{}", request_id="after")
        await watch.until(lambda: any(each.request_id == "after" for each in watch.of(InvocationEnded)))
        assert [each["id"] for each in attempts(tmp_path)] == [first, "after"], "no attempt after it was forgotten"


async def test_all_events_of_a_function_can_be_taken_out(
    runtime: LambdaRuntime, tmp_path: Path, home: Path, gate: Gate
) -> None:
    await runtime.add_function(noting_function(tmp_path, max_instances=1))
    watch, queue = Watch(runtime), runtime.event_queue
    for _ in range(6):
        await queue.put(NOTING, json.dumps({"gate": str(gate.path)}).encode())
    assert await queue.purge("nobody") == 0
    assert await queue.purge("noting") == 6
    assert (len(queue), queue.pending(), kept(home)) == (0, [], [])
    assert {each.outcome for each in await watch.settled(6)} == {"Dropped"}
    gate.open()


async def test_what_waits_is_listed_by_when_it_is_due(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=50) as runtime:
        await runtime.add_function(noting_function(tmp_path, max_instances=1))
        await runtime.add_function(noting_function(tmp_path, "other"))
        watch, queue = Watch(runtime), runtime.event_queue
        failed = await queue.put(Target("other"), b'{"fail": 1}', source="boto3")
        await watch.returned()
        held = json.dumps({"gate": str(gate.path)}).encode()
        ids = [await queue.put(NOTING, held) for _ in range(3)]
        await watch.until(lambda: len(watch.of(InvocationStarted)) == 2)
        assert [each.request_id for each in queue.pending()] == [*ids[1:], failed]
        assert [each.request_id for each in queue.pending("noting", 1)] == [ids[1]]
        (other,) = queue.pending("other")
        assert (other.source, other.size, other.attempts) == ("boto3", 11, 1)
        assert 45 < other.due_in <= 50
        for _ in ids:
            gate.open()
        await watch.settled(3)


# --- nothing is left


async def test_nothing_is_left_of_a_queue_that_was_closed(
    home: Path, tmp_path: Path, gate: Gate, leftovers: type[Leftovers]
) -> None:
    before = leftovers()
    async with LambdaRuntime.open(home=home, async_retry_delay=50) as runtime:
        await runtime.add_function(noting_function(tmp_path, max_instances=2))
        watch = Watch(runtime)
        await runtime.event_queue.put(NOTING, b'{"fail": 1}')
        await watch.returned()
        for _ in range(5):
            await runtime.event_queue.put(NOTING, json.dumps({"gate": str(gate.path)}).encode())
        await watch.until(lambda: len(watch.of(InvocationStarted)) == 3)
    assert await before.settle() == {}
    timers = [
        handle
        for handle in asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        if not handle.cancelled() and "core." in repr(handle)
    ]
    assert timers == []
