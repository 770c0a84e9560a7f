"""Provisioned concurrency through the endpoint: what is asked for, what the pool has, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from core.endpoint.endpoint import Endpoint
from core.runtime import LambdaRuntime
from tests.core.endpoint.refusals import Refusal, refusal
from tests.core.endpoint.support import client_of, create
from tests.core.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Call = Callable[..., Awaitable[Any]]

_PREFIX = "arn:aws:lambda:us-east-1:000000000000:function"
_UNPUBLISHED = Refusal(
    400,
    "InvalidParameterValueException",
    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
)
_NONE = Refusal(
    404,
    "ProvisionedConcurrencyConfigNotFoundException",
    "No Provisioned Concurrency Config found for this function",
)


def _idle(runtime: LambdaRuntime, name: str) -> int:
    return sum(each.state == "idle" for each in runtime.instances(name))


async def _put(client: Any, call: Call, name: str, count: int, qualifier: str | None = None) -> Any:
    members = {"Qualifier": qualifier} if qualifier else {"Qualifier": name.rpartition(":")[2]}
    return await call(
        client.put_provisioned_concurrency_config,
        FunctionName=name,
        ProvisionedConcurrentExecutions=count,
        **members,
    )


async def _get(client: Any, call: Call, name: str, qualifier: str) -> Any:
    found = await call(client.get_provisioned_concurrency_config, FunctionName=name, Qualifier=qualifier)
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def _figures(found: Any) -> tuple[str, int, int, int]:
    return (
        found["Status"],
        found["RequestedProvisionedConcurrentExecutions"],
        found["AllocatedProvisionedConcurrentExecutions"],
        found["AvailableProvisionedConcurrentExecutions"],
    )


async def test_a_version_is_kept_warm_and_the_figures_are_the_pools(
    lambda_client: Any, call: Call, runtime: LambdaRuntime
) -> None:
    await call(create, lambda_client, "warm", Publish=True)
    put = await _put(lambda_client, call, "warm", 2, "1")
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert put["RequestedProvisionedConcurrentExecutions"] == 2
    assert put["Status"] == "IN_PROGRESS"
    assert put["LastModified"].endswith("+0000")
    await until(runtime, lambda: _idle(runtime, "warm:1") == 2)
    found = await _get(lambda_client, call, f"{_PREFIX}:warm", "1")
    assert _figures(found) == ("READY", 2, 2, 2)
    assert "StatusReason" not in found
    assert runtime.instances("warm") == []

    # it is taken up, not begun anew
    more = await _put(lambda_client, call, "000000000000:function:warm:1", 3)
    assert more["AvailableProvisionedConcurrentExecutions"] == 2
    await until(runtime, lambda: _idle(runtime, "warm:1") == 3)
    await _put(lambda_client, call, "warm", 1, "1")
    await until(runtime, lambda: len(runtime.instances("warm:1")) == 1)
    assert _figures(await _get(lambda_client, call, "warm", "1")) == ("READY", 1, 1, 1)

    for _ in range(2):
        answer = await call(lambda_client.delete_provisioned_concurrency_config, FunctionName="warm", Qualifier="1")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    await until(runtime, lambda: not runtime.instances())
    assert (
        await refusal(call, lambda_client.get_provisioned_concurrency_config, FunctionName="warm", Qualifier="1")
        == _NONE
    )


async def test_an_alias_takes_its_instances_along_when_it_moves(
    lambda_client: Any, call: Call, runtime: LambdaRuntime
) -> None:
    await call(create, lambda_client, "warm", Publish=True)
    await call(lambda_client.update_function_configuration, FunctionName="warm", MemorySize=300)
    await call(lambda_client.publish_version, FunctionName="warm")
    await call(lambda_client.create_alias, FunctionName="warm", Name="live", FunctionVersion="1")
    await _put(lambda_client, call, "warm", 2, "live")
    await until(runtime, lambda: _idle(runtime, "warm:1") == 2)
    assert _figures(await _get(lambda_client, call, "warm:live", "live")) == ("READY", 2, 2, 2)

    await call(lambda_client.update_alias, FunctionName="warm", Name="live", FunctionVersion="2")
    await until(runtime, lambda: not runtime.instances("warm:1") and _idle(runtime, "warm:2") == 2)
    assert _figures(await _get(lambda_client, call, "warm", "live")) == ("READY", 2, 2, 2)

    await call(lambda_client.delete_alias, FunctionName="warm", Name="live")
    await until(runtime, lambda: not runtime.instances())


async def test_all_of_a_function_are_listed_in_pages(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "warm", Publish=True)
    await call(lambda_client.update_function_configuration, FunctionName="warm", MemorySize=300)
    await call(lambda_client.publish_version, FunctionName="warm")
    await call(lambda_client.create_alias, FunctionName="warm", Name="live", FunctionVersion="2")
    for qualifier in ("1", "live"):
        await _put(lambda_client, call, "warm", 1, qualifier)
    pages = lambda_client.get_paginator("list_provisioned_concurrency_configs").paginate(
        FunctionName="warm", PaginationConfig={"PageSize": 1}
    )
    found = await call(lambda: [each for page in pages for each in page["ProvisionedConcurrencyConfigs"]])
    assert [each["FunctionArn"] for each in found] == [f"{_PREFIX}:warm:1", f"{_PREFIX}:warm:live"]
    assert {each["RequestedProvisionedConcurrentExecutions"] for each in found} == {1}
    await call(create, lambda_client, "cold")
    none = await call(lambda_client.list_provisioned_concurrency_configs, FunctionName="cold")
    assert none["ProvisionedConcurrencyConfigs"] == []
    missing = await refusal(call, lambda_client.list_provisioned_concurrency_configs, FunctionName="nobody")
    assert missing.code == "ResourceNotFoundException"


async def test_a_version_that_cannot_start_fails_and_says_why(
    lambda_client: Any, call: Call, runtime: LambdaRuntime
) -> None:
    source = "raise RuntimeError('no such table')\n"
    await call(create, lambda_client, "broken", source, Publish=True)
    await _put(lambda_client, call, "broken", 2, "1")
    await until(runtime, lambda: runtime.start_trouble("broken:1") is not None)
    found = await _get(lambda_client, call, "broken", "1")
    assert (found["Status"], found["AvailableProvisionedConcurrentExecutions"]) == ("FAILED", 0)
    assert "no such table" in found["StatusReason"]
    await call(lambda_client.delete_provisioned_concurrency_config, FunctionName="broken", Qualifier="1")
    await until(runtime, lambda: not runtime.instances())


async def test_what_is_not_published_cannot_have_it(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "warm")
    await call(lambda_client.create_alias, FunctionName="warm", Name="latest", FunctionVersion="$LATEST")
    put = lambda_client.put_provisioned_concurrency_config
    for qualifier in ("$LATEST", "latest"):
        refused = await refusal(call, put, FunctionName="warm", Qualifier=qualifier, ProvisionedConcurrentExecutions=1)
        assert refused == _UNPUBLISHED
    for ask in (
        lambda_client.get_provisioned_concurrency_config,
        lambda_client.delete_provisioned_concurrency_config,
    ):
        refused = await refusal(call, ask, FunctionName="warm", Qualifier="$LATEST")
        assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
        assert "an alias or a published version" in refused.message
        for name, qualifier, says in (
            ("warm", "7", f"Function not found: {_PREFIX}:warm:7"),
            ("warm", "live", f"Cannot find alias arn: {_PREFIX}:warm:live"),
            ("nobody", "1", f"Function not found: {_PREFIX}:nobody"),
        ):
            refused = await refusal(call, ask, FunctionName=name, Qualifier=qualifier)
            assert (refused.status, refused.code) == (404, "ResourceNotFoundException")
            assert says in refused.message


async def test_a_version_has_it_by_itself_or_through_an_alias_but_not_both(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "warm", Publish=True)
    await call(lambda_client.create_alias, FunctionName="warm", Name="live", FunctionVersion="1")
    put = lambda_client.put_provisioned_concurrency_config
    one = {"FunctionName": "warm", "ProvisionedConcurrentExecutions": 1}
    await _put(lambda_client, call, "warm", 1, "1")
    refused = await refusal(call, put, Qualifier="live", **one)
    assert (refused.status, refused.code) == (409, "ResourceConflictException")
    await call(lambda_client.delete_provisioned_concurrency_config, FunctionName="warm", Qualifier="1")
    await _put(lambda_client, call, "warm", 1, "live")
    refused = await refusal(call, put, Qualifier="1", **one)
    assert (refused.status, refused.code) == (409, "ResourceConflictException")


async def test_it_stays_within_what_is_reserved_for_the_function(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "warm", Publish=True)
    await call(lambda_client.update_function_configuration, FunctionName="warm", MemorySize=300)
    await call(lambda_client.publish_version, FunctionName="warm")
    await call(lambda_client.put_function_concurrency, FunctionName="warm", ReservedConcurrentExecutions=3)
    await _put(lambda_client, call, "warm", 2, "1")
    refused = await refusal(
        call,
        lambda_client.put_provisioned_concurrency_config,
        FunctionName="warm",
        Qualifier="2",
        ProvisionedConcurrentExecutions=2,
    )
    assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
    assert "reservedConcurrentExecution" in refused.message
    await _put(lambda_client, call, "warm", 1, "2")
    refused = await refusal(
        call, lambda_client.put_function_concurrency, FunctionName="warm", ReservedConcurrentExecutions=2
    )
    assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
    assert "total provisioned concurrency [3]" in refused.message

    # all that is reserved is provisioned: nothing is left for the unpublished version
    throttled = await refusal(call, lambda_client.invoke, FunctionName="warm")
    assert (throttled.status, throttled.code) == (429, "TooManyRequestsException")
    answer = await call(lambda_client.invoke, FunctionName="warm:2", Payload=b'"in its own"')
    assert json.loads(answer["Payload"].read()) == "in its own"


@pytest.mark.parametrize(
    ("settings", "memory", "most"),
    [({"instance_budget": 10}, 128, 9), ({"instance_budget": 10, "memory_budget_mb": 600}, 300, 2)],
)
async def test_more_than_the_machine_may_hold_is_refused_at_once(
    home: Path, call: Call, settings: dict[str, Any], memory: int, most: int
) -> None:
    async with LambdaRuntime.open(home=home, **settings) as runtime:
        endpoint = Endpoint(runtime)
        await endpoint.open()
        client = client_of(endpoint.url)
        await call(create, client, "warm", MemorySize=memory, Publish=True)
        refused = await refusal(
            call,
            client.put_provisioned_concurrency_config,
            FunctionName="warm",
            Qualifier="1",
            ProvisionedConcurrentExecutions=most + 1,
        )
        assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
        assert "budget" in refused.message
        assert runtime.instances() == []
        await _put(client, call, "warm", most, "1")
        await until(runtime, lambda: _idle(runtime, "warm:1") == most)
        client.close()
        await endpoint.aclose()


@pytest.mark.parametrize("count", [0, -1, 2**31])
async def test_numbers_beyond_the_apis_bounds_are_refused(endpoint: Endpoint, call: Call, count: int) -> None:
    client = client_of(endpoint.url, parameter_validation=False)
    await call(create, client, "warm", Publish=True)
    refused = await refusal(
        call,
        client.put_provisioned_concurrency_config,
        FunctionName="warm",
        Qualifier="1",
        ProvisionedConcurrentExecutions=count,
    )
    assert (refused.status, refused.code) == (400, "ValidationException")
    client.close()
