"""The environment of a local process: Lambda's own variables and the function's, nothing of the user's.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.functions import LambdaFunction
from core.limits import RESERVED_ENVIRONMENT
from core.names import LATEST, REGION

__all__ = ["CREDENTIALS", "SearchPaths", "lambda_environment", "lambda_variables", "log_stream_name"]

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
# shaped as AWS's are, so that clients take them, and refused by every real endpoint
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIASTOKERLOCALDUMMY",
    "AWS_SECRET_ACCESS_KEY": "stoker/local/dummy/secret/access/key0000",
    "AWS_SESSION_TOKEN": "stoker-local-dummy-session-token",
}


@dataclass(frozen=True, slots=True)
class SearchPaths:
    """Where a runtime looks, first entry first."""

    programs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    node: tuple[str, ...] = ()


def log_stream_name(token: str, version: str = LATEST) -> str:
    """Lambda's name for the log stream of one execution environment; `token` is 32 hex digits."""
    return f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version}]{token}"


def lambda_variables(function: LambdaFunction, token: str) -> dict[str, str]:
    """What Lambda tells every function of itself, wherever it runs; reserved, so that none can be replaced."""
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream_name(token, function.version),
    }


def lambda_environment(
    function: LambdaFunction,
    *,
    runtime_api: str,
    token: str,
    task_root: Path,
    runtime_directory: Path,
    tmp: Path,
    paths: SearchPaths,
    credentials: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All that the process of one instance finds in its environment.

    The function's own variables replace those that Lambda lets it replace (PATH, LANG, TZ and the
    search paths among them), never the reserved ones. `credentials` replace the dummy ones.
    """
    runtime = function.runtime or "provided"
    environment = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": _join((*paths.programs[:1], *_SYSTEM_PATH, *paths.programs[1:])),
        "LD_LIBRARY_PATH": _join(paths.libraries),
        "TMPDIR": str(tmp),
        "HOME": str(tmp),
        **CREDENTIALS,
        **(credentials or {}),
    }
    if paths.python:
        environment["PYTHONPATH"] = _join(paths.python)
    if paths.node:
        environment["NODE_PATH"] = _join(paths.node)
    environment.update((k, v) for k, v in function.environment.items() if k not in RESERVED_ENVIRONMENT)
    environment |= {
        **lambda_variables(function, token),
        "_HANDLER": function.handler or "",
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_TASK_ROOT": str(task_root),
        "LAMBDA_RUNTIME_DIR": str(runtime_directory),
    }
    # an OS-only runtime has no execution environment's name
    if not runtime.startswith("provided"):
        environment["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{runtime}"
    return environment


def _join(parts: Iterable[str]) -> str:
    return os.pathsep.join(dict.fromkeys(part for part in parts if part))
