"""What an invocation gets back: a reply that is read chunk by chunk, and its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .http_body import Body, BodyError

__all__ = ["InvokeOutcome", "InvokeReply"]


@dataclass(frozen=True, slots=True)
class InvokeOutcome:
    """How an invocation ended.

    `function_error` is None or "Unhandled". Durations are in milliseconds, from the moment the
    runtime was given the event to the end of its response; `init_ms` is set for the instance's
    first invocation. `log_tail` holds the last 4 KB of the invocation's log.
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

    A buffered reply is complete then: `function_error` and `outcome` are final, and a failed one's
    body is Lambda's error JSON. A streaming reply gets them when its end has been read. The outcome of
    one that went well is made when it is first asked for: `whole` can be passed on before that.
    `headers` are those the runtime sent that concern the reply, with lower-case names.
    """

    __slots__ = (
        "_abandon",
        "_body",
        "_conclude",
        "_fate",
        "_outcome",
        "_payload",
        "_waiters",
        "function_error",
        "headers",
        "status",
        "streaming",
    )

    def __init__(
        self,
        headers: Sequence[tuple[str, str]],
        *,
        payload: bytes = b"",
        outcome: InvokeOutcome | None = None,
        conclude: Callable[[], InvokeOutcome] | None = None,
        body: Body | None = None,
        abandon: Callable[[], None] | None = None,
    ) -> None:
        self.status = 200
        self.headers = headers
        self.streaming = body is not None
        self._outcome = outcome
        self._conclude = conclude
        self.function_error = outcome.function_error if outcome is not None else None
        self._payload = payload
        self._body = body
        self._abandon = abandon
        self._fate = outcome
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def outcome(self) -> InvokeOutcome | None:
        """How the invocation ended; None while a streaming reply has not been read to its end."""
        if self._conclude is not None:
            self._outcome = self._fate = self._conclude()
            self._conclude = None
        return self._outcome

    @property
    def whole(self) -> bytes | None:
        """The whole body, where it is there and no error; None else. It can still be read."""
        return self._payload if not self.streaming and self.function_error is None else None

    @property
    def buffered(self) -> int:
        """Bytes of the reply that are in memory and wait to be read."""
        return self._body.buffered if self._body is not None else len(self._payload)

    @property
    def decided(self) -> InvokeOutcome | None:
        """The outcome as soon as the runtime is done, though chunks may still wait to be read."""
        return self._fate or self.outcome

    async def next_chunk(self) -> bytes | None:
        """The next piece of the body as the runtime wrote it; None at the end, when `outcome` is set.

        Returns at once where a piece is waiting. One reader at a time. May be cancelled without loss.
        """
        if self._body is None:
            payload, self._payload = self._payload, b""
            return payload or None
        if self._outcome is not None:
            return None
        try:
            chunk = await self._body.next_chunk()
        except BodyError:
            chunk = None
        if chunk is None:
            await self._settled()
        return chunk

    async def discard(self) -> InvokeOutcome:
        """Let the function finish, without keeping what is left of its reply."""
        if self._body is not None:
            self._body.discard()
        self._payload = b""
        return await self._settled()

    async def aclose(self) -> None:
        """Stop reading. Unless the runtime was done the outcome is not reusable. Idempotent."""
        self.close()

    def close(self) -> None:
        """The same, for callers that cannot wait."""
        if self._outcome is None and self._fate is None and self._abandon is not None:
            self._abandon()
        if self._body is not None and self._body.ended:
            self._body.taken()
        self._payload = b""
        self._take_fate()

    def decide(self, outcome: InvokeOutcome) -> None:
        """The runtime is done with this invocation (called by the Runtime API)."""
        self._fate = outcome
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def _settled(self) -> InvokeOutcome:
        while self.decided is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        self._take_fate()
        assert self._fate is not None, "it is decided"
        return self._fate

    def _take_fate(self) -> None:
        if self._outcome is None and self._fate is not None:
            self._outcome = self._fate
            self.function_error = self._fate.function_error
