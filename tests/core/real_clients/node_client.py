"""Builds npm's `aws-lambda-ric`, AWS's own Node client, once, into a cache folder.

It compiles native code: about a minute with autoconf, automake, libtool, cmake, make and g++.
`STOKER_TEST_CACHE` names the folder; without it the person's cache is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

__all__ = ["CannotBuildError", "NodeClient", "build_node_client"]

_TOOLS = ("autoreconf", "automake", "libtoolize", "cmake", "make", "g++")
_BUILD_SECONDS = 400


class CannotBuildError(Exception):
    """The client is not to be had on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class NodeClient:
    """Where `node` is, and the client's program that takes the handler as its argument."""

    node: Path
    program: Path
    version: str


def build_node_client() -> NodeClient:
    """The built client, from the cache where it is there already. Raises CannotBuildError."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise CannotBuildError("node and npm are needed")
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    key = _output([node, "-p", "`${process.version}-${process.platform}-${process.arch}`"])
    folder = cache / f"aws-lambda-ric-{key}"
    with FileLock(cache / f"aws-lambda-ric-{key}.lock", timeout=_BUILD_SECONDS):
        if not folder.is_dir():
            _build(Path(node), Path(npm), folder)
    package = folder / "node_modules" / "aws-lambda-ric"
    version = _output([node, "-p", "require(process.argv[1]).version", str(package / "package.json")])
    return NodeClient(Path(node), package / "bin" / "index.mjs", version)


def _build(node: Path, npm: Path, folder: Path) -> None:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise CannotBuildError(f"its native part is compiled, and there is no {', '.join(missing)}")
    # Only a whole build gets the name that is looked for.
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    (unfinished / "package.json").write_text('{"name": "stoker-real-clients", "private": true}\n')
    environment = dict(os.environ)
    headers = node.resolve().parent.parent
    if (headers / "include" / "node" / "node.h").exists():
        environment.setdefault("npm_config_nodedir", str(headers))
    command = [str(npm), "install", "--no-audit", "--no-fund", "--no-package-lock", "aws-lambda-ric"]
    try:
        build = subprocess.run(
            command,
            cwd=unfinished,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotBuildError(f"`npm install aws-lambda-ric` took longer than {_BUILD_SECONDS} s") from error
    if build.returncode != 0:
        raise CannotBuildError("`npm install aws-lambda-ric` failed: " + " | ".join(build.stdout.splitlines()[-6:]))
    unfinished.rename(folder)


def _cache() -> Path:
    named = os.environ.get("STOKER_TEST_CACHE")
    return Path(named) if named else user_cache_path("stoker-tests")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
