"""Reserved concurrency: at most so many invocations of a function, all its versions together, at once.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html

On AWS a reservation also keeps its share of the account's limit from other functions, and what is left
unreserved must not fall below a minimum. Here it is an upper bound only and takes nothing from anybody, so
none is refused for being large: where the budget of instances is smaller, invocations wait their turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError
from core.endpoint.limit_shapes import ReservedCount
from core.endpoint.routes import Route
from core.registry import Reserved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.endpoint.call import Call

__all__ = ["ROUTES"]


async def put(call: Call) -> None:
    """PutFunctionConcurrency."""
    name = _function(call)
    count = (await call.json(ReservedCount)).reserved_concurrent_executions
    registry = call.runtime.registry
    async with call.runtime.holding(name):
        provisioned = sum(each.count for each in registry.provisioned.of(name))
        if count < provisioned:
            raise ApiError.invalid(
                f"ReservedConcurrentExecutions {count} should not be lower than function's total provisioned "
                f"concurrency [{provisioned}]."
            )
        await registry.reserved.put(Reserved(name=name, count=count))
        call.runtime.limits_changed(name)
    call.reply({"ReservedConcurrentExecutions": count})


async def get(call: Call) -> None:
    """GetFunctionConcurrency: an empty document where nothing is reserved."""
    name = _function(call)
    call.runtime.function(name)
    reserved = call.runtime.registry.reserved.get(name)
    call.reply({} if reserved is None else {"ReservedConcurrentExecutions": reserved.count})


async def delete(call: Call) -> None:
    """DeleteFunctionConcurrency. Nothing reserved is fine."""
    name = _function(call)
    async with call.runtime.holding(name):
        await call.runtime.registry.reserved.remove(name)
        call.runtime.limits_changed(name)
    call.send(204)


def _function(call: Call) -> str:
    target = call.target()
    if target.qualifier is not None:
        raise ApiError.invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
            "operation. Please specify either a function name or an unqualified function ARN."
        )
    return target.name


_PUT = "/2017-10-31/functions/{FunctionName}/concurrency"

ROUTES: Sequence[Route] = (
    Route("PUT", _PUT, "PutFunctionConcurrency", put),
    Route("GET", "/2019-09-30/functions/{FunctionName}/concurrency", "GetFunctionConcurrency", get),
    Route("DELETE", _PUT, "DeleteFunctionConcurrency", delete),
)
