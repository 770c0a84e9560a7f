"""Which functions have a URL, and how it answers. `core.endpoint.function_urls` answers under it.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.endpoint.errors import ApiError
from core.endpoint.limit_shapes import CorsSettings, CreateUrl, UpdateUrl, listed, millis
from core.endpoint.routes import Route
from core.errors import FunctionNotFoundError
from core.names import LATEST, function_arn
from core.registry import UrlConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.endpoint.call import Call

__all__ = ["ROUTES"]


async def create(call: Call) -> None:
    """CreateFunctionUrlConfig: for the unpublished version, or for an alias."""
    name, alias = _target(call)
    given = await call.json(CreateUrl)
    urls = call.runtime.registry.urls
    try:
        async with call.runtime.holding(name):
            if alias and call.runtime.registry.aliases.get(name, alias) is None:
                raise _no_function()
            if urls.get(name, alias) is not None:
                arn = function_arn(name, alias or None)
                raise ApiError.conflict(
                    f"Failed to create function url config for [functionArn = {arn}]. Error message:  "
                    "FunctionUrlConfig exists for this Lambda function"
                )
            kept = await urls.put(
                UrlConfig(
                    name=name,
                    qualifier=alias,
                    auth_type=given.auth_type,
                    invoke_mode=given.invoke_mode,
                    cors=_cors(given.cors),
                    created=time.time(),
                )
            )
    except FunctionNotFoundError:
        raise _no_function() from None
    document = _shown(call, kept)
    del document["LastModifiedTime"]
    call.reply(document, 201)


async def update(call: Call) -> None:
    """UpdateFunctionUrlConfig: members that are not given stay as they are; a `Cors` is replaced as a whole."""
    name, alias = _target(call)
    given = await call.json(UpdateUrl)
    try:
        async with call.runtime.holding(name):
            entry = _found(call, name, alias)
            if given.auth_type is not None:
                entry = replace(entry, auth_type=given.auth_type)
            if given.invoke_mode is not None:
                entry = replace(entry, invoke_mode=given.invoke_mode)
            if given.cors is not None:
                entry = replace(entry, cors=_cors(given.cors))
            kept = await call.runtime.registry.urls.put(entry)
    except FunctionNotFoundError:
        raise _not_found() from None
    call.reply(_shown(call, kept))


async def get(call: Call) -> None:
    """GetFunctionUrlConfig."""
    call.reply(_shown(call, _found(call, *_target(call))))


async def list_all(call: Call) -> None:
    """ListFunctionUrlConfigs."""
    name, _ = _target(call)
    try:
        call.runtime.function(name)
    except FunctionNotFoundError:
        raise _no_function() from None
    found = call.runtime.registry.urls.of(name)
    listed(call, "FunctionUrlConfigs", found, lambda each: each.qualifier, lambda each: _shown(call, each))


async def delete(call: Call) -> None:
    """DeleteFunctionUrlConfig."""
    name, alias = _target(call)
    _found(call, name, alias)
    await call.runtime.registry.urls.remove(name, alias)
    call.send(204)


def _target(call: Call) -> tuple[str, str]:
    """Function and alias, "" where none is named. Raises ApiError for a version: those have no URL."""
    target = call.target()
    qualifier = target.qualifier or ""
    if qualifier == LATEST or qualifier.isdecimal():
        raise ApiError(
            400,
            "ValidationException",
            f"1 validation error detected: Value '{qualifier}' at 'qualifier' failed to satisfy constraint: "
            "a function URL belongs to an alias, or to the function itself, which is named without a qualifier",
        )
    return target.name, qualifier


def _found(call: Call, name: str, alias: str) -> UrlConfig:
    entry = call.runtime.registry.urls.get(name, alias)
    if entry is None:
        raise _not_found()
    return entry


def _cors(given: CorsSettings | None) -> dict[str, Any] | None:
    return given.model_dump(by_alias=True, exclude_none=True) if given is not None else None


def _no_function() -> ApiError:
    return ApiError.not_found("Function does not exist")


def _not_found() -> ApiError:
    return ApiError.not_found("The resource you requested does not exist.")


def _shown(call: Call, entry: UrlConfig) -> dict[str, object]:
    named = f"{entry.name}:{entry.qualifier}" if entry.qualifier else entry.name
    document: dict[str, object] = {
        "FunctionUrl": f"{call.base}/_url/{named}/",
        "FunctionArn": function_arn(entry.name, entry.qualifier or None),
        "AuthType": entry.auth_type,
        "CreationTime": millis(entry.created, "Z"),
        "LastModifiedTime": millis(entry.modified, "Z"),
        "InvokeMode": entry.invoke_mode,
    }
    if entry.cors is not None:
        document["Cors"] = dict(entry.cors)
    return document


_URL = "/2021-10-31/functions/{FunctionName}/url"

ROUTES: Sequence[Route] = (
    Route("POST", _URL, "CreateFunctionUrlConfig", create),
    Route("PUT", _URL, "UpdateFunctionUrlConfig", update),
    Route("GET", _URL, "GetFunctionUrlConfig", get),
    Route("DELETE", _URL, "DeleteFunctionUrlConfig", delete),
    Route("GET", "/2021-10-31/functions/{FunctionName}/urls", "ListFunctionUrlConfigs", list_all),
)
