"""Layers through the endpoint: published, attached and imported, listed, downloaded, taken back."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from core.endpoint.endpoint import Endpoint
from core.events import CallEnded
from core.runtime import LambdaRuntime
from tests.core.endpoint.refusals import Refusal, refusal
from tests.core.endpoint.support import client_of, create
from tests.core.waiting import until
from tests.core.zips import a_zip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Call = Callable[..., Awaitable[Any]]

_ARN = "arn:aws:lambda:us-east-1:000000000000:layer:greetings"
_NOT_THERE = Refusal(404, "ResourceNotFoundException", "The resource you requested does not exist.")
_ASKS = """
    import greetings
    def handler(event, context):
        return greetings.hello(event["name"])
"""


def _layer(word: str) -> bytes:
    return a_zip({"python/greetings.py": f"def hello(name):\n    return '{word} ' + name\n"})


def _publish(client: Any, word: str = "Hello", **members: Any) -> Any:
    members = {"LayerName": "greetings", "Content": {"ZipFile": _layer(word)}, **members}
    return client.publish_layer_version(**members)


def _fetch(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


async def _stored(home: Path) -> int:
    return len(list((home / "archives" / "zips").glob("*.zip")))


async def test_a_published_version_says_what_it_was_given_and_what_it_is(lambda_client: Any, call: Call) -> None:
    content = _layer("Hello")
    answer = await call(
        _publish,
        lambda_client,
        Description="says hello",
        LicenseInfo="MIT",
        CompatibleRuntimes=["python3.13", "python3.12"],
        CompatibleArchitectures=["arm64", "x86_64"],
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (answer["LayerArn"], answer["LayerVersionArn"], answer["Version"]) == (_ARN, f"{_ARN}:1", 1)
    assert (answer["Description"], answer["LicenseInfo"]) == ("says hello", "MIT")
    assert answer["CompatibleRuntimes"] == ["python3.13", "python3.12"]
    assert answer["CompatibleArchitectures"] == ["arm64", "x86_64"]
    assert answer["CreatedDate"].startswith("20")
    assert answer["CreatedDate"].endswith("+0000")
    assert answer["Content"]["CodeSize"] == len(content)
    assert answer["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    plain = await call(_publish, lambda_client, "Hi")
    assert plain["Description"] == ""
    assert not {"LicenseInfo", "CompatibleRuntimes", "CompatibleArchitectures"} & plain.keys()


async def test_where_its_content_is_the_zip_can_be_had_byte_for_byte(lambda_client: Any, call: Call) -> None:
    # several pieces long
    content = a_zip({"python/big.txt": bytes(range(256)) * 8000}, method=0)
    published = await call(_publish, lambda_client, Content={"ZipFile": content})
    for found in (
        published,
        await call(lambda_client.get_layer_version, LayerName="greetings", VersionNumber=1),
        await call(lambda_client.get_layer_version, LayerName=_ARN, VersionNumber=1),
        await call(lambda_client.get_layer_version_by_arn, Arn=f"{_ARN}:1"),
    ):
        found.pop("ResponseMetadata")
        assert found == published
    status, body = await call(_fetch, published["Content"]["Location"])
    assert (status, body == content) == (200, True)
    status, _ = await call(_fetch, published["Content"]["Location"].replace("/1/", "/2/"))
    assert status == 404
    status, _ = await call(_fetch, published["Content"]["Location"], Origin="http://elsewhere.example")
    assert status == 403


async def test_functions_import_what_is_in_their_layers(lambda_client: Any, call: Call) -> None:
    first = (await call(_publish, lambda_client, "Hello"))["LayerVersionArn"]
    second = (await call(_publish, lambda_client, "Goodbye"))["LayerVersionArn"]
    made = await call(create, lambda_client, "asks", _ASKS, Layers=[first])
    assert [layer["Arn"] for layer in made["Layers"]] == [first]
    assert await _ask(lambda_client, call) == "Hello you"
    await call(lambda_client.update_function_configuration, FunctionName="asks", Layers=[second])
    assert await _ask(lambda_client, call) == "Goodbye you"


async def _ask(client: Any, call: Call) -> Any:
    answer = await call(client.invoke, FunctionName="asks", Payload=b'{"name": "you"}')
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


async def test_a_deleted_version_stays_with_its_functions_and_cannot_be_attached_any_more(
    lambda_client: Any, call: Call, runtime: LambdaRuntime
) -> None:
    arn = (await call(_publish, lambda_client))["LayerVersionArn"]
    await call(create, lambda_client, "asks", _ASKS, Layers=[arn])
    answer = await call(lambda_client.delete_layer_version, LayerName="greetings", VersionNumber=1)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204

    # a cold start from the archive, after a change that does not speak of layers
    await call(lambda_client.update_function_configuration, FunctionName="asks", MemorySize=300)
    await runtime.evict("asks")
    assert await _ask(lambda_client, call) == "Hello you"
    kept = await call(lambda_client.get_function_configuration, FunctionName="asks")
    assert [layer["Arn"] for layer in kept["Layers"]] == [arn]

    # nor is it shown, nor given to others
    assert await refusal(call, lambda_client.get_layer_version, LayerName="greetings", VersionNumber=1) == _NOT_THERE
    assert await refusal(call, lambda_client.get_layer_version_by_arn, Arn=arn) == _NOT_THERE
    assert (await call(lambda_client.list_layers))["Layers"] == []
    assert (await call(lambda_client.list_layer_versions, LayerName="greetings"))["LayerVersions"] == []
    refused = await refusal(call, create, lambda_client, "other", _ASKS, Layers=[arn])
    assert (refused.status, refused.code) == (400, "InvalidParameterValueException")
    # a second time is fine
    await call(lambda_client.delete_layer_version, LayerName="greetings", VersionNumber=1)


async def test_a_number_is_never_given_again_not_even_after_a_restart(home: Path, call: Call) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        endpoint = Endpoint(runtime)
        await endpoint.open()
        client = client_of(endpoint.url)
        assert [(await call(_publish, client, word))["Version"] for word in ("a", "b", "c")] == [1, 2, 3]
        await call(client.delete_layer_version, LayerName="greetings", VersionNumber=3)
        assert (await call(_publish, client))["Version"] == 4
        await call(client.delete_layer_version, LayerName="greetings", VersionNumber=4)
        client.close()
        await endpoint.aclose()
    async with LambdaRuntime.open(home=home) as runtime:
        endpoint = Endpoint(runtime)
        await endpoint.open()
        client = client_of(endpoint.url)
        listed = await call(client.list_layer_versions, LayerName="greetings")
        assert [each["Version"] for each in listed["LayerVersions"]] == [2, 1]
        assert (await call(_publish, client))["Version"] == 5
        client.close()
        await endpoint.aclose()


async def test_concurrent_publications_all_get_numbers_of_their_own(lambda_client: Any, call: Call) -> None:
    answers = await asyncio.gather(*(call(_publish, lambda_client, f"word {n}") for n in range(8)))
    assert sorted(answer["Version"] for answer in answers) == list(range(1, 9))


async def test_lists_come_in_pages_and_by_runtime_and_architecture(lambda_client: Any, call: Call) -> None:
    for name, runtimes, architectures in (
        ("a", ["python3.12"], ["arm64"]),
        ("b", ["nodejs22.x"], ["x86_64"]),
        ("c", [], []),
        ("a", ["python3.13"], ["arm64"]),
        ("a", ["nodejs22.x"], ["x86_64"]),
    ):
        await call(
            _publish,
            lambda_client,
            LayerName=name,
            CompatibleRuntimes=runtimes,
            CompatibleArchitectures=architectures,
        )

    async def names(**filters: Any) -> list[tuple[str, int]]:
        pages = lambda_client.get_paginator("list_layers").paginate(**filters, PaginationConfig={"PageSize": 2})
        found = await call(lambda: [layer for page in pages for layer in page["Layers"]])
        return [(layer["LayerName"], layer["LatestMatchingVersion"]["Version"]) for layer in found]

    assert await names() == [("a", 3), ("b", 1), ("c", 1)]
    assert await names(CompatibleRuntime="python3.12") == [("a", 1)]
    assert await names(CompatibleRuntime="nodejs22.x") == [("a", 3), ("b", 1)]
    assert await names(CompatibleArchitecture="arm64") == [("a", 2)]
    assert await names(CompatibleRuntime="python3.12", CompatibleArchitecture="x86_64") == []

    pages = lambda_client.get_paginator("list_layer_versions").paginate(
        LayerName=_ARN.replace("greetings", "a"), PaginationConfig={"PageSize": 2}
    )
    found = await call(lambda: [[version["Version"] for version in page["LayerVersions"]] for page in pages])
    assert found == [[3, 2], [1]]
    matching = await call(lambda_client.list_layer_versions, LayerName="a", CompatibleRuntime="python3.13")
    assert [version["LayerVersionArn"][-2:] for version in matching["LayerVersions"]] == [":2"]
    assert (await call(lambda_client.list_layer_versions, LayerName="nothing"))["LayerVersions"] == []


@pytest.mark.parametrize(
    ("members", "code", "says"),
    [
        ({"Content": {"S3Bucket": "a-bucket", "S3Key": "a.zip"}}, "InvalidParameterValueException", "from S3"),
        ({"Content": {}}, "InvalidParameterValueException", "Content.ZipFile"),
        ({"Content": {"ZipFile": b""}}, "InvalidParameterValueException", "Content.ZipFile"),
        ({"Content": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", "Could not unzip"),
        ({"CompatibleRuntimes": ["python9.9"]}, "ValidationException", "python9.9"),
        ({"CompatibleRuntimes": ["python3.13"] * 16}, "ValidationException", "'compatibleRuntimes'"),
        ({"CompatibleArchitectures": ["mips"]}, "ValidationException", "'compatibleArchitectures.1.member'"),
        ({"Description": "x" * 257}, "ValidationException", "'description'"),
        ({"LicenseInfo": "x" * 513}, "ValidationException", "'licenseInfo'"),
        ({"LayerName": "no spaces"}, "InvalidParameterValueException", "LayerName"),
        ({"LayerName": f"{_ARN}:1"}, "ValidationException", "without a version"),
    ],
)
async def test_what_cannot_be_published_is_refused_and_leaves_no_number_behind(
    lambda_client: Any, call: Call, members: dict[str, Any], code: str, says: str
) -> None:
    refused = await refusal(call, _publish, lambda_client, **members)
    assert (refused.status, refused.code) == (400, code)
    assert says in refused.message
    assert (await call(_publish, lambda_client))["Version"] == 1


async def test_versions_that_were_never_there_are_told_apart_from_numbers_that_are_none(
    lambda_client: Any, call: Call, endpoint: Endpoint
) -> None:
    get = lambda_client.get_layer_version
    assert await refusal(call, get, LayerName="greetings", VersionNumber=1) == _NOT_THERE
    below = await refusal(call, get, LayerName="greetings", VersionNumber=0)
    assert below == Refusal(400, "InvalidParameterValueException", "Layer Version Cannot be less than 1")
    assert await refusal(call, lambda_client.get_layer_version_by_arn, Arn=f"{_ARN}:7") == _NOT_THERE
    for arn in (_ARN, "greetings:1", "arn:aws:lambda:us-east-1:000000000000:function:greetings:1"):
        refused = await refusal(call, lambda_client.get_layer_version_by_arn, Arn=arn)
        assert refused.status == 400
    status, body = await call(_fetch, f"{endpoint.url}/2018-10-31/layers/greetings/versions/one")
    assert (status, "whole number" in json.loads(body)["message"]) == (400, True)


async def test_a_layers_zip_is_kept_while_it_is_published_or_used_and_goes_with_the_last_use(
    lambda_client: Any, call: Call, runtime: LambdaRuntime, home: Path
) -> None:
    async def settled() -> int:
        # the collection runs behind the scenes: wait for it and not for a time
        await runtime._deployer.settled()
        return await _stored(home)

    arn = (await call(_publish, lambda_client))["LayerVersionArn"]
    await call(create, lambda_client, "plain")
    assert await settled() == 2
    await call(create, lambda_client, "asks", _ASKS, Layers=[arn])
    assert await settled() == 3
    await call(lambda_client.delete_layer_version, LayerName="greetings", VersionNumber=1)
    assert await settled() == 3
    assert await _ask(lambda_client, call) == "Hello you"
    await call(lambda_client.publish_version, FunctionName="asks")
    await call(lambda_client.update_function_configuration, FunctionName="asks", Layers=[])
    # the published version still has it
    assert await settled() == 3
    await call(lambda_client.delete_function, FunctionName="asks")
    assert await settled() == 1


async def test_the_same_zip_published_twice_is_kept_for_the_other(
    lambda_client: Any, call: Call, runtime: LambdaRuntime, home: Path
) -> None:
    one, two = [await call(_publish, lambda_client) for _ in range(2)]
    assert one["Content"]["CodeSha256"] == two["Content"]["CodeSha256"]
    await call(lambda_client.delete_layer_version, LayerName="greetings", VersionNumber=1)
    await runtime._deployer.settled()
    assert (await call(_fetch, two["Content"]["Location"]))[1] == _layer("Hello")
    assert (await call(_fetch, one["Content"]["Location"]))[0] == 404
    await call(lambda_client.delete_layer_version, LayerName="greetings", VersionNumber=2)
    await runtime._deployer.settled()
    assert await _stored(home) == 0


async def test_a_client_that_goes_away_in_the_middle_of_a_download_leaves_nothing_open(
    lambda_client: Any, call: Call, endpoint: Endpoint, runtime: LambdaRuntime
) -> None:
    noise = hashlib.shake_256(b"a layer").digest(16 * 1024 * 1024)
    await call(_publish, lambda_client, Content={"ZipFile": a_zip({"python/noise": noise}, method=0)})
    ended: list[CallEnded] = []
    runtime.events.subscribe(lambda event: ended.append(event) if isinstance(event, CallEnded) else None)
    assert endpoint.address is not None
    host, _, port = endpoint.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = "/_stoker/layers/greetings/1/content"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {endpoint.address}\r\n\r\n".encode())
    assert (await reader.read(1000)).startswith(b"HTTP/1.1 200")
    writer.transport.abort()
    await until(runtime, lambda: ended)
    assert (ended[0].operation, ended[0].gone) == ("DownloadLayerVersion", True)
    assert not [each.path for each in psutil.Process().open_files() if each.path.endswith(".zip")]


async def test_a_layer_as_large_as_a_request_may_be_can_be_published(lambda_client: Any, call: Call) -> None:
    noise = hashlib.shake_256(b"a layer").digest(8 * 1024 * 1024)
    published = await call(_publish, lambda_client, Content={"ZipFile": a_zip({"python/noise": noise}, method=0)})
    assert published["Content"]["CodeSize"] > len(noise)
    refused = await refusal(call, _publish, lambda_client, Content={"ZipFile": noise * 7})
    assert refused.status == 413
