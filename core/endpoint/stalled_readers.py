"""How long a client may take nothing of a response that streams to it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.emulator.http_server import Exchange

__all__ = ["STALLED", "write_or_cut"]

_log = logging.getLogger(__name__)

STALLED = 60.0
"""Seconds after which a client that takes nothing of its stream is cut off."""


async def write_or_cut(exchange: Exchange, data: bytes, function_name: str) -> None:
    """Write a piece of a function's response, and wait while the client takes nothing.

    One that takes nothing for too long is cut off, and counts as one that went away: the exchange is `gone`.
    """
    try:
        async with asyncio.timeout(STALLED):
            await exchange.write(data)
    except TimeoutError:
        _log.warning("a client of %s that took nothing for %d s was cut off", function_name, STALLED)
        exchange.abort()
        await asyncio.sleep(0)  # the loop tells of it in its next turn
