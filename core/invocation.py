"""One invocation as the caller holds it: a stream of chunks, and the result at its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from core.errors import InvocationFailedError

__all__ = ["InvocationResult", "InvokeComplete", "StreamingInvocation", "Underway"]


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What came of one invocation.

    `function_error` is None, or "Unhandled" when the function (not Stoker) failed; `error_payload`
    is then Lambda's error JSON. `payload` holds the whole reply of `invoke`; for a stream it is
    empty, since the caller took the chunks. `cancelled` is set where the caller ended it.
    Durations are in milliseconds, sizes in bytes, memory in MB. `phases` are the parts of the cold
    start that this invocation waited for.
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


class Underway(Protocol):
    """The runtime's end of an invocation (`core.flight`)."""

    request_id: str
    cold: bool

    @property
    def function_name(self) -> str:
        """The function's name."""
        ...

    @property
    def instance_id(self) -> str | None:
        """Who serves it."""
        ...

    @property
    def content_type(self) -> str:
        """Of the response."""
        ...

    @property
    def streaming(self) -> bool:
        """Whether the response comes while the function writes it."""
        ...

    @property
    def whole(self) -> bytes | None:
        """The whole response, where it is there and no error; None else."""
        ...

    @property
    def result(self) -> InvocationResult | None:
        """Set at the end."""
        ...

    async def next_chunk(self) -> bytes | None:
        """The next chunk, or None at the end."""
        ...

    def take_whole(self) -> None:
        """Take a response of which `whole` is there, to its end."""
        ...

    async def cancel(self) -> InvocationResult:
        """End it now."""
        ...

    async def discard(self) -> InvocationResult:
        """Read to the end and keep nothing."""
        ...

    def abandon(self) -> None:
        """Nobody holds it any more; may be called in any thread."""
        ...


class StreamingInvocation:
    """The caller's end of a response that streams.

    It holds its instance's slot until it is drained, cancelled or closed. One that is broken out of
    or garbage-collected before its end is cancelled too.
    """

    __slots__ = ("__weakref__", "_underway")

    def __init__(self, underway: Underway) -> None:
        self._underway = underway

    @property
    def request_id(self) -> str:
        """The id by which function, log and history know it."""
        return self._underway.request_id

    @property
    def function_name(self) -> str:
        """The function's name."""
        return self._underway.function_name

    @property
    def instance_id(self) -> str | None:
        """Who serves it; None when no instance came up."""
        return self._underway.instance_id

    @property
    def cold_start(self) -> bool:
        """Whether it waited for its instance to start."""
        return self._underway.cold

    @property
    def content_type(self) -> str:
        """The content type that the function gave its response."""
        return self._underway.content_type

    @property
    def streaming(self) -> bool:
        """Whether chunks come while the function still writes; if not, all is there and the end is near."""
        return self._underway.streaming

    @property
    def whole(self) -> bytes | None:
        """The whole response, where it is there and no error; None else.

        It can be passed on before `take_whole`, which must follow: by that the invocation ends.
        """
        return self._underway.whole

    def take_whole(self) -> None:
        """Take a response of which `whole` is there: `result` is set then, without a wait."""
        self._underway.take_whole()

    @property
    def result(self) -> InvocationResult | None:
        """Set once the stream has ended."""
        return self._underway.result

    @property
    def complete(self) -> InvokeComplete | None:
        """The terminal event; set once the stream has ended."""
        result = self.result
        if result is None:
            return None
        details = (result.error_payload or b"").decode("utf-8", "replace") or None
        return InvokeComplete(result.function_error, details, result.log_tail)

    async def next_chunk(self) -> bytes | None:
        """The next chunk as the function wrote it, or None at the end, after which `result` is set.

        Cancelling the call cancels the invocation.
        Raises InvocationFailedError, only for Stoker's own failures.
        """
        return await self._underway.next_chunk()

    async def cancel(self) -> InvocationResult:
        """Stop the function: its instance is terminated. The result says `cancelled`."""
        return await self._underway.cancel()

    async def discard(self) -> InvocationResult:
        """Let the function finish and drop the rest; the slot frees at its end or deadline."""
        return await self._underway.discard()

    async def aclose(self) -> None:
        """Cancel it, unless it is over. Idempotent; a failure that the reader has been told is not told again."""
        if self._underway.result is None:
            with suppress(InvocationFailedError):
                await self._underway.cancel()

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        # a generator, so that a `break` closes it
        try:
            while (chunk := await self._underway.next_chunk()) is not None:
                yield chunk
        finally:
            await self.aclose()

    async def __aenter__(self) -> StreamingInvocation:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._underway.result is None:
            self._underway.abandon()
