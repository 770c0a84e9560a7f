"""What a client of the endpoint was refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

__all__ = ["Refusal", "refusal"]


class Refusal(NamedTuple):
    """An answer that is an error, as an SDK reads it."""

    status: int
    code: str
    message: str


async def refusal(call: Callable[..., Awaitable[Any]], ask: Callable[..., Any], *given: Any, **members: Any) -> Refusal:
    """Ask, through the fixture `call`, for what must be refused."""
    try:
        answer = await call(ask, *given, **members)
    except ClientError as error:
        # a status without a body that can be read is no answer of ours
        status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return Refusal(status, error.response["Error"]["Code"], error.response["Error"]["Message"])
    raise AssertionError(f"this was not refused: {answer}")
