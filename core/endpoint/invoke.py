"""Invoke: synchronous, queued and dry, and the deprecated InvokeAsync.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.emulator.failures import response_too_large
from core.emulator.http_body import BodyTooLargeError
from core.emulator.limits import MAX_REQUEST, MAX_RESPONSE
from core.endpoint.errors import ApiError
from core.endpoint.json_event import check_client_context, check_event
from core.endpoint.routes import Route
from core.event_queue import MAX_EVENT
from core.names import Target, function_arn

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.functions import LambdaFunction
    from core.invocation import InvocationResult, StreamingInvocation

__all__ = ["ROUTES", "Asked", "answer", "answer_whole", "event_of", "read_event"]

_MAX_ARGS = 256 * 1024  # https://docs.aws.amazon.com/lambda/latest/api/API_InvokeAsync.html
_MAX_TRACE = 512
_NOTHING = b"{}"  # what a function is given where nothing was sent


class Asked:
    """What a request says about the invocation it wants: whom, how, and with what beside the event.

    Raises InvalidRequestError, FunctionNotFoundError and ApiError for what cannot be meant.
    """

    __slots__ = ("client_context", "function", "invoked_arn", "kind", "tail", "target", "trace_id")

    def __init__(self, call: Call, kinds: Sequence[str]) -> None:
        self.target: Target = call.target()
        header = call.exchange.header
        self.kind = header("x-amz-invocation-type") or "RequestResponse"
        if self.kind not in kinds:
            raise _not_one_of("invocationType", self.kind, kinds)
        log_type = header("x-amz-log-type")
        if log_type not in (None, "None", "Tail"):
            raise _not_one_of("logType", log_type, ("None", "Tail"))
        self.tail = log_type == "Tail"
        self.client_context = header("x-amz-client-context")
        if self.client_context is not None:
            check_client_context(self.client_context)
        self.trace_id = _trace_id(call)
        qualifier = self.target.qualifier
        self.invoked_arn = None if qualifier is None else function_arn(self.target.name, qualifier)
        # an alias with weights draws its version here, once
        self.function: LambdaFunction = call.runtime.function(call.runtime.registry.resolve(self.target))

    async def begin(self, call: Call, payload: bytes) -> StreamingInvocation:
        """Invoke; see `LambdaRuntime.invoke_streaming`. The invocation's id is the call's."""
        return await call.runtime.invoke_streaming(
            self.function.function_name,
            payload,
            request_id=call.id,
            client_context=self.client_context,
            source="api",
            invoked_arn=self.invoked_arn,
            trace_id=self.trace_id,
        )


def _trace_id(call: Call) -> str | None:
    """The trace header that came with the request, if it is one.

    Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    value = call.exchange.header("x-amzn-trace-id")
    return value if value is not None and "Root=" in value and len(value) <= _MAX_TRACE else None


async def read_event(call: Call, limit: int, operation: str) -> bytes:
    """The event in the request's body; Lambda hands `{}` on where there is none. Raises ApiError, BodyError."""
    try:
        payload = await call.body(limit)
    except BodyTooLargeError:
        raise ApiError(413, "RequestTooLargeException", _too_large(limit, operation)) from None
    return event_of(payload)


def event_of(payload: bytes) -> bytes:
    """A request's body as the function is given it. Raises ApiError."""
    if not payload:
        return _NOTHING
    check_event(payload)
    return payload


def _too_large(limit: int, operation: str) -> str:
    if limit == MAX_REQUEST:
        return f"Request must be smaller than {limit} bytes for the {operation} operation"
    return f"The payload is too large for the Event invocation type (limit {limit} bytes)"


def _not_one_of(name: str, value: str | None, values: Sequence[str]) -> ApiError:
    return ApiError(
        400,
        "ValidationException",
        f"1 validation error detected: Value '{(value or '')[:80]}' at '{name}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{', '.join(values)}]",
    )


async def _invoke(call: Call) -> None:
    asked = Asked(call, ("RequestResponse", "Event", "DryRun"))
    if asked.kind == "Event":
        await _queue(call, asked.target, await read_event(call, MAX_EVENT, "InvokeFunction"))
        call.send(202)
        return
    payload = await read_event(call, MAX_REQUEST, "InvokeFunction")
    if asked.kind == "DryRun":
        call.send(204)
        return
    await answer(call, asked, await asked.begin(call, payload))


def answer_whole(call: Call, asked: Asked, invocation: StreamingInvocation) -> bool:
    """Answer at once where that can be; False where it cannot."""
    whole = None if asked.tail else invocation.whole
    if whole is None:
        return False
    # how it went is nothing that this client has to wait for
    # the values have been in headers before, or are names that were checked
    lines = f"content-type: {invocation.content_type}\r\nX-Amz-Executed-Version: {asked.function.version}\r\n"
    if asked.trace_id is not None:
        lines += f"X-Amzn-Trace-Id: {asked.trace_id}\r\n"
    call.send_ours(lines, whole)
    invocation.take_whole()
    return True


async def answer(call: Call, asked: Asked, invocation: StreamingInvocation) -> None:
    """Answer with what an invocation gives, once it is all there."""
    if answer_whole(call, asked, invocation):
        return
    result, body = await _gathered(invocation)
    headers = _headers(asked, result.content_type)
    if result.function_error is not None:
        headers.append(("X-Amz-Function-Error", result.function_error))
    if asked.tail:
        headers.append(("X-Amz-Log-Result", base64.b64encode(result.log_tail.encode()).decode()))
    call.send(200, body, headers)


def _headers(asked: Asked, content_type: str) -> list[tuple[str, str]]:
    headers = [("content-type", content_type), ("X-Amz-Executed-Version", asked.function.version)]
    if asked.trace_id is not None:
        headers.append(("X-Amzn-Trace-Id", asked.trace_id))
    return headers


async def _gathered(invocation: StreamingInvocation) -> tuple[InvocationResult, bytes]:
    """The result and the whole response. One that is too large is read to its end, and an error in its place."""
    pieces: list[bytes] = []
    size = 0
    async with invocation:
        while (chunk := await invocation.next_chunk()) is not None:
            size += len(chunk)
            if size <= MAX_RESPONSE:
                pieces.append(chunk)
            else:
                pieces.clear()
    result = invocation.result
    assert result is not None, "a stream that ended has a result"
    if result.function_error is not None and result.error_payload is not None:
        # of a stream that failed on its way the error is told, as the API has it, and not what came before
        return replace(result, content_type="application/json"), result.error_payload
    if size > MAX_RESPONSE:
        return replace(
            result, function_error="Unhandled", content_type="application/json"
        ), response_too_large().payload
    return result, pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _invoke_async(call: Call) -> None:
    target = call.target()
    call.runtime.function(call.runtime.registry.resolve(target))
    await _queue(call, target, await read_event(call, _MAX_ARGS, "InvokeAsync"))
    call.send(202)


async def _queue(call: Call, target: Target, payload: bytes) -> None:
    # its client context is checked and goes no further: Lambda passes it for synchronous invocations only
    await call.runtime.event_queue.put(target, payload, source="api", request_id=call.id)


ROUTES: Sequence[Route] = (
    Route("POST", "/2015-03-31/functions/{FunctionName}/invocations", "Invoke", _invoke),
    Route("POST", "/2014-11-13/functions/{FunctionName}/invoke-async", "InvokeAsync", _invoke_async),
)
