"""Replies of invocations that no instance answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.emulator.runtime_api import InvokeOutcome

if TYPE_CHECKING:
    from core.errors import InitFailedError
    from core.flight import Flight

__all__ = ["Canned", "init_failure"]


class Canned:
    """A reply that is there as a whole: what failed before any instance could answer."""

    content_type = "application/json"
    streaming = False
    whole: bytes | None = None

    def __init__(self, payload: bytes, outcome: InvokeOutcome) -> None:
        self._payload: bytes | None = payload
        self._final = outcome
        self.outcome: InvokeOutcome | None = None

    async def next_chunk(self) -> bytes | None:
        """The payload, once."""
        payload, self._payload = self._payload, None
        if payload is None:
            self.outcome = self._final
        return payload or None

    def close(self) -> None:
        """Forget the payload."""
        self._payload = None

    async def aclose(self) -> None:
        """Forget the payload."""
        self.close()


def init_failure(error: InitFailedError, flight: Flight) -> Canned:
    """The reply to an invocation whose instance failed in its init, as Lambda words it."""
    payload, message = error.payload, error.reason
    if error.timed_out:
        message = f"RequestId: {flight.request_id} Error: Task timed out after {flight.function.timeout:.2f} seconds"
        payload = f'{{"errorType":"{error.error_type}","errorMessage":"{message}"}}'.encode()
    outcome = InvokeOutcome(
        function_error="Unhandled",
        error_type=error.error_type,
        error_message=message,
        error_payload=payload,
        duration_ms=0.0,
        init_ms=None,
        max_memory_mb=None,
        log_tail="\n".join(error.log_tail),
        reusable=False,
    )
    return Canned(payload, outcome)
