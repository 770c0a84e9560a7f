"""A function's code through boto3: uploaded, replaced, downloaded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import random
import shutil
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from core.endpoint.uploads import MAX_UPLOAD, MAX_ZIP
from tests.core.endpoint.support import ROLE, ask, client_of, create, definition, refused, zipped
from tests.core.sources import python_function
from tests.core.waiting import until
from tests.core.zips import a_zip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from core.endpoint.endpoint import Endpoint
    from core.runtime import LambdaRuntime

    Call = Callable[..., Awaitable[Any]]


def says(word: str) -> bytes:
    return zipped(f"def handler(event, context):\n    return {word!r}\n")


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


async def answer(client: Any, call: Call, name: str) -> Any:
    return json.loads((await call(client.invoke, FunctionName=name))["Payload"].read())


async def test_new_code_answers_and_the_old_instance_goes(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    before = await call(create, lambda_client, "code", Code={"ZipFile": says("old")})
    assert await answer(lambda_client, call, "code") == "old"
    (old,) = runtime.instances()
    code = says("new")
    after = await call(lambda_client.update_function_code, FunctionName="code", ZipFile=code)
    assert (after["CodeSha256"], after["CodeSize"]) == (sha256(code), len(code))
    assert (after["Version"], after["State"], after["LastUpdateStatus"]) == ("$LATEST", "Active", "Successful")
    assert after["RevisionId"] != before["RevisionId"]
    assert await answer(lambda_client, call, "code") == "new"
    await until(runtime, lambda: old.id not in {instance.id for instance in runtime.instances()})


async def test_new_code_can_be_published_in_the_same_step(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "stepped", Code={"ZipFile": says("one")}, Publish=True)
    found = await call(lambda_client.update_function_code, FunctionName="stepped", ZipFile=says("two"), Publish=True)
    assert (found["Version"], found["FunctionArn"].rsplit(":", 1)[1]) == ("2", "2")
    # nothing new in it: the last version is the answer
    again = await call(lambda_client.update_function_code, FunctionName="stepped", ZipFile=says("two"), Publish=True)
    assert again["Version"] == "2"
    assert [await answer(lambda_client, call, f"stepped:{n}") for n in (1, 2)] == ["one", "two"]


async def test_a_dry_run_checks_everything_and_keeps_nothing(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    before = await call(create, lambda_client, "dry", Code={"ZipFile": says("old")})
    update = lambda_client.update_function_code
    code = says("new")
    tried = await call(update, FunctionName="dry", ZipFile=code, DryRun=True, Publish=True)
    assert (tried["CodeSha256"], tried["Version"]) == (sha256(code), "$LATEST")
    assert (tried["LastModified"], tried["RevisionId"]) == (before["LastModified"], before["RevisionId"])
    with pytest.raises(ClientError) as error:
        await call(update, FunctionName="dry", ZipFile=b"no zip", DryRun=True)
    assert refused(error)[:2] == (400, "InvalidParameterValueException")
    after = await call(lambda_client.get_function_configuration, FunctionName="dry")
    del before["ResponseMetadata"], after["ResponseMetadata"]
    assert after == before
    assert await answer(lambda_client, call, "dry") == "old"
    assert runtime.versions("dry") == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ZipFile": b"no zip at all"}, "Could not unzip uploaded file"),
        ({"ZipFile": a_zip({"../outside.py": "x"})}, "Could not unzip uploaded file"),
        ({"ZipFile": b""}, "non-empty zip"),
        ({"ImageUri": "an/image:1"}, "packageType Zip"),
        ({"S3Bucket": "bucket", "S3Key": "key"}, "S3 is not within reach"),
        ({}, "ZipFile"),
        ({"ZipFile": says("x"), "ImageUri": "an/image:1"}, "give the code once"),
    ],
)
async def test_code_that_cannot_be_taken_leaves_the_old_one(
    lambda_client: Any, call: Call, given: dict[str, Any], words: str
) -> None:
    await call(create, lambda_client, "stays", Code={"ZipFile": says("old")})
    with pytest.raises(ClientError) as error:
        await call(lambda_client.update_function_code, FunctionName="stays", **given)
    status, code, message = refused(error)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert words in message
    assert await answer(lambda_client, call, "stays") == "old"


async def test_an_image_function_takes_no_zip(lambda_client: Any, call: Call) -> None:
    await call(
        lambda_client.create_function,
        FunctionName="image",
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": "an/image:1"},
    )
    with pytest.raises(ClientError) as error:
        await call(lambda_client.update_function_code, FunctionName="image", ZipFile=says("x"))
    assert "packageType Image" in refused(error)[2]


async def test_a_function_of_a_folder_becomes_one_of_the_store(
    runtime: LambdaRuntime, lambda_client: Any, call: Call, tmp_path: Path, home: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, "def handler(event, context):\n    return 'folder'\n", "was"))
    assert await answer(lambda_client, call, "was") == "folder"
    await call(lambda_client.update_function_code, FunctionName="was", ZipFile=says("zip"))
    assert await answer(lambda_client, call, "was") == "zip"
    code = runtime.function("was").code
    assert code is not None
    assert code.is_relative_to(home)
    # reading it again finds what is there already
    assert not await runtime.refresh_code("was")


async def test_the_location_of_the_code_gives_the_very_zip(endpoint: Endpoint, lambda_client: Any, call: Call) -> None:
    one, two = says("one"), says("two")
    made = await call(
        create,
        lambda_client,
        "download",
        Code={"ZipFile": one},
        Publish=True,
        Environment={"Variables": {"KEY": "a secret"}},
    )
    await call(lambda_client.update_function_code, FunctionName="download", ZipFile=two)
    for name, code in (("download", two), ("download:1", one)):
        found = (await call(lambda_client.get_function, FunctionName=name))["Code"]
        assert found["RepositoryType"] == "S3"
        assert found["Location"].startswith(f"{endpoint.url}/")
        status, headers, body = await call(ask, endpoint.url, "GET", urlsplit(found["Location"]).path)
        assert (status, headers["content-type"]) == (200, "application/zip")
        assert body == code
    assert made["CodeSha256"] == sha256(one)
    for path in ("none", "download:7", "download:nobody"):
        status, headers, body = await call(ask, endpoint.url, "GET", f"/_stoker/functions/{path}/code")
        assert (status, headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")


async def test_a_folder_is_downloaded_as_the_zip_that_it_was_taken_in_as(
    runtime: LambdaRuntime, endpoint: Endpoint, lambda_client: Any, call: Call, tmp_path: Path
) -> None:
    await runtime.add_function(python_function(tmp_path, "def handler(event, context): ...\n", "folder"))
    found = await call(lambda_client.get_function, FunctionName="folder")
    _, _, body = await call(ask, endpoint.url, "GET", urlsplit(found["Code"]["Location"]).path)
    assert zipfile.ZipFile(io.BytesIO(body)).namelist() == ["app.py"]
    assert found["Configuration"]["CodeSha256"] == sha256(body)


async def test_a_zip_of_tens_of_megabytes_goes_up_and_comes_down(
    endpoint: Endpoint, lambda_client: Any, call: Call
) -> None:
    ballast = random.Random(7).randbytes(MAX_ZIP - 4096)
    code = a_zip(
        {"app.py": "def handler(event, context):\n    return 'heavy'\n", "ballast.bin": ballast}, zipfile.ZIP_STORED
    )
    assert MAX_ZIP - 4096 < len(code) <= MAX_ZIP
    made = await call(create, lambda_client, "heavy", Code={"ZipFile": code})
    assert (made["CodeSize"], made["CodeSha256"]) == (len(code), sha256(code))
    assert await answer(lambda_client, call, "heavy") == "heavy"
    _, _, body = await call(ask, endpoint.url, "GET", "/_stoker/functions/heavy/code")
    assert hashlib.sha256(body).digest() == hashlib.sha256(code).digest()


async def test_a_request_with_more_than_a_zip_may_have_is_too_large(
    runtime: LambdaRuntime, endpoint: Endpoint, lambda_client: Any, call: Call
) -> None:
    await call(create, lambda_client, "small", Code={"ZipFile": says("small")})
    with pytest.raises(ClientError) as error:
        await call(lambda_client.update_function_code, FunctionName="small", ZipFile=bytes(MAX_ZIP + 1))
    assert refused(error)[:2] == (413, "RequestEntityTooLargeException")
    # a client that sends far more gets the same answer, and not a broken connection
    with pytest.raises(ClientError) as error:
        await call(lambda_client.update_function_code, FunctionName="small", ZipFile=bytes(MAX_ZIP + 20_000_000))
    assert refused(error)[:2] == (413, "RequestEntityTooLargeException")
    # one that says so beforehand need not send it
    host, _, port = (endpoint.address or "").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"PUT /2015-03-31/functions/small/code HTTP/1.1\r\nHost: {endpoint.address}\r\n"
        f"Content-Length: {MAX_UPLOAD + 1}\r\n\r\n".encode()
    )
    assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert await answer(lambda_client, call, "small") == "small"


async def test_a_client_that_uploads_slowly_holds_nobody_up(endpoint: Endpoint, lambda_client: Any, call: Call) -> None:
    host, _, port = (endpoint.address or "").rpartition(":")
    document = json.dumps({**definition("slow"), "Code": {"ZipFile": base64.b64encode(says("slow")).decode()}}).encode()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /2015-03-31/functions HTTP/1.1\r\nHost: {endpoint.address}\r\n"
        f"Content-Length: {len(document)}\r\n\r\n".encode()
        + document[:100]
    )
    await writer.drain()
    # another client does all this while the first has not said all
    await call(create, lambda_client, "quick", Code={"ZipFile": says("quick")})
    assert await answer(lambda_client, call, "quick") == "quick"
    writer.write(document[100:])
    assert b" 201 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert await answer(lambda_client, call, "slow") == "slow"


async def test_an_upload_that_breaks_off_makes_nothing(
    runtime: LambdaRuntime, endpoint: Endpoint, lambda_client: Any, call: Call
) -> None:
    host, _, port = (endpoint.address or "").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /2015-03-31/functions HTTP/1.1\r\nHost: {endpoint.address}\r\nContent-Length: 5000\r\n\r\n".encode()
        + b'{"FunctionName": "half"'
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await call(create, lambda_client, "whole")
    assert [each.function_name for each in runtime.functions()] == ["whole"]


async def test_two_uploads_at_once_to_one_revision_do_not_both_pass(lambda_client: Any, call: Call) -> None:
    revision = (await call(create, lambda_client, "raced", Code={"ZipFile": says("old")}))["RevisionId"]
    results = await asyncio.gather(
        *(
            call(
                lambda_client.update_function_code, FunctionName="raced", ZipFile=says(f"new {n}"), RevisionId=revision
            )
            for n in range(4)
        ),
        return_exceptions=True,
    )
    passed = [result for result in results if isinstance(result, dict)]
    assert len(passed) == 1
    found = await call(lambda_client.get_function_configuration, FunctionName="raced")
    assert found["CodeSha256"] == passed[0]["CodeSha256"]


async def test_the_architecture_is_what_was_asked_for(endpoint: Endpoint, call: Call) -> None:
    client = client_of(endpoint.url)
    made = await call(create, client, "arm", Architectures=["arm64"])
    assert made["Architectures"] == ["arm64"]
    kept = await call(client.update_function_code, FunctionName="arm", ZipFile=says("x"))
    assert kept["Architectures"] == ["arm64"]
    changed = await call(client.update_function_code, FunctionName="arm", ZipFile=says("x"), Architectures=["x86_64"])
    assert changed["Architectures"] == ["x86_64"]
    client.close()


async def test_code_that_has_vanished_from_the_home_is_said_to_have(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    made = await call(create, lambda_client, "lost", Code={"ZipFile": says("lost")})
    code = runtime.deploy("lost").code
    assert code is not None
    code.path.unlink()
    shutil.rmtree(code.directory.rename(code.directory.with_name("elsewhere")), ignore_errors=True)
    with pytest.raises(ClientError) as error:
        await call(lambda_client.invoke, FunctionName="lost")
    assert refused(error)[:2] == (502, "InvalidZipFileException")
    # the same zip once more, and all is well
    mended = await call(lambda_client.update_function_code, FunctionName="lost", ZipFile=says("lost"))
    assert mended["CodeSha256"] == made["CodeSha256"]
    assert await answer(lambda_client, call, "lost") == "lost"
