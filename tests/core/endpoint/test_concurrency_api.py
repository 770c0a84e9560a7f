"""Reserved concurrency and the account's settings through the endpoint."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from core.endpoint.endpoint import Endpoint
from core.events import InvocationStarted
from core.runtime import LambdaRuntime
from tests.core.endpoint.refusals import Refusal, refusal
from tests.core.endpoint.support import client_of, create, definition, zipped
from tests.core.sources import scripted_function

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.core.sources import Gate

    Call = Callable[..., Awaitable[Any]]

_PREFIX = "arn:aws:lambda:us-east-1:000000000000:function"


async def test_what_is_reserved_can_be_read_changed_and_taken_back(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "echo")
    assert "ReservedConcurrentExecutions" not in await call(lambda_client.get_function_concurrency, FunctionName="echo")
    for name, count in (("echo", 5), (f"{_PREFIX}:echo", 0), ("000000000000:function:echo", 2_000)):
        put = await call(lambda_client.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=count)
        assert put["ReservedConcurrentExecutions"] == count
        got = await call(lambda_client.get_function_concurrency, FunctionName=name)
        assert got["ReservedConcurrentExecutions"] == count
        whole = await call(lambda_client.get_function, FunctionName="echo")
        assert whole["Concurrency"] == {"ReservedConcurrentExecutions": count}
    for _ in range(2):
        answer = await call(lambda_client.delete_function_concurrency, FunctionName="echo")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "ReservedConcurrentExecutions" not in await call(lambda_client.get_function_concurrency, FunctionName="echo")
    assert "Concurrency" not in await call(lambda_client.get_function, FunctionName="echo")


async def test_it_throttles_at_exactly_that_number_and_serves_again_when_one_has_ended(
    lambda_client: Any, call: Call, runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await call(lambda_client.put_function_concurrency, FunctionName="scripted", ReservedConcurrentExecutions=3)
    events = runtime.events.stream()
    waiting = [
        asyncio.ensure_future(
            call(lambda_client.invoke, FunctionName="scripted", Payload=json.dumps([gate.step, ["chunk", "1"]]))
        )
        for _ in range(3)
    ]
    begun = 0
    while begun < 3:
        begun += isinstance(await anext(events), InvocationStarted)

    for _ in range(2):
        refused = await refusal(call, lambda_client.invoke, FunctionName="scripted", Payload=b"[]")
        assert (refused.status, refused.code) == (429, "TooManyRequestsException")

    gate.open()
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    answer = await call(lambda_client.invoke, FunctionName="scripted", Payload=json.dumps([["chunk", "2"]]))
    assert answer["Payload"].read() == b"2"
    gate.open()
    gate.open()
    assert [each["StatusCode"] for each in await asyncio.gather(*waiting)] == [200] * 3
    assert runtime.running_of("scripted") == 0


async def test_the_throttle_says_what_it_is_for(lambda_client: Any, call: Call, endpoint: Endpoint) -> None:
    await call(create, lambda_client, "echo")
    await call(lambda_client.put_function_concurrency, FunctionName="echo", ReservedConcurrentExecutions=0)
    status, headers, document = await call(_post, f"{endpoint.url}/2015-03-31/functions/echo/invocations")
    assert status == 429
    assert headers["x-amzn-ErrorType"] == "TooManyRequestsException"
    assert document["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert document["Type"] == "User"
    assert document["message"] == document["Message"] == "Rate Exceeded."
    refused = await refusal(call, lambda_client.invoke_with_response_stream, FunctionName="echo")
    assert refused == (429, "TooManyRequestsException", "Rate Exceeded.")
    await call(lambda_client.delete_function_concurrency, FunctionName="echo")
    assert (await call(lambda_client.invoke, FunctionName="echo"))["StatusCode"] == 200


def _post(url: str) -> tuple[int, Any, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=b"{}"), timeout=30) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


async def test_only_a_whole_function_that_is_there_can_have_it(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "echo", Publish=True)
    put = lambda_client.put_function_concurrency
    for name in ("echo:1", f"{_PREFIX}:echo:1", "echo:$LATEST"):
        for ask, members in (
            (put, {"ReservedConcurrentExecutions": 1}),
            (lambda_client.get_function_concurrency, {}),
            (lambda_client.delete_function_concurrency, {}),
        ):
            refused = await refusal(call, ask, FunctionName=name, **members)
            assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
            assert "unqualified function ARN" in refused.message
    for ask, members in (
        (put, {"ReservedConcurrentExecutions": 1}),
        (lambda_client.get_function_concurrency, {}),
        (lambda_client.delete_function_concurrency, {}),
    ):
        assert await refusal(call, ask, FunctionName="nobody", **members) == Refusal(
            404, "ResourceNotFoundException", f"Function not found: {_PREFIX}:nobody"
        )


@pytest.mark.parametrize(
    ("count", "code"), [(-1, "ValidationException"), (2**31, "ValidationException"), ("3", "SerializationException")]
)
async def test_what_is_no_number_of_invocations_is_refused(
    endpoint: Endpoint, call: Call, count: Any, code: str
) -> None:
    client = client_of(endpoint.url)
    await call(create, client, "echo")
    request = urllib.request.Request(
        f"{endpoint.url}/2017-10-31/functions/echo/concurrency",
        data=json.dumps({"ReservedConcurrentExecutions": count}).encode(),
        method="PUT",
    )

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["x-amzn-ErrorType"]

    assert await call(ask) == (400, code)
    client.close()


async def test_a_reservation_does_not_outlive_its_function(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "echo")
    await call(lambda_client.put_function_concurrency, FunctionName="echo", ReservedConcurrentExecutions=0)
    await call(lambda_client.delete_function, FunctionName="echo")
    await call(create, lambda_client, "echo")
    assert (await call(lambda_client.invoke, FunctionName="echo"))["StatusCode"] == 200


async def test_the_account_says_what_it_has_and_what_is_used_of_it(
    lambda_client: Any, call: Call, runtime: LambdaRuntime
) -> None:
    empty = await call(lambda_client.get_account_settings)
    budget = runtime.settings.instance_budget
    assert empty["AccountLimit"] == {
        "TotalCodeSize": 80_530_636_800,
        "CodeSizeUnzipped": 262_144_000,
        "CodeSizeZipped": 52_428_800,
        "ConcurrentExecutions": budget,
        "UnreservedConcurrentExecutions": budget,
    }
    assert empty["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}

    made = await call(create, lambda_client, "one", Publish=True)
    await call(create, lambda_client, "two")
    layer = zipped("x = 1\n")
    published = await call(lambda_client.publish_layer_version, LayerName="l", Content={"ZipFile": layer})
    await call(lambda_client.put_function_concurrency, FunctionName="one", ReservedConcurrentExecutions=7)
    await call(
        lambda_client.put_provisioned_concurrency_config,
        FunctionName="one",
        Qualifier="1",
        ProvisionedConcurrentExecutions=1,
    )
    used = await call(lambda_client.get_account_settings)
    # the version counts beside the function, and what is provisioned counts as reserved already
    assert used["AccountUsage"] == {"TotalCodeSize": 3 * made["CodeSize"] + len(layer), "FunctionCount": 2}
    assert used["AccountLimit"]["UnreservedConcurrentExecutions"] == budget - 7
    await call(lambda_client.delete_function_concurrency, FunctionName="one")
    await call(lambda_client.delete_layer_version, LayerName="l", VersionNumber=published["Version"])
    used = await call(lambda_client.get_account_settings)
    assert used["AccountLimit"]["UnreservedConcurrentExecutions"] == budget - 1
    assert used["AccountUsage"]["TotalCodeSize"] == 3 * made["CodeSize"]


async def test_more_may_be_reserved_than_the_machine_can_run(lambda_client: Any, call: Call) -> None:
    # an upper bound takes nothing from anybody: see core.endpoint.concurrency
    await call(lambda_client.create_function, **definition("echo"))
    put = await call(lambda_client.put_function_concurrency, FunctionName="echo", ReservedConcurrentExecutions=10_000)
    assert put["ReservedConcurrentExecutions"] == 10_000
    settings = await call(lambda_client.get_account_settings)
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 0
    assert (await call(lambda_client.invoke, FunctionName="echo"))["StatusCode"] == 200
