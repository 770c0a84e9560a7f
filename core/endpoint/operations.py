"""All operations of the endpoint, gathered from the modules that answer them."""

from __future__ import annotations

from collections.abc import Iterator

from core.endpoint import (
    account,
    aliases,
    concurrency,
    event_invoke,
    function_code,
    functions,
    invoke,
    invoke_streaming,
    layers,
    pool_operations,
    provisioned,
    tags,
    url_configs,
    versions,
)
from core.endpoint.function_urls import answer_url
from core.endpoint.routes import Route

__all__ = ["URL_OPERATION", "all_routes", "answer_url"]

URL_OPERATION = "FunctionUrl"


def all_routes() -> Iterator[Route]:
    """Every route, invocations first."""
    yield from invoke.ROUTES
    yield from invoke_streaming.ROUTES
    yield from functions.ROUTES
    yield from function_code.ROUTES
    yield from versions.ROUTES
    yield from aliases.ROUTES
    yield from tags.ROUTES
    yield from layers.ROUTES
    yield from concurrency.ROUTES
    yield from provisioned.ROUTES
    yield from event_invoke.ROUTES
    yield from url_configs.ROUTES
    yield from account.ROUTES
    yield from pool_operations.ROUTES
