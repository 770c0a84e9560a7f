"""InvokeWithResponseStream: each chunk in a frame of its own, as the function writes it.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.emulator.limits import MAX_REQUEST
from core.endpoint import event_stream
from core.endpoint.errors import as_api_error
from core.endpoint.invoke import Asked, read_event
from core.endpoint.routes import Route
from core.errors import InvocationFailedError

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.invocation import InvocationResult, StreamingInvocation

__all__ = ["ROUTES", "STALLED"]

_log = logging.getLogger(__name__)

STALLED = 60.0
"""Seconds after which a client that takes nothing of its stream is cut off."""

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
            await _failed(call, error)
            return
    await call.exchange.write(_last(result, asked.tail))
    call.exchange.end()


async def _pass_on(call: Call, invocation: StreamingInvocation) -> InvocationResult:
    """Write every chunk in frames. A client that has gone does not stop the function, as on Lambda."""
    exchange = call.exchange
    if not invocation.streaming:
        return await _whole(call, invocation)
    try:
        while not exchange.gone and (chunk := await invocation.next_chunk()) is not None:
            await _write(call, chunk)
    except TimeoutError:
        _log.warning("a client of %s that took nothing for %d s was cut off", invocation.function_name, STALLED)
        exchange.abort()
    return await invocation.discard()


async def _whole(call: Call, invocation: StreamingInvocation) -> InvocationResult:
    """A response that is complete already; of a failed one only the error is told, at the end."""
    pieces = []
    while (chunk := await invocation.next_chunk()) is not None:
        pieces.append(chunk)
    result = await invocation.discard()
    if result.function_error is None:
        for piece in pieces:
            await _write(call, piece)
    return result


async def _write(call: Call, data: bytes) -> None:
    """Write a piece of the response, and wait while the client takes nothing. Raises TimeoutError."""
    write = call.exchange.write
    async with asyncio.timeout(STALLED):
        if len(data) <= _PIECE:
            await write(event_stream.chunk(data))
            return
        for at in range(0, len(data), _PIECE):
            await write(event_stream.chunk(data[at : at + _PIECE]))


def _last(result: InvocationResult, tail: bool) -> bytes:
    details = result.error_payload.decode("utf-8", "replace") if result.error_payload is not None else None
    log = base64.b64encode(result.log_tail.encode()).decode() if tail else None
    return event_stream.complete(result.function_error, details, log)


async def _failed(call: Call, error: InvocationFailedError) -> None:
    """Stoker's own failure in the middle of a stream: told in a frame, since the status is out."""
    known = as_api_error(error)
    assert known is not None, "it is one of Stoker's own"
    call.error = known.code
    await call.exchange.write(event_stream.failure(known.code, known.message))
    call.exchange.end()


ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/2021-11-15/functions/{FunctionName}/response-streaming-invocations",
        "InvokeWithResponseStream",
        _invoke_streaming,
    ),
)
