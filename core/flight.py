"""One invocation under way: its instance, its reply and its clock, until the result is made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.errors import InvocationFailedError
from core.invocation import InvocationResult
from core.replies import EndpointError

if TYPE_CHECKING:
    from core.emulator.runtime_api import InvokeOutcome
    from core.functions import LambdaFunction
    from core.instances import Instance
    from core.invoke_options import InvokeOptions
    from core.replies import Reply

__all__ = ["Ending", "Flight"]

# Past its deadline the emulator has ended the invocation; a reader that does not read learns of it
# late, but the runtime must not go on for as long.
_DEADLINE_GRACE = 1.0


class Ending:
    """How a flight ended, for the one who frees its instance and writes it down."""

    __slots__ = ("error", "reason", "result", "reuse")

    def __init__(self, result: InvocationResult | None, error: str | None, reuse: bool, reason: str) -> None:
        self.result = result
        self.error = error
        self.reuse = reuse
        self.reason = reason


class Flight:
    """One invocation from the moment it is asked for. Ends exactly once, by calling `ended`."""

    def __init__(
        self,
        request_id: str,
        function: LambdaFunction,
        *,
        payload: bytes,
        options: InvokeOptions,
        ended: Callable[[Flight, Ending], None],
        overdue: Callable[[Flight], None],
        keep: int,
    ) -> None:
        self.request_id = request_id
        self.options = options
        self.source = options.source
        self.function = function
        self.payload = payload
        self.asked = time.monotonic()
        self.asked_wall = time.time()
        self.handed: float | None = None
        self.cold = False
        self.instance: Instance | None = None
        self.reply: Reply | None = None
        self.kept = bytearray()
        self._ended = ended
        self._overdue = overdue
        self._keep = keep
        self._received = 0
        self._chunks = 0
        self._first_byte: float | None = None
        self._result: InvocationResult | None = None
        self._failure: InvocationFailedError | None = None
        self._over = False
        self._guard: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def function_name(self) -> str:
        """The function's name."""
        return self.function.function_name

    @property
    def instance_id(self) -> str | None:
        """Who serves it; None until an instance does."""
        return self.instance.id if self.instance else None

    @property
    def content_type(self) -> str:
        """Of the response."""
        return self.reply.content_type if self.reply else "application/json"

    @property
    def streaming(self) -> bool:
        """Whether the response comes while the function writes it."""
        return self.reply.streaming if self.reply else False

    @property
    def whole(self) -> bytes | None:
        """The whole response, where it is there and no error; None else. It is to be read all the same."""
        return self.reply.whole if self.reply and not self._over else None

    @property
    def result(self) -> InvocationResult | None:
        """Set at the end, unless it ended in a failure."""
        return self._result

    @property
    def over(self) -> bool:
        """Whether it has ended, with a result or a failure."""
        return self._over

    @property
    def waited(self) -> float:
        """Seconds from the question to the hand-over, so far or in all."""
        return (self.handed if self.handed is not None else time.monotonic()) - self.asked

    def handed_to(self, instance: Instance, cold: bool) -> None:
        """An instance took it."""
        self.instance, self.cold, self.handed = instance, cold, time.monotonic()

    def handed_back(self) -> None:
        """That instance could not be asked; another may be."""
        self.instance, self.handed = None, None

    def answered(self, reply: Reply) -> None:
        """The head of the reply is there."""
        self.reply = reply
        if reply.streaming and reply.outcome is None:
            left = self.function.timeout - (time.monotonic() - (self.handed or self.asked))
            self._guard = self._loop.call_later(max(0.0, left) + _DEADLINE_GRACE, self._overdue, self)

    async def next_chunk(self) -> bytes | None:
        """See `StreamingInvocation.next_chunk`."""
        if self._over or self.reply is None:
            return None
        try:
            chunk = await self.reply.next_chunk()
        except asyncio.CancelledError:
            await self.cancel()
            raise
        except EndpointError as error:
            await self.reply.aclose()
            raise self.fail(error.reason) from error
        if chunk is not None:
            self._took(chunk)
            return chunk
        outcome = self.reply.outcome
        if outcome is not None:
            self.finish(outcome)
        elif not self._over:
            raise self.fail("the reply ended without an outcome")
        return None

    def take_whole(self) -> None:
        """Take a response of which `whole` is there, to its end."""
        whole = self.whole
        assert self.reply is not None
        assert whole is not None
        if whole:
            self._took(whole)
        outcome = self.reply.outcome
        assert outcome is not None, "a whole response has an outcome"
        self.finish(outcome)

    def _took(self, chunk: bytes) -> None:
        if self._first_byte is None:
            self._first_byte = time.monotonic()
        self._chunks += 1
        self._received += len(chunk)
        if len(self.kept) < self._keep:
            self.kept += chunk[: self._keep - len(self.kept)]

    async def cancel(self) -> InvocationResult:
        """End it now: the instance is terminated. Returns the result, which may have been there already."""
        if not self._over:
            # in one step, so that a reader that is woken by the close finds the result
            self._cut("cancelled")
            if self.reply is not None:
                await self.reply.aclose()
        return self._must_result()

    async def discard(self) -> InvocationResult:
        """Read to the end and keep nothing."""
        while await self.next_chunk() is not None:
            pass
        return self._must_result()

    def abandon(self) -> None:
        """Nobody holds it any more (called from a finaliser, in any thread)."""
        if not self._over and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._abandoned)

    def _abandoned(self) -> None:
        if self._over:
            return
        self._cut("abandoned by its caller")
        reply = self.reply
        if reply is not None:
            closing = self._loop.create_task(_close(reply), name=f"close {self.request_id}")
            _closings.add(closing)
            closing.add_done_callback(_closings.discard)

    def _cut(self, reason: str) -> None:
        if self.reply is not None:
            self.reply.close()
        self._finish(self._make(self.reply.outcome if self.reply else None, cancelled=True), False, reason)

    def finish(self, outcome: InvokeOutcome) -> None:
        """It has run its course."""
        if not self._over:
            self._finish(self._make(outcome), outcome.reusable, self._why_not_reusable(outcome))

    def _why_not_reusable(self, outcome: InvokeOutcome) -> str:
        if outcome.reusable:
            return ""
        if outcome.error_type == "Sandbox.Timedout":
            return f"timed out after {self.function.timeout} s"
        return f"{outcome.error_type or 'its runtime'}: {outcome.error_message or 'unusable'}"

    def fail(self, reason: str) -> InvocationFailedError:
        """Stoker's own failure; returns the error for the caller to raise."""
        error = InvocationFailedError(self.function_name, self.request_id, reason, self._received)
        if not self._over:
            self._failure = error
        self.refuse(error, reason)
        return error

    def refuse(self, error: BaseException, reason: str) -> None:
        """It ends in an exception that is not the function's."""
        if not self._over:
            self._over = True
            self._settle(Ending(None, str(error) or type(error).__name__, False, reason))

    def _finish(self, result: InvocationResult, reuse: bool, reason: str) -> None:
        self._over = True
        self._result = result
        self._settle(Ending(result, None, reuse, reason))

    def _settle(self, ending: Ending) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None
        self._ended(self, ending)

    def _must_result(self) -> InvocationResult:
        if self._result is None:
            reason = self._failure.reason if self._failure is not None else "it had failed before"
            raise InvocationFailedError(self.function_name, self.request_id, reason, self._received)
        return self._result

    def _make(self, outcome: InvokeOutcome | None, *, cancelled: bool = False) -> InvocationResult:
        now = time.monotonic()
        handed = self.handed if self.handed is not None else now
        instance = self.instance
        phases: dict[str, float] = {}
        if self.cold and instance is not None:
            phases = {p.name: p.seconds * 1000 for p in instance.phases if p.seconds is not None}
        duration = outcome.duration_ms if outcome and outcome.duration_ms else (now - handed) * 1000
        return InvocationResult(
            request_id=self.request_id,
            function_name=self.function_name,
            executed_version=self.function.version,
            function_error=outcome.function_error if outcome else None,
            error_type=outcome.error_type if outcome else None,
            error_message=outcome.error_message if outcome else None,
            error_payload=outcome.error_payload if outcome else None,
            content_type=self.content_type,
            instance_id=self.instance_id,
            cold_start=self.cold,
            streamed=self.reply.streaming if self.reply else False,
            cancelled=cancelled,
            duration_ms=duration,
            init_ms=outcome.init_ms if outcome else None,
            queued_ms=(handed - self.asked) * 1000,
            first_byte_ms=(self._first_byte - handed) * 1000 if self._first_byte is not None else None,
            total_ms=(now - self.asked) * 1000,
            max_memory_mb=outcome.max_memory_mb if outcome else None,
            received=self._received,
            chunks=self._chunks,
            log_tail=outcome.log_tail if outcome else "",
            phases=phases,
        )


_closings: set[asyncio.Task[None]] = set()


async def _close(reply: Reply) -> None:
    await reply.aclose()
