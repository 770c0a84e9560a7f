"""What tests of the endpoint share: real clients, and code as they send it."""

from __future__ import annotations

import http.client
import socket
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from core.names import REGION
from tests.core.zips import a_zip

__all__ = ["PYTHON", "ROLE", "ask", "ask_at_once", "client_of", "create", "definition", "refused", "zipped"]

PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
"""The runtime that this machine surely has."""

ROLE = "arn:aws:iam::000000000000:role/a-role"


def client_of(url: str, **config: Any) -> Any:
    """A boto3 client of Lambda on an endpoint: it tries once, and waits long."""
    return boto3.client(
        "lambda",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"max_attempts": 0},
            connect_timeout=30,
            read_timeout=120,
            max_pool_connections=64,
            proxies={},  # whatever the environment says
            **{"parameter_validation": True, **config},
        ),
    )


def zipped(source: str, files: Mapping[str, bytes | str] | None = None) -> bytes:
    """The zip of a Python function: `source` is its module `app`, with a function named `handler`."""
    return a_zip({"app.py": textwrap.dedent(source), **(files or {})})


def definition(name: str, source: str = "def handler(event, context):\n    return event\n", **changes: Any) -> Any:
    """What CreateFunction takes for a Python function of this source; `changes` replace members."""
    return {
        "FunctionName": name,
        "Runtime": PYTHON,
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": zipped(source)},
        "Timeout": 20,
        "MemorySize": 256,
        **changes,
    }


def create(
    client: Any, name: str, source: str = "def handler(event, context):\n    return event\n", **changes: Any
) -> Any:
    """Create a Python function; what the endpoint answered."""
    return client.create_function(**definition(name, source, **changes))


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    """Status, code and message of what a client was refused with."""
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def ask(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """One request by hand: status, headers with lower-case names, body. It blocks."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask_at_once(url: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """As `ask` a POST, its head and body in one piece, as the short way of an Invoke wants them. It blocks."""
    host = url.removeprefix("http://")
    name, _, port = host.rpartition(":")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((name, int(port)), timeout=60) as connection:
        connection.sendall(head + body)
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
