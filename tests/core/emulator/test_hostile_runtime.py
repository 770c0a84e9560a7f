"""A runtime that misbehaves costs its own invocation at most, never the emulator's state."""

from __future__ import annotations

import asyncio
import base64
import json

import psutil
import pytest

from core.emulator import running
from core.emulator.limits import MAX_RESPONSE
from core.emulator.runtime_api import InitError, RuntimeGoneError
from tests.core.emulator.support import PREFIX, Bench, Client, bench, read_all, request


async def _still_works(it: Bench, client: Client | None = None, request_id: str = "after") -> None:
    """The next invocation, by this connection or a new one, is served."""
    client = client or await it.client()
    running = await it.invoke(request_id, b'"ping"')
    event = await client.next()
    assert event.body == b'"ping"'
    assert (await client.respond(request_id, b'"pong"')).status == 202
    reply = await running
    assert await read_all(reply) == b'"pong"'
    assert reply.outcome is not None
    assert reply.outcome.reusable


async def test_the_event_carries_lambdas_headers_for_any_host() -> None:
    async with bench(timeout=5) as it:
        client = await it.client()
        running = await it.invoke("r1", b'{"a": 1}', trace_id="Root=1-2-3")
        event = await client.next()
        assert event.status == 200
        assert event.body == b'{"a": 1}'
        assert event.headers["lambda-runtime-aws-request-id"] == "r1"
        assert event.headers["lambda-runtime-trace-id"] == "Root=1-2-3"
        assert event.headers["lambda-runtime-invoked-function-arn"].endswith(":words")
        assert int(event.headers["lambda-runtime-deadline-ms"]) > 0
        assert event.headers["content-type"] == "application/json"
        assert "lambda-runtime-client-context" not in event.headers
        answer = await client.respond("r1")
        assert (answer.status, json.loads(answer.body)) == (202, {"status": "OK"})
        await read_all(await running)


@pytest.mark.parametrize("kind", ["response", "error"])
async def test_an_answer_to_another_request_is_refused_and_changes_nothing(kind: str) -> None:
    async with bench() as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        answer = await client.post(f"/invocation/someone-else/{kind}", b"x" * 100_000)
        assert answer.status == 400
        assert json.loads(answer.body) == {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
        assert (await client.respond("r1", b"1")).status == 202
        assert await read_all(await running) == b"1"
        await _still_works(it, client)


async def test_an_answer_while_nothing_runs_is_refused() -> None:
    async with bench() as it:
        client = await it.client()
        assert (await client.respond("r1")).status == 400
        await _still_works(it, client)


async def test_a_second_answer_is_refused() -> None:
    async with bench() as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        assert (await client.respond("r1", b"1")).status == 202
        assert (await client.respond("r1", b"2")).status == 400
        assert await read_all(await running) == b"1"
        await _still_works(it, client)


async def test_a_second_answer_while_the_first_streams_does_not_disturb_it() -> None:
    async with bench() as it:
        client, other = await it.client(), await it.client()
        running = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.chunk(b"one")
        reply = await running
        assert await reply.next_chunk() == b"one"
        assert (await other.respond("r1", b"mine")).status == 400
        assert (await other.post("/invocation/r1/error", b"{}")).status == 400
        await client.chunk(b"two")
        await client.end_stream()
        assert (await client.answer()).status == 202
        assert await read_all(reply) == b"two"
        assert reply.outcome is not None
        assert reply.outcome.reusable


async def test_an_answer_after_the_deadline_is_refused() -> None:
    async with bench(timeout=0.05) as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        reply = await running
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Sandbox.Timedout"
        assert (await client.respond("r1")).status == 400
        with pytest.raises(RuntimeError, match="no more events"):
            await it.api.invoke(request("r2"))


async def test_a_response_that_has_arrived_by_the_deadline_is_taken() -> None:
    async with bench(timeout=0.2) as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        loop = asyncio.get_running_loop()
        body = b"x" * 100_000
        client.writer.write(
            f"POST {PREFIX}/invocation/r1/response HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        # the loop does nothing while the deadline passes: the response waits in the kernel
        until = loop.time() + 0.3
        while loop.time() < until:
            pass
        reply = await running
        assert await read_all(reply) == body
        assert reply.function_error is None


async def test_a_stream_whose_end_has_arrived_by_the_deadline_is_no_timeout_for_a_slow_reader() -> None:
    async with bench(timeout=0.4) as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        for _ in range(7):
            await client.chunk(b"x" * 60_000)
        await client.end_stream()
        reply = await running
        assert await reply.next_chunk() == b"x" * 60_000
        await asyncio.sleep(0.5)  # the reader takes its time
        assert len(await read_all(reply)) == 6 * 60_000
        assert reply.function_error is None


async def test_a_stalled_reader_still_gets_what_had_come_by_the_deadline() -> None:
    async with bench(timeout=0.3) as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        await client.begin_stream("r1")

        async def flood() -> None:
            while True:
                await client.chunk(b"x" * 50_000)

        flooding = asyncio.ensure_future(flood())
        reply = await running
        await reply.next_chunk()
        await asyncio.sleep(0.5)
        assert reply.decided is not None
        assert reply.buffered <= 1024 * 1024
        received = 0
        while (chunk := await reply.next_chunk()) is not None:
            received += len(chunk)
        assert received >= 256 * 1024
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Sandbox.Timedout"
        with pytest.raises(ConnectionError):
            await flooding


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http \r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x00" * 1000 + b"\r\n\r\n",
    ],
)
async def test_garbage_instead_of_http_closes_that_connection_only(garbage: bytes) -> None:
    async with bench() as it:
        good, bad = await it.client(), await it.client()
        running = await it.invoke()
        await good.next()
        await bad.send(garbage)
        assert await bad.closed()
        assert (await good.respond("r1", b"1")).status == 202
        assert await read_all(await running) == b"1"
        await _still_works(it, good)


async def test_garbage_in_the_middle_of_a_stream_ends_the_invocation_with_what_had_come() -> None:
    async with bench() as it:
        client = await it.client()
        running = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.chunk(b"good")
        await client.send(b"this is no chunk\r\n")
        reply = await running
        assert await read_all(reply) == b"good"
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.InvalidResponse"
        assert not reply.outcome.reusable
        assert (await client.answer()).status == 400
        assert await client.closed()


async def test_a_connection_cut_in_a_chunk_is_a_truncated_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_EXIT_GRACE", 0.05)
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.chunk(b"whole")
        await client.send(b"64\r\nhalf")
        await client.close()
        reply = await invoking
        assert await read_all(reply) == b"wholehalf"
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.TruncatedResponse"
        assert not reply.outcome.reusable


@pytest.mark.parametrize("kind", ["response", "error"])
async def test_fewer_bytes_than_the_content_length_is_a_truncated_response(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_EXIT_GRACE", 0.05)
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.send(
            f"POST {PREFIX}/invocation/r1/{kind} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode()
        )
        await client.send(b"12345")
        await client.close()
        reply = await invoking
        assert json.loads(await read_all(reply))["errorType"] == "Runtime.TruncatedResponse"
        assert not (reply.outcome and reply.outcome.reusable)


async def test_a_connection_that_is_reset_in_the_middle_is_a_truncated_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "_EXIT_GRACE", 0.05)
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.chunk(b"one")
        reply = await invoking
        assert await reply.next_chunk() == b"one"
        client.abort()
        assert await reply.next_chunk() is None
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.TruncatedResponse"


async def test_more_bytes_than_the_content_length_are_the_next_request_and_refused_as_such() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        head = f"POST {PREFIX}/invocation/r1/response HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
        await client.send(head.encode() + b"12345\r\n\r\n")
        assert await read_all(await invoking) == b"12"
        assert (await client.answer()).status == 202
        assert await client.closed()
        await _still_works(it)


async def test_the_exit_is_named_although_the_cut_is_seen_first() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.send(b"64\r\nhalf")
        reply = await invoking
        client.abort()
        reading = asyncio.ensure_future(read_all(reply))
        await asyncio.sleep(0.05)
        it.api.runtime_exited("signal: killed")
        assert await reading == b"half"
        assert reply.outcome is not None
        assert reply.outcome.error_message == "RequestId: r1 Error: Runtime exited with error: signal: killed"


async def test_a_response_written_just_before_the_exit_is_whole() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        for _ in range(50):
            client.writer.write(b"5\r\nhello\r\n")
        client.writer.write(b"0\r\n\r\n")
        client.writer.close()
        it.api.runtime_exited("exit status 0")
        reply = await invoking
        assert await read_all(reply) == b"hello" * 50
        assert reply.outcome is not None
        assert reply.outcome.function_error is None
        assert not reply.outcome.reusable


async def test_a_child_that_keeps_the_connection_open_does_not_keep_the_exit_waiting() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.chunk(b"one")
        reply = await invoking
        it.api.runtime_exited("exit status 1")
        async with asyncio.timeout(3):
            assert await read_all(reply) == b"one"
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.ExitError"


async def test_an_exit_before_the_event_was_taken_costs_no_event() -> None:
    async with bench() as it:
        invoking = await it.invoke()
        await asyncio.sleep(0)
        it.api.runtime_exited("exit status 1")
        with pytest.raises(RuntimeGoneError):
            await invoking
        assert not any(line.startswith("START") for line in it.lines)


async def test_of_two_waiting_requests_for_an_event_the_newest_gets_it_and_the_other_waits_on() -> None:
    async with bench() as it:
        old, new = await it.client(), await it.client()
        await old.ask_next()
        await it.api.ready()
        await new.ask_next()
        await asyncio.sleep(0.05)
        invoking = await it.invoke("r1", b"1")
        assert (await new.answer()).body == b"1"
        assert (await new.respond("r1", b"one")).status == 202
        assert await read_all(await invoking) == b"one"
        invoking = await it.invoke("r2", b"2")
        assert (await old.answer()).body == b"2"
        assert (await old.respond("r2", b"two")).status == 202
        assert await read_all(await invoking) == b"two"


async def test_a_waiting_request_whose_connection_went_gets_no_event() -> None:
    async with bench() as it:
        old, gone = await it.client(), await it.client()
        await old.ask_next()
        await it.api.ready()
        await gone.ask_next()
        await asyncio.sleep(0.05)
        await gone.close()
        await asyncio.sleep(0.05)
        invoking = await it.invoke()
        await old.answer()
        await old.respond("r1", b"1")
        assert await read_all(await invoking) == b"1"


async def test_asking_for_the_next_event_without_an_answer_ends_the_invocation() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        answer = await client.next()
        assert answer.status == 403
        assert json.loads(answer.body)["errorType"] == "InvalidStateTransition"
        reply = await invoking
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.InvalidResponse"
        assert not reply.outcome.reusable


async def test_asking_for_the_next_event_on_another_connection_may_overtake_the_response() -> None:
    async with bench() as it:
        client, other = await it.client(), await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.chunk(b"one")
        reply = await invoking
        await other.ask_next()
        await asyncio.sleep(0.05)
        await client.end_stream()
        assert await read_all(reply) == b"one"
        assert reply.outcome is not None
        assert reply.outcome.reusable
        invoking = await it.invoke("r2", b"2")
        assert (await other.answer()).body == b"2"
        await other.respond("r2", b"two")
        assert await read_all(await invoking) == b"two"


async def test_headers_as_large_as_awslambdarics_pass_and_larger_ones_do_not() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        cause = "x" * (1024 * 1024)
        answer = await client.post("/invocation/r1/error", b"{}", **{"Lambda-Runtime-Function-XRay-Error-Cause": cause})
        assert answer.status == 202
        await read_all(await invoking)
        other = await it.client()
        await other.send(b"GET / HTTP/1.1\r\n")
        for _ in range(40):
            await other.send(b"a: " + b"x" * 65536 + b"\r\n")
        assert (await other.answer()).status == 431
        assert await other.closed()
        await _still_works(it, client)


async def test_slow_headers_do_not_hold_anybody_up() -> None:
    async with bench() as it:
        slow = await it.client()
        await slow.send(b"GET /2018-06-01/runt")
        await _still_works(it)


@pytest.mark.parametrize(
    ("line", "status", "kind"),
    [
        ("POST /2018-06-01/runtime/invocation/next", 405, "MethodNotAllowed"),
        ("GET /2018-06-01/runtime/invocation/r1/response", 405, "MethodNotAllowed"),
        ("DELETE /2018-06-01/runtime/init/error", 405, "MethodNotAllowed"),
        ("GET /", 404, "NotFound"),
        ("GET /2018-06-01/runtime", 404, "NotFound"),
        ("GET /2018-06-01/runtime/invocation/r1", 404, "NotFound"),
        ("POST /2018-06-01/runtime/invocation/r1/response/more", 404, "NotFound"),
        ("GET /2015-03-31/runtime/invocation/next", 404, "NotFound"),
        ("CONNECT example.org:443", 404, "NotFound"),
        ("OPTIONS *", 404, "NotFound"),
    ],
)
async def test_a_wrong_method_or_path_is_named(line: str, status: int, kind: str) -> None:
    async with bench() as it:
        client = await it.client()
        await client.send(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = await client.answer()
        assert answer.status == status
        assert json.loads(answer.body)["errorType"] == kind
        await _still_works(it, client)


async def test_an_upgrade_is_not_taken() -> None:
    async with bench() as it:
        client = await it.client()
        await client.send(b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await client.answer()).status == 404
        await _still_works(it, client)


async def test_a_buffered_response_in_a_million_tiny_chunks_weighs_its_bytes() -> None:
    async with bench(timeout=60) as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        path = f"{PREFIX}/invocation/r1/response"
        await client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        before = psutil.Process().memory_info().rss
        for _ in range(100):
            await client.send(b"2\r\nxy\r\n" * 10_000)
        assert psutil.Process().memory_info().rss - before < 16 * 1024 * 1024
        await client.end_stream()
        assert await read_all(await invoking) == b"xy" * 1_000_000


async def test_nothing_is_left_of_many_lives() -> None:
    process = psutil.Process()
    descriptors = threads = tasks = 0
    for number in range(30):
        async with bench() as it:
            client, idle = await it.client(), await it.client()
            await idle.send(b"GET /half")
            invoking = await it.invoke()
            await client.next()
            await client.begin_stream("r1")
            await client.chunk(b"one")
            reply = await invoking
            assert await reply.next_chunk() == b"one"
            if number % 2:
                await reply.aclose()
        if number == 4:
            descriptors, threads, tasks = process.num_fds(), process.num_threads(), len(asyncio.all_tasks())
    assert (process.num_fds(), process.num_threads(), len(asyncio.all_tasks())) == (descriptors, threads, tasks)


async def test_an_unknown_response_mode_is_refused_and_the_answer_may_still_come() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        answer = await client.post(
            "/invocation/r1/response", b"1", **{"Lambda-Runtime-Function-Response-Mode": "sideways"}
        )
        assert answer.status == 400
        assert json.loads(answer.body)["errorType"] == "InvalidFunctionResponseMode"
        assert (await client.respond("r1", b"1")).status == 202
        assert await read_all(await invoking) == b"1"


async def test_an_init_error_larger_than_a_response_is_cut_short() -> None:
    async with bench() as it:
        client = await it.client()
        answer = await client.post("/init/error", b"x" * (MAX_RESPONSE + 1))
        assert answer.status == 413
        with pytest.raises(InitError) as caught:
            await it.api.ready()
        assert "cannot be read" in caught.value.error_message
        assert len(caught.value.payload) < 1000


async def test_an_init_error_is_passed_on_as_it_was_posted() -> None:
    async with bench() as it:
        client = await it.client()
        body = b'{"errorType": "Inner", "errorMessage": "no", "stackTrace": []}'
        answer = await client.post(
            "/init/error", body, **{"Lambda-Runtime-Function-Error-Type": "Runtime.NoSuchHandler"}
        )
        assert answer.status == 202
        it.api.runtime_exited("exit status 1")
        with pytest.raises(InitError) as caught:
            await it.api.ready()
        assert caught.value.error_type == "Runtime.NoSuchHandler"
        assert caught.value.error_message == "no"
        assert caught.value.payload == body
        assert not caught.value.exited
        assert (await client.post("/init/error", b"{}")).status == 403
        assert (await client.next()).status == 403


async def test_an_init_error_after_init_is_refused() -> None:
    async with bench() as it:
        client, other = await it.client(), await it.client()
        await client.ask_next()
        await it.api.ready()
        assert (await other.post("/init/error", b"{}")).status == 403
        invoking = await it.invoke()
        await client.answer()
        await client.respond("r1", b"1")
        assert await read_all(await invoking) == b"1"


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"not json at all", "Given", "not json at all"),
        (b'"a string"', "Given", "a string"),
        (b"[1, 2]", "Given", "[1, 2]"),
        (b"\xff\xfe", "Given", "��"),
        (b"[" * 100_000, "Given", "[" * 100_000),
        (b'{"errorType": 5, "errorMessage": null}', "Given", ""),
    ],
)
async def test_an_error_body_that_is_not_lambdas_json_is_passed_through(body: bytes, kind: str, message: str) -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        answer = await client.post("/invocation/r1/error", body, **{"Lambda-Runtime-Function-Error-Type": "Given"})
        assert answer.status == 202
        reply = await invoking
        assert await read_all(reply) == body
        assert reply.function_error == "Unhandled"
        assert reply.outcome is not None
        assert reply.outcome.error_type == kind
        assert reply.outcome.error_message == message


async def test_an_empty_error_still_has_lambdas_json() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.post("/invocation/r1/error")
        assert json.loads(await read_all(await invoking)) == {"errorType": "Unhandled", "errorMessage": ""}


@pytest.mark.parametrize(
    ("encoded", "payload"),
    [
        ("%%% not base64", {"errorType": "Function.Broken", "errorMessage": "%%% not base64"}),
        (
            base64.b64encode(b'{"errorType": "X", "errorMessage": "m"}').decode(),
            {"errorType": "X", "errorMessage": "m"},
        ),
        ("", {"errorType": "Function.Broken", "errorMessage": ""}),
    ],
)
async def test_an_error_trailer_that_is_not_base64_is_shown_as_it_is(encoded: str, payload: dict[str, str]) -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        await client.chunk(b"x")
        await client.end_stream(
            ("Lambda-Runtime-Function-Error-Type", "Function.Broken"), ("Lambda-Runtime-Function-Error-Body", encoded)
        )
        reply = await invoking
        assert await read_all(reply) == b"x"
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Function.Broken"
        assert json.loads(reply.outcome.error_payload or b"null") == payload
        assert (await client.answer()).status == 202
        await _still_works(it, client)


async def test_a_stream_above_the_limit_ends_there_with_lambdas_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MAX_STREAMED_RESPONSE", 100_000)
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.begin_stream("r1")
        for _ in range(3):
            await client.chunk(b"x" * 40_000)
        reply = await invoking
        assert len(await read_all(reply)) == 100_000
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Function.ResponseSizeTooLarge"
        assert not reply.outcome.reusable
        assert (await client.answer()).status == 413


async def test_a_stream_of_known_length_passes_as_it_comes_and_may_be_empty() -> None:
    async with bench() as it:
        client = await it.client()
        for number, body in enumerate([b"hello", b""]):
            invoking = await it.invoke(f"r{number}")
            await client.next()
            answer = await client.post(
                f"/invocation/r{number}/response", body, **{"Lambda-Runtime-Function-Response-Mode": "streaming"}
            )
            assert answer.status == 202
            reply = await invoking
            assert reply.streaming
            assert await read_all(reply) == body
            assert reply.outcome is not None
            assert reply.outcome.reusable


async def test_a_runtime_that_opens_connections_without_end_is_bounded() -> None:
    async with bench() as it:
        clients = [await it.client() for _ in range(140)]
        refused = [asyncio.ensure_future(client.closed()) for client in clients]
        done, waiting = await asyncio.wait(refused, timeout=0.5)
        assert len(done) == 12
        assert len(waiting) == 128
        for task in waiting:
            task.cancel()
        await clients[5].close()
        await asyncio.sleep(0.05)
        await _still_works(it)


async def test_one_invocation_at_a_time() -> None:
    async with bench() as it:
        invoking = await it.invoke()
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="r1 is running"):
            await it.api.invoke(request("r2"))
        invoking.cancel()
        await asyncio.wait([invoking])
        await _still_works(it)


async def test_cancelling_after_the_event_was_taken_abandons_the_runtime() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        invoking.cancel()
        await asyncio.wait([invoking])
        assert invoking.cancelled()
        assert any(line.startswith("END RequestId: r1") for line in it.lines)
        with pytest.raises(RuntimeError, match="abandoned"):
            await it.api.invoke(request("r2"))


async def test_an_event_that_nobody_takes_times_out() -> None:
    async with bench(timeout=0.05) as it:
        reply = await it.api.invoke(request())
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Sandbox.Timedout"
        assert reply.outcome.log_tail.startswith("START RequestId: r1")


async def test_closing_ends_what_is_running_and_is_idempotent() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await it.api.aclose()
        reply = await invoking
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.ExitError"
        await it.api.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await it.api.invoke(request("r2"))


async def test_closing_ends_the_wait_for_a_runtime_that_has_not_come() -> None:
    async with bench() as it:
        waiting = asyncio.ensure_future(it.api.ready(None))
        await asyncio.sleep(0)
        await it.api.aclose()
        with pytest.raises(InitError):
            await waiting


async def test_a_callback_that_fails_does_not_cost_the_invocation_its_end() -> None:
    def broken() -> None:
        raise OSError("no such cgroup")

    async with bench(peak_memory=broken, drain_output=broken, reset_memory=broken) as it:
        client = await it.client()
        invoking = await it.invoke()
        await client.next()
        await client.respond("r1", b"1")
        reply = await invoking
        assert await read_all(reply) == b"1"
        assert reply.outcome is not None
        assert reply.outcome.max_memory_mb is None


async def test_a_header_value_cannot_smuggle_lines() -> None:
    async with bench() as it:
        client = await it.client()
        invoking = await it.invoke("r1", client_context='{"a":\r\n"b\x00"}', trace_id="x\r\nEvil: 1")
        event = await client.next()
        assert event.headers["lambda-runtime-client-context"] == '{"a":  "b "}'
        assert "evil" not in event.headers
        await client.respond("r1")
        await read_all(await invoking)
