"""One Runtime API for one instance: it gives events to the runtime and takes its responses.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

Where the page is silent: several `next` may wait at once (the newest gets the event); a `next` from a
runtime that has not begun to answer ends the running invocation with `Runtime.InvalidResponse`, after
all that had arrived was read; a response for another request id, or a second one, is refused with 400
and changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from . import failures
from .failures import Failure, InitError, RuntimeGoneError
from .http_body import BodyTooLargeError, TruncatedBodyError
from .http_server import Exchange, HttpServer, Limits
from .limits import MAX_REQUEST, MAX_RESPONSE, MAX_STREAMED_RESPONSE
from .logs import RequestLog, megabytes, report_line
from .reply import InvokeOutcome, InvokeReply

__all__ = [
    "MAX_REQUEST",
    "MAX_RESPONSE",
    "MAX_STREAMED_RESPONSE",
    "FunctionFacts",
    "InitError",
    "InvokeOutcome",
    "InvokeReply",
    "InvokeRequest",
    "RuntimeApi",
    "RuntimeGoneError",
]

_log = logging.getLogger(__name__)

_PREFIX = "/2018-06-01/runtime/"
_JSON = ("content-type", "application/json")
_EXIT_GRACE = 0.5  # seconds a cut response waits for the news that its runtime has exited
_QUIET = 0.25  # seconds without a byte after which a runtime that has exited will send no more
# awslambdaric puts up to 1 MiB of X-Ray cause into a header
_LIMITS = Limits(head_size=2 * 1024 * 1024, head_timeout=30.0)
_NOT_OF_THE_REPLY = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "trailer", "te", "expect", "accept", "user-agent")
)


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
    """One event for the runtime. `timeout` is seconds; None means the function's own.

    `client_context` and `cognito_identity` are JSON text. `arn` is the ARN that was invoked.
    """

    request_id: str
    payload: bytes
    client_context: str | None = None
    trace_id: str | None = None
    cognito_identity: str | None = None
    arn: str | None = None
    timeout: float | None = None


class _Running:
    """The invocation that is under way."""

    __slots__ = ("cut", "exchange", "handed_at", "head", "over", "reply", "request", "timeout", "timer", "watch")

    def __init__(self, request: InvokeRequest, timeout: float, head: asyncio.Future[InvokeReply]) -> None:
        self.request = request
        self.timeout = timeout
        self.head = head
        self.handed_at: float | None = None
        self.exchange: Exchange | None = None  # by which the runtime answers
        self.reply: InvokeReply | None = None
        self.cut: Failure | None = None  # the response broke off, and this is why unless the runtime exited
        self.over = False
        self.timer: asyncio.TimerHandle | None = None
        self.watch: asyncio.TimerHandle | None = None

    def cancel_timers(self) -> None:
        for timer in (self.timer, self.watch):
            if timer is not None:
                timer.cancel()
        self.timer = self.watch = None


class RuntimeApi:
    """The Runtime API of one instance.

    `log` gets every line (the runtime's output and START, END, REPORT) in order. `peak_memory()` is
    the instance's peak in bytes, or None; `reset_memory` is called as each event is handed over, so
    that a peak can be that of the request. `drain_output()` must feed whatever the runtime has
    written so far into `output()` before it returns. All are called on the loop and must be quick.
    """

    def __init__(
        self,
        facts: FunctionFacts,
        *,
        log: Callable[[Sequence[str]], None],
        peak_memory: Callable[[], int | None] = lambda: None,
        drain_output: Callable[[], None] = lambda: None,
        reset_memory: Callable[[], None] = lambda: None,
        allow: Callable[[str], bool] | None = None,
    ) -> None:
        self.facts = facts
        self._log = RequestLog(log)
        self._peak_memory = peak_memory
        self._drain_output = drain_output
        self._reset_memory = reset_memory
        self._server = HttpServer(self._serve, limits=_LIMITS, max_connections=128, allow=allow)
        self._parked: list[Exchange] = []  # `next` requests that wait for an event, the newest last
        self._running: _Running | None = None
        self._spent = ""  # why no further event may be handed over
        self._closed = False
        self._exit: tuple[str, str] | None = None
        self._ready = False
        self._init_error: InitError | None = None
        self._init_started = time.monotonic()
        self._init_ms: float | None = None
        self._ready_waiters: list[asyncio.Future[None]] = []

    # life

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; returns "host:port", the value for AWS_LAMBDA_RUNTIME_API. Raises OSError."""
        address = await self._server.start(host, port)
        self.init_started()
        return address

    def init_started(self) -> None:
        """The runtime's init begins now (at the latest `start` was that moment)."""
        self._init_started = time.monotonic()

    async def ready(self, timeout: float | None = 10.0) -> None:
        """Wait for the runtime's first `next`. Raises InitError.

        After one that timed out it may be awaited again.
        """
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._ready_waiters.append(waiter)
        self._tell_ready(settled=False)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            if not self._ready and self._init_error is None:
                failure = failures.timed_out(str(uuid.uuid4()), timeout or 0.0, _stamp())
                raise InitError(failure.error_type, failure.message, failure.payload, timed_out=True) from None
        finally:
            if waiter in self._ready_waiters:
                self._ready_waiters.remove(waiter)
        if self._init_error is not None:
            raise self._init_error

    def output(self, data: bytes) -> None:
        """Raw bytes that the runtime wrote to stdout or stderr."""
        self._log.feed(data)

    def runtime_exited(self, description: str, error_type: str = "Runtime.ExitError") -> None:
        """The runtime's process ended; a running invocation ends with an exit error.

        `description` is "exit status N" or "signal: killed". Of a response that is under way, all
        that was written before the exit is still delivered.
        """
        if self._exit is not None or self._closed:
            return
        self._exit = (description, error_type)
        run = self._running
        if run is None:
            self._server.settle(lambda: self._tell_ready(settled=True))
        elif run.handed_at is None:
            self._leave(run)
            if not run.head.done():
                run.head.set_exception(RuntimeGoneError(f"the runtime had exited ({description})"))
        elif run.cut is not None:
            self._exited(run)
        else:
            self._server.settle(lambda: self._after_exit(run, -1))

    async def aclose(self) -> None:
        """Close the listener and all connections; a running invocation ends with an exit error."""
        if not self._closed:
            self._closed = True
            self._exit = self._exit or ("", "Runtime.ExitError")
            run = self._running
            if run is not None:
                if run.handed_at is not None:
                    self._exited(run)
                else:
                    self._leave(run)
                    if not run.head.done():
                        run.head.set_exception(RuntimeGoneError("the Runtime API was closed"))
            self._tell_ready(settled=True)
            self._log.flush()
        await self._server.aclose()

    # invocations

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Hand the event over and wait for the head of the reply. One at a time.

        A handler error, exit or timeout is a reply with `function_error`. Cancelling it abandons
        the invocation. Raises RuntimeError when an invocation is running, the API is closed, or an
        earlier outcome was not reusable; RuntimeGoneError when the runtime exited before it was given
        the event.
        """
        if self._closed:
            raise RuntimeError("the Runtime API is closed")
        if self._running is not None:
            raise RuntimeError(f"invocation {self._running.request.request_id} is running")
        if self._spent:
            raise RuntimeError(f"this runtime takes no more events: {self._spent}")
        if self._exit is not None:
            raise RuntimeGoneError(f"the runtime had exited ({self._exit[0]})")
        loop = asyncio.get_running_loop()
        timeout = self.facts.timeout if request.timeout is None else request.timeout
        run = self._running = _Running(request, timeout, loop.create_future())
        if self._parked:
            self._hand_over(run)
        else:
            # a runtime that never asks for it is as late as one that never answers
            run.timer = loop.call_later(timeout, self._deadline, run)
        try:
            return await run.head
        except asyncio.CancelledError:
            self._abandon(run)
            raise

    def _hand_over(self, run: _Running) -> None:
        exchange = self._parked.pop()
        exchange.on_gone = None
        request = run.request
        self._begin_log(run)
        _quietly(self._reset_memory)
        if run.timer is not None:
            run.timer.cancel()
        run.handed_at = time.monotonic()
        run.timer = asyncio.get_running_loop().call_later(run.timeout, self._deadline, run)
        headers = [
            _JSON,
            ("lambda-runtime-aws-request-id", request.request_id),
            ("lambda-runtime-deadline-ms", str(int((time.time() + run.timeout) * 1000))),
            ("lambda-runtime-invoked-function-arn", request.arn or self.facts.arn),
            ("lambda-runtime-trace-id", request.trace_id or _new_trace_id()),
        ]
        if request.client_context is not None:
            headers.append(("lambda-runtime-client-context", request.client_context))
        if request.cognito_identity is not None:
            headers.append(("lambda-runtime-cognito-identity", request.cognito_identity))
        exchange.respond(200, request.payload, [(name, _one_line(value)) for name, value in headers])

    def _begin_log(self, run: _Running) -> None:
        self._log.begin(f"START RequestId: {run.request.request_id} Version: {self.facts.version}")

    def _deadline(self, run: _Running) -> None:
        run.timer = None
        self._server.settle(lambda: self._time_out(run))

    def _time_out(self, run: _Running) -> None:
        if run.over:
            return
        if run.cut is not None:
            self._finish(run, run.cut, reusable=False)
        else:
            if run.handed_at is None:
                self._begin_log(run)
            failure = failures.timed_out(run.request.request_id, run.timeout, _stamp())
            self._finish(run, failure, reusable=False, longest=run.timeout)

    def _after_exit(self, run: _Running, seen: int) -> None:
        """The runtime is gone: end the invocation once nothing more can come of its response."""
        if run.over:
            return
        body = run.exchange.body if run.exchange is not None else None
        if body is None or (not body.paused and body.received == seen):
            self._exited(run)
            return
        run.watch = asyncio.get_running_loop().call_later(_QUIET, self._after_exit, run, body.received)

    def _exited(self, run: _Running) -> None:
        description, error_type = self._exit or ("", "Runtime.ExitError")
        self._finish(run, failures.exited(run.request.request_id, description, error_type), reusable=False)

    def _abandon(self, run: _Running) -> None:
        if run.over:
            return
        if run.handed_at is None:
            self._leave(run)
        else:
            self._finish(run, None, reusable=False)

    def _leave(self, run: _Running) -> None:
        """Take back an event that was not handed over."""
        run.over = True
        run.cancel_timers()
        if self._running is run:
            self._running = None

    def _finish(
        self,
        run: _Running,
        failure: Failure | None,
        *,
        reusable: bool,
        payload: bytes = b"",
        headers: Sequence[tuple[str, str]] = (_JSON,),
        longest: float | None = None,
    ) -> None:
        """The one place where an invocation ends."""
        if run.over:
            return
        run.over = True
        run.cancel_timers()
        self._running = None
        now = time.monotonic()
        seconds = now - (run.handed_at if run.handed_at is not None else now)
        duration = min(seconds, longest if longest is not None else seconds) * 1000
        init, self._init_ms = self._init_ms, None
        _quietly(self._drain_output)
        peak = _quietly(self._peak_memory)
        request_id = run.request.request_id
        report = report_line(
            request_id,
            duration_ms=duration,
            memory_size=self.facts.memory_size,
            peak=peak,
            init_ms=init,
            status=failure.status if failure is not None else "",
        )
        lines = [*(failure.lines if failure is not None else ()), f"END RequestId: {request_id}", report]
        outcome = InvokeOutcome(
            function_error="Unhandled" if failure is not None else None,
            error_type=failure.error_type if failure is not None else None,
            error_message=failure.message if failure is not None else None,
            error_payload=failure.payload if failure is not None else None,
            duration_ms=duration,
            init_ms=init,
            max_memory_mb=megabytes(peak) if peak is not None else None,
            log_tail=self._log.end(lines),
            reusable=reusable and self._exit is None,
        )
        if not outcome.reusable:
            self._spent = failure.message if failure is not None else f"invocation {request_id} was abandoned"
        exchange = run.exchange
        if run.reply is not None:
            run.reply.decide(outcome)
        elif not run.head.done():
            run.head.set_result(
                InvokeReply(headers, payload=failure.payload if failure is not None else payload, outcome=outcome)
            )
        if exchange is not None and not exchange.finished:
            exchange.body.on_end = None
            if not exchange.body.ended:
                exchange.body.stop(TruncatedBodyError("the invocation is over"))
                exchange.abort()

    # what the runtime asks

    def _serve(self, exchange: Exchange) -> None:
        path = exchange.path
        parts = path[len(_PREFIX) :].split("/") if path.startswith(_PREFIX) else []
        match parts:
            case ["invocation", "next"]:
                if _method(exchange, "GET"):
                    self._next(exchange)
            case ["invocation", request_id, "response"]:
                if _method(exchange, "POST"):
                    self._response(exchange, request_id)
            case ["invocation", request_id, "error"]:
                if _method(exchange, "POST"):
                    self._error(exchange, request_id)
            case ["init", "error"]:
                if _method(exchange, "POST"):
                    self._post_init_error(exchange)
            case _ if path == "/2018-06-01/ping":
                exchange.respond(200, b"pong", [("content-type", "text/plain; charset=utf-8")])
            case _:
                _refuse(exchange, 404, "NotFound", f"there is no {path} in the Runtime API")

    def _next(self, exchange: Exchange) -> None:
        if self._closed or self._init_error is not None:
            _refuse(exchange, 403, "InvalidStateTransition", "this runtime's init has failed")
            return
        if not self._ready:
            self._ready = True
            self._init_ms = (time.monotonic() - self._init_started) * 1000
            self._tell_ready(settled=True)
        self._parked.append(exchange)
        exchange.on_gone = lambda: self._unpark(exchange)
        run = self._running
        if run is None:
            return
        if run.handed_at is None:
            self._hand_over(run)
        elif run.exchange is None:
            self._server.settle(lambda: self._asked_too_early(run, exchange))

    def _asked_too_early(self, run: _Running, exchange: Exchange) -> None:
        if run.over or run.exchange is not None or exchange not in self._parked:
            return
        self._unpark(exchange)
        reason = "the runtime asked for its next event before it answered this one"
        _refuse(exchange, 403, "InvalidStateTransition", reason)
        self._finish(run, failures.bad_response(run.request.request_id, reason), reusable=False)

    def _unpark(self, exchange: Exchange) -> None:
        if exchange in self._parked:
            self._parked.remove(exchange)

    def _claim(self, exchange: Exchange, request_id: str) -> _Running | None:
        """The running invocation, if it is the one that this exchange answers and nothing has yet."""
        run = self._running
        if run is None or run.handed_at is None or run.request.request_id != request_id or run.exchange is not None:
            _refuse(exchange, 400, "InvalidRequestID", "Invalid request ID")
            return None
        return run

    def _response(self, exchange: Exchange, request_id: str) -> None:
        run = self._claim(exchange, request_id)
        if run is None:
            return
        mode = (exchange.header("lambda-runtime-function-response-mode") or "buffered").strip().lower()
        if mode not in {"streaming", "buffered"}:
            _refuse(exchange, 400, "InvalidFunctionResponseMode", "Invalid function response mode")
            return
        run.exchange = exchange
        body = exchange.body
        headers = [pair for pair in exchange.headers if pair[0] not in _NOT_OF_THE_REPLY]
        if mode == "streaming":
            reply = run.reply = InvokeReply(headers, body=body, abandon=lambda: self._abandon(run))
            body.limit = MAX_STREAMED_RESPONSE
            body.on_end = lambda: self._streamed(run, exchange)
            if not run.head.done():
                run.head.set_result(reply)
            if body.ended:
                self._streamed(run, exchange)
        else:
            body.collect(MAX_RESPONSE, lambda: self._collected(run, exchange, headers))

    def _streamed(self, run: _Running, exchange: Exchange) -> None:
        error = exchange.body.error
        if error is None:
            self._finish(run, failures.from_trailers(exchange.body.trailers), reusable=True)
            _accept(exchange)
        elif isinstance(error, BodyTooLargeError):
            self._finish(run, failures.streamed_too_large(), reusable=False)
            _too_large(exchange, MAX_STREAMED_RESPONSE)
        else:
            self._broken(run, exchange)

    def _collected(self, run: _Running, exchange: Exchange, headers: Sequence[tuple[str, str]]) -> None:
        error = exchange.body.error
        if error is None:
            self._finish(run, None, reusable=True, payload=exchange.body.taken(), headers=headers)
            _accept(exchange)
        elif isinstance(error, BodyTooLargeError):
            self._finish(run, failures.response_too_large(), reusable=False)
            _too_large(exchange, MAX_RESPONSE)
        else:
            self._broken(run, exchange)

    def _error(self, exchange: Exchange, request_id: str) -> None:
        run = self._claim(exchange, request_id)
        if run is None:
            return
        run.exchange = exchange
        exchange.body.collect(MAX_RESPONSE, lambda: self._errored(run, exchange))

    def _errored(self, run: _Running, exchange: Exchange) -> None:
        error = exchange.body.error
        error_type = exchange.header("lambda-runtime-function-error-type")
        if error is None:
            self._finish(run, failures.posted(exchange.body.taken(), error_type), reusable=True)
            _accept(exchange)
        elif isinstance(error, BodyTooLargeError):
            self._finish(run, failures.response_too_large(), reusable=False)
            _too_large(exchange, MAX_RESPONSE)
        else:
            self._broken(run, exchange)

    def _broken(self, run: _Running, exchange: Exchange) -> None:
        """The response broke off. If that was the runtime's exit, the news of it will come in a moment."""
        error = exchange.body.error
        if not isinstance(error, TruncatedBodyError):
            reason = f"the runtime's response cannot be read: {error}"
            self._finish(run, failures.bad_response(run.request.request_id, reason), reusable=False)
            _refuse(exchange, 400, "InvalidResponse", str(error))
            return
        run.cut = failures.truncated(run.request.request_id)
        _refuse(exchange, 400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
        if self._exit is not None:
            self._exited(run)
            return
        if run.watch is not None:
            run.watch.cancel()
        run.watch = asyncio.get_running_loop().call_later(_EXIT_GRACE, self._time_out, run)

    def _post_init_error(self, exchange: Exchange) -> None:
        if self._ready or self._init_error is not None:
            _refuse(exchange, 403, "InvalidStateTransition", "the runtime's init is over")
            return
        exchange.body.collect(MAX_RESPONSE, lambda: self._init_errored(exchange))

    def _init_errored(self, exchange: Exchange) -> None:
        error_type = exchange.header("lambda-runtime-function-error-type")
        error = exchange.body.error
        if isinstance(error, TruncatedBodyError):
            _refuse(exchange, 400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
            return
        if error is not None:
            kind = error_type or "Runtime.InitError"
            failure = failures.posted(failures.error_json(kind, f"the init error cannot be read: {error}"), kind)
            _refuse(exchange, error.status, "InvalidResponse", str(error))
        else:
            failure = failures.posted(exchange.body.taken(), error_type)
            _accept(exchange)
        if not self._ready and self._init_error is None:
            self._init_error = InitError(failure.error_type, failure.message, failure.payload)
            self._tell_ready(settled=True)

    def _tell_ready(self, *, settled: bool) -> None:
        """Wake those who wait for the runtime to be ready, once it is, or never will be."""
        if not self._ready and self._init_error is None:
            if self._exit is None:
                return
            if not settled:
                self._server.settle(lambda: self._tell_ready(settled=True))
                return
            description, error_type = self._exit
            failure = failures.exited(str(uuid.uuid4()), description, error_type)
            self._init_error = InitError(failure.error_type, failure.message, failure.payload, exited=True)
        for waiter in self._ready_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._ready_waiters.clear()


def _method(exchange: Exchange, method: str) -> bool:
    if exchange.method == method:
        return True
    _refuse(exchange, 405, "MethodNotAllowed", f"{exchange.path} takes {method}", headers=[("allow", method)])
    return False


def _accept(exchange: Exchange) -> None:
    exchange.respond(202, b'{"status":"OK"}\n', [_JSON])


def _too_large(exchange: Exchange, limit: int) -> None:
    _refuse(
        exchange, 413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({limit} bytes).", close=True
    )


def _refuse(
    exchange: Exchange,
    status: int,
    error_type: str,
    message: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    close: bool = False,
) -> None:
    body = json.dumps({"errorMessage": message, "errorType": error_type}).encode()
    extra = [("connection", "close")] if close else []
    exchange.respond(status, body, [_JSON, *headers, *extra])


def _quietly(callback: Callable[[], int | None] | Callable[[], None]) -> int | None:
    """A callback of the instance's must not cost the invocation its end."""
    try:
        return callback()
    except Exception:
        _log.exception("a callback of the Runtime API failed")
        return None


def _one_line(text: str) -> str:
    """A value as a header can carry it."""
    return "".join(character if character >= " " and character != "\x7f" else " " for character in text).strip()


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _new_trace_id() -> str:
    return f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()};Parent={os.urandom(8).hex()};Sampled=0"
