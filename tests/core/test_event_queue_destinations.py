"""Destinations: what another function is told of an event that ended, and what cannot be told."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from core.event_queue import MAX_EVENT
from core.event_queue.record import Response, depth_of, destination_source, invocation_record
from core.events import EventQueued, InvocationEnded
from core.names import Target, function_arn
from core.registry import Alias, EventInvoke
from core.runtime import LambdaRuntime
from tests.core.event_queue_support import Watch, attempts, noting_function, told
from tests.core.sources import python_function, scripted_function

if TYPE_CHECKING:
    from pathlib import Path


async def configure(runtime: LambdaRuntime, name: str, **fields: Any) -> None:
    await runtime.registry.event_invokes.put(EventInvoke(name=name, qualifier="$LATEST", **fields))


async def test_success_is_told_with_lambdas_own_record(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(noting_function(tmp_path))
    await runtime.add_function(noting_function(tmp_path, "told"))
    await configure(runtime, "noting", on_success=function_arn("told"), on_failure=function_arn("nobody"))
    watch = Watch(runtime)
    request_id = await runtime.event_queue.put(Target("noting"), '{"reply": {"grüße": [1, null]}}'.encode())
    await watch.settled(2)
    (record,) = told(tmp_path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:noting:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"reply": {"grüße": [1, None]}},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"grüße": [1, None]},
    }
    (own,) = (each["id"] for each in attempts(tmp_path, "told"))
    assert own != request_id, "the destination's event has a request id of its own"
    assert [e.request_id for e in watch.of(EventQueued)] == [request_id, own]
    assert [e.source for e in watch.of(InvocationEnded)] == ["api", "destination"]
    assert watch.troubles == []


async def test_the_last_failure_is_told_with_the_error_and_the_number_of_attempts(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=0.02) as runtime:
        await runtime.add_function(noting_function(tmp_path))
        await runtime.add_function(noting_function(tmp_path, "told"))
        target = (await runtime.publish_version("told")).version
        await configure(runtime, "noting", on_failure=function_arn("told", target))
        watch = Watch(runtime)
        await runtime.event_queue.put(Target("noting"), b'{"fail": 9}')
        settled = await watch.settled(2)
        assert [(e.function_name, e.qualifier) for e in settled] == [("noting", None), ("told", target)]
        (record,) = told(tmp_path)
        assert record["requestContext"]["condition"] == "RetriesExhausted"
        assert record["requestContext"]["approximateInvokeCount"] == 3
        assert record["responseContext"] == {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        }
        assert record["responsePayload"]["errorType"] == "ValueError"
        assert record["responsePayload"]["errorMessage"] == "attempt 3"


async def test_an_alias_is_named_by_the_record_and_its_version_as_executed(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    await runtime.add_function(noting_function(tmp_path, "told"))
    version = (await runtime.publish_version("noting")).version
    await runtime.registry.aliases.put(Alias(name="noting", qualifier="live", function_version=version))
    await runtime.registry.event_invokes.put(
        EventInvoke(name="noting", qualifier="live", on_success=function_arn("told"))
    )
    watch = Watch(runtime)
    await runtime.event_queue.put(Target("noting", "live"), b"[]")
    await watch.settled(2)
    (record,) = told(tmp_path)
    assert record["requestContext"]["functionArn"] == function_arn("noting", "live")
    assert record["responseContext"]["executedVersion"] == version


async def test_what_a_streaming_function_wrote_is_told_and_so_is_an_error_in_its_middle(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.add_function(noting_function(tmp_path, "told"))
    await configure(runtime, "scripted", retries=0, on_success=function_arn("told"), on_failure=function_arn("told"))
    watch = Watch(runtime)
    await runtime.event_queue.put(Target("scripted"), json.dumps([["chunk", '{"a":'], ["chunk", "1}"]]).encode())
    await watch.settled(2)
    await runtime.event_queue.put(Target("scripted"), json.dumps([["chunk", "not JSON"]]).encode())
    await watch.settled(4)
    await runtime.event_queue.put(
        Target("scripted"), json.dumps([["chunk", "half"], ["fail", "Odd", "in the middle"]]).encode()
    )
    await watch.settled(6)
    first, second, third = told(tmp_path)
    assert first["responsePayload"] == {"a": 1}
    assert second["responsePayload"] == "not JSON"
    assert third["requestContext"]["condition"] == "RetriesExhausted"
    assert third["responsePayload"] == {"errorType": "Odd", "errorMessage": "in the middle"}


async def test_a_loop_of_destinations_ends_after_sixteen_invocations(runtime: LambdaRuntime, tmp_path: Path) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        source = "def handler(event, context):\n    return 'x'\n"
        await runtime.add_function(python_function(tmp_path, source, name))
        await configure(runtime, name, on_success=function_arn(other))
    watch = Watch(runtime)
    await runtime.event_queue.put(Target("one"), b"{}")
    await watch.until(lambda: bool(watch.troubles))
    assert "follow from one another: a loop" in watch.troubles[0]
    await watch.settled(16)
    ended = watch.of(InvocationEnded)
    assert len(ended) == 16
    assert [e.source for e in ended[:3]] == ["api", "destination", "destination 2"]
    assert len(runtime.event_queue) == 0


@pytest.mark.parametrize(
    ("arn", "told_of"),
    [
        (function_arn("nobody"), "there is no function named 'nobody'"),
        (function_arn("noting", "7"), "there is no function named 'noting:7'"),
        (function_arn("noting", "lost"), "there is no function named 'noting:lost'"),
        ("arn:aws:sqs:us-east-1:000000000000:letters", "only functions of this home can be told"),
    ],
)
async def test_a_destination_that_cannot_be_told_is_told_to_a_person_once(
    runtime: LambdaRuntime, tmp_path: Path, home: Path, arn: str, told_of: str
) -> None:
    await runtime.add_function(noting_function(tmp_path))
    await configure(runtime, "noting", on_success=arn)
    watch = Watch(runtime)
    for _ in range(3):
        await runtime.event_queue.put(Target("noting"), b"{}")
    assert {each.outcome for each in await watch.settled(3)} == {"Success"}
    (trouble,) = watch.troubles
    assert f"its destination {arn} was not told" in trouble
    assert told_of in trouble


async def test_a_record_that_is_too_large_for_an_event_is_not_sent(runtime: LambdaRuntime, tmp_path: Path) -> None:
    source = f"def handler(event, context):\n    return 'x' * {MAX_EVENT * 2}\n"
    await runtime.add_function(python_function(tmp_path, source, "large"))
    await runtime.add_function(noting_function(tmp_path, "told"))
    await configure(runtime, "large", on_success=function_arn("told"))
    watch = Watch(runtime)
    request_id = await runtime.event_queue.put(Target("large"), b"{}")
    assert [each.outcome for each in await watch.settled()] == ["Success"]
    assert f"the record of {request_id} has more than the 1,048,576 bytes" in watch.troubles[0]
    assert len(runtime.event_queue) == 0
    assert told(tmp_path) == []


def record(request: bytes, response: Response | None = None) -> dict[str, Any]:
    made = invocation_record(
        wall=1_573_755_365.5687,
        request_id="r",
        target=Target("f", "3"),
        condition="EventAgeExceeded",
        invoke_count=2,
        request=request,
        response=response,
    )
    found: dict[str, Any] = json.loads(made)
    return found


@pytest.mark.parametrize(
    ("payload", "embedded"),
    [
        (b'{"a": 1.50}', {"a": 1.5}),
        (b'\xef\xbb\xbf"marked"', "marked"),
        (b"12345678901234567890", 12345678901234567890),
        (b"NaN", "NaN"),
        (b"[1,", "[1,"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_payloads_stand_in_the_record_as_json_where_they_are_json(payload: bytes, embedded: object) -> None:
    made = record(payload, Response(200, "3", None, payload))
    assert made["requestPayload"] == embedded
    assert made["responsePayload"] == embedded


def test_what_is_empty_or_was_never_answered_is_said_so() -> None:
    assert record(b" ")["requestPayload"] == {}
    assert record(b"", Response(200, "3", None, b""))["responsePayload"] is None
    unanswered = record(b"{}", Response(429, "3", "TooManyRequestsException"))
    assert unanswered["responseContext"] == {
        "statusCode": 429,
        "executedVersion": "3",
        "functionError": "TooManyRequestsException",
    }
    assert "responsePayload" not in unanswered
    assert record(b"{}")["timestamp"] == "2019-11-14T18:16:05.568Z"
    assert record(b"{}")["requestContext"]["functionArn"].endswith(":function:f:3")


def test_the_depth_of_a_chain_travels_in_the_source() -> None:
    assert [depth_of(destination_source(depth)) for depth in (1, 2, 16)] == [1, 2, 16]
    assert [depth_of(source) for source in ("api", "window", "destination x", "destinations 3", "")] == [0] * 5
