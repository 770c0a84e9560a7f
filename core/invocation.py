"""One invocation as the caller holds it: a stream of chunks, and the result at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

__all__ = ["ChunkSource", "InvocationResult", "InvokeComplete", "StreamingInvocation"]


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What came of one invocation.

    `function_error` is None, or "Unhandled" when the function (not Stoker) failed; then `payload`
    (buffered) or `error_payload` (always) is Lambda's error JSON. `payload` holds the whole reply of
    `invoke`; for a stream it is empty, since the caller took the chunks.
    Durations are in milliseconds, sizes in bytes, memory in MB.
    """

    request_id: str
    function_name: str
    payload: bytes = b""
    function_error: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_payload: bytes | None = None
    status_code: int = 200
    content_type: str = "application/json"
    executed_version: str = "$LATEST"
    instance_id: str | None = None
    cold_start: bool = False
    streamed: bool = False
    cancelled: bool = False
    duration_ms: float = 0.0
    init_ms: float | None = None
    queued_ms: float = 0.0
    first_byte_ms: float | None = None
    total_ms: float = 0.0
    max_memory_mb: int | None = None
    received: int = 0
    chunks: int = 0
    log_tail: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InvokeComplete:
    """The terminal event of a stream, as in Lambda's InvokeWithResponseStream.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStreamCompleteEvent.html
    """

    error_code: str | None
    error_details: str | None
    log_result: str


class ChunkSource(Protocol):
    """Where a stream's chunks come from, and who is told when it is over."""

    async def next_chunk(self) -> bytes | None: ...

    async def aclose(self) -> None: ...


class StreamingInvocation:
    """(contract sketch) The caller's end of a response that streams."""

    request_id: str
    function_name: str
    instance_id: str | None
    cold_start: bool
    content_type: str
    result: InvocationResult | None
    complete: InvokeComplete | None

    async def next_chunk(self) -> bytes | None:
        """The next chunk as the function wrote it, or None at the end, after which `result` is set.

        Raises InvocationFailedError only for Stoker's own failures.
        """
        raise NotImplementedError

    async def cancel(self) -> InvocationResult:
        """Stop the function: its instance is terminated. Returns the result with `cancelled`."""
        raise NotImplementedError

    async def discard(self) -> InvocationResult:
        """Let the function finish and drop the rest; the slot frees at its end or deadline."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Cancel unless it is over. Idempotent."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise NotImplementedError

    async def __aenter__(self) -> StreamingInvocation:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
