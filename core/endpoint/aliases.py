"""Aliases: names for versions, which may share their invocations between two.

Sources: https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html and its siblings, and
https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.endpoint.errors import ApiError
from core.endpoint.function_shapes import CreateAlias, UpdateAlias
from core.endpoint.functions import check_revision
from core.endpoint.paging import page
from core.endpoint.routes import Route
from core.names import LATEST, function_arn, key_of
from core.registry import Alias

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.endpoint.function_shapes import RoutingConfig
    from core.runtime import LambdaRuntime

__all__ = ["ROUTES"]

_ALIASES = "/2015-03-31/functions/{FunctionName}/aliases"
_REVISIONS = uuid.UUID("0b0fbc1e-9f5f-4f8e-9f0f-0f1f3c2a7c55")
_MOST = 10_000


async def create_alias(call: Call) -> None:
    """CreateAlias."""
    name = call.target().name
    wanted = await call.json(CreateAlias)
    runtime = call.runtime
    alias = Alias(
        name=name,
        qualifier=wanted.name,
        function_version=wanted.function_version,
        description=wanted.description or "",
        weights=_weights(wanted.routing_config),
    )
    async with runtime.holding(name):
        if runtime.registry.aliases.get(name, alias.qualifier) is not None:
            raise ApiError.conflict(f"Alias already exists: {function_arn(name, alias.qualifier)}")
        _check(runtime, alias)
        kept = await runtime.registry.aliases.put(alias)
        runtime.limits_changed(name)
    call.reply(_document(kept), 201)


async def get_alias(call: Call) -> None:
    """GetAlias."""
    call.reply(_document(_find(call)))


async def list_aliases(call: Call) -> None:
    """ListAliases: all, or those of one version."""
    name = call.target().name
    call.runtime.deploy(name)
    version = call.query("FunctionVersion")
    found = [a for a in call.runtime.registry.aliases.of(name) if version is None or _stands_for(a, version)]
    shown, marker = page(call, found, lambda alias: alias.qualifier, most=_MOST)
    call.reply({"Aliases": [_document(alias) for alias in shown]} | ({"NextMarker": marker} if marker else {}))


async def update_alias(call: Call) -> None:
    """UpdateAlias. What is not given stays; an empty RoutingConfig ends the sharing."""
    name = call.target().name
    wanted = await call.json(UpdateAlias)
    runtime = call.runtime
    async with runtime.holding(name):
        before = _find(call)
        check_revision(wanted.revision_id, _revision(before))
        alias = before
        if wanted.function_version is not None:
            alias = replace(alias, function_version=wanted.function_version)
        if wanted.description is not None:
            alias = replace(alias, description=wanted.description)
        if wanted.routing_config is not None:
            alias = replace(alias, weights=_weights(wanted.routing_config))
        _check(runtime, alias)
        kept = await runtime.registry.aliases.put(alias)
        runtime.limits_changed(name)
    call.reply(_document(kept))


async def delete_alias(call: Call) -> None:
    """DeleteAlias, with what hangs on it. One that is not there is no error, as on AWS."""
    name, alias = call.target().name, call.parameters["Name"]
    runtime = call.runtime
    async with runtime.holding(name):
        if runtime.registry.aliases.get(name, alias) is not None:
            keys = runtime.registry.keys_of_version(name, alias)
            await runtime.journal.remove_resources(keys)
            runtime.registry.drop(keys)
            runtime.limits_changed(name)
    call.send(204)


ROUTES: Sequence[Route] = (
    Route("POST", _ALIASES, "CreateAlias", create_alias),
    Route("GET", _ALIASES, "ListAliases", list_aliases),
    Route("GET", f"{_ALIASES}/{{Name}}", "GetAlias", get_alias),
    Route("PUT", f"{_ALIASES}/{{Name}}", "UpdateAlias", update_alias),
    Route("DELETE", f"{_ALIASES}/{{Name}}", "DeleteAlias", delete_alias),
)


def _find(call: Call) -> Alias:
    """The alias that the path names. Raises FunctionNotFoundError, ApiError."""
    name, wanted = call.target().name, call.parameters["Name"]
    call.runtime.deploy(name)
    alias = call.runtime.registry.aliases.get(name, wanted)
    if alias is None:
        raise ApiError.not_found(f"Cannot find alias arn: {function_arn(name, wanted)}")
    return alias


def _weights(config: RoutingConfig | None) -> dict[str, float]:
    return {} if config is None else dict(config.additional_version_weights or {})


def _check(runtime: LambdaRuntime, alias: Alias) -> None:
    """Whether its versions are there and can share. Raises FunctionNotFoundError, ApiError."""
    runtime.deploy(_key(alias, alias.function_version))
    if len(alias.weights) > 1:
        raise ApiError.invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1. "
            f"Number of items given: {len(alias.weights)}"
        )
    for version in alias.weights:
        if LATEST in {version, alias.function_version}:
            raise ApiError.invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        if not version.isascii() or not version.isdecimal():
            raise ApiError.invalid("AdditionalVersionWeights: a version is a number")
        if version == alias.function_version:
            raise ApiError.invalid(
                f"Invalid function version {version}. "
                f"Function version {version} is already included in routing configuration."
            )
        runtime.deploy(_key(alias, version))


def _key(alias: Alias, version: str) -> str:
    return key_of(alias.name, version)


def _stands_for(alias: Alias, version: str) -> bool:
    return alias.function_version == version or version in alias.weights


def _revision(alias: Alias) -> str:
    return str(uuid.uuid5(_REVISIONS, f"{alias.name} {alias.qualifier} {alias.modified}"))


def _document(alias: Alias) -> Mapping[str, Any]:
    document: dict[str, Any] = {
        "AliasArn": function_arn(alias.name, alias.qualifier),
        "Name": alias.qualifier,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RevisionId": _revision(alias),
    }
    if alias.weights:
        document["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return document
