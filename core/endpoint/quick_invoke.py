"""The short way of the most frequent request: a synchronous Invoke for which a warm instance waits.

It goes without a task, and answers in the moment in which the runtime has. Whatever is out of the ordinary
(an error in the request, a stream, a cold start, a limit) goes the long way, which says what there is to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from core.emulator.limits import MAX_REQUEST
from core.endpoint.invoke import Asked, answer, answer_whole, event_of
from core.invocation import StreamingInvocation

if TYPE_CHECKING:
    from core.emulator.http_server import Exchange, in_tasks
    from core.endpoint.call import Call
    from core.endpoint.guard import Guard

__all__ = ["QuickInvoke"]

_END = "/invocations"
_KIND = "RequestResponse"


class QuickInvoke:
    """`call_of` finds the call of an Invoke; `opened`, `failed` and `closed` are told what becomes of it."""

    def __init__(
        self,
        *,
        call_of: Callable[[Exchange], Call],
        opened: Callable[[Call], None],
        failed: Callable[[Call, Exception], None],
        closed: Callable[[Call, float], None],
    ) -> None:
        self._call_of = call_of
        self._opened = opened
        self._failed = failed
        self._closed = closed

    def begin(self, exchange: Exchange, guard: Guard, answering: in_tasks) -> bool:
        """Whether a request goes this way; if not, nothing has been done to it."""
        body = exchange.body
        if exchange.method != "POST" or not exchange.path.endswith(_END) or not body.ended:
            return False
        if body.error is not None or body.received > MAX_REQUEST:
            return False
        call = self._call_of(exchange)
        try:
            asked = Asked(call, (_KIND,))
            if asked.tail or not call.runtime.at_once(asked.function):
                return False
            # last, as it takes out of the headers what proves who asks
            guard.check(exchange)
        except Exception:
            return False
        started = time.monotonic()
        answering.begun()
        events = call.runtime.events
        # the runtime gets the event first, then all others hear of it
        events.hold()
        self._opened(call)

        def answered(found: StreamingInvocation | Coroutine[Any, Any, StreamingInvocation]) -> None:
            self._answer(call, asked, started, found, answering)

        try:
            call.runtime.begin(
                asked.function,
                event_of(body.taken()),
                answered,
                request_id=call.id,
                client_context=asked.client_context,
                invoked_arn=asked.invoked_arn,
                trace_id=asked.trace_id,
            )
        except Exception as error:
            self._end(call, started, error)
            answering.ended()
        finally:
            events.let_go()
        return True

    def _answer(
        self,
        call: Call,
        asked: Asked,
        started: float,
        found: StreamingInvocation | Coroutine[Any, Any, StreamingInvocation],
        answering: in_tasks,
    ) -> None:
        try:
            if not isinstance(found, StreamingInvocation) or not answer_whole(call, asked, found):
                answering.run(call.exchange, self._go_on(call, asked, started, found))
                return
        except Exception as error:
            self._end(call, started, error)
        else:
            self._end(call, started)
        finally:
            answering.ended()

    async def _go_on(
        self,
        call: Call,
        asked: Asked,
        started: float,
        found: StreamingInvocation | Coroutine[Any, Any, StreamingInvocation],
    ) -> None:
        try:
            await answer(call, asked, found if isinstance(found, StreamingInvocation) else await found)
        except Exception as error:
            self._failed(call, error)
        finally:
            self._closed(call, time.monotonic() - started)

    def _end(self, call: Call, started: float, error: Exception | None = None) -> None:
        if error is not None:
            self._failed(call, error)
        self._closed(call, time.monotonic() - started)
