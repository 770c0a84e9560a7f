"""The AWS CLI, as it comes from the package index, drives the pool through the endpoint."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.core.endpoint.aws_cli import AwsCli
from tests.core.endpoint.support import zipped
from tests.core.zips import a_zip

if TYPE_CHECKING:
    from core.endpoint.endpoint import Endpoint
    from core.runtime import LambdaRuntime

_RUNTIME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_HELLO = """
def handler(event, context):
    print("asked by", event.get("name"))
    return {"hello": event.get("name"), "version": context.function_version}
"""
_HIGHER = _HELLO.replace('"hello"', '"HELLO"')


@pytest.fixture
def cli(endpoint: Endpoint, tmp_path: Path) -> AwsCli:
    return AwsCli(endpoint.url, tmp_path / "cli")


@pytest.mark.any_python
async def test_a_function_lives_its_whole_life_by_the_command_line(cli: AwsCli, runtime: LambdaRuntime) -> None:
    (cli.folder / "one.zip").write_bytes(zipped(_HELLO))
    (cli.folder / "two.zip").write_bytes(zipped(_HIGHER))
    made = await cli.json(
        *("create-function", "--function-name", "hello", "--runtime", _RUNTIME, "--handler", "app.handler"),
        *("--role", "arn:aws:iam::000000000000:role/any", "--zip-file", "fileb://one.zip", "--timeout", "20"),
        *("--environment", "Variables={GREETING=hi}", "--tags", "team=pool"),
    )
    assert (made["FunctionName"], made["State"], made["Environment"]["Variables"]) == (
        "hello",
        "Active",
        {"GREETING": "hi"},
    )
    assert runtime.function("hello").timeout == 20
    await cli.json("wait", "function-active-v2", "--function-name", "hello")

    said = await cli.json(
        *("invoke", "--function-name", "hello", "--payload", '{"name": "pool"}'),
        *("--log-type", "Tail", "--query", "LogResult", "answer.json"),
    )
    assert json.loads((cli.folder / "answer.json").read_text()) == {"hello": "pool", "version": "$LATEST"}
    assert "asked by pool" in base64.b64decode(said).decode()
    assert [i.state for i in runtime.instances("hello")] == ["idle"]

    published = await cli.json("publish-version", "--function-name", "hello")
    assert published["Version"] == "1"
    await cli.json(*("create-alias", "--function-name", "hello", "--name", "live", "--function-version", "1"))
    updated = await cli.json(*("update-function-code", "--function-name", "hello", "--zip-file", "fileb://two.zip"))
    assert updated["CodeSha256"] != made["CodeSha256"]
    for name, key in (("hello", "HELLO"), ("hello:live", "hello")):
        code, _, err = await cli.run("invoke", "--function-name", name, "answer.json")
        assert code == 0, err
        assert key in json.loads((cli.folder / "answer.json").read_text())

    listed = await cli.json("list-functions")
    assert [each["FunctionName"] for each in listed["Functions"]] == ["hello"]
    await cli.json("delete-function", "--function-name", "hello")
    assert runtime.functions() == []


@pytest.mark.any_python
async def test_what_goes_wrong_is_said_as_aws_says_it(cli: AwsCli) -> None:
    code, _, err = await cli.run("invoke", "--function-name", "nobody", "answer.json")
    assert code != 0
    assert "ResourceNotFoundException" in err
    assert "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody" in err
    (cli.folder / "bad.zip").write_bytes(a_zip({"../outside.py": "", "app.py": ""}))
    code, _, err = await cli.run(
        *("create-function", "--function-name", "bad", "--runtime", _RUNTIME, "--handler", "app.handler"),
        *("--role", "arn:aws:iam::000000000000:role/any", "--zip-file", "fileb://bad.zip"),
    )
    assert code != 0
    assert "InvalidParameterValueException" in err
    assert "Could not unzip uploaded file" in err
    assert "../outside.py" in err
