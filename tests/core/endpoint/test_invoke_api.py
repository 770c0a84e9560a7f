"""Invoke through boto3: what comes back, and how it fails."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from core.endpoint.endpoint import Endpoint
from core.events import CallEnded, CallStarted, Event, InvocationEnded
from core.invocation import InvocationResult
from core.names import ACCOUNT, REGION
from core.registry import Alias, Reserved
from core.runtime import LambdaRuntime
from tests.core.endpoint.support import client_of
from tests.core.sources import Gate, python_function, scripted_function

Ask = Callable[..., Coroutine[Any, Any, Any]]

UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:echo"

ECHO = """
import json

def handler(event, context):
    print("event", json.dumps(event))
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn}
"""


def header(answer: Any, name: str) -> str | None:
    found: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get(name.lower())
    return found


def text(log: str) -> str:
    return base64.b64decode(log, validate=True).decode()


async def body(ask: Ask, answer: Any) -> Any:
    return json.loads(await ask(answer["Payload"].read))


async def until(runtime: LambdaRuntime, true: Callable[[], bool]) -> None:
    """Wait for the event after which `true` holds."""
    changed = asyncio.Event()
    unsubscribe = runtime.events.subscribe(lambda _: changed.set())
    try:
        while not true():
            changed.clear()
            await changed.wait()
    finally:
        unsubscribe()


@asynccontextmanager
async def ended(runtime: LambdaRuntime) -> AsyncIterator[asyncio.Queue[InvocationResult]]:
    """The results of the invocations that end meanwhile."""
    results: asyncio.Queue[InvocationResult] = asyncio.Queue()

    def put(event: Event) -> None:
        if isinstance(event, InvocationEnded) and event.result is not None:
            results.put_nowait(event.result)

    unsubscribe = runtime.events.subscribe(put)
    try:
        yield results
    finally:
        unsubscribe()


async def refused(ask: Ask, *args: Any, **kwargs: Any) -> tuple[int, str, str]:
    """Status, code and message of an answer that is an error."""
    with pytest.raises(ClientError) as caught:
        await ask(*args, **kwargs)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


# what a synchronous invocation answers


async def test_an_invocation_answers_with_the_functions_own_response(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    answer = await call(lambda_client.invoke, FunctionName="echo", Payload=b'{"text": "\xc3\xa4"}')
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert header(answer, "content-type") == "application/json"
    assert "FunctionError" not in answer
    assert "LogResult" not in answer
    got = await body(call, answer)
    assert got["event"] == {"text": "ä"}
    assert got["arn"] == ARN
    # one id for the caller, the function and the history
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert UUID.fullmatch(request_id)
    assert got["id"] == request_id
    assert (await runtime.history("echo"))[0].request_id == request_id


@pytest.mark.parametrize("payload", [None, b""])
async def test_an_empty_event_reaches_the_function_as_an_empty_object(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, payload: bytes | None
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    arguments = {} if payload is None else {"Payload": payload}
    answer = await call(lambda_client.invoke, FunctionName="echo", **arguments)
    assert (await body(call, answer))["event"] == {}


@pytest.mark.parametrize("event", [None, True, 0, 1.5, "text", [], {"a": [1, {"b": None}]}])
async def test_every_kind_of_json_reaches_the_function(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, event: Any
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    answer = await call(lambda_client.invoke, FunctionName="echo", Payload=json.dumps(event).encode())
    assert (await body(call, answer))["event"] == event


async def test_a_function_that_streams_is_answered_whole(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    steps = json.dumps([["chunk", "one "], ["chunk", "two "], ["chunk", "three"]]).encode()
    answer = await call(lambda_client.invoke, FunctionName="scripted", Payload=steps)
    assert await call(answer["Payload"].read) == b"one two three"
    assert header(answer, "content-type") == "text/plain"


async def test_of_a_stream_that_fails_on_its_way_the_error_is_told(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    steps = json.dumps([["chunk", "half of "], ["fail", "Custom.Broken", "no more"]]).encode()
    answer = await call(lambda_client.invoke, FunctionName="scripted", Payload=steps)
    assert answer["FunctionError"] == "Unhandled"
    assert header(answer, "content-type") == "application/json"
    assert await body(call, answer) == {"errorType": "Custom.Broken", "errorMessage": "no more"}


async def test_a_trace_header_is_passed_through(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = "import os\n\ndef handler(event, context):\n    return os.environ.get('_X_AMZN_TRACE_ID')\n"
    await runtime.add_function(python_function(tmp_path, source))
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

    def add(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace

    lambda_client.meta.events.register("before-sign.lambda.Invoke", add)
    answer = await call(lambda_client.invoke, FunctionName="python")
    assert await body(call, answer) == trace
    assert header(answer, "x-amzn-trace-id") == trace


# its log


async def test_a_log_tail_comes_where_it_is_asked_for(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    answer = await call(lambda_client.invoke, FunctionName="echo", Payload=b'{"n": 1}', LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    lines = text(answer["LogResult"]).splitlines()
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert lines[1:-2] == ['event {"n": 1}']
    assert lines[-2] == f"END RequestId: {request_id}"
    assert lines[-1].startswith(f"REPORT RequestId: {request_id}\t")
    answer = await call(lambda_client.invoke, FunctionName="echo", Payload=b'{"n": 2}', LogType="None")
    assert "LogResult" not in answer


async def test_of_twenty_at_once_each_gets_its_own_lines(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = """
        import sys

        def handler(event, context):
            for line in range(20):
                print("line", line, "of", event)
                print("error", line, "of", event, file=sys.stderr)
            return event
    """
    await runtime.add_function(python_function(tmp_path, source, max_instances=5))

    async def one(number: int) -> None:
        answer = await call(lambda_client.invoke, FunctionName="python", Payload=str(number).encode(), LogType="Tail")
        assert await body(call, answer) == number
        request_id = answer["ResponseMetadata"]["RequestId"]
        lines = text(answer["LogResult"]).splitlines()
        own = [part for line in range(20) for part in (f"line {line} of {number}", f"error {line} of {number}")]
        assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
        assert sorted(lines[1:-2]) == sorted(own)
        assert lines[-2] == f"END RequestId: {request_id}"
        assert lines[-1].startswith(f"REPORT RequestId: {request_id}\t")

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(one(number))
    assert len(runtime.instances()) <= 5


async def test_of_a_long_log_the_last_four_kilobytes_come(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = "def handler(event, context):\n    for n in range(1000):\n        print(f'line {n:06d}')\n"
    await runtime.add_function(python_function(tmp_path, source))
    answer = await call(lambda_client.invoke, FunctionName="python", LogType="Tail")
    log = text(answer["LogResult"])
    assert len(log.encode()) == 4096
    lines = log.splitlines()
    assert lines[-3] == "line 000999"
    assert lines[1:-2] == [f"line {n:06d}" for n in range(1000 - len(lines[1:-2]), 1000)]


@pytest.mark.any_python
@pytest.mark.parametrize(
    ("source", "said", "status"),
    [
        ("raise ValueError('boom')\n", "boom", "Status: error\tError Type: ValueError"),
        ("import os\nos._exit(3)\n", "exit status 3", "Status: error\tError Type: Runtime.ExitError"),
        ("import time\ntime.sleep(60)\n", "Task timed out after 1.00 seconds", "Status: timeout"),
    ],
)
async def test_the_log_of_an_invocation_whose_init_failed_is_its_own(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, source: str, said: str, status: str
) -> None:
    await runtime.add_function(python_function(tmp_path, source, timeout=1))
    answer = await call(lambda_client.invoke, FunctionName="python", LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    request_id = answer["ResponseMetadata"]["RequestId"]
    lines = text(answer["LogResult"]).splitlines()
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert lines[-2] == f"END RequestId: {request_id}"
    assert lines[-1].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert status in lines[-1]
    assert any(said in line for line in lines[1:-2])
    message = json.loads(answer["Payload"].read())["errorMessage"]
    assert message.startswith(f"RequestId: {request_id} Error: ") == (said != "boom")


# what the function does wrong


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        ("def handler(event, context):\n    raise KeyError('gone')\n", "KeyError", "'gone'"),
        ("raise RuntimeError('never')\n", "RuntimeError", "never"),
        (
            "import os\n\ndef handler(event, context):\n    os._exit(3)\n",
            "Runtime.ExitError",
            "RequestId: ID Error: Runtime exited with error: exit status 3",
        ),
        (
            "import time\n\ndef handler(event, context):\n    time.sleep(60)\n",
            "Sandbox.Timedout",
            "RequestId: ID Error: Task timed out after 1.00 seconds",
        ),
    ],
    ids=["handler", "init", "exit", "timeout"],
)
async def test_what_a_function_does_wrong_is_an_answer(
    runtime: LambdaRuntime,
    lambda_client: Any,
    call: Ask,
    tmp_path: Path,
    source: str,
    error_type: str,
    message: str,
) -> None:
    await runtime.add_function(python_function(tmp_path, source, timeout=1 if "sleep" in source else 20))
    answer = await call(lambda_client.invoke, FunctionName="python", LogType="Tail")
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert answer["ExecutedVersion"] == "$LATEST"
    assert text(answer["LogResult"])
    told = await body(call, answer)
    assert told["errorType"] == error_type
    assert told["errorMessage"] == message.replace("ID", answer["ResponseMetadata"]["RequestId"])


# dry runs


async def test_a_dry_run_checks_and_runs_nothing(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    answer = await call(lambda_client.invoke, FunctionName="echo", InvocationType="DryRun", Payload=b"{}")
    assert answer["StatusCode"] == 204
    assert await call(answer["Payload"].read) == b""
    assert runtime.instances() == []
    assert await runtime.history() == []
    # the connection serves the next
    assert (await call(lambda_client.invoke, FunctionName="echo"))["StatusCode"] == 200
    status, code, _ = await refused(call, lambda_client.invoke, FunctionName="other", InvocationType="DryRun")
    assert (status, code) == (404, "ResourceNotFoundException")


# names


@pytest.mark.parametrize(
    ("name", "qualifier", "version", "arn"),
    [
        ("echo", None, "$LATEST", ARN),
        ("echo", "$LATEST", "$LATEST", f"{ARN}:$LATEST"),
        ("echo", "1", "1", f"{ARN}:1"),
        ("echo:1", None, "1", f"{ARN}:1"),
        ("echo:1", "1", "1", f"{ARN}:1"),
        ("echo", "live", "1", f"{ARN}:live"),
        ("echo:live", None, "1", f"{ARN}:live"),
        ("function:echo", None, "$LATEST", ARN),
        (f"{ACCOUNT}:function:echo", "1", "1", f"{ARN}:1"),
        (ARN, None, "$LATEST", ARN),
        ("arn:aws:lambda:eu-west-1:123456789012:function:echo:live", None, "1", f"{ARN}:live"),
    ],
)
async def test_names_arns_and_qualifiers_mean_a_version(
    runtime: LambdaRuntime,
    lambda_client: Any,
    call: Ask,
    tmp_path: Path,
    name: str,
    qualifier: str | None,
    version: str,
    arn: str,
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    await runtime.publish_version("echo")
    await runtime.registry.aliases.put(Alias(name="echo", qualifier="live", function_version="1"))
    arguments = {} if qualifier is None else {"Qualifier": qualifier}
    answer = await call(lambda_client.invoke, FunctionName=name, LogType="Tail", **arguments)
    assert answer["ExecutedVersion"] == version
    assert (await body(call, answer))["arn"] == arn
    assert text(answer["LogResult"]).splitlines()[0].endswith(f" Version: {version}")


async def test_an_alias_with_weights_answers_with_the_version_that_it_drew(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    await runtime.publish_version("echo")
    alias = Alias(name="echo", qualifier="live", function_version="1", weights={"$LATEST": 0.5})
    await runtime.registry.aliases.put(alias)
    seen: set[str] = set()
    while len(seen) < 2:
        answer = await call(lambda_client.invoke, FunctionName="echo:live")
        record = (await runtime.history(limit=1))[0]
        assert record.function_name == ("echo" if answer["ExecutedVersion"] == "$LATEST" else "echo:1")
        seen.add(answer["ExecutedVersion"])
    assert seen == {"$LATEST", "1"}


@pytest.mark.parametrize(
    ("name", "qualifier", "status", "code", "message"),
    [
        ("none", None, 404, "ResourceNotFoundException", f"Function not found: {ARN[:-4]}none"),
        ("echo", "7", 404, "ResourceNotFoundException", f"Function not found: {ARN}:7"),
        ("echo", "live", 404, "ResourceNotFoundException", f"Function not found: {ARN}:live"),
        ("echo:1", "2", 400, "InvalidParameterValueException", ""),
        ("a b", None, 400, "ValidationException", "1 validation error detected: Value 'a b' at 'functionName' failed"),
        ("n" * 65, None, 400, "ValidationException", "Member must have length less than or equal to 64"),
        ("echo", "bad!", 400, "ValidationException", "Value 'bad!' at 'qualifier' failed to satisfy constraint: "),
        ("echo", "q" * 129, 400, "ValidationException", "Member must have length less than or equal to 128"),
    ],
)
async def test_who_is_not_there_cannot_be_invoked(
    runtime: LambdaRuntime,
    lambda_client: Any,
    call: Ask,
    tmp_path: Path,
    name: str,
    qualifier: str | None,
    status: int,
    code: str,
    message: str,
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    arguments = {} if qualifier is None else {"Qualifier": qualifier}
    answered = await refused(call, lambda_client.invoke, FunctionName=name, Payload=b"[1]", **arguments)
    assert answered[:2] == (status, code)
    assert message in answered[2]


# client context


async def test_a_client_context_reaches_the_function(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = """
        def handler(event, context):
            given = context.client_context
            return given and [given.custom, given.env, given.client.app_title]
    """
    await runtime.add_function(python_function(tmp_path, source))
    context = {"custom": {"who": "ä"}, "env": {"locale": "de"}, "client": {"app_title": "a test"}}
    encoded = base64.b64encode(json.dumps(context).encode()).decode()
    answer = await call(lambda_client.invoke, FunctionName="python", ClientContext=encoded)
    assert await body(call, answer) == [{"who": "ä"}, {"locale": "de"}, "a test"]
    assert await body(call, await call(lambda_client.invoke, FunctionName="python")) is None


@pytest.mark.parametrize(
    "context",
    ["string", "%%%", base64.b64encode(b"no json").decode(), base64.b64encode(b"[1]").decode(), "e" + 3583 * "A"],
    ids=["not base64", "no base64 signs", "not json", "not an object", "too long"],
)
async def test_a_client_context_that_is_none_is_refused(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, context: str
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    status, code, message = await refused(call, lambda_client.invoke, FunctionName="echo", ClientContext=context)
    assert (status, code) == (400, "InvalidRequestContentException")
    assert "lient context must be" in message
    assert runtime.instances() == []


async def test_the_longest_client_context_is_taken(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = "def handler(event, context):\n    return len(context.client_context.custom['x'])\n"
    await runtime.add_function(python_function(tmp_path, source))
    room = 3583 // 4 * 3 - len(json.dumps({"custom": {"x": ""}}))
    encoded = base64.b64encode(json.dumps({"custom": {"x": "y" * room}}).encode()).decode()
    assert len(encoded) == 3580
    answer = await call(lambda_client.invoke, FunctionName="python", ClientContext=encoded)
    assert await body(call, answer) == room


# what is not an event


@pytest.mark.parametrize(
    "payload",
    [b"{", b"text", b"{'a': 1}", b'{"a": NaN}', b"-Infinity", b'"\xff"', b"{} {}", b'"\n"', b"01", b"[" * 5000],
)
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
async def test_what_is_not_json_is_refused(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, payload: bytes, kind: str
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    status, code, message = await refused(
        call, lambda_client.invoke, FunctionName="echo", Payload=payload, InvocationType=kind
    )
    assert (status, code) == (400, "InvalidRequestContentException")
    assert message.startswith("Could not parse request body into json: ")
    assert runtime.instances() == []


async def test_a_deeply_nested_event_is_taken(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = "def handler(event, context):\n    return len(str(event))\n"
    await runtime.add_function(python_function(tmp_path, source))
    answer = await call(lambda_client.invoke, FunctionName="python", Payload=b"[" * 400 + b"]" * 400)
    assert await body(call, answer) == 800


@pytest.mark.parametrize(("field", "name"), [("InvocationType", "invocationType"), ("LogType", "logType")])
async def test_an_unknown_type_is_refused(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, field: str, name: str
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    status, code, message = await refused(call, lambda_client.invoke, FunctionName="echo", **{field: "Other"})
    assert (status, code) == (400, "ValidationException")
    assert f"Value 'Other' at '{name}'" in message


# sizes


async def test_an_event_of_six_megabytes_is_taken_and_a_byte_more_is_not(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    source = "def handler(event, context):\n    return len(event)\n"
    await runtime.add_function(python_function(tmp_path, source))
    most = 6 * 1024 * 1024
    event = b'"' + b"x" * (most - 2) + b'"'
    assert await body(call, await call(lambda_client.invoke, FunctionName="python", Payload=event)) == most - 2
    status, code, message = await refused(call, lambda_client.invoke, FunctionName="python", Payload=event + b" ")
    assert (status, code) == (413, "RequestTooLargeException")
    assert str(most) in message
    # the endpoint answers on
    assert (await call(lambda_client.invoke, FunctionName="python", Payload=b'""'))["StatusCode"] == 200


async def test_a_queued_event_ends_at_one_megabyte(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, "def handler(event, context):\n    return len(event)\n"))
    most = 1024 * 1024
    event = b'"' + b"x" * (most - 2) + b'"'
    answer = await call(lambda_client.invoke, FunctionName="python", InvocationType="Event", Payload=event)
    assert answer["StatusCode"] == 202
    status, code, message = await refused(
        call, lambda_client.invoke, FunctionName="python", InvocationType="Event", Payload=event + b" "
    )
    assert (status, code) == (413, "RequestTooLargeException")
    assert str(most) in message


@pytest.mark.parametrize("streams", [False, True])
async def test_a_response_above_the_limit_is_the_functions_error(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, streams: bool
) -> None:
    if streams:
        await runtime.add_function(scripted_function(tmp_path, "big"))
        event = json.dumps([["flood", 120, 65536]]).encode()
    else:
        source = "def handler(event, context):\n    return 'x' * event\n"
        await runtime.add_function(python_function(tmp_path, source, "big"))
        event = str(7 * 1024 * 1024).encode()
    answer = await call(lambda_client.invoke, FunctionName="big", Payload=event)
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    told = await body(call, answer)
    assert told["errorType"] == "Function.ResponseSizeTooLarge"
    assert "6291556" in told["errorMessage"]


async def test_a_response_of_six_megabytes_comes_whole(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, "def handler(event, context):\n    return 'x' * event\n"))
    most = 6 * 1024 * 1024 - 2
    answer = await call(lambda_client.invoke, FunctionName="python", Payload=str(most).encode())
    assert "FunctionError" not in answer
    assert await call(answer["Payload"].read) == b'"' + b"x" * most + b'"'


# queued events


async def test_a_queued_event_is_accepted_and_delivered_under_its_id(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    async with ended(runtime) as results:
        answer = await call(lambda_client.invoke, FunctionName="echo", InvocationType="Event", Payload=b'{"n": 1}')
        assert answer["StatusCode"] == 202
        assert await call(answer["Payload"].read) == b""
        assert "ExecutedVersion" not in answer
        result = await results.get()
    assert result.request_id == answer["ResponseMetadata"]["RequestId"]
    assert 'event {"n": 1}' in result.log_tail


async def test_the_old_way_to_queue_an_event_still_works(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    async with ended(runtime) as results:
        answer = await call(lambda_client.invoke_async, FunctionName="echo", InvokeArgs=b'{"old": 1}')
        assert answer["Status"] == 202
        assert 'event {"old": 1}' in (await results.get()).log_tail
    too_large = b'"' + b"x" * 256 * 1024 + b'"'
    status, code, _ = await refused(call, lambda_client.invoke_async, FunctionName="echo", InvokeArgs=too_large)
    assert (status, code) == (413, "RequestTooLargeException")


@pytest.mark.parametrize("name", ["none", "echo:live", "echo:7"])
async def test_an_event_for_nobody_is_not_accepted(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, name: str
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    status, code, _ = await refused(call, lambda_client.invoke, FunctionName=name, InvocationType="Event")
    assert (status, code) == (404, "ResourceNotFoundException")


# what Stoker cannot do


async def test_above_the_reserved_concurrency_it_throttles(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.registry.reserved.put(Reserved(name="scripted", count=1))
    runtime.limits_changed("scripted")
    steps = json.dumps([gate.step, ["chunk", "done"]]).encode()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(call(lambda_client.invoke, FunctionName="scripted", Payload=steps))
        await until(runtime, lambda: runtime.running_of("scripted") == 1)
        with pytest.raises(lambda_client.exceptions.TooManyRequestsException) as caught:
            await call(lambda_client.invoke, FunctionName="scripted", Payload=steps)
        gate.open()
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert int(answer["retryAfterSeconds"]) >= 1
    assert await call(first.result()["Payload"].read) == b"done"


@pytest.mark.parametrize("limits", [{"queue_limit": 0}, {"queue_timeout": 0.05}], ids=["full", "too long"])
async def test_a_queue_that_is_full_or_too_slow_throttles(
    home: Path, call: Ask, tmp_path: Path, gate: Gate, limits: dict[str, Any]
) -> None:
    async with LambdaRuntime.open(home=home, max_instances=1, **limits) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        await runtime.launch("scripted")
        endpoint = Endpoint(runtime)
        await endpoint.open()
        client = client_of(endpoint.url)
        first = await runtime.invoke_streaming("scripted", json.dumps([["chunk", "busy"], gate.step]).encode())
        with pytest.raises(ClientError) as caught:
            await call(client.invoke, FunctionName="scripted", Payload=b"[]")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert caught.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"
        gate.open()
        await first.discard()
        client.close()
        await endpoint.aclose()


async def test_one_that_closes_takes_no_more(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    await runtime.close()
    for kind in ("RequestResponse", "Event"):
        status, code, _ = await refused(call, lambda_client.invoke, FunctionName="echo", InvocationType=kind)
        assert (status, code) == (503, "ServiceUnavailableException")


async def test_what_the_bus_hears_of_a_call(
    runtime: LambdaRuntime, lambda_client: Any, call: Ask, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, ECHO, "echo"))
    heard: list[CallStarted | CallEnded] = []
    unsubscribe = runtime.events.subscribe(
        lambda event: heard.append(event) if isinstance(event, CallStarted | CallEnded) else None
    )
    answer = await call(lambda_client.invoke, FunctionName="echo", Qualifier="$LATEST")
    unsubscribe()
    started, ended = heard
    assert isinstance(ended, CallEnded)
    assert started.call_id == ended.call_id == answer["ResponseMetadata"]["RequestId"]
    assert started.operation == ended.operation == "Invoke"
    assert (ended.status, ended.error, ended.gone) == (200, None, False)
    assert ended.caller.startswith("Boto3/")
