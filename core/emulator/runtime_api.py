"""One Runtime API for one instance: it gives events to the runtime and takes its responses.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

Where the page is silent: several `next` may wait at once (the newest gets the event); a `next` from a
runtime that has not begun to answer ends the running invocation with `Runtime.InvalidResponse`, after
all that had arrived was read; a response for another request id, or a second one, is refused with 400
and changes nothing.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence

from . import answers, failures
from .failures import InitError, RuntimeGoneError
from .http_body import TruncatedBodyError
from .http_server import Exchange, HttpServer, Limits
from .lazy_timer import LazyTimer
from .limits import MAX_REQUEST, MAX_RESPONSE, MAX_STREAMED_RESPONSE
from .logs import RequestLog
from .reply import InvokeOutcome, InvokeReply
from .requests import FunctionFacts, InvokeRequest
from .running import Running, Surroundings

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

_PREFIX = "/2018-06-01/runtime/"
# awslambdaric puts up to 1 MiB of X-Ray cause into a header
_LIMITS = Limits(head_size=2 * 1024 * 1024, head_timeout=30.0)


class RuntimeApi:
    """The Runtime API of one instance.

    `log` gets every line (the runtime's output and START, END, REPORT) in order. `peak_memory()` is
    the instance's peak in bytes, or None; `reset_memory()` is called as each event is handed over, so
    that the peak can be that of the request. `drain_output()` must feed whatever the runtime has
    written so far into `output()` before it returns. All are called on the loop and must be quick.
    Where output comes by another way than through `drain_output`, `output_settled(then)` is to call
    `then`, once, when what was written before now has come.
    `allow` decides by the peer's address who may connect; None means that it is not known yet, see `recheck`.
    """

    def __init__(
        self,
        facts: FunctionFacts,
        *,
        log: Callable[[Sequence[str]], None],
        peak_memory: Callable[[], int | None] = lambda: None,
        drain_output: Callable[[], None] = lambda: None,
        reset_memory: Callable[[], None] = lambda: None,
        output_settled: Callable[[Callable[[], None]], None] | None = None,
        allow: Callable[[str], bool | None] | None = None,
    ) -> None:
        self.facts = facts
        self._log = RequestLog(log)
        self._clock = LazyTimer()
        self._server = HttpServer(self._serve, limits=_LIMITS, max_connections=128, allow=allow)
        self._around = Surroundings(
            facts,
            self._log,
            self._server.settle,
            peak_memory,
            reset_memory,
            drain_output,
            output_settled,
            self._clock,
            self._over,
        )
        self._parked: list[Exchange] = []  # `next` requests that wait for an event, the newest last
        self._running: Running | None = None
        self._last: Running | None = None
        self._spent = ""  # why no further event may be handed over
        self._closed = False
        self._ready = False
        self._init_error: InitError | None = None
        self._init_started = time.monotonic()
        self._ready_waiters: list[asyncio.Future[None]] = []

    # life

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, ahead: bool = False) -> str:
        """Listen; returns "host:port", the value for AWS_LAMBDA_RUNTIME_API. Raises OSError.

        `ahead` is for an address that this machine is only about to have.
        """
        address = await self._server.start(host, port, ahead=ahead)
        self.init_started()
        return address

    def recheck(self) -> None:
        """Ask `allow` again about peers of whom it did not know."""
        self._server.recheck()

    def init_started(self) -> None:
        """The runtime's init begins now. Without this call it began with `start`."""
        self._init_started = time.monotonic()

    async def ready(self, timeout: float | None = 10.0) -> None:
        """Wait for the runtime's first `next`. Raises InitError.

        After one that timed out it may be awaited again.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._ready_waiters.append(waiter)
        self._tell_ready(settled=False)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            if not self._ready and self._init_error is None:
                failure = failures.timed_out(str(uuid.uuid4()), timeout or 0.0, "")
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
        if self._around.exit is not None:
            return
        self._around.exit = (description, error_type)
        if self._running is not None:
            self._running.runtime_exited()
        self._tell_ready(settled=False)

    async def aclose(self) -> None:
        """Close the listener and all connections; a running invocation ends with an exit error."""
        if not self._closed:
            self._closed = True
            self._around.exit = self._around.exit or ("", "Runtime.ExitError")
            run = self._running
            if run is not None:
                if run.handed:
                    run.exited()
                else:
                    run.take_back("the Runtime API was closed")
            self._tell_ready(settled=True)
            if self._last is not None:
                self._last.conclude()
            self._log.flush()
            self._clock.close()
        await self._server.aclose()

    # invocations

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Hand the event over and wait for the head of the reply. One at a time.

        A handler error, exit or timeout is a reply with `function_error`. Cancelling it abandons
        the invocation. Raises RuntimeError when an invocation is running, the API is closed, or an
        earlier outcome was not reusable; RuntimeGoneError (which is one) when the runtime exited
        before it was given the event.
        """
        head: asyncio.Future[InvokeReply] = asyncio.get_running_loop().create_future()

        def answered(found: InvokeReply | RuntimeGoneError) -> None:
            if head.done():
                return
            if isinstance(found, InvokeReply):
                head.set_result(found)
            else:
                head.set_exception(found)

        run = self._begin(request, answered)
        try:
            return await head
        except asyncio.CancelledError:
            run.abandon()
            raise

    def begin(self, request: InvokeRequest, answered: Callable[[InvokeReply | RuntimeGoneError], None]) -> None:
        """The same without waiting: `answered` is called with the reply once its head is there, or with the error.

        Raises RuntimeError as `invoke` does, and does not call it then.
        """
        self._begin(request, answered)

    def _begin(self, request: InvokeRequest, answered: Callable[[InvokeReply | RuntimeGoneError], None]) -> Running:
        if self._closed:
            raise RuntimeError("the Runtime API is closed")
        if self._running is not None:
            raise RuntimeError(f"invocation {self._running.request.request_id} is running")
        if self._spent:
            raise RuntimeError(f"this runtime takes no more events: {self._spent}")
        if self._around.exit is not None:
            raise RuntimeGoneError(f"the runtime has exited ({self._around.exit[0]})")
        if self._last is not None:
            self._last.conclude()
        run = self._running = self._last = Running(request, self._around, answered)
        self._match()
        if not run.handed:
            run.await_runtime()
        return run

    def _match(self) -> None:
        """Give the event that waits to a `next` that waits, if there are both."""
        run = self._running
        while self._parked and run is not None and not run.handed:
            exchange = self._parked.pop()
            if not exchange.gone:
                exchange.on_gone = None
                run.hand_over(exchange)

    def _over(self, run: Running, spent: str) -> None:
        if self._running is run:
            self._running = None
        self._spent = self._spent or spent

    # what the runtime asks

    def _serve(self, exchange: Exchange) -> None:
        path = exchange.path
        match path[len(_PREFIX) :].split("/") if path.startswith(_PREFIX) else []:
            case ["invocation", "next"]:
                if answers.only(exchange, "GET"):
                    self._next(exchange)
            case ["invocation", request_id, "response"]:
                if answers.only(exchange, "POST") and (run := self._claim(exchange, request_id)):
                    run.respond(exchange)
            case ["invocation", request_id, "error"]:
                if answers.only(exchange, "POST") and (run := self._claim(exchange, request_id)):
                    run.fail(exchange)
            case ["init", "error"]:
                if answers.only(exchange, "POST"):
                    self._post_init_error(exchange)
            case _ if path == "/2018-06-01/ping":
                exchange.respond(200, b"pong", [("content-type", "text/plain; charset=utf-8")])
            case _:
                answers.refuse(exchange, 404, "NotFound", f"there is no {path} in the Runtime API")

    def _next(self, exchange: Exchange) -> None:
        if self._closed or self._init_error is not None:
            answers.refuse(exchange, 403, "InvalidStateTransition", "this runtime's init has failed")
            return
        if not self._ready:
            self._ready = True
            self._around.init_ms = (time.monotonic() - self._init_started) * 1000
            self._tell_ready(settled=True)
        exchange.on_gone = lambda: self._unpark(exchange)
        self._parked.append(exchange)
        run = self._running
        if run is not None and run.handed and run.exchange is None:
            self._server.settle(lambda: self._asked_too_early(run, exchange))
        else:
            self._match()

    def _asked_too_early(self, run: Running, exchange: Exchange) -> None:
        # a response that was sent before this `next`, on another connection, has been read by now
        if run.over or run.exchange is not None or exchange not in self._parked:
            return
        self._unpark(exchange)
        answers.refuse(exchange, 403, "InvalidStateTransition", "the event before this one has not been answered")
        run.asked_too_early()

    def _unpark(self, exchange: Exchange) -> None:
        if exchange in self._parked:
            self._parked.remove(exchange)

    def _claim(self, exchange: Exchange, request_id: str) -> Running | None:
        """The running invocation, if it is the one that this exchange answers and nothing has yet."""
        run = self._running
        if run is None or not run.handed or run.request.request_id != request_id or run.exchange is not None:
            answers.refuse(exchange, 400, "InvalidRequestID", "Invalid request ID")
            return None
        return run

    # init

    def _post_init_error(self, exchange: Exchange) -> None:
        if self._ready or self._init_error is not None:
            answers.refuse(exchange, 403, "InvalidStateTransition", "the runtime's init is over")
        else:
            exchange.body.collect(MAX_RESPONSE, lambda: self._init_errored(exchange))

    def _init_errored(self, exchange: Exchange) -> None:
        error_type = exchange.header("lambda-runtime-function-error-type")
        error = exchange.body.error
        if isinstance(error, TruncatedBodyError):
            answers.truncated(exchange)
            return
        if error is None:
            failure = failures.posted(exchange.body.taken(), error_type)
        else:
            kind = error_type or "Runtime.InitError"
            failure = failures.posted(failures.error_json(kind, f"the init error cannot be read: {error}"), kind)
        if not self._ready and self._init_error is None:
            self._init_error = InitError(failure.error_type, failure.message, failure.payload)
            self._tell_ready(settled=True)
        if error is None:
            answers.accept(exchange)
        else:
            answers.too_large(exchange, MAX_RESPONSE)

    def _tell_ready(self, *, settled: bool) -> None:
        """Wake those who wait for the runtime to be ready, once it is, or never will be."""
        if not self._ready and self._init_error is None:
            if self._around.exit is None:
                return
            if not settled:
                # an init error that was posted before the exit may still be on its way
                self._server.settle(lambda: self._tell_ready(settled=True))
                return
            description, error_type = self._around.exit
            failure = failures.exited(str(uuid.uuid4()), description, error_type)
            self._init_error = InitError(failure.error_type, failure.message, failure.payload, exited=True)
        for waiter in self._ready_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._ready_waiters.clear()
