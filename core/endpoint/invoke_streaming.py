"""InvokeWithResponseStream: each chunk in a frame of its own, as the function writes it.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.emulator.limits import MAX_REQUEST
from core.endpoint import event_stream
from core.endpoint.errors import as_api_error
from core.endpoint.invoke import Asked, read_event
from core.endpoint.routes import Route
from core.endpoint.stalled_readers import write_or_cut
from core.errors import InvocationFailedError

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.invocation import InvocationResult, StreamingInvocation

__all__ = ["ROUTES"]

_PIECE = 256 * 1024  # bytes of a response in one frame: what is written at a time is held in memory


async def _invoke_streaming(call: Call) -> None:
    asked = Asked(call, ("RequestResponse", "DryRun"))
    payload = await read_event(call, MAX_REQUEST, "InvokeWithResponseStream")
    if asked.kind == "DryRun":
        call.send(204)
        return
    invocation = await asked.begin(call, payload)
    async with invocation:
        headers = [
            ("content-type", event_stream.CONTENT_TYPE),
            ("X-Amzn-Remapped-Content-Type", invocation.content_type),
            ("X-Amz-Executed-Version", asked.function.version),
        ]
        if asked.trace_id is not None:
            headers.append(("X-Amzn-Trace-Id", asked.trace_id))
        call.start(200, headers)
        try:
            result = await _pass_on(call, invocation)
        except InvocationFailedError as error:
            await _failed(call, invocation, error)
            return
    await write_or_cut(call.exchange, _last(result, asked.tail), invocation.function_name)
    call.exchange.end()


async def _pass_on(call: Call, invocation: StreamingInvocation) -> InvocationResult:
    """Write every chunk in frames. A client that has gone does not stop the function, as on Lambda."""
    exchange = call.exchange
    if not invocation.streaming:
        return await _whole(call, invocation)
    while not exchange.gone and (chunk := await invocation.next_chunk()) is not None:
        await _write(call, invocation, chunk)
    return await invocation.discard()


async def _whole(call: Call, invocation: StreamingInvocation) -> InvocationResult:
    """A response that is complete already; of a failed one only the error is told, at the end."""
    pieces = []
    while (chunk := await invocation.next_chunk()) is not None:
        pieces.append(chunk)
    result = await invocation.discard()
    if result.function_error is None:
        for piece in pieces:
            await _write(call, invocation, piece)
    return result


async def _write(call: Call, invocation: StreamingInvocation, data: bytes) -> None:
    """Write a chunk of the response, no faster than the client takes it."""
    for at in range(0, len(data) or 1, _PIECE):
        piece = data if len(data) <= _PIECE else data[at : at + _PIECE]
        await write_or_cut(call.exchange, event_stream.chunk(piece), invocation.function_name)


def _last(result: InvocationResult, tail: bool) -> bytes:
    details = result.error_payload.decode("utf-8", "replace") if result.error_payload is not None else None
    log = base64.b64encode(result.log_tail.encode()).decode() if tail else None
    return event_stream.complete(result.function_error, details, log)


async def _failed(call: Call, invocation: StreamingInvocation, error: InvocationFailedError) -> None:
    """Stoker's own failure in the middle of a stream: told in a frame, since the status is out."""
    known = as_api_error(error)
    assert known is not None, "it is one of Stoker's own"
    call.error = known.code
    await write_or_cut(call.exchange, event_stream.failure(known.code, known.message), invocation.function_name)
    call.exchange.end()


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/2021-11-15/functions/{FunctionName}/response-streaming-invocations",
        "InvokeWithResponseStream",
        _invoke_streaming,
    ),
)
