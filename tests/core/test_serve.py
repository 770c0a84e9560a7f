"""`stoker serve` from outside: real clients drive it, signals end it, and what is wrong at its start is one line."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.core.endpoint.aws_cli import AwsCli
from tests.core.endpoint.support import ask, client_of, create, refused
from tests.core.zips import a_zip

ROOT = Path(__file__).resolve().parents[2]
WORDS = ROOT / "resources" / "samples" / "sample-words" / "code"
SLOW = """
import time
def handler(event, context):
    print("began")
    time.sleep(event["seconds"])
    return "whole"
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gui", "serve", *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """Without a screen and without engines, unless a test gives them."""
    dropped = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM", "DOCKER_HOST", "CONTAINER_HOST", "STOKER_TOKEN"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


class Served:
    """One that has said where it serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.line = process.stdout.readline()
        assert self.line.startswith("Stoker serves http://127.0.0.1:"), self.line
        self.url = self.line.split()[2]
        self.client = client_of(self.url)

    def instances(self) -> list[dict[str, Any]]:
        """What it tells of its pool."""
        status, _, body = ask(self.url, "GET", "/_stoker/instances")
        assert status == 200
        found: list[dict[str, Any]] = json.loads(body)["instances"]
        return found

    def ends(self, number: signal.Signals = signal.SIGTERM) -> str:
        """End it; what it wrote to standard error. Nothing that it started may be left."""
        started = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        _, alive = psutil.wait_procs(started, timeout=10)
        assert alive == []
        return err


@contextmanager
def serving(*arguments: object, **changes: str) -> Iterator[Served]:
    with subprocess.Popen(
        command("--port", 0, *arguments),
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Served(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving("--home", tmp_path / "home") as started:
        yield started


def refuse(*arguments: object, **changes: str) -> str:
    """Run it, and return the one line that it refused with."""
    done = subprocess.run(
        command(*arguments), env=environment(**changes), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


# --- clients


def test_boto3_drives_a_function_through_its_whole_life(served: Served) -> None:
    client = served.client
    made = create(client, "echo", "def handler(event, context):\n    print('seen')\n    return event\n")
    assert made["State"] == "Active"
    answer = client.invoke(FunctionName="echo", Payload=b'{"a": 1}', LogType="Tail")
    assert json.loads(answer["Payload"].read()) == {"a": 1}
    log = base64.b64decode(answer["LogResult"]).decode().splitlines()
    assert log[0].startswith("START RequestId: ")
    assert log[1] == "seen"
    assert [each["state"] for each in served.instances()] == ["idle"]

    create(client, "fails", "def handler(event, context):\n    raise ValueError('no')\n")
    failed = client.invoke(FunctionName="fails")
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "ValueError"
    with pytest.raises(ClientError) as error:
        client.invoke(FunctionName="nobody")
    assert refused(error)[:2] == (404, "ResourceNotFoundException")

    client.delete_function(FunctionName="echo")
    assert [each["FunctionName"] for each in client.list_functions()["Functions"]] == ["fails"]
    served.ends()
    assert served.process.returncode == 0


def test_a_stream_comes_to_boto3_while_the_function_still_writes(served: Served) -> None:
    files = {path.name: path.read_bytes() for path in WORDS.iterdir() if path.is_file()}
    served.client.create_function(
        FunctionName="words",
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role="arn:aws:iam::000000000000:role/any",
        Timeout=60,
        Code={"ZipFile": a_zip(files, modes={"bootstrap": 0o755})},
    )
    text = "as it is written " * 10
    stream = served.client.invoke_with_response_stream(
        FunctionName="words", Payload=json.dumps({"text": text, "delay_ms": 50})
    )["EventStream"]
    events = iter(stream)
    first = next(events)
    # what came is one word of forty, and the function is not done
    assert first["PayloadChunk"]["Payload"].decode().split() == ["as"]
    assert [each["state"] for each in served.instances()] == ["busy"]
    rest = list(events)
    assert "InvokeComplete" in rest[-1]
    assert len(rest) == 40
    whole = first["PayloadChunk"]["Payload"] + b"".join(each["PayloadChunk"]["Payload"] for each in rest[:-1])
    assert whole.decode().split() == text.split()


@pytest.mark.any_python
async def test_the_aws_cli_drives_it_too(served: Served, tmp_path: Path) -> None:
    cli = AwsCli(served.url, tmp_path / "cli")
    await asyncio.to_thread(create, served.client, "echo")
    code, out, err = await cli.run("invoke", "--function-name", "echo", "--payload", '{"b": 2}', "o.json")
    assert code == 0, err
    assert json.loads(out)["StatusCode"] == 200
    assert json.loads((cli.folder / "o.json").read_text()) == {"b": 2}


def test_what_it_was_given_is_there_again_at_its_next_start(tmp_path: Path) -> None:
    with serving("--home", tmp_path / "home") as one:
        create(one.client, "kept")
        one.ends()
    with serving("--home", tmp_path / "home") as two:
        assert json.loads(two.client.invoke(FunctionName="kept", Payload=b"3")["Payload"].read()) == 3


# --- ends


def test_sigterm_lets_what_runs_finish_and_leaves_nothing(served: Served) -> None:
    create(served.client, "slow", SLOW)
    answers: list[bytes] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            served.client.invoke(FunctionName="slow", Payload=b'{"seconds": 1.5}')["Payload"].read()
        )
    )
    asking.start()
    wait_until_busy(served)
    told = served.ends()
    asking.join(60)
    assert answers == [b'"whole"']
    assert served.process.returncode == 0
    assert "ends once what runs has ended" in told


def test_a_second_signal_does_not_wait(served: Served) -> None:
    create(served.client, "slow", SLOW, Timeout=600)
    asking = threading.Thread(target=lambda: quietly(served.client, "slow", b'{"seconds": 500}'))
    asking.start()
    wait_until_busy(served)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.stderr is not None
    assert "ends once" in served.process.stderr.readline()
    served.ends()
    asking.join(60)
    assert served.process.returncode == 0


def test_kill_9_leaves_no_runtime(served: Served) -> None:
    create(served.client, "echo")
    ask(served.url, "POST", "/_stoker/functions/echo/launch?count=2")
    served.ends(signal.SIGKILL)


def wait_until_busy(served: Served) -> None:
    for _ in range(2_000):
        if [each["state"] for each in served.instances()] == ["busy"]:
            return
    raise AssertionError(served.instances())


def quietly(client: Any, name: str, payload: bytes) -> None:
    try:
        client.invoke(FunctionName=name, Payload=payload)
    except Exception:
        # what becomes of it is not what the test is about
        return


# --- what is wrong at the start


def test_a_port_in_use_is_refused(served: Served, tmp_path: Path) -> None:
    port = served.url.rpartition(":")[2]
    assert port in refuse("--port", port, "--home", tmp_path / "another")


def test_a_home_in_use_is_refused(served: Served, tmp_path: Path) -> None:
    assert served.process.poll() is None
    assert f"another Stoker is using {tmp_path / 'home'}" in refuse("--port", 0, "--home", tmp_path / "home")


def test_a_home_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refuse("--port", 0, "--home", tmp_path / "file")


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    assert "needs a token" in refuse("--port", 0, "--bind", "0.0.0.0", "--home", tmp_path / "home")
    (tmp_path / "token").write_text("short")
    assert "8 to 256" in refuse("--port", 0, "--token-file", tmp_path / "token", "--home", tmp_path / "home")


def test_an_unknown_backend_is_refused_with_those_there_are(tmp_path: Path) -> None:
    line = refuse("--port", 0, "--backend", "abacus", "--home", tmp_path / "home")
    assert "abacus" in line
    assert "process, docker, podman" in line


def test_that_its_backend_is_offline_is_said(tmp_path: Path) -> None:
    nobody = f"unix://{tmp_path / 'nobody.sock'}"
    with serving("--home", tmp_path / "home", "--backend", "podman", CONTAINER_HOST=nobody) as served:
        status, _, body = ask(served.url, "GET", "/_stoker/health")
        health = json.loads(body)
        assert (status, health["default_backend"]) == (503, "podman")
        assert "backend podman is offline: " in served.ends()


def test_with_a_token_nobody_without_it_is_served(tmp_path: Path) -> None:
    with serving("--home", tmp_path / "home", STOKER_TOKEN="a-token-of-mine") as served:
        status, _, _ = ask(served.url, "GET", "/_stoker/instances")
        assert status == 403
