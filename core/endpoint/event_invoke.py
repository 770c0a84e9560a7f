"""How queued events of a function are delivered: how often, for how long, and who is told.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError
from core.endpoint.limit_shapes import Destinations, EventInvokeSettings, listed
from core.endpoint.routes import Route
from core.errors import FunctionNotFoundError, InvalidRequestError
from core.names import LATEST, Target, function_arn, key_of, parse_function
from core.registry import EventInvoke

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.endpoint.call import Call

__all__ = ["ROUTES"]

_KINDS = {"sqs": "an SQS queue", "sns": "an SNS topic", "events": "an EventBridge event bus", "s3": "an S3 bucket"}


async def put(call: Call) -> None:
    """PutFunctionEventInvokeConfig: in place of what there was."""
    await _keep(call, EventInvoke(name="", qualifier=""))


async def update(call: Call) -> None:
    """UpdateFunctionEventInvokeConfig: members that are not given stay as they are."""
    await _keep(call, None)


async def get(call: Call) -> None:
    """GetFunctionEventInvokeConfig."""
    call.reply(_shown(_found(call, _target(call))))


async def list_all(call: Call) -> None:
    """ListFunctionEventInvokeConfigs."""
    name = call.target().name
    if not _exists(call, Target(name)):
        raise _no_function()
    found = call.runtime.registry.event_invokes.of(name)
    listed(call, "FunctionEventInvokeConfigs", found, lambda each: each.qualifier, _shown)


async def delete(call: Call) -> None:
    """DeleteFunctionEventInvokeConfig."""
    target = _target(call)
    _found(call, target)
    await call.runtime.registry.event_invokes.remove(target.name, target.qualifier or LATEST)
    call.send(204)


async def _keep(call: Call, before: EventInvoke | None) -> None:
    target = _target(call)
    given = await call.json(EventInvokeSettings)
    if all(getattr(given, name) is None for name in type(given).model_fields):
        raise ApiError.invalid("You must specify at least one of error handling or destination setting.")
    try:
        async with call.runtime.holding(target.name):
            if not _exists(call, target):
                raise _no_function()
            entry = _found(call, target) if before is None else before
            entry = replace(entry, name=target.name, qualifier=target.qualifier or LATEST)
            if given.maximum_retry_attempts is not None:
                entry = replace(entry, retries=given.maximum_retry_attempts)
            if given.maximum_event_age_in_seconds is not None:
                entry = replace(entry, max_age=given.maximum_event_age_in_seconds)
            if given.destination_config is not None:
                success, failure = _destinations(call, target.name, given.destination_config)
                entry = replace(entry, on_success=success, on_failure=failure)
            kept = await call.runtime.registry.event_invokes.put(entry)
    except FunctionNotFoundError:
        raise _no_function() from None
    call.reply(_shown(kept))


def _target(call: Call) -> Target:
    target = call.target()
    return Target(target.name, LATEST) if target.qualifier is None else target


def _exists(call: Call, target: Target) -> bool:
    qualifier = target.qualifier or LATEST
    if qualifier == LATEST or qualifier.isdecimal():
        try:
            call.runtime.function(key_of(target.name, qualifier))
        except FunctionNotFoundError:
            return False
        return True
    return call.runtime.registry.aliases.get(target.name, qualifier) is not None


def _found(call: Call, target: Target) -> EventInvoke:
    entry = call.runtime.registry.event_invokes.get(target.name, target.qualifier or LATEST)
    if entry is None:
        arn = function_arn(target.name, target.qualifier)
        raise ApiError.not_found(f"The function {arn} doesn't have an EventInvokeConfig")
    return entry


def _destinations(call: Call, name: str, given: Destinations) -> tuple[str | None, str | None]:
    """The ARNs of the functions that are told of success and of failure. Raises ApiError."""
    found: list[str | None] = []
    for member, each in (("OnSuccess", given.on_success), ("OnFailure", given.on_failure)):
        arn = each.destination if each is not None else None
        if arn:
            _check_destination(call, name, member, arn)
        found.append(arn or None)
    return found[0], found[1]


def _check_destination(call: Call, name: str, member: str, arn: str) -> None:
    pieces = arn.split(":")
    if len(pieces) < 6 or pieces[0] != "arn" or not pieces[1].startswith("aws"):
        raise ApiError(400, "ValidationException", f"DestinationConfig.{member}.Destination must be an ARN")
    if pieces[2] != "lambda":
        kind = _KINDS.get(pieces[2], f"of the service {pieces[2][:40]!r}")
        raise ApiError.invalid(
            f"The destination ARN {arn} is invalid: it is {kind}, and here only functions can be destinations. "
            "Give the ARN of another function."
        )
    try:
        target = parse_function(arn)
    except InvalidRequestError:
        raise ApiError.invalid(f"The destination ARN {arn} is invalid.") from None
    if target.name == name:
        raise ApiError.invalid("You can't specify the function as a destination for itself.")
    if not _exists(call, target):
        raise ApiError.invalid(f"The destination ARN {arn} is invalid: there is no such function.")


def _no_function() -> ApiError:
    return ApiError.not_found("The function doesn't exist.")


def _shown(entry: EventInvoke) -> dict[str, object]:
    document: dict[str, object] = {
        "LastModified": round(entry.modified, 3),
        "FunctionArn": function_arn(entry.name, entry.qualifier),
        "DestinationConfig": {
            "OnSuccess": {"Destination": entry.on_success} if entry.on_success else {},
            "OnFailure": {"Destination": entry.on_failure} if entry.on_failure else {},
        },
    }
    if entry.retries is not None:
        document["MaximumRetryAttempts"] = entry.retries
    if entry.max_age is not None:
        document["MaximumEventAgeInSeconds"] = entry.max_age
    return document


_CONFIG = "/2019-09-25/functions/{FunctionName}/event-invoke-config"

ROUTES: Sequence[Route] = (
    Route("PUT", _CONFIG, "PutFunctionEventInvokeConfig", put),
    Route("POST", _CONFIG, "UpdateFunctionEventInvokeConfig", update),
    Route("GET", _CONFIG, "GetFunctionEventInvokeConfig", get),
    Route("GET", f"{_CONFIG}/list", "ListFunctionEventInvokeConfigs", list_all),
    Route("DELETE", _CONFIG, "DeleteFunctionEventInvokeConfig", delete),
)
