"""One attempt: invoking the function with an event, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import FunctionNotFoundError, LambdaRuntimeError, RuntimeClosedError, TooManyRequestsError
from core.event_queue.record import Response
from core.names import function_arn, split_key

if TYPE_CHECKING:
    from core.event_queue.entries import Entry
    from core.event_queue.serving import Serving

__all__ = ["Attempt", "attempt"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it. `problem` says in a few words what went wrong, or is None.

    `reached` is whether the function got the event. `cancelled` is set where somebody ended it.
    """

    response: Response
    reached: bool
    problem: str | None = None
    cancelled: bool = False


async def attempt(runtime: Serving, entry: Entry, payload: bytes, keep: int) -> Attempt:
    """Invoke the function and wait for its end; up to `keep` bytes of the response are returned.

    One byte more is kept of a larger response, so that it can be told from one that just fits.
    Raises FunctionNotFoundError and RuntimeClosedError.
    """
    target = entry.target
    key = runtime.registry.resolve(target)
    version = split_key(key)[1]
    try:
        invocation = await runtime.invoke_streaming(
            key,
            payload,
            request_id=entry.request_id,
            source=entry.source,
            invoked_arn=None if target.qualifier is None else function_arn(target.name, target.qualifier),
        )
        body = bytearray()
        async with invocation:
            while (chunk := await invocation.next_chunk()) is not None:
                body += chunk[: keep + 1 - len(body)]
        result = invocation.result
    except (FunctionNotFoundError, RuntimeClosedError):
        raise
    except TooManyRequestsError as error:
        return Attempt(Response(429, version, "TooManyRequestsException"), reached=False, problem=str(error))
    except LambdaRuntimeError as error:
        return Attempt(Response(500, version, "ServiceException"), reached=False, problem=str(error))
    assert result is not None, "a stream that ended has a result"
    failed = "Unhandled" if result.cancelled else result.function_error
    if result.error_payload is not None and failed:
        body[:] = result.error_payload
    return Attempt(
        Response(result.status_code, result.executed_version, failed, bytes(body)),
        reached=True,
        problem="it was cancelled" if result.cancelled else result.error_message or result.error_type or failed,
        cancelled=result.cancelled,
    )
