"""What a function can do wrong, as Lambda words it.

The shape is Lambda's error JSON: `{"errorType": ..., "errorMessage": ...}`.
Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from .limits import MAX_RESPONSE, MAX_STREAMED_RESPONSE

__all__ = [
    "Failure",
    "InitError",
    "RuntimeGoneError",
    "bad_response",
    "error_json",
    "exited",
    "from_trailers",
    "posted",
    "response_too_large",
    "streamed_too_large",
    "timed_out",
    "truncated",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an invocation failed. `lines` go to the log; `status` to the REPORT line."""

    error_type: str
    message: str
    payload: bytes
    lines: tuple[str, ...] = ()
    status: str = ""


class InitError(Exception):
    """The runtime never asked for an event: it posted an init error, exited, or took too long.

    `payload` is Lambda's error JSON, or what the runtime posted.
    """

    def __init__(
        self,
        error_type: str,
        error_message: str,
        payload: bytes,
        *,
        timed_out: bool = False,
        exited: bool = False,
    ) -> None:
        super().__init__(f"{error_type}: {error_message}" if error_message else error_type)
        self.error_type = error_type
        self.error_message = error_message
        self.payload = payload
        self.timed_out = timed_out
        self.exited = exited


class RuntimeGoneError(RuntimeError):
    """The runtime had exited before the event was handed over: another instance may take it."""


def error_json(error_type: str, message: str) -> bytes:
    """Lambda's error JSON."""
    return json.dumps({"errorType": error_type, "errorMessage": message}, ensure_ascii=False).encode()


def timed_out(request_id: str, seconds: float, stamp: str) -> Failure:
    """The deadline has passed; `stamp` is the time in ISO form, for the log."""
    text = f"Task timed out after {seconds:.2f} seconds"
    message = f"RequestId: {request_id} Error: {text}"
    return Failure(
        "Sandbox.Timedout",
        message,
        error_json("Sandbox.Timedout", message),
        (f"{stamp} {request_id} {text}", ""),
        "Status: timeout",
    )


def exited(request_id: str, description: str, error_type: str) -> Failure:
    """The runtime's process ended. `description` is "exit status 1" or "signal: killed"."""
    if description in {"", "exit status 0"}:
        text = "Runtime exited without providing a reason"
    else:
        text = f"Runtime exited with error: {description}"
    message = f"RequestId: {request_id} Error: {text}"
    return Failure(
        error_type,
        message,
        error_json(error_type, message),
        (message, error_type),
        f"Status: error\tError Type: {error_type}",
    )


def truncated(request_id: str) -> Failure:
    """The runtime closed the connection in the middle of its response."""
    message = f"RequestId: {request_id} Error: the runtime closed the connection in the middle of its response"
    return _platform("Runtime.TruncatedResponse", message)


def bad_response(request_id: str, reason: str) -> Failure:
    """The runtime broke the protocol: its body is not HTTP, or it asked for an event before it answered."""
    return _platform("Runtime.InvalidResponse", f"RequestId: {request_id} Error: {reason}")


def _platform(error_type: str, message: str) -> Failure:
    lines = (message, error_type)
    return Failure(
        error_type, message, error_json(error_type, message), lines, f"Status: error\tError Type: {error_type}"
    )


def response_too_large() -> Failure:
    """A buffered response above Lambda's limit."""
    message = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
    return Failure(
        "Function.ResponseSizeTooLarge", message, error_json("Function.ResponseSizeTooLarge", message), (message,)
    )


def streamed_too_large() -> Failure:
    """A streamed response above Lambda's limit."""
    message = f"Response payload size exceeded maximum allowed payload size ({MAX_STREAMED_RESPONSE} bytes)."
    return Failure(
        "Function.ResponseSizeTooLarge", message, error_json("Function.ResponseSizeTooLarge", message), (message,)
    )


def posted(body: bytes, type_header: str | None) -> Failure:
    """An error that the runtime posted; its body is passed on as it is.

    A body that is empty gets Lambda's JSON made from the header.
    """
    said_type, message = _read(body)
    error_type = type_header or said_type or "Unhandled"
    return Failure(error_type, message, body or error_json(error_type, message))


def from_trailers(trailers: list[tuple[str, str]]) -> Failure | None:
    """The error that a streamed response ended with, or None."""
    fields = dict(trailers)
    error_type = fields.get("lambda-runtime-function-error-type")
    encoded = fields.get("lambda-runtime-function-error-body")
    if error_type is None and encoded is None:
        return None
    body = b""
    if encoded:
        try:
            body = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            # not what was agreed, but it may tell the person something
            body = error_json(error_type or "Unhandled", encoded)
    return posted(body, error_type)


def _read(body: bytes) -> tuple[str, str]:
    """The type and the message in an error body; text that is not Lambda's JSON is the message."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "", body.decode("utf-8", "replace")
    if not isinstance(value, dict):
        return "", value if isinstance(value, str) else json.dumps(value)
    kind, message = value.get("errorType"), value.get("errorMessage")
    return kind if isinstance(kind, str) else "", message if isinstance(message, str) else ""
