"""All operations of the endpoint, gathered from the modules that answer them."""

from __future__ import annotations

from collections.abc import Iterator

from core.endpoint import invoke, invoke_streaming
from core.endpoint.function_urls import answer_url
from core.endpoint.routes import Route

__all__ = ["URL_OPERATION", "all_routes", "answer_url"]

URL_OPERATION = "FunctionUrl"


def all_routes() -> Iterator[Route]:
    """Every route, invocations first."""
    yield from invoke.ROUTES
    yield from invoke_streaming.ROUTES
