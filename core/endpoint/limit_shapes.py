"""What the operations about limits, deliveries and URLs share: requests, times, and answers in pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field

from core.endpoint.paging import page
from core.endpoint.shape import Shape

if TYPE_CHECKING:
    from core.endpoint.call import Call

__all__ = [
    "CorsSettings",
    "CreateUrl",
    "Destinations",
    "EventInvokeSettings",
    "ProvisionedCount",
    "ReservedCount",
    "UpdateUrl",
    "listed",
    "millis",
    "seconds",
]

_MOST = 2**31 - 1
"""The API's integers have 32 bits."""

T = TypeVar("T")

# a line break in one of these would write headers of its own into a response
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"

Header = Annotated[str, Field(max_length=1024, pattern=_ONE_LINE)]
Method = Annotated[str, Field(max_length=6, pattern=_ONE_LINE)]
Origin = Annotated[str, Field(min_length=1, max_length=253, pattern=_ONE_LINE)]


class ReservedCount(Shape):
    """PutFunctionConcurrency."""

    reserved_concurrent_executions: int = Field(ge=0, le=_MOST)


class ProvisionedCount(Shape):
    """PutProvisionedConcurrencyConfig."""

    provisioned_concurrent_executions: int = Field(ge=1, le=_MOST)


class Destination(Shape):
    """Where the record of an event goes; nowhere where it is empty."""

    destination: str | None = Field(default=None, max_length=350)


class Destinations(Shape):
    """A function's `DestinationConfig`."""

    on_success: Destination | None = None
    on_failure: Destination | None = None


class EventInvokeSettings(Shape):
    """PutFunctionEventInvokeConfig and UpdateFunctionEventInvokeConfig."""

    maximum_retry_attempts: int | None = Field(default=None, ge=0, le=2)
    maximum_event_age_in_seconds: int | None = Field(default=None, ge=60, le=21_600)
    destination_config: Destinations | None = None


class CorsSettings(Shape):
    """A function URL's `Cors`.

    Source of the bounds: https://docs.aws.amazon.com/lambda/latest/api/API_Cors.html
    """

    allow_credentials: bool | None = None
    allow_headers: list[Header] | None = Field(default=None, max_length=100)
    allow_methods: list[Method] | None = Field(default=None, max_length=6)
    allow_origins: list[Origin] | None = Field(default=None, max_length=100)
    expose_headers: list[Header] | None = Field(default=None, max_length=100)
    max_age: int | None = Field(default=None, ge=0, le=86_400)


class CreateUrl(Shape):
    """CreateFunctionUrlConfig."""

    auth_type: Literal["NONE", "AWS_IAM"]
    invoke_mode: Literal["BUFFERED", "RESPONSE_STREAM"] = "BUFFERED"
    cors: CorsSettings | None = None


class UpdateUrl(Shape):
    """UpdateFunctionUrlConfig: what is not there stays as it is."""

    auth_type: Literal["NONE", "AWS_IAM"] | None = None
    invoke_mode: Literal["BUFFERED", "RESPONSE_STREAM"] | None = None
    cors: CorsSettings | None = None


def seconds(wall: float) -> str:
    """A time (wall clock, seconds) as in 2026-11-24T05:06:07+0000."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(wall))


def millis(wall: float, zone: str = "+0000") -> str:
    """A time (wall clock, seconds) as in 2026-11-24T05:06:07.890+0000."""
    whole, part = divmod(round(wall * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:03}{zone}"


def listed(call: Call, member: str, found: Iterable[T], key: Callable[[T], str], shown: Callable[[T], object]) -> None:
    """Answer with the page of `found` that the request asks for; `key` is as for `page`. Raises ApiError."""
    items, marker = page(call, found, key)
    document: dict[str, object] = {member: [shown(each) for each in items]}
    if marker is not None:
        document["NextMarker"] = marker
    call.reply(document)
