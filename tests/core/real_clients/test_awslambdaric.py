"""The `awslambdaric` of the installed distribution, file for file, against Stoker's Runtime API."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.emulator.runtime_api import FunctionFacts, InvokeReply, InvokeRequest, RuntimeApi
from core.functions import LambdaFunction
from core.runtime import LambdaRuntime

_HANDLERS = """\
import base64, hashlib, pathlib, sys

def digest(path):
    raw = hashlib.sha256(pathlib.Path(path).read_bytes()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

def loaded(event, context):
    import awslambdaric
    modules = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "awslambdaric"}
    return {name: digest(module.__file__) for name, module in modules.items()}

def echo(event, context):
    return {"got": event, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis()}

def fails(event, context):
    raise ValueError("not like this")
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text(_HANDLERS)
    return folder


def _shipped() -> dict[str, str]:
    """Module name to the digest that the distribution's own RECORD gives for its file."""
    files = importlib.metadata.files("awslambdaric")
    assert files is not None
    found = {}
    for file in files:
        if file.suffix == ".py" and file.parts[0] == "awslambdaric" and file.hash is not None:
            name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
            found[name] = file.hash.value
    return found


async def test_a_python_function_runs_in_the_installed_package_and_no_file_of_it_is_changed(
    runtime: LambdaRuntime, code: Path
) -> None:
    minor = f"python3.{sys.version_info[1]}"
    await runtime.add_function(LambdaFunction(function_name="py", runtime=minor, handler="app.loaded", code=code))
    result = await runtime.invoke("py", b"{}")
    assert result.function_error is None, result.payload
    loaded = json.loads(result.payload)
    shipped = _shipped()
    assert {"awslambdaric", "awslambdaric.bootstrap", "awslambdaric.lambda_runtime_client"} <= loaded.keys()
    assert loaded == {name: shipped[name] for name in loaded}


async def test_the_package_with_its_native_client_serves_events_started_as_aws_starts_it(code: Path) -> None:
    """`python -m awslambdaric app.echo`, nothing of Stoker on its path, as in AWS's base images."""
    lines: list[str] = []
    api = RuntimeApi(FunctionFacts("py", "$LATEST", "arn", "app.echo", 5.0, 128), log=lines.extend)
    address = await api.start()
    process = _start(address, code, "app.echo")
    try:
        async with asyncio.timeout(30):
            await api.ready()
            for number in range(3):
                reply = await api.invoke(InvokeRequest(f"id-{number}", json.dumps({"n": number}).encode()))
                body = b"".join([chunk async for chunk in _chunks(reply)])
                answer = json.loads(body)
                assert (answer["got"], answer["id"]) == ({"n": number}, f"id-{number}")
                assert 0 < answer["left"] <= 5000
                assert reply.outcome is not None
                assert reply.outcome.reusable
    finally:
        await _stop(api, process)


async def test_a_handler_error_of_the_native_client_is_lambdas_error_json(code: Path) -> None:
    api = RuntimeApi(FunctionFacts("py", "$LATEST", "arn", "app.fails", 5.0, 128), log=lambda lines: None)
    address = await api.start()
    process = _start(address, code, "app.fails")
    try:
        async with asyncio.timeout(30):
            await api.ready()
            reply = await api.invoke(InvokeRequest("id", b"{}"))
            error = json.loads(b"".join([chunk async for chunk in _chunks(reply)]))
    finally:
        await _stop(api, process)
    assert reply.function_error == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "not like this")
    assert error["requestId"] == "id"


def test_the_digests_are_those_of_the_files_on_disk() -> None:
    """What the first test compares with: RECORD tells the truth about this installation."""
    files = importlib.metadata.files("awslambdaric")
    assert files is not None
    (bootstrap,) = [file for file in files if file.parts[-2:] == ("awslambdaric", "bootstrap.py")]
    assert bootstrap.hash is not None
    digest = hashlib.sha256(Path(str(bootstrap.locate())).read_bytes()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == bootstrap.hash.value


def _start(address: str, code: Path, handler: str) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": address,
        "LAMBDA_TASK_ROOT": str(code),
        "AWS_LAMBDA_FUNCTION_NAME": "py",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/py",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_REGION": "us-east-1",
        "_HANDLER": handler,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", handler], cwd=code, env=environment, stdin=subprocess.DEVNULL
    )


async def _chunks(reply: InvokeReply) -> AsyncIterator[bytes]:
    while (chunk := await reply.next_chunk()) is not None:
        yield chunk


async def _stop(api: RuntimeApi, process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
    await api.aclose()
