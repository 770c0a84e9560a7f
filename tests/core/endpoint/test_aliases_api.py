"""Aliases through boto3: made, moved, shared between versions, removed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from core.registry import Provisioned
from tests.core.endpoint.model import service_model, unknown_members
from tests.core.endpoint.support import ask, client_of, create, refused, zipped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.endpoint.endpoint import Endpoint
    from core.runtime import LambdaRuntime

    Call = Callable[..., Awaitable[Any]]

ARN = "arn:aws:lambda:us-east-1:000000000000:function:two"
VERSION = "def handler(event, context):\n    return context.function_version\n"


@pytest.fixture
async def client(lambda_client: Any, call: Call) -> Any:
    """A client of an endpoint that has a function `two` with versions 1 and 2."""
    await call(create, lambda_client, "two", VERSION, Publish=True)
    await call(lambda_client.update_function_code, FunctionName="two", ZipFile=zipped(VERSION + "\n# 2"), Publish=True)
    return lambda_client


async def answer(client: Any, call: Call, name: str) -> Any:
    return json.loads((await call(client.invoke, FunctionName=name))["Payload"].read())


async def test_an_alias_says_what_it_stands_for(endpoint: Endpoint, client: Any, call: Call) -> None:
    made = await call(client.create_alias, FunctionName="two", Name="live", FunctionVersion="1", Description="stable")
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    assert made.pop("RevisionId")
    assert made == {
        "AliasArn": f"{ARN}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "stable",
    }
    assert await answer(client, call, "two:live") == "1"
    status, _, body = await call(ask, endpoint.url, "GET", "/2015-03-31/functions/two/aliases/live")
    assert status == 200
    assert unknown_members(json.loads(body), service_model().operation_model("GetAlias").output_shape) == []


async def test_an_alias_is_moved_and_what_is_not_given_stays(client: Any, call: Call) -> None:
    made = await call(client.create_alias, FunctionName=ARN, Name="live", FunctionVersion="1", Description="stable")
    moved = await call(client.update_alias, FunctionName=ARN, Name="live", FunctionVersion="2")
    assert (moved["FunctionVersion"], moved["Description"]) == ("2", "stable")
    assert moved["RevisionId"] != made["RevisionId"]
    assert await answer(client, call, "two:live") == "2"
    found = await call(client.get_alias, FunctionName="two", Name="live")
    assert (found["FunctionVersion"], found["RevisionId"]) == ("2", moved["RevisionId"])
    await call(client.update_alias, FunctionName="two", Name="live", FunctionVersion="$LATEST")
    assert await answer(client, call, "two:live") == "$LATEST"


async def test_an_alias_with_weights_sends_invocations_to_both_versions(client: Any, call: Call) -> None:
    half = {"AdditionalVersionWeights": {"2": 0.5}}
    made = await call(client.create_alias, FunctionName="two", Name="split", FunctionVersion="1", RoutingConfig=half)
    assert made["RoutingConfig"] == half
    # forty throws of one coin fall on one side once in 5 x 10^11 times
    found = [await answer(client, call, "two:split") for _ in range(40)]
    assert set(found) == {"1", "2"}
    # what it is configured as is not thrown
    configurations = [
        await call(client.get_function_configuration, FunctionName="two", Qualifier="split") for _ in range(20)
    ]
    assert {each["Version"] for each in configurations} == {"1"}
    none = await call(client.update_alias, FunctionName="two", Name="split", RoutingConfig={})
    assert "RoutingConfig" not in none
    assert {await answer(client, call, "two:split") for _ in range(10)} == {"1"}
    never = {"AdditionalVersionWeights": {"2": 0.0}}
    await call(client.update_alias, FunctionName="two", Name="split", RoutingConfig=never)
    assert {await answer(client, call, "two:split") for _ in range(10)} == {"1"}


@pytest.mark.parametrize(
    ("version", "weights", "status", "code"),
    [
        ("7", None, 404, "ResourceNotFoundException"),
        ("live", None, 400, "ValidationException"),
        ("1", {"7": 0.5}, 404, "ResourceNotFoundException"),
        ("1", {"1": 0.5}, 400, "InvalidParameterValueException"),
        ("1", {"2": 0.5, "3": 0.2}, 400, "InvalidParameterValueException"),
        ("1", {"2": 1.5}, 400, "ValidationException"),
        ("1", {"2": -0.5}, 400, "ValidationException"),
        ("1", {"two": 0.5}, 400, "InvalidParameterValueException"),
        ("1", {"$LATEST": 0.5}, 400, "InvalidParameterValueException"),
        ("$LATEST", {"2": 0.5}, 400, "InvalidParameterValueException"),
    ],
)
async def test_an_alias_cannot_stand_for_what_is_not_there(
    endpoint: Endpoint, client: Any, call: Call, version: str, weights: dict[str, float] | None, status: int, code: str
) -> None:
    unchecked = client_of(endpoint.url, parameter_validation=False)
    routing = {"RoutingConfig": {"AdditionalVersionWeights": weights}} if weights else {}
    with pytest.raises(ClientError) as error:
        await call(unchecked.create_alias, FunctionName="two", Name="live", FunctionVersion=version, **routing)
    assert refused(error)[:2] == (status, code)
    await call(unchecked.create_alias, FunctionName="two", Name="live", FunctionVersion="1")
    with pytest.raises(ClientError) as error:
        await call(unchecked.update_alias, FunctionName="two", Name="live", FunctionVersion=version, **routing)
    assert refused(error)[:2] == (status, code)
    found = await call(client.get_alias, FunctionName="two", Name="live")
    assert found["FunctionVersion"] == "1"
    unchecked.close()


@pytest.mark.parametrize("name", ["7", "a b", "a" * 129, "a:b", ""])
async def test_an_alias_cannot_be_called_so(endpoint: Endpoint, client: Any, call: Call, name: str) -> None:
    unchecked = client_of(endpoint.url, parameter_validation=False)
    with pytest.raises(ClientError) as error:
        await call(unchecked.create_alias, FunctionName="two", Name=name, FunctionVersion="1")
    assert refused(error)[:2] == (400, "ValidationException")
    unchecked.close()


async def test_an_alias_is_made_once_and_changed_by_its_latest_revision_only(client: Any, call: Call) -> None:
    made = await call(client.create_alias, FunctionName="two", Name="live", FunctionVersion="1")
    with pytest.raises(ClientError) as error:
        await call(client.create_alias, FunctionName="two", Name="live", FunctionVersion="2")
    assert refused(error) == (409, "ResourceConflictException", f"Alias already exists: {ARN}:live")
    results = await asyncio.gather(
        *(
            call(
                client.update_alias,
                FunctionName="two",
                Name="live",
                Description=f"change {number}",
                RevisionId=made["RevisionId"],
            )
            for number in range(4)
        ),
        return_exceptions=True,
    )
    passed = [result for result in results if isinstance(result, dict)]
    assert len(passed) == 1
    codes = [result.response["Error"]["Code"] for result in results if isinstance(result, ClientError)]
    assert codes == ["PreconditionFailedException"] * 3
    found = await call(client.get_alias, FunctionName="two", Name="live")
    assert (found["Description"], found["RevisionId"]) == (passed[0]["Description"], passed[0]["RevisionId"])


async def test_aliases_are_listed_by_name_and_by_version(client: Any, call: Call) -> None:
    for name, version in (("c", "1"), ("a", "2"), ("b", "1")):
        await call(client.create_alias, FunctionName="two", Name=name, FunctionVersion=version)
    found = await call(client.list_aliases, FunctionName="two")
    assert [each["Name"] for each in found["Aliases"]] == ["a", "b", "c"]
    found = await call(client.list_aliases, FunctionName="two", FunctionVersion="1")
    assert [each["Name"] for each in found["Aliases"]] == ["b", "c"]
    first = await call(client.list_aliases, FunctionName="two", MaxItems=2)
    rest = await call(client.list_aliases, FunctionName="two", MaxItems=2, Marker=first["NextMarker"])
    assert [each["Name"] for each in rest["Aliases"]] == ["c"]
    assert "NextMarker" not in rest


async def test_a_removed_alias_is_gone_with_what_hung_on_it(runtime: LambdaRuntime, client: Any, call: Call) -> None:
    await call(client.create_alias, FunctionName="two", Name="live", FunctionVersion="1")
    await runtime.registry.provisioned.put(Provisioned(name="two", qualifier="live", count=1))
    answer_ = await call(client.delete_alias, FunctionName="two", Name="live")
    assert answer_["ResponseMetadata"]["HTTPStatusCode"] == 204
    for ask_for in (client.get_alias, client.update_alias):
        with pytest.raises(ClientError) as error:
            await call(ask_for, FunctionName="two", Name="live")
        assert refused(error) == (404, "ResourceNotFoundException", f"Cannot find alias arn: {ARN}:live")
    assert runtime.registry.provisioned.of("two") == []
    # once more is no error
    await call(client.delete_alias, FunctionName="two", Name="live")
    # and the version is free to go
    await call(client.delete_function, FunctionName="two", Qualifier="1")


async def test_an_alias_and_the_removal_of_its_version_never_both_succeed(client: Any, call: Call) -> None:
    for number in range(6):
        await call(client.update_function_configuration, FunctionName="two", Timeout=number + 5)
        version = (await call(client.publish_version, FunctionName="two"))["Version"]
        results = await asyncio.gather(
            call(client.create_alias, FunctionName="two", Name=f"a{number}", FunctionVersion=version),
            call(client.delete_function, FunctionName="two", Qualifier=version),
            return_exceptions=True,
        )
        assert sum(isinstance(result, dict) for result in results) == 1
