"""A runtime with a home of its own, and AWS's Node client where it can be built."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.runtime import LambdaRuntime
from tests.core.real_clients.node_client import CannotBuildError, NodeClient, build_node_client


@pytest.fixture(scope="session")
def node_client() -> NodeClient:
    try:
        return build_node_client()
    except CannotBuildError as error:
        pytest.skip(f"npm's aws-lambda-ric is not available: {error}")


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    async with LambdaRuntime.open(home=tmp_path / "home") as opened:
        yield opened
