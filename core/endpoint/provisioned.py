"""Provisioned concurrency: so many instances of a version are kept warm, whether anybody invokes it or not.

Source: https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError
from core.endpoint.limit_shapes import ProvisionedCount, listed, seconds
from core.endpoint.routes import Route
from core.errors import FunctionNotFoundError
from core.instances import InstanceState
from core.names import LATEST, Target, function_arn, key_of
from core.registry import Provisioned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.endpoint.call import Call

__all__ = ["ROUTES"]

_UP = frozenset({InstanceState.IDLE, InstanceState.BUSY})
_LEAST_UNPROVISIONED = 0.1
"""What of the budget of instances stays for functions that provision nothing: AWS keeps 100 of 1,000."""


async def put(call: Call) -> None:
    """PutProvisionedConcurrencyConfig."""
    target = _target(call, "Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
    count = (await call.json(ProvisionedCount)).provisioned_concurrent_executions
    registry = call.runtime.registry
    async with call.runtime.holding(target.name):
        version = _version(call, target)
        if version == LATEST:
            raise ApiError.invalid(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            )
        _check_overlap(call, target, version)
        _check_room(call, target, version, count)
        entry = await registry.provisioned.put(
            Provisioned(name=target.name, qualifier=target.qualifier or "", count=count)
        )
        call.runtime.limits_changed(target.name)
    call.reply(_shown(call, entry), 202)


async def get_or_list(call: Call) -> None:
    """GetProvisionedConcurrencyConfig, and ListProvisionedConcurrencyConfigs, which shares its path."""
    if call.query("List") == "ALL":
        call.operation = "ListProvisionedConcurrencyConfigs"
        name = call.target().name
        call.runtime.function(name)
        found = call.runtime.registry.provisioned.of(name)
        listed(
            call,
            "ProvisionedConcurrencyConfigs",
            found,
            lambda each: each.qualifier,
            lambda each: {"FunctionArn": function_arn(each.name, each.qualifier), **_shown(call, each)},
        )
        return
    target = _target(call, _NOT_PUBLISHED)
    _version(call, target)
    entry = call.runtime.registry.provisioned.get(target.name, target.qualifier or "")
    if entry is None:
        raise ApiError(
            404,
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
        )
    call.reply(_shown(call, entry))


async def delete(call: Call) -> None:
    """DeleteProvisionedConcurrencyConfig: its idle instances go, a busy one stays as any other. None is fine."""
    target = _target(call, _NOT_PUBLISHED)
    async with call.runtime.holding(target.name):
        _version(call, target)
        await call.runtime.registry.provisioned.remove(target.name, target.qualifier or "")
        call.runtime.limits_changed(target.name)
    call.send(204)


_NOT_PUBLISHED = "The function resource provided must be an alias or a published version."


def _target(call: Call, refusal: str) -> Target:
    target = call.target()
    if target.qualifier is None:
        raise ApiError(400, "ValidationException", "Qualifier must be given: a published version or an alias")
    if target.qualifier == LATEST:
        raise ApiError.invalid(refusal)
    return target


def _version(call: Call, target: Target) -> str:
    """The version that is meant. Raises ApiError, FunctionNotFoundError."""
    qualifier = target.qualifier or LATEST
    if qualifier.isdecimal():
        call.runtime.function(key_of(target.name, qualifier))
        return qualifier
    alias = call.runtime.registry.aliases.get(target.name, qualifier)
    if alias is None:
        raise ApiError.not_found(f"Cannot find alias arn: {function_arn(target.name, qualifier)}")
    return alias.function_version


def _check_overlap(call: Call, target: Target, version: str) -> None:
    """A version is provisioned by itself or through an alias, not both. Raises ApiError."""
    registry = call.runtime.registry
    if target.qualifier != version:
        if registry.provisioned.get(target.name, version) is not None:
            raise ApiError.conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )
    elif any(registry.provisioned.get(target.name, a.qualifier) for a in registry.aliases_of(target.name, version)):
        raise ApiError.conflict("Version is pointed by a Provisioned Concurrency alias")


def _check_room(call: Call, target: Target, version: str, count: int) -> None:
    """What can never be brought up is refused at once. Raises ApiError."""
    registry, settings = call.runtime.registry, call.runtime.settings
    others = [each for each in registry.provisioned if (each.name, each.qualifier) != (target.name, target.qualifier)]
    reserved = registry.most_at_once(target.name)
    own = sum(each.count for each in others if each.name == target.name)
    if reserved is not None and own + count > reserved:
        raise ApiError.invalid(
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
        )
    budget = settings.instance_budget
    most = budget - max(1, int(budget * _LEAST_UNPROVISIONED)) - sum(each.count for each in others)
    if count > most:
        raise ApiError.invalid(
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
            f"[{max(0, most)}]: that is what the budget of {budget} instances (instance_budget) has left."
        )
    memory = call.runtime.function(key_of(target.name, version)).memory_size * count
    if settings.memory_budget_mb and memory > settings.memory_budget_mb:
        raise ApiError.invalid(
            f"{count} instances need {memory:,} MB, and the budget of all functions (memory_budget_mb) is "
            f"{settings.memory_budget_mb:,} MB."
        )


def _shown(call: Call, entry: Provisioned) -> dict[str, object]:
    """A configuration, and how far the pool is with it at this moment."""
    try:
        key = key_of(entry.name, _version(call, Target(entry.name, entry.qualifier)))
    except (ApiError, FunctionNotFoundError):
        key = ""
    states = [each.state for each in call.runtime.instances(key) if each.current_deploy] if key else []
    available = min(entry.count, sum(state in _UP for state in states))
    starting = sum(state is InstanceState.STARTING for state in states)
    trouble = call.runtime.start_trouble(key) if available < entry.count else None
    document: dict[str, object] = {
        "RequestedProvisionedConcurrentExecutions": entry.count,
        "AvailableProvisionedConcurrentExecutions": available,
        "AllocatedProvisionedConcurrentExecutions": min(entry.count, available + starting),
        "Status": "READY" if available >= entry.count else "IN_PROGRESS" if trouble is None else "FAILED",
        "LastModified": seconds(entry.modified),
    }
    if trouble is not None:
        document["StatusReason"] = trouble
    return document


_CONFIG = "/2019-09-30/functions/{FunctionName}/provisioned-concurrency"

ROUTES: Sequence[Route] = (
    Route("PUT", _CONFIG, "PutProvisionedConcurrencyConfig", put),
    Route("GET", _CONFIG, "GetProvisionedConcurrencyConfig", get_or_list),
    Route("DELETE", _CONFIG, "DeleteProvisionedConcurrencyConfig", delete),
)
