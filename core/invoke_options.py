"""What comes with an event."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["InvokeOptions"]


class InvokeOptions(NamedTuple):
    """Who invokes, and what the function is told beside the event. A tuple, as one is made for every invocation.

    Without a `request_id` a new one is made. `client_context` is as the API takes it, in base64.
    `source` is for history and events. `invoked_arn` is None for the function's own, `trace_id` for a new one.
    """

    request_id: str | None
    client_context: str | None
    source: str
    invoked_arn: str | None
    trace_id: str | None
