"""The fallback where a container cannot reach this machine: the emulator (RIE) that AWS's images bring along.

It buffers responses, initialises the runtime inside the first invocation, and answers in ways of its own,
which are put into Lambda's here. Source: https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from core.emulator import failures
from core.emulator.limits import LOG_TAIL
from core.emulator.logs import RequestLog, report_line
from core.emulator.runtime_api import InitError, InvokeOutcome, InvokeRequest, RuntimeGoneError
from core.replies import EndpointError

if TYPE_CHECKING:
    from core.emulator.failures import Failure
    from core.functions import LambdaFunction
    from core.http_client import HttpClient

__all__ = ["RIE_PORT", "RieReply", "RieRuntime"]

RIE_PORT = 8080

_OWN_LINE = re.compile(
    r"\d\d \w{3} \d{4} [\d:,]+ \[[A-Z]+\] \(rapid\) |(?:START|END|REPORT) RequestId: "
    r'|time=\S+ level=[A-Z]+ msg="http: panic serving '
)
_TIMED_OUT = re.compile(rb"Task timed out after [\d.]+ seconds")
_ASK_AGAIN = 0.01  # seconds between two looks at whether it listens: no event tells of another's port
_LAST_LINES = 1.0  # seconds in which the engine must have passed on what belongs to an invocation
_GRACE = 2.0


class RieReply:
    """A reply that came as a whole."""

    streaming = False
    whole: bytes | None = None

    def __init__(self, body: bytes, outcome: InvokeOutcome) -> None:
        self.headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),)
        self.outcome: InvokeOutcome | None = None
        self._body: bytes | None = body
        self._final = outcome

    async def next_chunk(self) -> bytes | None:
        """The body, once."""
        body, self._body = self._body, None
        if body:
            return body
        self.outcome = self._final
        return None

    def close(self) -> None:
        """Forget the body."""
        self._body = None
        self.outcome = self._final

    async def aclose(self) -> None:
        """Forget the body."""
        self.close()


class RieRuntime:
    """One image's emulator, asked in the place of a Runtime API. One invocation at a time."""

    def __init__(self, function: LambdaFunction, *, log: Callable[[Sequence[str]], None]) -> None:
        self._function = function
        self._sink = log
        self._log = RequestLog(self._lines)
        self._http: HttpClient | None = None
        self._address = ""
        self._request_id = ""
        self._kept: deque[str] = deque(maxlen=2_000)
        self._reported = asyncio.Event()
        self._exit: str | None = None
        self._gone = asyncio.Event()

    def listens_at(self, port: int) -> None:
        """The port of loopback that the engine has given it."""
        self._address = f"http://127.0.0.1:{port}"

    async def ready(self, timeout: float | None = 10.0) -> None:
        """Wait until it listens; its runtime starts with the first event. Raises InitError."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (timeout or 10.0)
        port = int(self._address.rpartition(":")[2])
        while not await _answers(port):
            if self._exit is not None:
                failure = failures.exited("", self._exit, "Runtime.ExitError")
                raise InitError(failure.error_type, failure.message, failure.payload, exited=True)
            if loop.time() >= end:
                message = "the image's own emulator (RIE) does not listen on port 8080"
                raise InitError("Sandbox.Timedout", message, failures.error_json("Sandbox.Timedout", message))
            await asyncio.sleep(_ASK_AGAIN)

    def output(self, data: bytes) -> None:
        """What the container wrote."""
        self._log.feed(data)

    def runtime_exited(self, description: str, error_type: str = "Runtime.ExitError") -> None:
        """The container has ended."""
        self._exit = self._exit or description
        self._gone.set()
        self._reported.set()

    async def aclose(self) -> None:
        """Close the connection; an invocation that runs ends with an exit error."""
        self.runtime_exited("")
        if self._http is not None:
            await self._http.aclose()

    async def invoke(self, request: InvokeRequest) -> RieReply:
        """Send the event and wait for the whole reply. Raises RuntimeGoneError, RuntimeError."""
        if self._exit is not None:
            raise RuntimeGoneError(f"the container has ended ({self._exit})")
        if self._request_id:
            raise RuntimeError(f"invocation {self._request_id} is running")
        self._request_id = request.request_id
        self._kept.clear()
        self._reported.clear()
        self._sink([f"START RequestId: {request.request_id} Version: {self._function.version}"])
        started = time.monotonic()
        try:
            status, body = await self._post(request)
            duration = (time.monotonic() - started) * 1000
            return await self._made(request, status, body, duration)
        finally:
            self._request_id = ""

    async def _post(self, request: InvokeRequest) -> tuple[int, bytes]:
        """The emulator's status and body; 0 where the container ended, or took longer than it may."""
        if self._http is None:
            from core.http_client import HttpClient

            self._http = HttpClient()
        asking = asyncio.ensure_future(self._http.ask(self._address, request.request_id, request.payload))
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait(
                {asking, gone}, timeout=self._function.timeout + _GRACE, return_when=asyncio.FIRST_COMPLETED
            )
            if not asking.done():
                return (502, b"") if gone.done() else (0, b"")
            return asking.result()
        except EndpointError:
            # the container ended, which the engine tells a moment later
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), _GRACE)
            return 502, b""
        finally:
            for task in (asking, gone):
                task.cancel()
            await asyncio.gather(asking, gone, return_exceptions=True)

    async def _made(self, request: InvokeRequest, status: int, body: bytes, duration: float) -> RieReply:
        failure = self._failure(request.request_id, status, body)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._reported.wait(), _LAST_LINES)
        self._log.flush()
        if failure is not None and failure.lines:
            self._lines(failure.lines)
        report = report_line(
            request.request_id, duration_ms=duration, memory_size=self._function.memory_size, peak=None, init_ms=None,
            status=failure.status if failure is not None else "",
        )  # fmt: skip
        end = [f"END RequestId: {request.request_id}", report]
        self._sink(end)
        start = f"START RequestId: {request.request_id} Version: {self._function.version}"
        text = "".join(f"{line}\n" for line in (start, *self._kept, *end)).encode("utf-8", "replace")
        outcome = InvokeOutcome(
            function_error="Unhandled" if failure is not None else None,
            error_type=failure.error_type if failure is not None else None,
            error_message=failure.message if failure is not None else None,
            error_payload=failure.payload if failure is not None else None,
            duration_ms=duration,
            init_ms=None,
            max_memory_mb=None,
            log_tail=text[-LOG_TAIL:].decode("utf-8", "ignore"),
            # it would start its runtime anew; a container that failed so is not one to go on with
            reusable=failure is None or (status == 200 and failure.error_type != "Sandbox.Timedout"),
        )
        return RieReply(failure.payload if failure is not None else body, outcome)

    def _failure(self, request_id: str, status: int, body: bytes) -> Failure | None:
        """What the function did wrong, by how this emulator tells it; None for a result."""
        if status == 0 or (status == 200 and _TIMED_OUT.fullmatch(body)):
            stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return failures.timed_out(request_id, float(self._function.timeout), stamp)
        if status != 200:
            return (
                failures.posted(body, None)
                if body
                else failures.exited(request_id, self._exit or "", "Runtime.ExitError")
            )
        return failures.posted(body, None) if _is_error(body) else None

    def _lines(self, lines: Sequence[str]) -> None:
        own = [line for line in lines if not _OWN_LINE.match(line)]
        if self._request_id and any(line.startswith(f"REPORT RequestId: {self._request_id}") for line in lines):
            self._reported.set()
        if own:
            self._kept.extend(own)
            self._sink(own)


def _is_error(body: bytes) -> bool:
    """Whether a body is what a runtime posts of a handler that failed: the emulator passes it on as a result."""
    if not body.startswith(b"{") or b'"errorType"' not in body:
        return False
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(document, dict)
        and isinstance(document.get("errorType"), str)
        and "errorMessage" in document
        and document.keys() <= {"errorType", "errorMessage", "stackTrace", "trace", "requestId", "cause"}
    )


async def _answers(port: int) -> bool:
    """Whether somebody speaks HTTP there: an engine's own forwarder takes connections before that."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(1.0):
            return await reader.read(5) == b"HTTP/"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
