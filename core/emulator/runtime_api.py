"""(contract sketch) One Runtime API for one instance.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["FunctionFacts", "InitError", "InvokeOutcome", "InvokeReply", "InvokeRequest", "RuntimeApi"]


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
    """One event for the runtime. `deadline` is seconds from now; None means the function's timeout."""

    request_id: str
    payload: bytes
    client_context: str | None = None
    trace_id: str | None = None
    cognito_identity: str | None = None
    arn: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class InvokeOutcome:
    """How an invocation ended, once its last byte has been read.

    `reusable` is False when the runtime must not get another event (timeout, exit, protocol error,
    abandoned): its instance has to be terminated.
    """

    function_error: str | None
    error_type: str | None
    error_message: str | None
    error_payload: bytes | None
    duration_ms: float
    init_ms: float | None
    max_memory_mb: int | None
    log_tail: str
    reusable: bool


class InvokeReply:
    """The runtime's reply from the moment its head is known.

    For a buffered response the head is known when the body is complete: then `function_error` is final.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    streaming: bool
    function_error: str | None
    outcome: InvokeOutcome | None

    async def next_chunk(self) -> bytes | None:
        """Next piece of the body as the runtime wrote it; None at the end, when `outcome` is set."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Stop reading. Unless the end was reached the outcome is not reusable. Idempotent."""
        raise NotImplementedError


class InitError(Exception):
    """The runtime never asked for an event: it posted an init error, exited, or took too long."""

    error_type: str
    payload: bytes
    timed_out: bool
    exited: bool


class RuntimeApi:
    def __init__(
        self,
        facts: FunctionFacts,
        *,
        log: Callable[[Sequence[str]], None],
        peak_memory: Callable[[], int | None] = lambda: None,
        drain_output: Callable[[], None] = lambda: None,
    ) -> None:
        """`log` gets every line (the runtime's output and START/END/REPORT) in order.

        `peak_memory()` is in bytes since the last call to `reset`; `drain_output()` must feed whatever
        the runtime has written so far into `output()` before it returns.
        """

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; returns "host:port", the value for AWS_LAMBDA_RUNTIME_API."""
        raise NotImplementedError

    async def ready(self, timeout: float | None = 10.0) -> None:
        """Wait for the runtime's first `next`. Raises InitError."""
        raise NotImplementedError

    def output(self, data: bytes) -> None:
        """Raw bytes that the runtime wrote to stdout or stderr."""

    def runtime_exited(self, description: str, error_type: str = "Runtime.ExitError") -> None:
        """The runtime's process ended; a running invocation ends with an exit error."""

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Hand the event over and wait for the head of the reply. One at a time.

        Raises RuntimeError when an invocation is running, or the API is closed.
        A handler error, exit or timeout is a reply with `function_error`.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the listener and all connections; a running invocation ends with an exit error."""
