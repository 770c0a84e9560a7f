"""The sample functions: installed once, left to the person afterwards, and each doing what it says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import gui.samples
from core.events import Event, Trouble
from core.functions import LambdaFunction
from core.runtime import LambdaRuntime
from gui.samples import install_samples, sample_events

NAMES = ["sample-echo", "sample-fails", "sample-slow-init", "sample-sse", "sample-words"]
RESOURCES = Path(gui.samples.__file__).parents[1] / "resources"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def runtime(home: Path) -> AsyncIterator[LambdaRuntime]:
    async with LambdaRuntime.open(home=home) as opened:
        yield opened


def names(runtime: LambdaRuntime) -> list[str]:
    return [function.function_name for function in runtime.functions()]


async def test_a_first_start_has_all_samples_with_their_events(runtime: LambdaRuntime, home: Path) -> None:
    assert await install_samples(runtime) == NAMES
    assert names(runtime) == NAMES
    for function in runtime.functions():
        assert function.code == home / "samples" / function.function_name
        assert function.description
        events = await runtime.saved_events(function.function_name)
        assert events
        assert all(json.loads(event.payload) is not None for event in events)
    assert not list((home / "samples").glob(".*"))


async def test_a_second_start_adds_nothing(home: Path) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        assert await install_samples(runtime) == NAMES
    async with LambdaRuntime.open(home=home) as runtime:
        assert await install_samples(runtime) == []
        assert names(runtime) == NAMES


async def test_a_sample_that_was_removed_does_not_come_back(runtime: LambdaRuntime) -> None:
    await install_samples(runtime)
    await runtime.remove_function("sample-echo")
    assert await install_samples(runtime) == []
    assert "sample-echo" not in names(runtime)


async def test_a_function_that_has_the_name_is_left_alone(runtime: LambdaRuntime, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.py").write_text("def handler(event, context): return 'mine'\n")
    mine = LambdaFunction(function_name="sample-echo", runtime="python3.13", handler="mine.handler", code=own)
    await runtime.add_function(mine)
    assert await install_samples(runtime) == [name for name in NAMES if name != "sample-echo"]
    assert runtime.function("sample-echo") == mine
    assert await runtime.saved_events("sample-echo") == []


async def test_code_that_a_person_has_edited_stays(runtime: LambdaRuntime, home: Path) -> None:
    edited = home / "samples" / "sample-echo" / "app.py"
    edited.parent.mkdir(parents=True)
    edited.write_text("def handler(event, context): return 'edited'\n")
    assert "sample-echo" in await install_samples(runtime)
    assert "edited" in edited.read_text()


async def test_a_bootstrap_can_be_executed_also_from_a_wheel_that_forgot_it(
    runtime: LambdaRuntime, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = tmp_path / "resources"
    shutil.copytree(RESOURCES / "samples", resources / "samples")
    for path in resources.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    monkeypatch.setattr(gui.samples, "files", lambda package: resources)
    await install_samples(runtime)
    assert os.access(home / "samples" / "sample-words" / "bootstrap", os.X_OK)
    assert not (home / "samples" / "sample-echo" / "app.py").stat().st_mode & 0o111


async def test_one_that_cannot_be_installed_is_told_and_tried_again(runtime: LambdaRuntime, home: Path) -> None:
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Trouble):
            told.append(event.message)

    runtime.events.subscribe(listen)
    (home / "samples").mkdir(parents=True)
    (home / "samples" / "sample-fails").write_text("a file where the folder should be")
    assert await install_samples(runtime) == [name for name in NAMES if name != "sample-fails"]
    assert len(told) == 1
    assert "sample-fails was not installed" in told[0]
    (home / "samples" / "sample-fails").unlink()
    assert await install_samples(runtime) == ["sample-fails"]
    assert names(runtime) == NAMES


async def test_the_python_samples_do_what_they_say(runtime: LambdaRuntime) -> None:
    await install_samples(runtime)
    echo = await runtime.invoke("sample-echo", b'{"a": [1, "\xc3\xbc"]}')
    answer = json.loads(echo.payload)
    assert answer["event"] == {"a": [1, "ü"]}
    assert answer["context"]["function_name"] == "sample-echo"
    assert answer["context"]["request_id"] == echo.request_id
    assert answer["greeting"] == "Hello from the pool"
    assert answer["served_by_this_instance"] == 1

    for event in await runtime.saved_events("sample-fails"):
        result = await runtime.invoke("sample-fails", event.payload.encode())
        if "fails" in event.title:
            assert result.function_error is not None
            error = json.loads(result.payload)
            assert error["errorType"] == "ValueError"
            assert any("app.py" in line for line in error["stackTrace"])
        else:
            assert json.loads(result.payload) == {"total": 7.5}
    empty = await runtime.invoke("sample-fails", b"{}")
    assert "names no item" in json.loads(empty.payload)["errorMessage"]


async def test_the_slow_initialiser_is_slow_once(runtime: LambdaRuntime) -> None:
    await install_samples(runtime)
    cold = await runtime.invoke("sample-slow-init", b"{}")
    warm = await runtime.invoke("sample-slow-init", b"{}")
    assert json.loads(cold.payload)["init_seconds"] >= 3
    assert (cold.cold_start, warm.cold_start) == (True, False)
    assert json.loads(warm.payload)["served_by_this_instance"] == 2


async def test_the_words_arrive_one_by_one_and_join_to_the_text(runtime: LambdaRuntime) -> None:
    await install_samples(runtime)
    text = "Grüße,  von der\nZündflamme 🕯"
    event = json.dumps({"text": text, "delay_ms": 50}).encode()
    async with await runtime.invoke_streaming("sample-words", event) as invocation:
        chunks = [chunk async for chunk in invocation]
    assert len(chunks) == 5
    assert b"".join(chunks).decode() == text
    assert invocation.result is not None
    assert invocation.result.function_error is None
    default = await runtime.invoke("sample-words", b'{"delay_ms": 0}')
    assert b"never goes out" in default.payload


async def test_the_words_can_stop_halfway_with_an_error(runtime: LambdaRuntime) -> None:
    await install_samples(runtime)
    event = b'{"text": "one two three four", "delay_ms": 1, "fail_after": 2}'
    async with await runtime.invoke_streaming("sample-words", event) as invocation:
        chunks = [chunk async for chunk in invocation]
    assert b"".join(chunks) == b"one two "
    assert invocation.result is not None
    assert invocation.result.function_error is not None
    refused = await runtime.invoke("sample-words", b'{"delay_ms": "quick"}')
    assert json.loads(refused.payload)["errorType"] == "ValueError"


async def test_the_node_sample_streams_events_or_says_what_is_missing(runtime: LambdaRuntime) -> None:
    await install_samples(runtime)
    if shutil.which("node") is None:
        assert "node" in (runtime.unsupported("sample-sse") or "")
        return
    assert runtime.unsupported("sample-sse") is None
    event = b'{"count": 3, "interval_ms": 100}'
    async with await runtime.invoke_streaming("sample-sse", event) as invocation:
        chunks = [chunk async for chunk in invocation]
    assert len(chunks) >= 3
    body = b"".join(chunks)
    assert body.count(b"event: tick\n") == 3
    assert b"event: done\n" in body


def test_sample_events_are_titled_json() -> None:
    events = sample_events()
    assert len({event.title for event in events}) == len(events) >= 5
    assert all(isinstance(json.loads(event.payload), dict) for event in events)
