"""How queued events are delivered: the operations of FunctionEventInvokeConfig."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from core.endpoint.endpoint import Endpoint
from tests.core.endpoint.refusals import Refusal, refusal
from tests.core.endpoint.support import client_of, create

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[..., Awaitable[Any]]

_PREFIX = "arn:aws:lambda:us-east-1:000000000000:function"
_NO_FUNCTION = Refusal(404, "ResourceNotFoundException", "The function doesn't exist.")


def _to(name: str, other: str | None = None) -> dict[str, Any]:
    return {
        "OnSuccess": {"Destination": f"{_PREFIX}:{name}"},
        "OnFailure": {"Destination": f"{_PREFIX}:{other}"} if other else {},
    }


async def test_a_configuration_is_put_changed_member_by_member_and_deleted(lambda_client: Any, call: Call) -> None:
    for name in ("asks", "told", "blamed"):
        await call(create, lambda_client, name)
    before = time.time()
    put = await call(
        lambda_client.put_function_event_invoke_config,
        FunctionName="asks",
        MaximumRetryAttempts=1,
        MaximumEventAgeInSeconds=60,
        DestinationConfig=_to("told", "blamed"),
    )
    assert put["FunctionArn"] == f"{_PREFIX}:asks:$LATEST"
    assert (put["MaximumRetryAttempts"], put["MaximumEventAgeInSeconds"]) == (1, 60)
    assert put["DestinationConfig"] == _to("told", "blamed")
    assert before - 1 < put["LastModified"].timestamp() < time.time() + 1

    updated = await call(lambda_client.update_function_event_invoke_config, FunctionName="asks", MaximumRetryAttempts=0)
    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (0, 60)
    assert updated["DestinationConfig"] == _to("told", "blamed")
    updated = await call(
        lambda_client.update_function_event_invoke_config, FunctionName="asks", DestinationConfig=_to("blamed")
    )
    assert updated["DestinationConfig"] == _to("blamed")
    assert updated["MaximumRetryAttempts"] == 0

    # a put leaves nothing of what there was
    put = await call(lambda_client.put_function_event_invoke_config, FunctionName="asks", MaximumRetryAttempts=2)
    assert "MaximumEventAgeInSeconds" not in put
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    got = await call(lambda_client.get_function_event_invoke_config, FunctionName=f"{_PREFIX}:asks")
    for each in (put, got):
        each.pop("ResponseMetadata")
    assert got == put

    answer = await call(lambda_client.delete_function_event_invoke_config, FunctionName="asks")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    gone = Refusal(
        404, "ResourceNotFoundException", f"The function {_PREFIX}:asks:$LATEST doesn't have an EventInvokeConfig"
    )
    for ask, members in (
        (lambda_client.get_function_event_invoke_config, {}),
        (lambda_client.delete_function_event_invoke_config, {}),
        (lambda_client.update_function_event_invoke_config, {"MaximumRetryAttempts": 1}),
    ):
        assert await refusal(call, ask, FunctionName="asks", **members) == gone


async def test_each_version_and_alias_has_its_own_and_all_are_listed_in_pages(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "asks", Publish=True)
    await call(lambda_client.create_alias, FunctionName="asks", Name="live", FunctionVersion="1")
    put = lambda_client.put_function_event_invoke_config
    for retries, (name, qualifier) in enumerate((("asks", "1"), ("asks:live", None), ("asks", "$LATEST"))):
        members = {"Qualifier": qualifier} if qualifier else {}
        answer = await call(put, FunctionName=name, MaximumRetryAttempts=retries, **members)
        assert answer["FunctionArn"] == f"{_PREFIX}:asks:{qualifier or 'live'}"
    for name, retries in (("asks:1", 0), (f"{_PREFIX}:asks:live", 1), ("asks", 2), ("asks:$LATEST", 2)):
        got = await call(lambda_client.get_function_event_invoke_config, FunctionName=name)
        assert got["MaximumRetryAttempts"] == retries

    pages = lambda_client.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName="asks", PaginationConfig={"PageSize": 2}
    )
    found = await call(
        lambda: [[each["FunctionArn"][-7:] for each in page["FunctionEventInvokeConfigs"]] for page in pages]
    )
    assert found == [["$LATEST", ":asks:1"], ["ks:live"]]

    # what belongs to an alias goes with it
    await call(lambda_client.delete_alias, FunctionName="asks", Name="live")
    left = await call(lambda_client.list_function_event_invoke_configs, FunctionName="asks")
    assert len(left["FunctionEventInvokeConfigs"]) == 2


@pytest.mark.parametrize(
    ("destination", "says"),
    [
        ("arn:aws:sqs:us-east-1:000000000000:a-queue", "an SQS queue, and here only functions"),
        ("arn:aws:sns:us-east-1:000000000000:a-topic", "an SNS topic, and here only functions"),
        ("arn:aws:events:us-east-1:000000000000:event-bus/default", "an EventBridge event bus, and here only"),
        ("arn:aws:s3:::a-bucket", "an S3 bucket, and here only functions"),
        ("arn:aws:dynamodb:us-east-1:000000000000:table/t", "'dynamodb', and here only functions"),
        (f"{_PREFIX}:asks", "You can't specify the function as a destination for itself."),
        (f"{_PREFIX}:asks:1", "You can't specify the function as a destination for itself."),
        (f"{_PREFIX}:nobody", "there is no such function"),
        (f"{_PREFIX}:told:7", "there is no such function"),
        (f"{_PREFIX}:told:live", "there is no such function"),
        ("arn:aws:lambda:us-east-1:000000000000:layer:told", "is invalid"),
        ("told", "must be an ARN"),
    ],
)
@pytest.mark.parametrize("when", ["OnSuccess", "OnFailure"])
async def test_only_another_function_can_be_told(
    lambda_client: Any, call: Call, destination: str, says: str, when: str
) -> None:
    await call(create, lambda_client, "asks")
    await call(create, lambda_client, "told")
    refused = await refusal(
        call,
        lambda_client.put_function_event_invoke_config,
        FunctionName="asks",
        DestinationConfig={when: {"Destination": destination}},
    )
    assert refused.status == 400
    assert refused.code == ("ValidationException" if destination == "told" else "InvalidParameterValueException")
    assert says in refused.message
    listed = await call(lambda_client.list_function_event_invoke_configs, FunctionName="asks")
    assert listed["FunctionEventInvokeConfigs"] == []


async def test_a_version_or_an_alias_of_another_function_can_be_told(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "asks")
    await call(create, lambda_client, "told", Publish=True)
    await call(lambda_client.create_alias, FunctionName="told", Name="live", FunctionVersion="1")
    put = await call(
        lambda_client.put_function_event_invoke_config,
        FunctionName="asks",
        DestinationConfig=_to("told:1", "told:live"),
    )
    assert put["DestinationConfig"] == _to("told:1", "told:live")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "InvalidParameterValueException"),
        ({"MaximumRetryAttempts": None}, "InvalidParameterValueException"),
        ({"MaximumRetryAttempts": 3}, "ValidationException"),
        ({"MaximumRetryAttempts": -1}, "ValidationException"),
        ({"MaximumEventAgeInSeconds": 59}, "ValidationException"),
        ({"MaximumEventAgeInSeconds": 21_601}, "ValidationException"),
    ],
)
async def test_settings_beyond_lambdas_bounds_are_refused(
    endpoint: Endpoint, call: Call, members: dict[str, Any], code: str
) -> None:
    # boto3 would say it first, but other clients do not
    client = client_of(endpoint.url, parameter_validation=False)
    await call(create, client, "asks")
    for ask in (client.put_function_event_invoke_config, client.update_function_event_invoke_config):
        refused = await refusal(call, ask, FunctionName="asks", **members)
        assert (refused.status, refused.code) == (400, code)
    client.close()


async def test_a_function_a_version_or_an_alias_that_is_not_there_has_none(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "asks")
    put = lambda_client.put_function_event_invoke_config
    for name in ("nobody", "asks:3", "asks:live"):
        assert await refusal(call, put, FunctionName=name, MaximumRetryAttempts=1) == _NO_FUNCTION
    assert await refusal(call, lambda_client.list_function_event_invoke_configs, FunctionName="nobody") == _NO_FUNCTION
    both = await refusal(call, put, FunctionName="asks:1", Qualifier="2", MaximumRetryAttempts=1)
    assert (both.status, both.code) == (400, "InvalidParameterValueException")
