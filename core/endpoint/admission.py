"""How much of large uploads is in memory at once: their bytes are held there until they are in the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError

if TYPE_CHECKING:
    from core.emulator.http_body import Body
    from core.endpoint.call import Call

__all__ = ["Admission", "Upload"]

_UPLOADS = frozenset({"CreateFunction", "UpdateFunctionCode", "PublishLayerVersion"})
_SMALL = 1024 * 1024
_SMALL_DIGITS = len(str(_SMALL))
_LARGEST = 80 * 1024 * 1024

SHARED = _LARGEST
"""Bytes that all uploads but the foremost hold together; the foremost has room for the largest besides."""

PACE = 1024 * 1024
"""Bytes that must come of the foremost upload within PACE_SECONDS while others wait for room."""

PACE_SECONDS = 3.0


class Admission:
    """Room for large uploads, taken by what has come of them and not by what they say will come.

    While there is room, each takes it as its client sends, so that a slow one holds little. Where there
    is no more, uploads are no longer read, what their clients send stays in the network's buffers, and
    one at a time is the foremost: it may grow to its full size, whatever the others hold, so that there
    is always one that can come to its end. That one must not dawdle.
    """

    def __init__(self) -> None:
        self._shared = 0
        self._foremost: Upload | None = None
        self._waiting: deque[tuple[Upload, int, asyncio.Future[None]]] = deque()
        self._clock: asyncio.TimerHandle | None = None

    @staticmethod
    def concerns(call: Call) -> bool:
        """Whether a request must be read by an `upload`. Raises ApiError for one that is far too large."""
        length = call.exchange.header("content-length")
        if length is not None and len(length) < _SMALL_DIGITS:
            return False
        if length is not None and int(length) > _LARGEST:
            close = (("connection", "close"),)
            message = f"{int(length):,} bytes are too many"
            raise ApiError(413, "RequestEntityTooLargeException", message, headers=close)
        return call.operation in _UPLOADS and (length is None or int(length) > _SMALL)

    @contextmanager
    def upload(self) -> Iterator[Upload]:
        """One upload; its bytes count until it is left."""
        upload = Upload(self)
        try:
            yield upload
        finally:
            self._leave(upload)

    @property
    def held(self) -> int:
        """The bytes that uploads hold at this moment."""
        return self._shared + (self._foremost.held if self._foremost is not None else 0)

    def take(self, upload: Upload, size: int) -> asyncio.Future[None] | None:
        """Count bytes that have come of an upload; where there is no room yet, what to wait for."""
        if upload is not self._foremost:
            if self._waiting or self._shared + size > SHARED:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append((upload, size, turn))
                self._let_in()
                return None if turn.done() else turn
            self._shared += size
        upload.held += size
        return None

    def _leave(self, upload: Upload) -> None:
        if upload is self._foremost:
            self._foremost = None
            self._stop_clock()
        else:
            self._shared -= upload.held
        upload.held = 0
        self._waiting = deque(each for each in self._waiting if each[0] is not upload)
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            upload, size, turn = self._waiting[0]
            if self._shared + size <= SHARED:
                self._shared += size
            elif self._foremost is None:
                self._foremost = upload
                self._shared -= upload.held
            else:
                break
            self._waiting.popleft()
            upload.held += size
            if not turn.done():  # one that is being cancelled leaves by itself
                turn.set_result(None)
        self._mind_the_pace()

    def _mind_the_pace(self) -> None:
        """Look after the foremost for as long as others wait."""
        if not self._waiting:
            self._stop_clock()
        elif self._clock is None and (upload := self._foremost) is not None:
            loop = asyncio.get_running_loop()
            self._clock = loop.call_later(PACE_SECONDS, self._look_after, upload, upload.held)

    def _look_after(self, upload: Upload, before: int) -> None:
        self._clock = None
        if upload.held - before < PACE:
            upload.give_up()
        else:
            self._mind_the_pace()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


class Upload:
    """A large upload that is being answered; `held` counts its bytes in memory."""

    def __init__(self, admission: Admission) -> None:
        self.held = 0
        self._admission = admission
        self._timeout: asyncio.Timeout | None = None

    async def read(self, body: Body, limit: int, seconds: float) -> bytes:
        """The whole body. The time in which it waits for room is not its client's.

        Raises TimeoutError for one that does not come within `seconds` or is too slow for those that
        wait, BodyTooLargeError past `limit` bytes, and BodyError.
        """
        body.limit = limit
        whole = bytearray()
        async with asyncio.timeout(seconds) as timeout:
            self._timeout = timeout
            try:
                while (chunk := await body.next_chunk()) is not None:
                    turn = self._admission.take(self, len(chunk))
                    if turn is not None:
                        await _pausing(timeout, turn)
                    whole += chunk
            finally:
                self._timeout = None
        return bytes(whole)

    def give_up(self) -> None:
        """Read no further, unless the whole body is there."""
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())


async def _pausing(timeout: asyncio.Timeout, turn: asyncio.Future[None]) -> None:
    """Wait for a turn, during which the time out does not run."""
    loop, when = asyncio.get_running_loop(), timeout.when()
    assert when is not None, "it runs"
    left = when - loop.time()
    timeout.reschedule(None)
    await turn
    timeout.reschedule(loop.time() + left)
