"""A function changed through the facade, as it is at that moment."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from core.errors import FunctionNotFoundError, InvalidFunctionError, ZipExtractionFailedError
from core.registry import Details
from tests.core.sources import python_function
from tests.core.zips import a_zip

if TYPE_CHECKING:
    from pathlib import Path

    from core.functions import LambdaFunction
    from core.runtime import LambdaRuntime

SOURCE = "def handler(event, context):\n    return 'first'\n"
OTHER = a_zip({"app.py": SOURCE.replace("first", "other")})


def longer(function: LambdaFunction, _: Details) -> tuple[LambdaFunction, None]:
    return function.replace(timeout=function.timeout + 1), None


async def test_changes_at_once_each_find_what_the_one_before_made(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(python_function(tmp_path, SOURCE, timeout=10))
    deploys = await asyncio.gather(*(runtime.change_function("python", longer) for _ in range(5)))
    assert [deploy.function.timeout for deploy in deploys] == [11, 12, 13, 14, 15]
    assert runtime.deploy("python") == deploys[-1]
    assert len({deploy.modified for deploy in deploys}) == 5


async def test_a_folder_is_not_read_again_until_it_is_asked_to_be(runtime: LambdaRuntime, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "data.txt").write_text("one")
    function = await runtime.add_function(python_function(tmp_path, SOURCE, layers=[layer]))
    before = runtime.deploy("python")
    assert function.code is not None
    (function.code / "app.py").write_text(SOURCE.replace("first", "second"))
    (layer / "data.txt").write_text("two")
    after = await runtime.change_function("python", longer)
    assert (after.code, list(after.layers)) == (before.code, list(before.layers))
    assert json.loads((await runtime.invoke("python")).payload) == "first"
    assert await runtime.refresh_code("python")
    assert json.loads((await runtime.invoke("python")).payload) == "second"


async def test_details_are_kept_with_the_change(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(python_function(tmp_path, SOURCE), details=Details(name="python", role="one"))

    def change(function: LambdaFunction, details: Details) -> tuple[LambdaFunction, Details]:
        assert details.role == "one"
        return function, Details(name="python", role="two", next_version=details.next_version)

    await runtime.change_function("python", change)
    found = runtime.registry.details.get("python")
    assert found is not None
    assert found.role == "two"


async def test_what_is_only_tried_is_not_kept(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(python_function(tmp_path, SOURCE))
    before = runtime.deploy("python")
    tried = await runtime.change_function("python", longer, OTHER, keep=False)
    assert tried.function.timeout == before.function.timeout + 1
    assert runtime.deploy("python") == before
    with pytest.raises(ZipExtractionFailedError):
        await runtime.change_function("python", longer, b"no zip", keep=False)


async def test_a_change_that_is_refused_changes_nothing(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(python_function(tmp_path, SOURCE))
    before = runtime.deploy("python")

    def refuse(function: LambdaFunction, details: Details) -> tuple[LambdaFunction, Details]:
        raise PermissionError

    def rename(function: LambdaFunction, details: Details) -> tuple[LambdaFunction, None]:
        return function.replace(function_name="python:7"), None

    with pytest.raises(PermissionError):
        await runtime.change_function("python", refuse)
    with pytest.raises(InvalidFunctionError):
        await runtime.change_function("python", rename)
    with pytest.raises(ZipExtractionFailedError):
        await runtime.change_function("python", longer, b"no zip")
    with pytest.raises(FunctionNotFoundError):
        await runtime.change_function("absent", longer)
    assert runtime.deploy("python") == before
