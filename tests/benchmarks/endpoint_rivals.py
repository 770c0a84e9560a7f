"""The servers that Stoker's endpoint is compared with, installed into a temporary folder and taken down again."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.endpoint_functions import NODE_RUNTIME, node_code
from tests.benchmarks.functions import echo

__all__ = ["SAM_RUNTIME", "SkippedError", "sam_cli", "serverless_offline"]

# Version 14 and later need Serverless 4, which asks for a login.
_SERVERLESS = ("serverless@3", "serverless-offline@13")
_SAM = "aws-sam-cli"
_SAM_PYTHON = "3.11"
SAM_RUNTIME = f"python{_SAM_PYTHON}"
"""What SAM CLI's function runs on."""

_INSTALL_SECONDS = 420
_START_SECONDS = 90

_SERVERLESS_FILE = """\
service: bench
frameworkVersion: "3"
provider: {{name: aws, runtime: python3.11, region: us-east-1}}
plugins: [serverless-offline]
functions:
  python: {{name: echo, handler: app.handler}}
  node: {{name: echo-node, handler: index.handler, runtime: {node}}}
"""

_SAM_FILE = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  echo:
    Type: AWS::Serverless::Function
    Properties: {{FunctionName: echo, Runtime: python{python}, Handler: app.handler, CodeUri: {code}, Timeout: 30}}
"""


class SkippedError(Exception):
    """This server cannot be measured here; the message is the reason."""


@contextlib.contextmanager
def serverless_offline(folder: Path) -> Iterator[tuple[str, str]]:
    """serverless-offline with both functions: its version and its address. Raises SkippedError."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise SkippedError("there is no npm")
    (folder / "package.json").write_text('{"name": "bench", "private": true}\n')
    _install([npm, "install", "--no-audit", "--no-fund", "--no-package-lock", *_SERVERLESS], folder)
    version = json.loads((folder / "node_modules/serverless-offline/package.json").read_text())["version"]
    # It runs Python functions with the `python3` it finds: the one that Stoker runs them with.
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    for code in (echo(folder).code, node_code(folder)):
        assert code is not None
        for file in code.iterdir():
            shutil.copy(file, folder)
    (folder / "serverless.yml").write_text(_SERVERLESS_FILE.format(node=NODE_RUNTIME))
    environment = _environment() | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
        "SLS_INTERACTIVE_SETUP_ENABLE": "0",
    }
    environment.pop("VIRTUAL_ENV", None)
    port = _free_port()
    ports = ["--lambdaPort", str(port), "--httpPort", str(_free_port()), "--websocketPort", str(_free_port())]
    command = [folder / "node_modules/.bin/serverless", "offline", "start", "--host", "127.0.0.1", *ports]
    with _running(command, folder, environment, port) as address:
        yield str(version), address


@contextlib.contextmanager
def sam_cli(folder: Path, *, warm: bool = True) -> Iterator[tuple[str, str]]:
    """SAM CLI's local start-lambda: its version and its address. Raises SkippedError.

    Unless `warm`, every invocation gets a container of its own, as it does by default.
    """
    engine = _engine()
    architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    base = f"public.ecr.aws/lambda/python:{_SAM_PYTHON}"
    if not _has_image(engine, f"{base}-{architecture}"):
        raise SkippedError(
            f"the engine has no image {base}-{architecture}: pull it, or `python -m tests.engines.base_image docker`"
        )
    own = folder / "venv"
    venv.create(own, with_pip=True)
    _install([str(own / "bin" / "python"), "-m", "pip", "install", "-q", _SAM], folder)
    version = subprocess.run([own / "bin" / "sam", "--version"], capture_output=True, text=True, check=True).stdout
    (folder / "template.yaml").write_text(_SAM_FILE.format(python=_SAM_PYTHON, code=echo(folder).code))
    environment = _environment() | {
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(folder / "app"),
        "PYTHONUNBUFFERED": "1",
    }
    port = _free_port()
    command = [own / "bin" / "sam", "local", "start-lambda", "--template", folder / "template.yaml"]
    command += ["--skip-pull-image", "--port", str(port), *(("--warm-containers", "LAZY") if warm else ())]
    command += ["--layer-cache-basedir", folder / "layers"]
    # what it builds on the base image
    built = f"{base}-rapid-{architecture}"
    remove_image = not _has_image(engine, built)
    try:
        with _running(command, folder, environment, port) as address:
            yield version.split()[-1], address
    finally:
        for container in re.findall(r"SAM_CONTAINER_ID: (\w+)", _log(folder).read_text(errors="replace")):
            with contextlib.suppress(Exception):  # gone with SAM CLI, as it should be
                engine.containers.get(container).remove(force=True)
        if remove_image and _has_image(engine, built):
            engine.images.remove(built)


def _engine() -> Any:
    """The Docker engine that SAM CLI would use."""
    docker: Any = importlib.import_module("docker")  # it has no types
    try:
        engine = docker.from_env(timeout=10)
        engine.ping()
    except docker.errors.DockerException as error:
        raise SkippedError("no Docker engine answers") from error
    return engine


def _has_image(engine: Any, name: str) -> bool:
    return any(name in image.tags for image in engine.images.list())


def _environment() -> dict[str, str]:
    """This process's, with credentials that are nobody's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLS_", "SAM_"))}
    dummies = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_DEFAULT_REGION": "us-east-1"}
    return kept | dummies | {"AWS_EC2_METADATA_DISABLED": "true"}


def _install(command: Sequence[str], folder: Path) -> None:
    what = " ".join([Path(command[0]).name, *command[1:]])
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SkippedError(f"`{what}` took longer than {_INSTALL_SECONDS} s") from None
    if done.returncode != 0:
        raise SkippedError(f"`{what}` failed: {' | '.join(done.stdout.split(chr(10))[-3:]).strip()}")


@contextlib.contextmanager
def _running(command: Sequence[object], folder: Path, environment: dict[str, str], port: int) -> Iterator[str]:
    with _log(folder).open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _await_listener(process, port, folder)
            yield f"127.0.0.1:{port}"
        finally:
            # as by Ctrl+C, on which each of them takes down what it started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            pass
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            last = " | ".join(_log(folder).read_text(errors="replace").splitlines()[-3:])
            raise SkippedError(f"it {'ended' if ended else 'did not listen'} instead of serving: {last}")
        time.sleep(0.1)


def _log(folder: Path) -> Path:
    return folder / "server.log"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
