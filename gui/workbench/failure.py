"""What went wrong, in words: the function's own error, or Stoker's; no Qt here."""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import dataclass

from core.errors import (
    BackendUnavailableError,
    ContainerStartFailedError,
    FunctionNotFoundError,
    InvocationFailedError,
    LambdaRuntimeError,
    NoCodeZipError,
    RequestTooLargeError,
    RuntimeClosedError,
    TooManyRequestsError,
    UnsupportedRuntimeError,
    ZipExtractionFailedError,
)
from core.invocation import InvocationResult
from gui.formatting import format_bytes

__all__ = ["Failure", "function_failure", "own_failure"]

# the first that fits says what to do
_ADVICE: tuple[tuple[type[LambdaRuntimeError], str], ...] = (
    (TooManyRequestsError, "Wait until running invocations have ended, or allow the function more instances."),
    (RequestTooLargeError, "Make the event smaller: Lambda takes no larger one."),
    (UnsupportedRuntimeError, "Choose another backend or another runtime for this function."),
    (NoCodeZipError, "Edit the function and choose its code again."),
    (ZipExtractionFailedError, "Edit the function and choose an archive without this fault."),
    (FunctionNotFoundError, "It was removed. Add it again, or choose another function."),
    (RuntimeClosedError, "Stoker is closing. Start it again to invoke."),
    (InvocationFailedError, "Its instance was ended. Invoke again; the next one gets a fresh instance."),
)

# the function's own files are named as in its package; the response as it came still has the whole path
_IN_STORE = re.compile(r"[^\s\"'(]*/archives/unpacked/[0-9a-f]{64}/")


@dataclass(frozen=True, slots=True)
class Failure:
    """`title` names the error, `message` says what happened, `advice` what to do, `trace` where.

    `details` is the traceback, one click away; empty for what the function did.
    """

    title: str
    message: str
    advice: str = ""
    trace: str = ""
    details: str = ""


def function_failure(result: InvocationResult) -> Failure:
    """The function's error, read from Lambda's error JSON where it is one."""
    body = _object(result.error_payload or result.payload)
    title = str(body.get("errorType") or result.error_type or result.function_error or "Error")
    message = str(body.get("errorMessage") or result.error_message or "The function gave no message.")
    advice = ""
    if result.received and result.streamed:
        advice = f"{format_bytes(result.received)} had arrived before; see Text."
    return Failure(title, message, advice, _trace(body))


def own_failure(error: BaseException) -> Failure:
    """Stoker's own failure."""
    advice = next((words for kind, words in _ADVICE if isinstance(error, kind)), "")
    if isinstance(error, BackendUnavailableError):
        advice = (
            f"Start {error.backend}: Stoker connects by itself once it answers. "
            "Or edit the function (F2) and choose another backend."
        )
    if isinstance(error, ContainerStartFailedError):
        advice = "See the last lines it wrote, below. Then invoke again." if error.log_tail else "Then invoke again."
    if not advice:
        advice = "Invoke again. If it stays, the details say where it happened."
    log_tail = error.log_tail if isinstance(error, ContainerStartFailedError) else ()
    return Failure(
        "Stoker could not carry this out",
        str(error) or type(error).__name__,
        advice,
        "\n".join(log_tail),
        "".join(traceback.format_exception(error)),
    )


def _object(payload: bytes) -> dict[str, object]:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _trace(body: dict[str, object]) -> str:
    # Python's client says stackTrace, Node's says trace
    trace = body.get("stackTrace") or body.get("trace")
    if isinstance(trace, str):
        return _IN_STORE.sub("", trace)
    if not isinstance(trace, list):
        return ""
    lines = []
    for entry in trace:
        if isinstance(entry, list):
            # the old form: file, line, function, code
            lines.append(", ".join(str(part) for part in entry))
        else:
            lines.append(str(entry).rstrip("\n"))
    return _IN_STORE.sub("", "\n".join(lines))
