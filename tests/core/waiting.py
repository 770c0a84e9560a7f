"""Waiting for what events bring about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.runtime import LambdaRuntime

__all__ = ["until"]


async def until(runtime: LambdaRuntime, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Look at `condition` now and after every event, until it holds. Raises TimeoutError."""
    happened = asyncio.Event()
    unsubscribe = runtime.events.subscribe(lambda _: happened.set())
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                happened.clear()
                await happened.wait()
    finally:
        unsubscribe()
