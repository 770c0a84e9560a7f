"""`stoker --port N` from outside: the endpoint answers, or one line says why not and the exit code is 2."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.settings import Settings, load_settings, save_settings
from tests.core.endpoint.aws_cli import AwsCli
from tests.gui.endpoint_support import client_of, taken
from tests.gui.test_app import command, environment, refuse

FOREVER = 60.0


def answers(port: int) -> bool:
    """Whether something speaks HTTP there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/2015-03-31/functions/", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@contextmanager
def stoker(*arguments: object, port: int) -> Iterator[subprocess.Popen[str]]:
    """A Stoker whose endpoint answers on that port."""
    with subprocess.Popen(
        command(*arguments), env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + FOREVER
            while not answers(port):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                # its endpoint listens once the window is up; from outside there is nothing else to wait for
                time.sleep(0.05)
            yield process
        finally:
            with suppress(ProcessLookupError):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    with taken() as port:
        return port


def await_samples(client: Any) -> None:
    """The first start installs them one by one."""
    deadline = time.monotonic() + FOREVER
    while "sample-words" not in (names := [f["FunctionName"] for f in client.list_functions()["Functions"]]):
        assert time.monotonic() < deadline, names
        time.sleep(0.05)


def test_with_a_port_the_endpoint_is_on_and_boto3_drives_the_window_s_pool(tmp_path: Path) -> None:
    port = free_port()
    with stoker("--home", tmp_path / "home", "--port", port, port=port) as process:
        client = client_of(f"http://127.0.0.1:{port}")
        await_samples(client)
        answer = client.invoke(FunctionName="sample-echo", Payload=b'{"message": "hello"}')
        assert b"hello" in answer["Payload"].read()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
    assert not answers(port)
    # what was asked for on the command line was for this start
    assert load_settings(tmp_path / "home" / "settings.json") == Settings()


def test_what_was_on_when_the_window_closed_is_on_again(tmp_path: Path) -> None:
    port = free_port()
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    save_settings(home / "settings.json", Settings(endpoint_on=True, endpoint_port=port))
    with stoker("--home", home, port=port) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    kept = load_settings(home / "settings.json")
    assert (kept.endpoint_on, kept.endpoint_port) == (True, port)


def test_a_port_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    with taken() as port:
        line = refuse("--home", tmp_path / "home", "--port", port)
    assert line == (
        f"stoker: the endpoint cannot be opened on 127.0.0.1:{port}: "
        "another program listens there already; choose another port"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="macOS and Linux let root listen on any port")
def test_a_port_that_one_may_not_have_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "may not listen there" in refuse("--home", tmp_path / "home", "--port", 1)


def test_a_home_whose_window_is_open_already_is_raised_and_said_to_be_in_use(tmp_path: Path) -> None:
    port = free_port()
    with stoker("--home", tmp_path / "home", "--port", port, port=port) as first:
        for wanted in (port, free_port()):
            line = refuse("--home", tmp_path / "home", "--port", wanted)
            assert "its window was raised" in line
            assert f"--port {wanted} was not carried out" in line
        assert first.poll() is None
        assert answers(port)


def test_a_home_in_use_without_a_window_is_refused_for_the_home(tmp_path: Path) -> None:
    holder = (
        "import sys\nfrom pathlib import Path\nfrom core.owners import HomeLock\n"
        "lock = HomeLock(Path(sys.argv[1]))\nlock.acquire()\nprint('held', flush=True)\nsys.stdin.read()"
    )
    with (
        taken() as port,
        subprocess.Popen(
            [sys.executable, "-c", holder, tmp_path],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        # its endpoint would have the port too: what is told is what helps
        assert "another Stoker is using" in refuse("--home", tmp_path, "--port", port)
        process.communicate("")


def test_a_home_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    assert str(tmp_path / "file") in refuse("--home", tmp_path / "file", "--port", free_port())


@pytest.mark.parametrize("text", ["65536", "-1", "nine", "", "1e3"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    done = subprocess.run(
        command(f"--port={text}"), env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "is no port: it must be 0 to 65535" in done.stderr.splitlines()[-1]


@pytest.mark.any_python
def test_the_aws_cli_drives_the_window_s_pool_too(tmp_path: Path) -> None:
    port = free_port()
    with stoker("--home", tmp_path / "home", "--port", port, port=port):
        await_samples(client_of(f"http://127.0.0.1:{port}"))
        cli = AwsCli(f"http://127.0.0.1:{port}", tmp_path / "cli")
        words = ("invoke", "--function-name", "sample-echo", "--payload", '{"a": 1}', "answer.json")
        told = asyncio.run(cli.json(*words))
        assert told["StatusCode"] == 200
        assert json.loads((cli.folder / "answer.json").read_text())["event"] == {"a": 1}


def test_port_0_takes_any_free_one(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("--home", tmp_path / "home", "--port", 0),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            deadline = time.monotonic() + FOREVER
            while not (ports := _listens_at(process.pid)):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert any(map(answers, ports))
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _listens_at(pid: int) -> list[int]:
    return [each.laddr.port for each in psutil.Process(pid).net_connections("tcp4") if each.status == "LISTEN"]
