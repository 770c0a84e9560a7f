"""One invocation that is under way, from the event's hand-over to the end of the response."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from . import answers, failures
from .failures import Failure, RuntimeGoneError
from .http_body import BodyTooLargeError, TruncatedBodyError
from .http_server import Exchange
from .lazy_timer import LazyTimer
from .limits import MAX_RESPONSE, MAX_STREAMED_RESPONSE
from .logs import RequestLog, megabytes, report_line
from .reply import InvokeOutcome, InvokeReply
from .requests import FunctionFacts, InvokeRequest

__all__ = ["Running", "Surroundings"]

_log = logging.getLogger(__name__)

_EXIT_GRACE = 0.5  # seconds a cut response waits for the news that its runtime has exited
_QUIET = 0.25  # seconds without a byte after which a runtime that has exited will send no more
_NOT_OF_THE_REPLY = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "trailer",
        "te",
        "expect",
        "accept",
        "user-agent",
        answers.ASKED_AHEAD,
    )
)


@dataclass(slots=True)
class Surroundings:
    """What an invocation needs of its Runtime API. `settle` calls back once all that arrived was read."""

    facts: FunctionFacts
    log: RequestLog
    settle: Callable[[Callable[[], None]], None]
    peak_memory: Callable[[], int | None]
    reset_memory: Callable[[], None]
    drain_output: Callable[[], None]
    output_settled: Callable[[Callable[[], None]], None] | None  # calls back once output that is on its way has come
    clock: LazyTimer  # of the invocation's deadline
    over: Callable[[Running, str], None]  # with the reason why the runtime takes no more events, if so
    init_ms: float | None = None  # of an init whose REPORT line has not been written yet
    exit: tuple[str, str] | None = None  # description and error type


class Running:
    """An invocation in the runtime's hands. Every way it can end goes through `_finish`, once.

    `answered` is called once, with the reply as soon as its head is there, or with why there is none.
    """

    def __init__(
        self, request: InvokeRequest, around: Surroundings, answered: Callable[[InvokeReply | RuntimeGoneError], None]
    ) -> None:
        self.request = request
        self.timeout = around.facts.timeout if request.timeout is None else request.timeout
        self._answered: Callable[[InvokeReply | RuntimeGoneError], None] | None = answered
        self.exchange: Exchange | None = None  # by which the runtime answers
        self.over = False
        self._around = around
        self._handed_at: float | None = None
        self._answered_at: float | None = None  # when the whole answer was there, and only output was waited for
        self._reply: InvokeReply | None = None
        self._outcome: InvokeOutcome | None = None
        self._whole = False  # it went well and its response is there; the outcome is made when somebody asks
        self._cut: Failure | None = None  # the response broke off, and this is why unless the runtime exited
        self._watch: asyncio.TimerHandle | None = None

    @property
    def handed(self) -> bool:
        """Whether the runtime has been given the event."""
        return self._handed_at is not None

    def await_runtime(self) -> None:
        """Count the deadline from now: a runtime that never asks for the event is late too."""
        self._around.clock.set(self.timeout, self._deadline)

    def hand_over(self, exchange: Exchange) -> None:
        """Give the event to the `next` that waits in `exchange`; the deadline counts from now."""
        request = self.request
        self._begin_log()
        _quietly(self._around.reset_memory)
        self._handed_at = time.monotonic()
        self.await_runtime()
        lines = (
            "content-type: application/json\r\n"
            f"lambda-runtime-aws-request-id: {_one_line(request.request_id)}\r\n"
            f"lambda-runtime-deadline-ms: {int((time.time() + self.timeout) * 1000)}\r\n"
            f"lambda-runtime-invoked-function-arn: {_one_line(request.arn or self._around.facts.arn)}\r\n"
            f"lambda-runtime-trace-id: {_one_line(request.trace_id) if request.trace_id else _new_trace_id()}\r\n"
        )
        if request.client_context is not None:
            lines += f"lambda-runtime-client-context: {_one_line(request.client_context)}\r\n"
        if request.cognito_identity is not None:
            lines += f"lambda-runtime-cognito-identity: {_one_line(request.cognito_identity)}\r\n"
        exchange.respond_ours(lines, request.payload)

    # what the runtime answers

    def respond(self, exchange: Exchange) -> None:
        """The runtime has begun to POST its response."""
        mode = (exchange.header("lambda-runtime-function-response-mode") or "buffered").strip().lower()
        if mode not in {"streaming", "buffered"}:
            answers.refuse(exchange, 400, "InvalidFunctionResponseMode", "Invalid function response mode")
            return
        self.exchange = exchange
        headers = [pair for pair in exchange.headers if pair[0] not in _NOT_OF_THE_REPLY]
        body = exchange.body
        if mode == "buffered":
            body.collect(MAX_RESPONSE, lambda: self._collected(exchange, headers))
            return
        self._reply = InvokeReply(headers, body=body, abandon=self.abandon)
        body.limit = MAX_STREAMED_RESPONSE
        body.on_end = lambda: self._streamed(exchange)
        self._tell(self._reply)
        if body.ended:
            self._streamed(exchange)

    def fail(self, exchange: Exchange) -> None:
        """The runtime has begun to POST an error."""
        self.exchange = exchange
        exchange.body.collect(MAX_RESPONSE, lambda: self._errored(exchange))

    def _streamed(self, exchange: Exchange) -> None:
        error = exchange.body.error
        if error is None:
            self._complete(exchange, failures.from_trailers(exchange.body.trailers))
        elif isinstance(error, BodyTooLargeError):
            self._finish(failures.streamed_too_large())
            answers.too_large(exchange, MAX_STREAMED_RESPONSE)
        else:
            self._broken(exchange)

    def _collected(self, exchange: Exchange, headers: Sequence[tuple[str, str]]) -> None:
        if exchange.body.error is None:
            self._complete(exchange, None, exchange.body.taken(), headers)
        else:
            self._not_collected(exchange)

    def _errored(self, exchange: Exchange) -> None:
        if exchange.body.error is None:
            error_type = exchange.header("lambda-runtime-function-error-type")
            self._complete(exchange, failures.posted(exchange.body.taken(), error_type))
        else:
            self._not_collected(exchange)

    def _complete(
        self,
        exchange: Exchange,
        failure: Failure | None,
        payload: bytes = b"",
        headers: Sequence[tuple[str, str]] = (answers.JSON,),
    ) -> None:
        """The runtime has answered; what it wrote before that belongs to this invocation, and may come later."""

        def finish() -> None:
            if failure is None and self._reply is None:
                self._finish_whole(payload, headers)
            else:
                self._finish(failure, reusable=True, payload=payload, headers=headers)
            if self._outcome is not None:
                self._let_go_on(exchange)
            else:
                # whoever waits for the reply goes first, in the loop's next turn: the runtime is done
                asyncio.get_running_loop().call_soon(self._let_go_on, exchange)

        if self._around.output_settled is None:
            finish()
            return
        if not self.over:
            self._cancel_timers()
        self._answered_at = time.monotonic()
        self._around.output_settled(finish)

    def _let_go_on(self, exchange: Exchange) -> None:
        self.conclude()
        answers.accept(exchange)

    def _not_collected(self, exchange: Exchange) -> None:
        if isinstance(exchange.body.error, BodyTooLargeError):
            # awslambdaric exits when it is told so: another event must not be given to it
            self._finish(failures.response_too_large())
            answers.too_large(exchange, MAX_RESPONSE)
        else:
            self._broken(exchange)

    def _broken(self, exchange: Exchange) -> None:
        """The response broke off. If that was the runtime's exit, the news of it will come in a moment."""
        error = exchange.body.error
        if not isinstance(error, TruncatedBodyError):
            self._finish(self._invalid(f"the runtime's response cannot be read: {error}"))
            answers.refuse(exchange, 400, "InvalidResponse", str(error))
            return
        self._cut = failures.truncated(self.request.request_id)
        answers.truncated(exchange)
        if self._around.exit is not None:
            self.exited()
            return
        if self._watch is not None:
            self._watch.cancel()
        self._watch = asyncio.get_running_loop().call_later(_EXIT_GRACE, self._time_out)

    # what else can end it

    def asked_too_early(self) -> None:
        """The runtime asked for its next event and has not begun to answer this one."""
        self._finish(self._invalid("the runtime asked for its next event before it answered this one"))

    def abandon(self) -> None:
        """Nobody waits for the reply any more."""
        if self.handed:
            self._finish(None)
        else:
            self._leave()

    def runtime_exited(self) -> None:
        """The runtime has exited, as `around.exit` says; what it had written may still be on its way."""
        if self._answered_at is not None:
            return
        if not self.handed:
            self.take_back("the runtime had exited before it was given the event")
        elif self._cut is not None:
            self.exited()
        else:
            self._around.settle(lambda: self._after_exit(-1))

    def _after_exit(self, seen: int) -> None:
        """End the invocation once nothing more can come of its response."""
        if self.over:
            return
        body = self.exchange.body if self.exchange is not None else None
        if body is None or (not body.paused and body.received == seen):
            self.exited()
            return
        self._watch = asyncio.get_running_loop().call_later(_QUIET, self._after_exit, body.received)

    def exited(self) -> None:
        """End as an exit does."""
        description, error_type = self._around.exit or ("", "Runtime.ExitError")
        self._finish(failures.exited(self.request.request_id, description, error_type))

    def take_back(self, reason: str) -> None:
        """End an invocation whose event was not handed over, without having used the runtime."""
        self._leave()
        self._tell(RuntimeGoneError(reason))

    def _leave(self) -> None:
        if not self.over:
            self.over = True
            self._cancel_timers()
            self._around.over(self, "")

    def _deadline(self) -> None:
        self._around.settle(self._time_out)

    def _time_out(self) -> None:
        if self.over:
            return
        if self._cut is not None:
            self._finish(self._cut)
            return
        if not self.handed:
            self._begin_log()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._finish(failures.timed_out(self.request.request_id, self.timeout, stamp), longest=self.timeout)

    # the end

    def _finish_whole(self, payload: bytes, headers: Sequence[tuple[str, str]]) -> None:
        """It went well, and whoever waits shall have the response before it is measured and logged how it went."""
        if self.over:
            return
        self.over = self._whole = True
        self._cancel_timers()
        if self._answered_at is None:
            self._answered_at = time.monotonic()
        self._around.over(self, "")
        self._tell(InvokeReply(headers, payload=payload, conclude=self._concluded))

    def conclude(self) -> None:
        """Measure and log what was left for later, if anything was: before the runtime does anything else."""
        if self._whole:
            self._concluded()

    def _concluded(self) -> InvokeOutcome:
        if self._outcome is None:
            self._outcome = self._measured(None, reusable=True)
        return self._outcome

    def _finish(
        self,
        failure: Failure | None,
        *,
        reusable: bool = False,
        payload: bytes = b"",
        headers: Sequence[tuple[str, str]] = (answers.JSON,),
        longest: float | None = None,
    ) -> None:
        if self.over:
            return
        self.over = True
        self._cancel_timers()
        outcome = self._measured(failure, reusable, longest)
        spent = ""
        if not outcome.reusable:
            spent = failure.message if failure is not None else f"{self.request.request_id} was abandoned"
        self._around.over(self, spent)
        if self._reply is not None:
            self._reply.decide(outcome)
        else:
            body = failure.payload if failure is not None else payload
            self._tell(InvokeReply(headers, payload=body, outcome=outcome))
        exchange = self.exchange
        if exchange is not None and not exchange.body.ended:
            exchange.body.on_end = None
            exchange.body.stop(TruncatedBodyError("the invocation is over"))
            exchange.abort()

    def _tell(self, found: InvokeReply | RuntimeGoneError) -> None:
        answered, self._answered = self._answered, None
        if answered is None:
            return
        try:
            answered(found)
        except Exception:
            _log.exception("who waited for %s failed", self.request.request_id)

    def _measured(self, failure: Failure | None, reusable: bool, longest: float | None = None) -> InvokeOutcome:
        around = self._around
        now = time.monotonic()
        if self._answered_at is not None:
            now = self._answered_at
        seconds = now - (self._handed_at if self._handed_at is not None else now)
        duration = min(seconds, longest if longest is not None else seconds) * 1000
        _quietly(around.drain_output)
        peak = _quietly(around.peak_memory)
        init, around.init_ms = around.init_ms, None
        request_id = self.request.request_id
        report = report_line(
            request_id,
            duration_ms=duration,
            memory_size=around.facts.memory_size,
            peak=peak,
            init_ms=init,
            status=failure.status if failure is not None else "",
        )
        said = failure.lines if failure is not None else ()
        return InvokeOutcome(
            function_error="Unhandled" if failure is not None else None,
            error_type=failure.error_type if failure is not None else None,
            error_message=failure.message if failure is not None else None,
            error_payload=failure.payload if failure is not None else None,
            duration_ms=duration,
            init_ms=init,
            max_memory_mb=megabytes(peak) if peak is not None else None,
            log_tail=around.log.end([*said, f"END RequestId: {request_id}", report]),
            reusable=reusable and around.exit is None,
        )

    def _invalid(self, reason: str) -> Failure:
        return failures.bad_response(self.request.request_id, reason)

    def _begin_log(self) -> None:
        self._around.log.begin(f"START RequestId: {self.request.request_id} Version: {self._around.facts.version}")

    def _cancel_timers(self) -> None:
        self._around.clock.stop()
        if self._watch is not None:
            self._watch.cancel()


def _quietly(callback: Callable[[], int | None] | Callable[[], None]) -> int | None:
    """A callback of the instance's must not cost the invocation its end."""
    try:
        return callback()
    except Exception:
        _log.exception("a callback of the Runtime API failed")
        return None


def _one_line(text: str) -> str:
    """A value as a header can carry it."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return "".join(character if character >= " " and character != "\x7f" else " " for character in text).strip()


def _new_trace_id() -> str:
    drawn = f"{random.getrandbits(160):040x}"
    return f"Root=1-{int(time.time()):08x}-{drawn[:24]};Parent={drawn[24:]};Sampled=0"
