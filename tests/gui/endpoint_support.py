"""What the tests of the endpoint in the window share: a real client, a taken port, and events of calls."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from core.events import CallEnded, CallStarted, InvocationEnded, InvocationStarted, InvocationStreaming
from core.invocation import InvocationResult

__all__ = ["call_ended", "call_started", "client_of", "invocation_ended", "invocation_started", "streaming", "taken"]


def client_of(url: str) -> Any:
    """A boto3 client of the endpoint at this URL. It blocks: call it with `asyncio.to_thread`."""
    return boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}, read_timeout=60),
    )


@contextmanager
def taken() -> Iterator[int]:
    """A port at which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def call_started(call_id: str, operation: str = "Invoke", function: str | None = "words", **fields: Any) -> CallStarted:
    given = {"caller": "Boto3/1.44.5", "peer": "127.0.0.1:40000", **fields}
    return CallStarted(call_id=call_id, operation=operation, function_name=function, **given)


def call_ended(call_id: str, status: int = 200, function: str | None = "words", **fields: Any) -> CallEnded:
    given = {
        "caller": "Boto3/1.44.5",
        "peer": "127.0.0.1:40000",
        "operation": "Invoke",
        "error": None,
        "seconds": 0.018,
        "gone": False,
        **fields,
    }
    return CallEnded(call_id=call_id, status=status, function_name=function, **given)


def invocation_started(call_id: str, key: str = "words", instance_id: str = "i-1") -> InvocationStarted:
    return InvocationStarted(
        request_id=call_id, function_name=key, instance_id=instance_id, cold_start=False, waited=0.0, source="api"
    )


def streaming(call_id: str, key: str = "words", instance_id: str = "i-1") -> InvocationStreaming:
    return InvocationStreaming(request_id=call_id, function_name=key, instance_id=instance_id)


def invocation_ended(call_id: str, error_type: str | None = None) -> InvocationEnded:
    result = InvocationResult(
        call_id, "words", function_error="Unhandled" if error_type else None, error_type=error_type
    )
    return InvocationEnded(
        request_id=call_id, function_name="words", instance_id="i-1", result=result, error=None, source="api"
    )
