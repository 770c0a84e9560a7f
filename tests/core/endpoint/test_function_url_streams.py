"""Function URLs whose response streams: live, no faster than it is read, and seen to break off where it does."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from core.endpoint import stalled_readers
from core.endpoint.endpoint import Endpoint
from core.events import CallEnded, InvocationEnded
from core.functions import LambdaFunction
from core.instances import InstanceState
from core.registry import UrlConfig
from core.runtime import LambdaRuntime
from tests.core.endpoint.url_functions import (
    HTTP_INTEGRATION,
    PRELUDE,
    ask,
    connect,
    put_python,
    put_scripted,
    reset,
    steps,
)
from tests.core.sources import Gate

NULS = "\0" * 8
PATH = "/_url/scripted/"

T = TypeVar("T")


async def blocking(what: Callable[..., T], *args: object) -> T:
    """A call that waits for the other side, off the loop and not for ever."""
    async with asyncio.timeout(30):
        return await asyncio.to_thread(what, *args)


async def begin(connection: http.client.HTTPConnection, *wanted: Any) -> http.client.HTTPResponse:
    """Ask for these steps; returns once the head of the response is there."""
    body, headers = steps(*wanted)
    await blocking(connection.request, "POST", PATH, body, headers)
    return await blocking(connection.getresponse)


async def test_the_first_bytes_arrive_while_the_function_waits(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await put_scripted(runtime, tmp_path)
    connection = connect(endpoint.url)
    try:
        wanted = (["chunk", "first"], gate.step, ["chunk", "second"], gate.step, ["chunk", "third"])
        response = await begin(connection, *wanted)
        # nothing but the test opens the gate: what arrives before has been streamed
        assert await blocking(response.read, 5) == b"first"
        assert runtime.instances()[0].state is InstanceState.BUSY
        gate.open()
        assert await blocking(response.read, 6) == b"second"
        gate.open()
        assert await blocking(response.read) == b"third"
        assert (response.status, response.getheader("content-type")) == (200, "text/plain")
        # the connection is good for more, streams included
        again = await begin(connection, ["chunk", "again"])
        assert await blocking(again.read) == b"again"
    finally:
        connection.close()
    assert len(runtime.instances()) == 1


async def test_a_prelude_is_the_head_of_the_response_before_there_is_a_body(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await put_scripted(runtime, tmp_path, content_type=HTTP_INTEGRATION, cors={"AllowOrigins": ["*"]})
    connection = connect(endpoint.url)
    try:
        wanted = (["chunk", PRELUDE], ["chunk", NULS[:3]], ["chunk", NULS[3:]], gate.step, ["chunk", "\0body"])
        response = await begin(connection, *wanted)
        assert response.status == 202
        assert response.getheader("content-type") == "text/plain"
        assert response.getheader("x-a") == "1"
        assert response.msg.get_all("set-cookie") == ["c=1", "d=2"]
        assert response.getheader("vary") == "Origin"
        gate.open()
        assert await blocking(response.read) == b"\0body"
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([["chunk", "{"], ["chunk", NULS]], "it is not JSON"),
        ([["chunk", PRELUDE]], "its prelude is not followed by eight NUL bytes"),
        ([["flood", 100, 1000]], "its prelude is longer than 65,536 bytes"),
        ([["chunk", '{"headers": {"a": "b\\r\\nc: d"}}' + NULS]], "its header a has a control character"),
    ],
)
async def test_a_broken_prelude_is_502_and_the_function_runs_to_its_end(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, wanted: Any, reason: str
) -> None:
    await put_scripted(runtime, tmp_path, content_type=HTTP_INTEGRATION)
    ended: asyncio.Queue[InvocationEnded] = asyncio.Queue()
    runtime.events.subscribe(lambda event: ended.put_nowait(event) if isinstance(event, InvocationEnded) else None)
    body, headers = steps(*wanted, ["chunk", "the rest"])
    if reason.startswith("its prelude is not followed"):
        body, headers = steps(*wanted)
    answer = await ask(endpoint.url, PATH, "POST", body, headers)
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    assert answer.all("x-stoker-reason") == [reason]
    async with asyncio.timeout(20):
        over = await ended.get()
    assert over.result is not None
    assert not over.result.cancelled
    assert over.result.function_error is None
    body, headers = steps(["chunk", PRELUDE + NULS + "fine"])
    assert (await ask(endpoint.url, PATH, "POST", body, headers)).body == b"fine"
    assert len(runtime.instances()) == 1


@pytest.mark.parametrize("ending", [["fail", "My.Error", "a secret"], ["exit", 3], ["cut"], ["kill"]])
async def test_an_error_in_the_middle_is_seen_as_a_response_that_broke_off(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, ending: Any
) -> None:
    await put_scripted(runtime, tmp_path)
    connection = connect(endpoint.url)
    try:
        response = await begin(connection, ["chunk", "first"], ending)
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead) as broken:
            await blocking(response.read)
        assert broken.value.partial.startswith(b"first")
        assert b"secret" not in broken.value.partial
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("content_type", "before"),
    [("text/plain", []), (HTTP_INTEGRATION, []), (HTTP_INTEGRATION, [["chunk", '{"statusCode"']])],
)
async def test_an_error_before_the_head_is_502(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, content_type: str, before: Any
) -> None:
    await put_scripted(runtime, tmp_path, content_type=content_type)
    body, headers = steps(*before, ["fail", "My.Error", "a secret"])
    answer = await ask(endpoint.url, PATH, "POST", body, headers)
    assert (answer.status, answer.body) == (502, b"Internal Server Error")


async def test_a_stream_past_its_timeout_breaks_off(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await put_scripted(runtime, tmp_path, fields={"timeout": 1})
    ended: list[CallEnded] = []
    runtime.events.subscribe(lambda event: ended.append(event) if isinstance(event, CallEnded) else None)
    connection = connect(endpoint.url)
    try:
        response = await begin(connection, ["chunk", "first"], gate.step)
        with pytest.raises(http.client.IncompleteRead) as broken:
            await blocking(response.read)
        assert broken.value.partial == b"first"
    finally:
        connection.close()
    assert [(each.status, each.error) for each in ended] == [(200, "Sandbox.Timedout")]


async def test_an_instance_that_is_killed_by_hand_breaks_its_response_off(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await put_scripted(runtime, tmp_path)
    connection = connect(endpoint.url)
    try:
        response = await begin(connection, ["chunk", "first"], gate.step)
        await runtime.terminate(runtime.instances()[0].id, force=True)
        with pytest.raises(http.client.IncompleteRead) as broken:
            await blocking(response.read)
        assert broken.value.partial == b"first"
    finally:
        connection.close()


async def test_a_client_that_goes_away_in_the_middle_does_not_stop_the_function(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await put_scripted(runtime, tmp_path)
    events: asyncio.Queue[InvocationEnded | CallEnded] = asyncio.Queue()
    runtime.events.subscribe(
        lambda event: events.put_nowait(event) if isinstance(event, InvocationEnded | CallEnded) else None
    )
    host, port = endpoint.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # far more than fits between the two, so that the rest must be read by nobody
    body, _ = steps(["chunk", "first"], gate.step, ["flood", 500, 64 * 1024], ["say", "finished"])
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body.encode())
    async with asyncio.timeout(30):
        await reader.readuntil(b"first")
        (before,) = runtime.instances()
        reset(writer)
        gate.open()
        over, call = await events.get(), await events.get()
    assert isinstance(over, InvocationEnded)
    assert over.result is not None
    assert (over.result.cancelled, over.result.function_error) == (False, None)
    assert over.result.received == 5 + 500 * 64 * 1024
    assert "finished" in over.result.log_tail
    assert isinstance(call, CallEnded)
    assert call.gone
    body, headers = steps(["chunk", "next"])
    assert (await ask(endpoint.url, PATH, "POST", body, headers)).body == b"next"
    (after,) = runtime.instances()
    assert (after.id, after.served) == (before.id, 2)


async def test_a_client_that_does_not_read_holds_the_function_back_and_nobody_else(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await put_scripted(runtime, tmp_path)
    count, size = 1000, 64 * 1024
    connection = connect(endpoint.url)
    try:
        response = await begin(connection, ["chunk", "first"], ["flood", count, size], ["say", "written"])
        (slow,) = runtime.instances()
        for _ in range(3):
            body, headers = steps(["chunk", "quick"])
            assert (await ask(endpoint.url, PATH, "POST", body, headers)).body == b"quick"
        assert slow.id in {each.id for each in runtime.instances() if each.state is InstanceState.BUSY}
        assert not [line for line in runtime.log_lines(slow.id) if "written" in line]
        whole = await blocking(response.read)
        assert len(whole) == 5 + count * size
        assert whole[5 : 5 + 8] == b"00000000"
        assert whole[-size : -size + 8] == b"%08d" % (count - 1)
    finally:
        connection.close()


async def test_a_client_that_takes_nothing_for_long_is_cut_off_and_the_function_goes_on(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalled_readers, "STALLED", 0.2)
    await put_scripted(runtime, tmp_path)
    events: asyncio.Queue[InvocationEnded | CallEnded] = asyncio.Queue()
    runtime.events.subscribe(
        lambda event: events.put_nowait(event) if isinstance(event, InvocationEnded | CallEnded) else None
    )
    connection = connect(endpoint.url)
    try:
        response = await begin(connection, ["chunk", "first"], ["flood", 500, 64 * 1024], ["say", "finished"])
        assert response.status == 200
        async with asyncio.timeout(30):
            over, call = await events.get(), await events.get()
    finally:
        connection.close()
    assert isinstance(over, InvocationEnded)
    assert over.result is not None
    assert (over.result.cancelled, over.result.function_error) == (False, None)
    assert over.result.received == 5 + 500 * 64 * 1024
    assert "finished" in over.result.log_tail
    assert isinstance(call, CallEnded)
    assert call.gone
    body, headers = steps(["chunk", "next"])
    assert (await ask(endpoint.url, PATH, "POST", body, headers)).body == b"next"
    (instance,) = runtime.instances()
    assert instance.served == 2


async def test_head_and_204_have_no_body_and_the_function_runs_to_its_end(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    # one instance: the answer is out before the function has ended, and the next request must wait for it
    await put_scripted(runtime, tmp_path, content_type=HTTP_INTEGRATION, fields={"max_instances": 1})
    connection = connect(endpoint.url)
    try:
        for method, status in (("HEAD", 200), ("POST", 204), ("POST", 304)):
            body, headers = steps(["chunk", f'{{"statusCode": {status}}}{NULS}never sent'], ["flood", 10, 1000])
            answer = await ask(endpoint.url, PATH, method, body, headers, connection)
            assert (answer.status, answer.body) == (status, b"")
        body, headers = steps(["chunk", "{}" + NULS + "next"])
        assert (await ask(endpoint.url, PATH, "POST", body, headers, connection)).body == b"next"
    finally:
        connection.close()
    (instance,) = runtime.instances()
    assert instance.served == 4


async def test_a_stream_of_nothing_is_an_empty_body(endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path) -> None:
    await put_scripted(runtime, tmp_path)
    body, headers = steps()
    answer = await ask(endpoint.url, PATH, "POST", body, headers)
    assert (answer.status, answer.body, answer.all("content-type")) == (200, b"", ["text/plain"])


async def test_a_function_that_does_not_stream_is_passed_on_as_it_is(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    source = """
        def handler(event, context):
            if event["rawPath"] == "/fail":
                raise ValueError("no")
            return {"statusCode": 201, "body": "x"}
    """
    await put_python(runtime, tmp_path, source, invoke_mode="RESPONSE_STREAM")
    answer = await ask(endpoint.url, "/_url/echo/")
    assert (answer.status, answer.json()) == (200, {"statusCode": 201, "body": "x"})
    failed = await ask(endpoint.url, "/_url/echo/fail")
    assert (failed.status, failed.body) == (502, b"Internal Server Error")


@pytest.mark.parametrize(
    ("content_type", "chunk", "status", "body"),
    [
        (HTTP_INTEGRATION, PRELUDE + NULS + "whole", 202, b"whole"),
        ("text/plain", "not json", 200, b"not json"),
        ("application/json", '{"statusCode": 201, "body": "a reply"}', 201, b"a reply"),
    ],
)
async def test_a_function_that_streams_behind_a_buffered_url_is_answered_whole(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, content_type: str, chunk: str, status: int, body: bytes
) -> None:
    await put_scripted(runtime, tmp_path, content_type=content_type, invoke_mode="BUFFERED")
    asked, headers = steps(["chunk", chunk[:10]], ["chunk", chunk[10:]])
    answer = await ask(endpoint.url, PATH, "POST", asked, headers)
    assert (answer.status, answer.body) == (status, body)
    assert answer.all("content-length") == [str(len(body))]


async def test_more_than_a_buffered_url_takes_is_502_and_not_kept(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await put_scripted(runtime, tmp_path, invoke_mode="BUFFERED")
    body, headers = steps(["flood", 200, 64 * 1024])
    answer = await ask(endpoint.url, PATH, "POST", body, headers)
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    assert answer.all("x-stoker-reason") == ["it is larger than 6,291,556 bytes"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_nodes_own_streams_arrive_live_with_head_and_cookies(
    endpoint: Endpoint, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    code = tmp_path / "node"
    code.mkdir()
    (code / "index.mjs").write_text(
        f"""
        import {{ readFile }} from "node:fs/promises";
        import {{ open }} from "node:fs/promises";
        const wait = async () => {{
          const gate = await open({json.dumps(str(gate.path))}, "r");
          await gate.read(Buffer.alloc(2), 0, 2);
          await gate.close();
        }};
        export const handler = awslambda.streamifyResponse(async (event, responseStream) => {{
          const stream = awslambda.HttpResponseStream.from(responseStream, {{
            statusCode: 203,
            headers: {{ "Content-Type": "text/event-stream", "X-Path": event.rawPath }},
            cookies: ["a=1", "b=2"],
          }});
          stream.write("data: 1\\n\\n");
          await wait();
          stream.write(Buffer.from([0, 255, 10]));
          stream.end();
        }});
        """
    )
    await runtime.add_function(
        LambdaFunction(function_name="scripted", runtime="nodejs20.x", handler="index.handler", code=code, timeout=20)
    )
    await runtime.registry.urls.put(UrlConfig(name="scripted", invoke_mode="RESPONSE_STREAM"))
    connection = connect(endpoint.url)
    try:
        response = await begin(connection)
        assert response.status == 203
        assert response.getheader("content-type") == "text/event-stream"
        assert response.getheader("x-path") == "/"
        assert response.msg.get_all("set-cookie") == ["a=1", "b=2"]
        assert await blocking(response.read, 9) == b"data: 1\n\n"
        gate.open()
        assert await blocking(response.read) == b"\x00\xff\n"
    finally:
        connection.close()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_shows_the_sample_of_server_sent_events_live(endpoint: Endpoint, runtime: LambdaRuntime) -> None:
    sample = Path(__file__).parents[3] / "resources" / "samples" / "sample-sse" / "code"
    await runtime.add_function(
        LambdaFunction(function_name="sse", runtime="nodejs20.x", handler="index.handler", code=sample, timeout=60)
    )
    await runtime.registry.urls.put(UrlConfig(name="sse", invoke_mode="RESPONSE_STREAM"))
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sN", "-D", "-", "--noproxy", "*", f"{endpoint.url}/_url/sse/", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert curl.stdout is not None
        async with asyncio.timeout(30):
            head = await curl.stdout.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"content-type: text/event-stream" in head.lower()
            # the sample waits between its events: this one is here while the function still runs
            assert await curl.stdout.readuntil(b"\n\n")
            assert runtime.instances()[0].state is InstanceState.BUSY
    finally:
        curl.kill()
        await curl.wait()


async def test_nothing_is_left_of_streams_that_ended_in_all_ways(
    runtime: LambdaRuntime, tmp_path: Path, leftovers: Any
) -> None:
    await put_scripted(runtime, tmp_path)
    await runtime.launch("scripted", 1)
    opened = Endpoint(runtime)
    # one thread for the client, which is kept from now on
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await blocking(int)
    before = leftovers()
    await opened.open()
    for ending in (["chunk", "well"], ["fail", "My.Error", "no"], ["chunk", "well"]):
        connection = connect(opened.url)
        try:
            response = await begin(connection, ["chunk", "first"], ending)
            if ending[0] == "fail":
                with pytest.raises(http.client.IncompleteRead):
                    await blocking(response.read)
            else:
                assert await blocking(response.read) == b"firstwell"
        finally:
            connection.close()
    await opened.close()
    await opened.aclose()
    assert await before.settle() == {}
