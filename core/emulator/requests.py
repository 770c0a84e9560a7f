"""What goes into an invocation: the function's facts, and one event."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FunctionFacts", "InvokeRequest"]


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """What the Runtime API must know of its function. `timeout` in seconds, `memory_size` in MB."""

    name: str
    version: str
    arn: str
    handler: str
    timeout: float
    memory_size: int


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """One event for the runtime. `timeout` is in seconds; None means the function's own.

    `client_context` and `cognito_identity` are JSON text. `arn` is the ARN that was invoked; None
    means the function's own. Without a `trace_id` a new one is made.
    """

    request_id: str
    payload: bytes
    client_context: str | None = None
    trace_id: str | None = None
    cognito_identity: str | None = None
    arn: str | None = None
    timeout: float | None = None
