"""How many large uploads are read at once: their bytes are held in memory until they are in the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError

if TYPE_CHECKING:
    from core.endpoint.call import Call

__all__ = ["Admission"]

_UPLOADS = frozenset({"CreateFunction", "UpdateFunctionCode", "PublishLayerVersion"})
_SMALL = 1024 * 1024
_SMALL_DIGITS = len(str(_SMALL))
_LARGEST = 80 * 1024 * 1024
_ROOM = 2 * _LARGEST


class Admission:
    """Lets large uploads in by the order in which they came, as there is room for them, in bytes.

    One that waits is not read: what its client sends stays in the network's buffers.
    """

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @staticmethod
    def weight(call: Call) -> int:
        """For how many bytes a request must be let in; 0 where it need not. Raises ApiError for far too many."""
        length = call.exchange.header("content-length")
        if length is not None and len(length) < _SMALL_DIGITS:
            return 0
        size = int(length) if length is not None else _LARGEST
        if length is not None and size > _LARGEST:
            close = (("connection", "close"),)
            raise ApiError(413, "RequestEntityTooLargeException", f"{size:,} bytes are too many", headers=close)
        return size if call.operation in _UPLOADS and size > _SMALL else 0

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Hold room for `size` bytes; waits until it is there."""
        await self._enter(size)
        try:
            yield
        finally:
            self._leave(size)

    async def _enter(self, size: int) -> None:
        if not self._waiting and self._taken + size <= self._room:
            self._taken += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(size)
            else:
                self._waiting.remove((size, turn))
                self._let_in()
            raise

    def _leave(self, size: int) -> None:
        self._taken -= size
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._taken + self._waiting[0][0] <= self._room:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._taken += size
                turn.set_result(None)
