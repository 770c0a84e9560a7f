"""Versions through boto3: published, listed, invoked each with its own code and pool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.core.endpoint.support import create, refused, zipped
from tests.core.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.runtime import LambdaRuntime

    Call = Callable[..., Awaitable[Any]]

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def says(word: str) -> bytes:
    return zipped(f"def handler(event, context):\n    return [{word!r}, context.function_version]\n")


async def answer(client: Any, call: Call, name: str, **parameters: Any) -> Any:
    return json.loads((await call(client.invoke, FunctionName=name, **parameters))["Payload"].read())


async def test_a_version_keeps_its_code_and_configuration(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    await call(create, lambda_client, "kept", Code={"ZipFile": says("one")}, Description="of the function")
    first = await call(lambda_client.publish_version, FunctionName="kept", Description="the first")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["Version"], first["FunctionArn"], first["Description"]) == ("1", f"{ARN}kept:1", "the first")
    await call(lambda_client.update_function_code, FunctionName="kept", ZipFile=says("two"))
    await call(lambda_client.update_function_configuration, FunctionName="kept", Timeout=7)
    second = await call(lambda_client.publish_version, FunctionName="kept")
    assert (second["Version"], second["Description"], second["Timeout"]) == ("2", "of the function", 7)
    assert await answer(lambda_client, call, "kept", Qualifier="1") == ["one", "1"]
    assert await answer(lambda_client, call, "kept", Qualifier="2") == ["two", "2"]
    assert await answer(lambda_client, call, "kept") == ["two", "$LATEST"]
    again = await call(lambda_client.get_function_configuration, FunctionName="kept:1")
    assert {name: again[name] for name in first if name != "ResponseMetadata"} == {
        name: first[name] for name in first if name != "ResponseMetadata"
    }
    # each has instances of its own
    assert sorted(i.function_name for i in runtime.instances()) == ["kept", "kept:1", "kept:2"]


async def test_nothing_new_is_no_new_version(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "same", Publish=True)
    for _ in range(2):
        found = await call(lambda_client.publish_version, FunctionName="same", Description="again")
        assert (found["Version"], found["Description"]) == ("1", "")


async def test_the_number_of_a_version_that_was_removed_is_not_given_again(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "counted", Code={"ZipFile": says("one")}, Publish=True)
    await call(lambda_client.delete_function, FunctionName="counted", Qualifier="1")
    found = await call(lambda_client.publish_version, FunctionName="counted")
    assert found["Version"] == "2"


async def test_code_that_is_not_the_expected_one_is_not_published(lambda_client: Any, call: Call) -> None:
    old = await call(create, lambda_client, "expected", Code={"ZipFile": says("old")})
    new = await call(lambda_client.update_function_code, FunctionName="expected", ZipFile=says("new"))
    publish = lambda_client.publish_version
    with pytest.raises(ClientError) as error:
        await call(publish, FunctionName="expected", CodeSha256=old["CodeSha256"])
    assert refused(error)[:2] == (400, "InvalidParameterValueException")
    with pytest.raises(ClientError) as error:
        await call(publish, FunctionName="expected", RevisionId=old["RevisionId"])
    assert refused(error)[:2] == (412, "PreconditionFailedException")
    found = await call(publish, FunctionName="expected", CodeSha256=new["CodeSha256"], RevisionId=new["RevisionId"])
    assert found["Version"] == "1"


async def test_versions_are_listed_by_number_behind_latest(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "many")
    for number in range(11):
        await call(lambda_client.update_function_configuration, FunctionName="many", Timeout=number + 1)
        await call(lambda_client.publish_version, FunctionName="many")
    wanted = ["$LATEST", *(str(number) for number in range(1, 12))]
    found = await call(lambda_client.list_versions_by_function, FunctionName=f"{ARN}many")
    assert [each["Version"] for each in found["Versions"]] == wanted
    assert [each["FunctionArn"] for each in found["Versions"]] == [f"{ARN}many:{version}" for version in wanted]
    assert not found["Versions"][0].keys() & {"State", "LastUpdateStatus"}
    paginator = lambda_client.get_paginator("list_versions_by_function")
    pages = await call(lambda: list(paginator.paginate(FunctionName="many", PaginationConfig={"PageSize": 5})))
    assert [len(page["Versions"]) for page in pages] == [5, 5, 2]
    assert [each["Version"] for page in pages for each in page["Versions"]] == wanted


async def test_a_version_that_was_removed_is_not_found_and_latest_goes_on(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    await call(create, lambda_client, "leaving", Code={"ZipFile": says("one")}, Publish=True)
    assert await answer(lambda_client, call, "leaving:1") == ["one", "1"]
    (instance,) = runtime.instances()
    await call(lambda_client.delete_function, FunctionName="leaving:1")
    with pytest.raises(ClientError) as error:
        await call(lambda_client.invoke, FunctionName="leaving:1")
    assert refused(error)[:2] == (404, "ResourceNotFoundException")
    assert await answer(lambda_client, call, "leaving") == ["one", "$LATEST"]
    await until(runtime, lambda: instance.id not in {each.id for each in runtime.instances()})


@pytest.mark.parametrize(
    "change",
    [
        {"Description": "another"},
        {"Role": "arn:aws:iam::000000000000:role/another"},
        {"TracingConfig": {"Mode": "Active"}},
        {"Timeout": 7},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_whatever_was_changed_is_a_new_version_and_once_only(
    lambda_client: Any, call: Call, change: dict[str, Any]
) -> None:
    await call(create, lambda_client, "changed", Publish=True)
    await call(lambda_client.update_function_configuration, FunctionName="changed", **change)
    for _ in range(2):
        found = await call(lambda_client.publish_version, FunctionName="changed")
        assert found["Version"] == "2"
        assert {name: found[name] for name in change} == change


async def test_after_the_last_version_was_removed_the_same_again_is_a_new_one(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "back", Publish=True)
    await call(lambda_client.update_function_configuration, FunctionName="back", Timeout=7, MemorySize=256)
    await call(lambda_client.publish_version, FunctionName="back")
    await call(lambda_client.delete_function, FunctionName="back", Qualifier="2")
    assert (await call(lambda_client.publish_version, FunctionName="back"))["Version"] == "3"


@pytest.mark.parametrize("size", [1, 2])
async def test_all_pages_together_have_every_version(lambda_client: Any, call: Call, size: int) -> None:
    await call(create, lambda_client, "paged", Publish=True)
    await call(lambda_client.update_function_code, FunctionName="paged", ZipFile=says("two"), Publish=True)

    def versions() -> list[str]:
        pages = lambda_client.get_paginator("list_versions_by_function").paginate(
            FunctionName="paged", PaginationConfig={"PageSize": size}
        )
        return [each["Version"] for page in pages for each in page["Versions"]]

    assert await call(versions) == ["$LATEST", "1", "2"]
