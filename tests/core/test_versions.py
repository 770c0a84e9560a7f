"""Published versions: frozen code and configuration, with a pool of their own."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from core.errors import ConflictError, FunctionNotFoundError, InvalidFunctionError, TooManyRequestsError
from core.events import FunctionAdded, FunctionRemoved
from core.names import Target
from core.registry import Alias, Provisioned, Reserved
from core.runtime import LambdaRuntime
from tests.core.sources import python_function, scripted_function

if TYPE_CHECKING:
    from pathlib import Path

    from tests.core.sources import Gate

_WHO = """
    import os
    def handler(event, context):
        return {"said": "%s", "version": context.function_version, "name": context.function_name,
                "arn": context.invoked_function_arn, "stream": context.log_stream_name}
"""


async def _ask(runtime: LambdaRuntime, name: str) -> dict[str, str]:
    result = await runtime.invoke(name, b"{}")
    assert result.function_error is None, result
    answer: dict[str, str] = json.loads(result.payload)
    assert result.executed_version == answer["version"]
    return answer


async def test_a_version_keeps_its_code_while_the_function_goes_on(runtime: LambdaRuntime, tmp_path: Path) -> None:
    function = python_function(tmp_path, _WHO % "first", name="who")
    await runtime.add_function(function)
    first = await runtime.publish_version("who", "the first")
    assert (first.function_name, first.name, first.version, first.description) == ("who:1", "who", "1", "the first")
    assert function.code is not None
    (function.code / "app.py").write_text("def handler(event, context): return 'broken")
    (function.code / "app.py").write_text((_WHO % "second").replace("\n    ", "\n"))
    await runtime.refresh_code("who")

    old, new = await _ask(runtime, "who:1"), await _ask(runtime, "who")

    assert (old["said"], old["version"], old["name"]) == ("first", "1", "who")
    assert old["arn"].endswith(":function:who:1")
    assert "/[1]" in old["stream"]
    assert (new["said"], new["version"]) == ("second", "$LATEST")
    assert {i.function_name for i in runtime.instances()} == {"who", "who:1"}
    assert not await runtime.refresh_code("who:1")


async def test_publishing_what_has_not_changed_gives_the_same_version(runtime: LambdaRuntime, tmp_path: Path) -> None:
    function = await runtime.add_function(scripted_function(tmp_path))
    first = await runtime.publish_version("scripted")
    assert await runtime.publish_version("scripted", "another description") == first
    await runtime.add_function(function.replace(memory_size=300))
    second = await runtime.publish_version("scripted")
    assert second.function_name == "scripted:2"
    assert [f.function_name for f in runtime.versions("scripted")] == ["scripted:1", "scripted:2"]


async def test_numbers_go_on_after_a_version_was_removed_and_after_a_restart(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        function = await runtime.add_function(scripted_function(tmp_path))
        await runtime.publish_version("scripted")
        await runtime.remove_function("scripted:1")
        await runtime.add_function(function.replace(timeout=7))
        await runtime.publish_version("scripted")
    async with LambdaRuntime.open(home=home) as runtime:
        assert [f.function_name for f in runtime.functions()] == ["scripted", "scripted:2"]
        assert runtime.function("scripted:2").timeout == 7
        result = await runtime.invoke("scripted:2", json.dumps([["chunk", "still here"]]))
        assert (result.payload, result.executed_version) == (b"still here", "2")
        await runtime.add_function(function.replace(timeout=8))
        assert (await runtime.publish_version("scripted")).version == "3"


async def test_removing_a_function_takes_its_versions_and_what_hangs_on_it(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        await runtime.add_function(scripted_function(tmp_path, name="other"))
        await runtime.publish_version("scripted")
        await runtime.registry.aliases.put(Alias(name="scripted", qualifier="live", function_version="1"))
        await runtime.registry.reserved.put(Reserved(name="other", count=3))
        gone: list[str] = []
        runtime.events.subscribe(lambda e: gone.append(e.function_name) if isinstance(e, FunctionRemoved) else None)
        await runtime.launch("scripted:1")
        await runtime.remove_function("scripted")
        assert sorted(gone) == ["scripted", "scripted:1"]
        with pytest.raises(FunctionNotFoundError):
            await runtime.invoke("scripted:1", b"{}")
    async with LambdaRuntime.open(home=home) as runtime:
        assert [f.function_name for f in runtime.functions()] == ["other"]
        assert list(runtime.registry.aliases) == []
        assert runtime.registry.most_at_once("other") == 3


async def test_a_version_that_an_alias_stands_for_stays(runtime: LambdaRuntime, tmp_path: Path) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.publish_version("scripted")
    await runtime.registry.aliases.put(Alias(name="scripted", qualifier="live", function_version="1"))
    with pytest.raises(ConflictError, match="live"):
        await runtime.remove_function("scripted:1")
    assert runtime.registry.resolve(Target("scripted", "live")) == "scripted:1"
    await runtime.registry.aliases.remove("scripted", "live")
    await runtime.remove_function("scripted:1")
    assert runtime.versions("scripted") == []


async def test_nobody_adds_a_version_by_hand(runtime: LambdaRuntime, tmp_path: Path) -> None:
    function = scripted_function(tmp_path)
    with pytest.raises(InvalidFunctionError, match="published, not added"):
        await runtime.add_function(function.replace(function_name="scripted:1"))
    with pytest.raises(InvalidFunctionError, match="function_name"):
        function.replace(function_name="scripted:live")


async def test_code_as_bytes_is_kept_in_the_home_alone(home: Path, tmp_path: Path) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        zipped.writestr("app.py", (_WHO % "zipped").replace("\n    ", "\n"))
    template = python_function(tmp_path, _WHO % "not this", name="who")
    async with LambdaRuntime.open(home=home) as runtime:
        added: list[Path | None] = []
        runtime.events.subscribe(lambda e: added.append(e.function.code) if isinstance(e, FunctionAdded) else None)
        kept = await runtime.add_function(template, written.getvalue())
        assert added == [kept.code]
        assert kept.code is not None
        assert kept.code.is_relative_to(home)
        assert (await _ask(runtime, "who"))["said"] == "zipped"
        # a change of the configuration alone takes the code from there
        await runtime.add_function(kept.replace(memory_size=300))
    async with LambdaRuntime.open(home=home) as runtime:
        assert (await _ask(runtime, "who"))["said"] == "zipped"


async def test_an_alias_with_weights_sends_its_share_elsewhere(runtime: LambdaRuntime) -> None:
    await runtime.registry.aliases.put(Alias(name="who", qualifier="live", function_version="1", weights={"2": 0.25}))
    drawn = [runtime.registry.resolve(Target("who", "live")) for _ in range(4_000)]
    assert set(drawn) == {"who:1", "who:2"}
    # six sigma around a quarter
    assert 835 < drawn.count("who:2") < 1_165


async def test_reserved_concurrency_throttles_at_its_number_over_all_versions(
    runtime: LambdaRuntime, tmp_path: Path, gate: Gate
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.publish_version("scripted")
    await runtime.registry.reserved.put(Reserved(name="scripted", count=2))
    runtime.limits_changed("scripted")
    waiting = json.dumps([["chunk", "begun"], gate.step])
    one = await runtime.invoke_streaming("scripted", waiting)
    two = await runtime.invoke_streaming("scripted:1", waiting)
    with pytest.raises(TooManyRequestsError) as refused:
        await runtime.invoke("scripted", b"[]")
    assert refused.value.reserved
    assert runtime.running_of("scripted") == 2
    gate.open()
    gate.open()
    for each in (one, two):
        async with each:
            assert [chunk async for chunk in each] == [b"begun"]
    assert runtime.running_of("scripted") == 0
    assert (await runtime.invoke("scripted", json.dumps([["chunk", "again"]]))).payload == b"again"


async def test_provisioned_concurrency_keeps_that_many_of_the_version_warm(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path, idle_ttl=0.0))
    await runtime.publish_version("scripted")
    await runtime.registry.aliases.put(Alias(name="scripted", qualifier="live", function_version="1"))
    await runtime.registry.provisioned.put(Provisioned(name="scripted", qualifier="live", count=2))
    runtime.limits_changed("scripted")
    states = runtime.events.stream()
    while sum(i.state == "idle" for i in runtime.instances("scripted:1")) < 2:
        await anext(states)
    assert runtime.idle_candidates(0.0, "scripted:1") == []
    await runtime.registry.provisioned.remove("scripted", "live")
    runtime.limits_changed("scripted")
    while runtime.instances("scripted:1"):
        await anext(states)
