"""An open endpoint in front of a real runtime, and boto3 as its client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from core.endpoint.endpoint import Endpoint
from tests.core.endpoint.support import client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from core.runtime import LambdaRuntime


@pytest_asyncio.fixture
async def endpoint(runtime: LambdaRuntime) -> AsyncIterator[Endpoint]:
    """Listening on a free port of loopback; `endpoint.url` is where."""
    opened = Endpoint(runtime)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
        await runtime.close()
        await opened.aclose()


@pytest.fixture
def lambda_client(endpoint: Endpoint) -> Iterator[Any]:
    """boto3's client of Lambda on the endpoint. It blocks: ask it through `call`."""
    client = client_of(endpoint.url)
    yield client
    client.close()


@pytest.fixture
def call() -> Callable[..., Awaitable[Any]]:
    """Ask a blocking client off the loop: `await call(client.get_function, FunctionName="echo")`."""
    return asyncio.to_thread
