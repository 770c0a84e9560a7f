"""`python -m core.emulator` in the place of AWS's RIE: a process, spoken to over HTTP."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from core.emulator.limits import MAX_REQUEST
from tests.core.emulator.support import BOOTSTRAP, alive

_ROOT = Path(__file__).parents[3]
_PATH = "/2015-03-31/functions/function/invocations"
_HANDLERS = """
import json, os, sys, time

def echo(event, context):
    print("echoing")
    return event

def fail(event, context):
    raise ValueError("no")

def leave(event, context):
    if event == "go":
        os._exit(4)
    return event

def slow(event, context):
    time.sleep(event)
    return event

def about(event, context):
    return {
        "env": {name: os.environ.get(name) for name in event},
        "client": context.client_context.custom if context.client_context else None,
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "pid": os.getpid(),
    }

def children(event, context):
    import subprocess
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL).pid
"""


class Program:
    """The emulator as a process."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address
        self.errors: list[str] = []
        self.lines: list[str] = []
        self._threads = [
            threading.Thread(target=self._collect, args=(stream, kept))
            for stream, kept in ((process.stderr, self.errors), (process.stdout, self.lines))
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _collect(stream: Iterator[str], kept: list[str]) -> None:
        for line in stream:
            kept.append(line.rstrip("\n"))

    def connect(self) -> http.client.HTTPConnection:
        host, _, port = self.address.rpartition(":")
        return http.client.HTTPConnection(host, int(port), timeout=30)

    def invoke(self, event: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", _PATH, json.dumps(event), named)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(15)
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


def _environment(**environment: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}


@contextmanager
def program(cwd: Path, *command: str, options: tuple[str, ...] = (), **environment: str) -> Iterator[Program]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "core.emulator",
            "--runtime-interface-emulator-address",
            "127.0.0.1:0",
            *options,
            *command,
        ],
        cwd=cwd,
        env=_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "invoke at http://" not in said:
        said = process.stderr.readline()
        assert said, "it ended before it listened"
    started = Program(process, said.split("http://")[1].split("/")[0])
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def python_function(cwd: Path, handler: str, **environment: str) -> Iterator[Program]:
    Path(cwd, "fn.py").write_text(_HANDLERS)
    command = ("--", sys.executable, "-m", "awslambdaric", f"fn.{handler}")
    with program(cwd, *command, options=(), **environment) as made:
        yield made


def test_an_event_goes_in_and_the_result_comes_out(tmp_path: Path) -> None:
    with python_function(tmp_path, "echo") as it:
        for number in range(3):
            status, headers, body = it.invoke({"number": number})
            assert status == 200
            assert json.loads(body) == {"number": number}
            assert headers["content-type"] == "application/json"
            assert re.fullmatch("[0-9a-f-]{36}", headers["x-amzn-requestid"])
            assert "x-amz-function-error" not in headers
            assert "x-amz-log-result" not in headers
        assert it.stop() == 0
        text = "\n".join(it.lines)
        assert text.count("START RequestId: ") == 3
        assert text.count("echoing\nEND RequestId: ") == 3
        assert re.search(r"REPORT RequestId: \S+\tDuration: [\d.]+ ms\t.*Max Memory Used: \d+ MB\tInit Duration", text)


def test_the_command_may_come_without_dashes_and_the_log_with_the_answer(tmp_path: Path) -> None:
    Path(tmp_path, "fn.py").write_text(_HANDLERS)
    with program(tmp_path, sys.executable, "-m", "awslambdaric", "fn.echo") as it:
        _, headers, _ = it.invoke(1, X_Amz_Log_Type="Tail")
        tail = base64.b64decode(headers["x-amz-log-result"]).decode()
        assert tail.startswith(f"START RequestId: {headers['x-amzn-requestid']}")
        assert "\nechoing\n" in tail


def test_the_function_sees_the_environment_that_rie_gives(tmp_path: Path) -> None:
    with python_function(
        tmp_path,
        "about",
        AWS_LAMBDA_FUNCTION_NAME="mine",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="512",
        EXTRA="kept",
    ) as it:
        names = ["EXTRA", "_HANDLER", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_LOG_STREAM_NAME"]
        context = base64.b64encode(b'{"custom": {"a": 1}}').decode()
        _, _, body = it.invoke(names, X_Amz_Client_Context=context)
        about = json.loads(body)
        assert about["env"] == {
            "EXTRA": "kept",
            "_HANDLER": "fn.about",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST",
        }
        assert about["client"] == {"a": 1}
        assert about["name"] == "mine"
        assert about["memory"] == "512"
        assert about["arn"].endswith(":function:mine")


def test_an_error_is_marked_and_the_runtime_kept(tmp_path: Path) -> None:
    with python_function(tmp_path, "fail") as it:
        for _ in range(2):
            status, headers, body = it.invoke(1)
            assert status == 200
            assert headers["x-amz-function-error"] == "Unhandled"
            assert json.loads(body)["errorType"] == "ValueError"
        assert sum("Init Duration" in line for line in it.lines) == 1


def test_a_runtime_that_exits_is_replaced_for_the_next_invocation(tmp_path: Path) -> None:
    with python_function(tmp_path, "leave") as it:
        assert it.invoke("stay")[2] == b'"stay"'
        _, headers, body = it.invoke("go")
        assert headers["x-amz-function-error"] == "Unhandled"
        assert json.loads(body)["errorType"] == "Runtime.ExitError"
        assert json.loads(body)["errorMessage"].endswith("Runtime exited with error: exit status 4")
        assert it.invoke("stay")[2] == b'"stay"'


def test_a_runtime_killed_while_idle_is_replaced_without_the_caller_noticing(tmp_path: Path) -> None:
    with python_function(tmp_path, "about") as it:
        first = json.loads(it.invoke([])[2])["pid"]
        os.kill(first, signal.SIGKILL)
        assert not psutil.pid_exists(first) or not alive(psutil.Process(first))
        status, headers, body = it.invoke([])
        assert status == 200
        assert "x-amz-function-error" not in headers
        assert json.loads(body)["pid"] != first


def test_a_timeout_is_lambdas_and_the_runtime_is_replaced(tmp_path: Path) -> None:
    with python_function(tmp_path, "slow", AWS_LAMBDA_FUNCTION_TIMEOUT="1") as it:
        _, headers, body = it.invoke(30)
        assert headers["x-amz-function-error"] == "Unhandled"
        assert json.loads(body)["errorType"] == "Sandbox.Timedout"
        assert json.loads(body)["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
        assert it.invoke(0)[2] == b"0"


def test_overlapping_invocations_take_turns(tmp_path: Path) -> None:
    with python_function(tmp_path, "slow") as it:
        found: list[bytes] = []
        threads = [threading.Thread(target=lambda: found.append(it.invoke(0.05)[2])) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [b"0.05"] * 6


def test_an_init_that_fails_is_the_answer_and_is_tried_again(tmp_path: Path) -> None:
    Path(tmp_path, "fn.py").write_text("raise RuntimeError('broken')")
    with program(tmp_path, sys.executable, "-m", "awslambdaric", "fn.echo") as it:
        _, headers, body = it.invoke(1)
        assert headers["x-amz-function-error"] == "Unhandled"
        assert json.loads(body)["errorMessage"] == "broken"
        Path(tmp_path, "fn.py").write_text(_HANDLERS)
        assert it.invoke(1)[2] == b"1"


def _streaming(cwd: Path, code: str) -> list[str]:
    Path(cwd, "bootstrap.py").write_text(code + BOOTSTRAP)
    return [sys.executable, "bootstrap.py"]


def test_the_response_streams_while_the_function_still_writes(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"""
def respond(write, wait, event):
    for word in event:
        write(word.encode())
        with open({str(gate)!r}, "rb") as go:
            go.read()
"""
    with program(tmp_path, *_streaming(tmp_path, code)) as it:
        connection = it.connect()
        connection.request("POST", _PATH, json.dumps(["one ", "two ", "three"]))
        response = connection.getresponse()
        assert response.getheader("transfer-encoding") == "chunked"
        assert response.getheader("content-type") == "text/plain"
        for word in (b"one ", b"two ", b"three"):
            assert response.read1(100) == word
            gate.write_bytes(b"")  # the function waits here until its word has been read
        assert response.read() == b""
        connection.close()


def test_an_error_in_the_middle_of_a_stream_comes_by_the_trailers(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    write(b"so far")
    raise KeyError("gone")
"""
    with program(tmp_path, *_streaming(tmp_path, code)) as it:
        connection = it.connect()
        connection.request("POST", _PATH, "{}", {"X-Amz-Log-Type": "Tail"})
        assert connection.sock is not None
        raw = b""
        while not raw.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in raw:
            raw += connection.sock.recv(65536)
        connection.close()
        trailers = dict(line.split(": ", 1) for line in raw.decode().split("\r\n0\r\n")[1].split("\r\n") if line)
        assert b"6\r\nso far\r\n" in raw
        assert trailers["x-amz-function-error"] == "Unhandled"
        assert trailers["lambda-runtime-function-error-type"] == "Function.KeyError"
        error = json.loads(base64.b64decode(trailers["lambda-runtime-function-error-body"]))
        assert error == {"errorType": "KeyError", "errorMessage": "'gone'"}
        assert base64.b64decode(trailers["x-amz-log-result"]).startswith(b"START RequestId: ")


def test_a_client_that_goes_does_not_stop_the_function(tmp_path: Path) -> None:
    code = """
def respond(write, wait, event):
    for _ in range(event):
        write(b"x" * 65536)
    print("wrote", event, flush=True)
"""
    with program(tmp_path, *_streaming(tmp_path, code)) as it:
        connection = it.connect()
        connection.request("POST", _PATH, "400")
        response = connection.getresponse()
        response.read(10)
        response.close()
        connection.close()
        assert len(it.invoke(1)[2]) == 65536
        it.stop()
        assert "wrote 400" in it.lines


def test_what_is_not_an_invocation_is_refused(tmp_path: Path) -> None:
    with python_function(tmp_path, "echo") as it:
        connection = it.connect()
        for method, path, status in (("GET", _PATH, 405), ("POST", "/", 404), ("POST", "/2015-03-31/x", 404)):
            connection.request(method, path)
            response = connection.getresponse()
            response.read()
            assert response.status == status
        connection.request("POST", _PATH, b"x" * (MAX_REQUEST + 1))
        response = connection.getresponse()
        assert response.status == 413
        assert response.getheader("x-amzn-errortype") == "RequestTooLargeException"
        connection.close()
        assert it.invoke(1, X_Amz_Client_Context="%%%")[0] == 400
        assert it.invoke(1)[2] == b"1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_that_the_function_started(tmp_path: Path, number: signal.Signals) -> None:
    with python_function(tmp_path, "children") as it:
        grandchild = psutil.Process(int(it.invoke(1)[2]))
        runtime = grandchild.parent()
        assert runtime is not None
        assert it.stop(number) == 0
        assert not alive(grandchild)
        assert not alive(runtime)


def _exit_code(cwd: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "core.emulator", *arguments],
        cwd=cwd,
        env=_environment(**environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    free = ("--runtime-interface-emulator-address", "127.0.0.1:0")
    code, said = _exit_code(tmp_path, *free, "no-such-command")
    assert code == 127
    assert "no-such-command" in said
    Path(tmp_path, "plain.txt").write_text("not a program")
    assert _exit_code(tmp_path, *free, "./plain.txt")[0] == 126
    code, said = _exit_code(tmp_path, *free, "true", AWS_LAMBDA_FUNCTION_TIMEOUT="soon")
    assert code == 2
    assert "AWS_LAMBDA_FUNCTION_TIMEOUT" in said
    code, said = _exit_code(tmp_path, "--runtime-interface-emulator-address", "nowhere", "true")
    assert code == 2
    assert "HOST:PORT" in said
    code, said = _exit_code(tmp_path)
    assert code == 2
    assert "no command" in said


def test_an_address_that_is_taken_says_so(tmp_path: Path) -> None:
    with python_function(tmp_path, "echo") as it:
        code, said = _exit_code(tmp_path, "--runtime-interface-emulator-address", it.address, "true")
        assert code == 1
        assert "in use" in said


def test_the_runtime_api_address_can_be_chosen_and_survives_a_restart(tmp_path: Path) -> None:
    Path(tmp_path, "fn.py").write_text(_HANDLERS)
    with program(
        tmp_path, sys.executable, "-m", "awslambdaric", "fn.leave", options=("--runtime-api-address", "127.0.0.1:19417")
    ) as it:
        assert it.invoke(1)[2] == b"1"
        it.invoke("go")
        assert it.invoke(2)[2] == b"2"


def test_it_needs_nothing_but_h11_and_the_standard_library() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import core.emulator.rie, core.emulator.__main__\n"
        "ours = {name.split('.')[0] for name in set(sys.modules) - before if 'site-packages' in "
        "(getattr(sys.modules[name], '__file__', None) or '')}\n"
        "print(sorted(ours), sorted(name for name in sys.modules if name.startswith('core.') "
        "and not name.startswith('core.emulator')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "['h11'] []"
