"""All operations of the endpoint, gathered from the modules that answer them."""

from __future__ import annotations

from collections.abc import Iterator

from core.endpoint.call import Call
from core.endpoint.errors import ApiError
from core.endpoint.routes import Route

__all__ = ["URL_OPERATION", "all_routes", "answer_url"]

URL_OPERATION = "FunctionUrl"


def all_routes() -> Iterator[Route]:
    """Every route, invocations first."""
    yield from ()


async def answer_url(call: Call) -> None:
    """A request under `/_url/`."""
    raise ApiError.not_found("there are no function URLs")
