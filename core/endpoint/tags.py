"""Tags of functions.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError
from core.endpoint.function_shapes import TagResource
from core.endpoint.routes import Route
from core.names import parse_function

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.functions import LambdaFunction
    from core.registry import Details

__all__ = ["ROUTES"]

_TAGS = "/2017-03-31/tags/{Resource}"


async def tag_resource(call: Call) -> None:
    """TagResource: adds these tags to those there are."""
    name = _function_of(call)
    wanted = await call.json(TagResource)

    def change(function: LambdaFunction, _: Details) -> tuple[LambdaFunction, None]:
        return function.replace(tags={**function.tags, **wanted.tags}), None

    await call.runtime.change_function(name, change)
    call.send(204)


async def untag_resource(call: Call) -> None:
    """UntagResource: takes away the tags that have these keys."""
    name = _function_of(call)
    keys = frozenset(call.queries("tagKeys"))
    if not keys:
        raise ApiError(400, "ValidationException", "tagKeys must name at least one key")

    def change(function: LambdaFunction, _: Details) -> tuple[LambdaFunction, None]:
        return function.replace(tags={key: value for key, value in function.tags.items() if key not in keys}), None

    await call.runtime.change_function(name, change)
    call.send(204)


async def list_tags(call: Call) -> None:
    """ListTags."""
    call.reply({"Tags": dict(call.runtime.function(_function_of(call)).tags)})


ROUTES: Sequence[Route] = (
    Route("POST", _TAGS, "TagResource", tag_resource),
    Route("DELETE", _TAGS, "UntagResource", untag_resource),
    Route("GET", _TAGS, "ListTags", list_tags),
)


def _function_of(call: Call) -> str:
    """The name of the function whose ARN the path is. Raises ApiError, FunctionNotFoundError."""
    arn = call.parameters["Resource"]
    if not arn.startswith("arn:") or ":function:" not in arn:
        raise ApiError.invalid("only functions have tags here: give a function's ARN")
    target = parse_function(arn)
    if target.qualifier is not None:
        raise ApiError.invalid(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    call.function_name = target.name
    call.runtime.deploy(target.name)
    return target.name
