"""Replies of invocations that no instance answered."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from core.emulator.failures import timed_out
from core.emulator.logs import RequestLog, report_line
from core.emulator.runtime_api import InvokeOutcome

if TYPE_CHECKING:
    from core.errors import InitFailedError
    from core.flight import Flight

__all__ = ["Canned", "init_failure"]

_ANY_REQUEST = re.compile(rb"RequestId: [0-9a-f-]{36} Error: ")


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
    """The reply to an invocation whose instance failed in its init, as Lambda words it, with its log."""
    function, request_id = flight.function, flight.request_id
    # an exit was told before it was known whose invocation it fails
    own = f"RequestId: {request_id} Error: ".encode()
    payload, told = _ANY_REQUEST.subn(own, error.payload, count=1)
    message = _ANY_REQUEST.sub(own, error.reason.encode(), count=1).decode()
    lines, status = error.log_tail, f"Status: error\tError Type: {error.error_type}"
    # the handler has not run; an init that takes too long has had the function's whole time
    duration_ms = 0.0
    if error.timed_out:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        failure = timed_out(request_id, float(function.timeout), stamp)
        payload, message, status = failure.payload, failure.message, failure.status
        lines, duration_ms = (*lines, *failure.lines), function.timeout * 1000.0
    elif told:
        lines = (*lines, message)
    report = report_line(
        request_id, duration_ms=duration_ms, memory_size=function.memory_size, peak=None, init_ms=None, status=status
    )
    log = RequestLog(lambda _: None)
    log.begin(f"START RequestId: {request_id} Version: {function.version}")
    log.add(lines)
    outcome = InvokeOutcome(
        function_error="Unhandled",
        error_type=error.error_type,
        error_message=message,
        error_payload=payload,
        duration_ms=duration_ms,
        init_ms=None,
        max_memory_mb=None,
        log_tail=log.end([f"END RequestId: {request_id}", report]),
        reusable=False,
    )
    return Canned(payload, outcome)
