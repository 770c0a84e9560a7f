"""InvokeWithResponseStream through boto3: chunks arrive as the function writes them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError, EventStreamError

from core.endpoint.endpoint import Endpoint
from core.registry import Alias
from core.runtime import LambdaRuntime
from tests.core.endpoint.support import client_of
from tests.core.sources import Gate, python_function, scripted_function
from tests.core.test_http_client import Standalone

Ask = Callable[..., Coroutine[Any, Any, Any]]

PIECE = 256 * 1024


def header(answer: Any, name: str) -> str | None:
    found: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get(name.lower())
    return found


async def start(
    ask: Ask, client: Any, steps: Any, name: str = "scripted", **arguments: Any
) -> tuple[Any, Iterator[Any]]:
    answer = await ask(
        client.invoke_with_response_stream, FunctionName=name, Payload=json.dumps(steps).encode(), **arguments
    )
    return answer, iter(answer["EventStream"])


async def rest(ask: Ask, events: Iterator[Any]) -> tuple[list[bytes], Any]:
    """The chunks that are left, and InvokeComplete, which is the last."""
    left = await ask(list, events)
    assert [key for event in left for key in event] == ["PayloadChunk"] * (len(left) - 1) + ["InvokeComplete"]
    return [event["PayloadChunk"]["Payload"] for event in left[:-1]], left[-1]["InvokeComplete"]


# chunks


async def test_a_chunk_is_there_while_the_function_still_writes(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    answer, events = await start(call, lambda_client, [["chunk", "first"], gate.step, ["chunk", "second"]])
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert header(answer, "content-type") == "application/vnd.amazon.eventstream"
    assert await call(next, events) == {"PayloadChunk": {"Payload": b"first"}}
    assert runtime.instances()[0].state.value == "busy"
    gate.open()
    assert await rest(call, events) == ([b"second"], {})
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert (await runtime.history("scripted"))[0].request_id == request_id


async def test_arrivals_follow_the_functions_writes_one_by_one(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    words = [f"word {number}" for number in range(10)]
    steps = [step for word in words for step in (gate.step, ["chunk", word])]
    _, events = await start(call, lambda_client, [["chunk", "ready"], *steps])
    assert await call(next, events) == {"PayloadChunk": {"Payload": b"ready"}}
    for word in words:
        # nothing of it is written yet
        gate.open()
        assert await call(next, events) == {"PayloadChunk": {"Payload": word.encode()}}
    assert await rest(call, events) == ([], {})


async def test_chunks_stay_apart_as_they_were_written(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    words = ["a", "bb", "ä" * 100, "c" * 3000] * 50
    _, events = await start(call, lambda_client, [["chunk", word] for word in words])
    assert await rest(call, events) == ([word.encode() for word in words], {})


async def test_many_large_chunks_come_whole_and_in_order(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    _, events = await start(call, lambda_client, [["flood", 400, 65_536]])
    chunks, complete = await rest(call, events)
    assert complete == {}
    assert [len(chunk) for chunk in chunks] == [65_536] * 400
    assert [int(chunk[:8]) for chunk in chunks] == list(range(400))


async def test_what_is_larger_than_a_frame_may_be_is_split(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = "def handler(event, context):\n    return 'x' * event\n"
    await runtime.add_function(python_function(tmp_path, source))
    _, events = await start(call, lambda_client, PIECE * 3, "python")
    chunks, complete = await rest(call, events)
    assert complete == {}
    assert b"".join(chunks) == b'"' + b"x" * PIECE * 3 + b'"'
    assert [len(chunk) for chunk in chunks] == [PIECE, PIECE, PIECE, 2]


async def test_a_function_that_does_not_stream_is_one_chunk_and_its_end(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, "def handler(event, context):\n    return event\n"))
    _, events = await start(call, lambda_client, {"n": 1}, "python")
    assert await rest(call, events) == ([b'{"n": 1}'], {})


async def test_a_stream_of_nothing_is_only_its_end(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    _, events = await start(call, lambda_client, [])
    assert await rest(call, events) == ([], {})


# its log


async def test_the_end_carries_the_log_where_it_is_asked_for(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    steps = [["say", "before"], ["chunk", "x"], ["say", "after"]]
    answer, events = await start(call, lambda_client, steps, LogType="Tail")
    chunks, complete = await rest(call, events)
    assert chunks == [b"x"]
    assert list(complete) == ["LogResult"]
    request_id = answer["ResponseMetadata"]["RequestId"]
    lines = base64.b64decode(complete["LogResult"], validate=True).decode().splitlines()
    assert lines[:-1] == [
        f"START RequestId: {request_id} Version: $LATEST",
        "before",
        "after",
        f"END RequestId: {request_id}",
    ]
    assert lines[-1].startswith(f"REPORT RequestId: {request_id}\t")


async def test_twenty_streams_at_once_each_get_their_own_chunks_and_lines(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path, max_instances=5))

    async def one(number: int) -> None:
        said = [f"{number} says {line}" for line in range(10)]
        steps = [step for line in said for step in (["say", line], ["chunk", line])]
        answer, events = await start(call, lambda_client, steps, LogType="Tail")
        chunks, complete = await rest(call, events)
        assert chunks == [line.encode() for line in said]
        lines = base64.b64decode(complete["LogResult"]).decode().splitlines()
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
        assert lines[1:-2] == said
        assert lines[-1].startswith(f"REPORT RequestId: {request_id}\t")

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(one(number))


# what the function does wrong


async def test_an_error_in_the_middle_arrives_after_the_chunks(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    steps = [["chunk", "one"], ["chunk", "two"], ["fail", "Custom.Broken", "no more of it: ä"]]
    _, events = await start(call, lambda_client, steps)
    chunks, complete = await rest(call, events)
    assert chunks == [b"one", b"two"]
    assert complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"]) == {
        "errorType": "Custom.Broken",
        "errorMessage": "no more of it: ä",
    }
    assert "LogResult" not in complete


@pytest.mark.parametrize(
    ("step", "timeout", "error_type"),
    [
        (["exit", 3], 20, "Runtime.ExitError"),
        (["kill"], 20, "Runtime.ExitError"),
        (["cut"], 20, "Runtime.TruncatedResponse"),
        (["sleep", 60], 1, "Sandbox.Timedout"),
    ],
    ids=["exit", "kill", "cut", "timeout"],
)
async def test_what_had_arrived_stays_before_the_error(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, step: Any, timeout: int, error_type: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path, timeout=timeout))
    _, events = await start(call, lambda_client, [["chunk", "one"], step], LogType="Tail")
    chunks, complete = await rest(call, events)
    assert chunks[0] == b"one"
    assert complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"])["errorType"] == error_type
    assert "START" in base64.b64decode(complete["LogResult"]).decode()


@pytest.mark.parametrize(
    "source", ["def handler(event, context):\n    raise KeyError('gone')\n", "raise KeyError('gone')\n"]
)
async def test_an_error_before_any_response_is_told_at_the_end_alone(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, source: str
) -> None:
    await runtime.add_function(python_function(tmp_path, source))
    answer, events = await start(call, lambda_client, {}, "python")
    assert answer["StatusCode"] == 200
    chunks, complete = await rest(call, events)
    assert chunks == []
    assert complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"])["errorType"] == "KeyError"


# what is asked for


async def test_a_dry_run_checks_and_runs_nothing(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    answer, _ = await start(call, lambda_client, [], InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    answer["EventStream"].close()
    assert runtime.instances() == []
    assert await runtime.history() == []


async def test_versions_and_aliases_stream(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.publish_version("scripted")
    await runtime.registry.aliases.put(Alias(name="scripted", qualifier="live", function_version="1"))
    for name, qualifier in (("scripted:1", None), ("scripted", "1"), ("scripted", "live")):
        arguments = {} if qualifier is None else {"Qualifier": qualifier}
        answer, events = await start(call, lambda_client, [["chunk", "x"]], name, **arguments)
        assert answer["ExecutedVersion"] == "1"
        assert await rest(call, events) == ([b"x"], {})


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ({"FunctionName": "none"}, 404, "ResourceNotFoundException"),
        ({"Qualifier": "live"}, 404, "ResourceNotFoundException"),
        ({"Payload": b"{"}, 400, "InvalidRequestContentException"),
        ({"ClientContext": "string"}, 400, "InvalidRequestContentException"),
        ({"InvocationType": "Event"}, 400, "ValidationException"),
        ({"Payload": b'"' + b"x" * 6 * 1024 * 1024 + b'"'}, 413, "RequestTooLargeException"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_own_status(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, arguments: Any, status: int, code: str
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    with pytest.raises(ClientError) as caught:
        await call(lambda_client.invoke_with_response_stream, **{"FunctionName": "scripted", **arguments})
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert runtime.instances() == []


# a reader that does not read


async def test_a_slow_reader_stops_the_writer_and_nobody_else(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.add_function(python_function(tmp_path, "def handler(event, context):\n    return event\n"))
    count, size = 1500, 65_536
    me = psutil.Process()
    _, events = await start(call, lambda_client, [["flood", count, size]])
    first = (await call(next, events))["PayloadChunk"]["Payload"]
    pid = runtime.instances("scripted")[0].pid
    assert pid is not None
    writer = psutil.Process(pid)
    used = await stands_still(writer)
    before = me.memory_info().rss
    for number in range(20):
        answer = await call(lambda_client.invoke, FunctionName="python", Payload=str(number).encode())
        assert await call(answer["Payload"].read) == str(number).encode()
    assert sum(writer.cpu_times()[:2]) == used
    assert runtime.instances("scripted")[0].state.value == "busy"
    # of 94 MB that the function wants to write nothing like that is kept
    assert me.memory_info().rss - before < 20_000_000
    chunks, complete = await rest(call, events)
    assert complete == {}
    assert [int(chunk[:8]) for chunk in [first, *chunks]] == list(range(count))


async def stands_still(process: psutil.Process) -> float:
    """Wait until a process uses the processor no more; how many seconds it had used."""
    used, same = -1.0, 0
    while same < 10:
        now = sum(process.cpu_times()[:2])
        same = same + 1 if now == used else 0
        used = now
        await asyncio.sleep(0.02)
    return used


# what is Stoker's own fault


async def test_a_connection_to_an_instance_that_breaks_is_no_error_of_the_functions(
    home: Path, call: Ask, tmp_path: Path, gate: Gate
) -> None:
    backend = Standalone()
    async with LambdaRuntime.open(home=home, backends=[backend]) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        endpoint = Endpoint(runtime)
        await endpoint.open()
        client = client_of(endpoint.url)
        _, events = await start(call, client, [["chunk", "first"], gate.step])
        assert await call(next, events) == {"PayloadChunk": {"Payload": b"first"}}
        handle = runtime.instances()[0].handle
        assert handle is not None
        await backend.terminate(handle)
        with pytest.raises(EventStreamError) as caught:
            await call(next, events)
        assert caught.value.response["Error"]["Code"] == "ServiceException"
        assert "broke off" in caught.value.response["Error"]["Message"]
        client.close()
        await endpoint.close()
        await endpoint.aclose()


async def test_an_instance_that_cannot_be_reached_is_a_status(home: Path, call: Ask, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, backends=[Standalone(dead=5)]) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        endpoint = Endpoint(runtime)
        await endpoint.open()
        client = client_of(endpoint.url)
        for operation in (client.invoke, client.invoke_with_response_stream):
            with pytest.raises(ClientError) as caught:
                await call(operation, FunctionName="scripted")
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
            assert caught.value.response["Error"]["Code"] == "ServiceException"
            assert "cannot be reached" in caught.value.response["Error"]["Message"]
        client.close()
        await endpoint.close()
        await endpoint.aclose()
