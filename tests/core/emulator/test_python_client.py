"""AWS's own Python client, unchanged, against the Runtime API."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from core.emulator.limits import MAX_RESPONSE
from core.emulator.runtime_api import InitError, RuntimeGoneError
from tests.core.emulator.support import ARN, bench, python_runtime, read_all, request

_CODE = """
import json, os, sys, time

def echo(event, context):
    print("got", event)
    return event

def about(event, context):
    return {
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
        "client": context.client_context.custom if context.client_context else None,
        "identity": context.identity.cognito_identity_id,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
    }

def fail(event, context):
    raise ValueError("that was wrong\\nand more")

def leave(event, context):
    sys.stdout.write("last words")
    sys.stdout.flush()
    os._exit(event)

def hang(event, context):
    time.sleep(60)

def large(event, context):
    return "x" * event
"""


async def test_an_event_goes_in_and_the_result_comes_out_again_and_again(tmp_path: Path) -> None:
    async with bench(peak_memory=lambda: 38 * 1024 * 1024) as it, python_runtime(it, _CODE, "echo", tmp_path):
        await it.api.ready()
        for number in range(3):
            payload = json.dumps({"number": number, "text": "grüße"}).encode()
            reply = await it.api.invoke(request(f"r{number}", payload))
            assert not reply.streaming
            assert reply.status == 200
            assert ("content-type", "application/json") in reply.headers
            assert json.loads(await read_all(reply)) == json.loads(payload)
            outcome = reply.outcome
            assert outcome is not None
            assert outcome.function_error is None
            assert outcome.reusable
            assert outcome.max_memory_mb == 38
            assert (outcome.init_ms is not None) == (number == 0)
            assert outcome.log_tail.startswith(f"START RequestId: r{number} Version: $LATEST\n")
            assert f"END RequestId: r{number}\nREPORT RequestId: r{number}\tDuration: " in outcome.log_tail
            assert ("Init Duration" in outcome.log_tail) == (number == 0)


async def test_the_context_is_what_was_given(tmp_path: Path) -> None:
    async with bench(timeout=30) as it, python_runtime(it, _CODE, "about", tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(
            request(
                "r-7",
                client_context='{"custom": {"k": "vä"}}',
                cognito_identity='{"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}',
                trace_id="Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
                arn=ARN + ":live",
            )
        )
        about = json.loads(await read_all(reply))
        assert about["id"] == "r-7"
        assert about["arn"] == ARN + ":live"
        assert 25_000 < about["left"] <= 30_000
        assert about["client"] == {"k": "vä"}
        assert about["identity"] == "id"
        assert about["trace"].startswith("Root=1-5bef4de7")


async def test_an_exception_is_lambdas_error_json_and_the_runtime_goes_on(tmp_path: Path) -> None:
    async with bench() as it, python_runtime(it, _CODE, "fail", tmp_path):
        await it.api.ready()
        for number in range(2):
            reply = await it.api.invoke(request(f"r{number}"))
            assert reply.function_error == "Unhandled"
            error = json.loads(await read_all(reply))
            assert error["errorType"] == "ValueError"
            assert error["errorMessage"] == "that was wrong\nand more"
            assert error["stackTrace"]
            assert reply.outcome is not None
            assert reply.outcome.error_type == "ValueError"
            assert reply.outcome.error_message == "that was wrong\nand more"
            assert reply.outcome.error_payload is not None
            assert reply.outcome.reusable


async def test_a_handler_that_is_not_there_is_an_init_error(tmp_path: Path) -> None:
    async with bench() as it, python_runtime(it, _CODE, "missing", tmp_path):
        with pytest.raises(InitError) as caught:
            await it.api.ready()
        assert caught.value.error_type == "Runtime.HandlerNotFound"
        assert not caught.value.timed_out
        assert "missing" in caught.value.error_message
        assert json.loads(caught.value.payload)["errorMessage"] == caught.value.error_message


async def test_an_exit_in_the_handler_is_an_exit_error_with_its_last_output(tmp_path: Path) -> None:
    async with bench() as it, python_runtime(it, _CODE, "leave", tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request(payload=b"7"))
        message = "RequestId: r1 Error: Runtime exited with error: exit status 7"
        assert json.loads(await read_all(reply)) == {"errorType": "Runtime.ExitError", "errorMessage": message}
        assert reply.outcome is not None
        assert reply.outcome.error_type == "Runtime.ExitError"
        assert not reply.outcome.reusable
        assert f"last words\n{message}\nRuntime.ExitError\nEND RequestId: r1\n" in reply.outcome.log_tail
        with pytest.raises(RuntimeError):
            await it.api.invoke(request("r2"))


async def test_a_clean_exit_in_the_handler_has_no_reason(tmp_path: Path) -> None:
    async with bench() as it, python_runtime(it, _CODE, "leave", tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request(payload=b"0"))
        error = json.loads(await read_all(reply))
        assert error["errorMessage"] == "RequestId: r1 Error: Runtime exited without providing a reason"


async def test_a_runtime_that_is_killed_says_the_signal(tmp_path: Path) -> None:
    async with bench() as it, python_runtime(it, _CODE, "hang", tmp_path) as process:
        await it.api.ready()
        running = await it.invoke()
        await asyncio.sleep(0)
        process.popen.send_signal(signal.SIGKILL)
        reply = await running
        assert reply.outcome is not None
        assert reply.outcome.error_message == "RequestId: r1 Error: Runtime exited with error: signal: killed"


async def test_a_runtime_killed_between_invocations_is_gone_for_the_next(tmp_path: Path) -> None:
    async with bench() as it, python_runtime(it, _CODE, "echo", tmp_path) as process:
        await it.api.ready()
        await read_all(await it.api.invoke(request()))
        process.popen.send_signal(signal.SIGKILL)
        process.popen.wait()
        process.read()
        with pytest.raises(RuntimeGoneError):
            await it.api.invoke(request("r2"))


async def test_a_handler_past_its_deadline_times_out_as_on_lambda(tmp_path: Path) -> None:
    async with bench(timeout=0.2) as it, python_runtime(it, _CODE, "hang", tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request())
        message = "RequestId: r1 Error: Task timed out after 0.20 seconds"
        assert json.loads(await read_all(reply)) == {"errorType": "Sandbox.Timedout", "errorMessage": message}
        assert reply.function_error == "Unhandled"
        assert reply.outcome is not None
        assert reply.outcome.duration_ms == pytest.approx(200)
        assert not reply.outcome.reusable
        assert "Z r1 Task timed out after 0.20 seconds\n" in reply.outcome.log_tail
        assert "\tStatus: timeout" in reply.outcome.log_tail


async def test_the_largest_response_passes_and_one_byte_more_does_not(tmp_path: Path) -> None:
    async with bench(timeout=30) as it, python_runtime(it, _CODE, "large", tmp_path):
        await it.api.ready()
        reply = await it.api.invoke(request("r1", b"%d" % (MAX_RESPONSE - 2)))
        assert len(await read_all(reply)) == MAX_RESPONSE
        reply = await it.api.invoke(request("r2", b"%d" % (MAX_RESPONSE - 1)))
        assert json.loads(await read_all(reply)) == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }
        assert reply.function_error == "Unhandled"
        assert reply.outcome is not None
        assert not reply.outcome.reusable


async def test_an_event_of_six_megabytes_arrives_whole(tmp_path: Path) -> None:
    async with bench(timeout=30) as it, python_runtime(it, _CODE, "echo", tmp_path):
        await it.api.ready()
        payload = json.dumps("y" * (6 * 1024 * 1024 - 100)).encode()
        assert await read_all(await it.api.invoke(request(payload=payload))) == payload


async def test_a_runtime_that_never_comes_times_out_and_may_be_waited_for_again(tmp_path: Path) -> None:
    async with bench() as it:
        with pytest.raises(InitError) as caught:
            await it.api.ready(0.05)
        assert caught.value.timed_out
        async with python_runtime(it, _CODE, "echo", tmp_path):
            await it.api.ready(10)
            assert await read_all(await it.api.invoke(request())) == b"{}"


async def test_a_runtime_that_exits_before_its_first_event_is_an_init_error(tmp_path: Path) -> None:
    async with bench() as it, python_runtime(it, "import os; print('oh'); os._exit(1)", "echo", tmp_path):
        with pytest.raises(InitError) as caught:
            await it.api.ready()
        assert caught.value.exited
        assert caught.value.error_type == "Runtime.ExitError"
        assert json.loads(caught.value.payload)["errorMessage"].endswith(
            " Error: Runtime exited with error: exit status 1"
        )
        assert "oh" in it.lines
