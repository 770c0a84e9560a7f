"""What a destination is told of an event that ended: Lambda's invocation record.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from core.names import LATEST, function_arn

if TYPE_CHECKING:
    from core.names import Target

__all__ = ["Response", "depth_of", "destination_source", "invocation_record"]

_SOURCE = re.compile(r"destination(?: (\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Response:
    """What came of the last attempt. `payload` is None where the function was not reached."""

    status_code: int
    executed_version: str
    function_error: str | None = None
    payload: bytes | None = None


def invocation_record(
    *,
    wall: float,
    request_id: str,
    target: Target,
    condition: str,
    invoke_count: int,
    request: bytes,
    response: Response | None,
) -> bytes:
    """The record as JSON. Payloads that are JSON stand in it as they were sent, others as strings."""
    at = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    parts = {
        "version": _json("1.0"),
        "timestamp": _json(at),
        "requestContext": _json(
            {
                "requestId": request_id,
                "functionArn": function_arn(target.name, target.qualifier or LATEST),
                "condition": condition,
                "approximateInvokeCount": invoke_count,
            }
        ),
        "requestPayload": _embedded(request, b"{}"),
    }
    if response is not None:
        context: dict[str, Any] = {"statusCode": response.status_code, "executedVersion": response.executed_version}
        if response.function_error is not None:
            context["functionError"] = response.function_error
        parts["responseContext"] = _json(context)
        if response.payload is not None:
            parts["responsePayload"] = _embedded(response.payload, b"null")
    return b"{" + b",".join(_json(name) + b":" + value for name, value in parts.items()) + b"}"


def destination_source(depth: int) -> str:
    """The source of an event that tells of another: the `depth`-th of its chain."""
    return "destination" if depth == 1 else f"destination {depth}"


def depth_of(source: str) -> int:
    """How many events in a row led to the one of this source by destinations."""
    found = _SOURCE.fullmatch(source)
    return 0 if found is None else int(found[1] or 1)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _embedded(payload: bytes, empty: bytes) -> bytes:
    """A payload as a part of a JSON document."""
    if not payload.strip():
        return empty
    try:
        text = payload.decode("utf-8-sig")
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _json(payload.decode("utf-8", "replace"))
    return text.encode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
