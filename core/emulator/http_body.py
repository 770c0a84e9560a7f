"""A request's body between its connection and its reader: a small queue with back-pressure."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum

from .http_decoders import BodyError, BodyTooLargeError, Decoder, LengthDecoder, TruncatedBodyError

__all__ = ["HIGH_WATER", "LOW_WATER", "Body", "BodyError", "BodyTooLargeError", "TruncatedBodyError"]

HIGH_WATER = 256 * 1024
"""Bytes waiting for the reader at which the connection is no longer read."""

LOW_WATER = 64 * 1024
"""Bytes waiting for the reader below which it is read again."""

_MOST = 1024  # chunks decoded at a time: a flood of tiny ones must not hold the loop up
_FEW = 256  # chunks in the queue at which more are decoded
_TURN = 128  # chunks handed out before the reader lets the loop go round
_NO_LIMIT = 1 << 62


_NO_MORE = LengthDecoder(0)


def _nothing(_: object = None) -> None:
    pass


class _Mode(Enum):
    PULL = 1
    COLLECT = 2
    DISCARD = 3


class Body:
    """The body of a request. Read it by `next_chunk`, or whole by `collect` or `read`.

    `received` counts the bytes of the body so far, without framing. `on_end` is called once, when
    the end of the body has been seen, or the error that stands in its place; chunks may still wait
    to be read then. Pausing and resuming the connection is its owner's, by the two callables.
    """

    __slots__ = (
        "_decoder",
        "_drain",
        "_finished",
        "_gathered",
        "_mode",
        "_pause",
        "_paused",
        "_queue",
        "_queued",
        "_raw",
        "_resume",
        "_turn",
        "_waiter",
        "ended",
        "error",
        "limit",
        "on_end",
        "received",
    )

    def __init__(
        self,
        decoder: Decoder,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        finished: Callable[[bytes], None],
    ) -> None:
        self.received = 0
        self.ended = decoder.done
        self.error: BodyError | None = None
        self.limit: int | None = None
        self.on_end: Callable[[], None] | None = None
        self._decoder = decoder
        self._pause = pause
        self._resume = resume
        self._finished = finished
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._gathered = bytearray()
        self._raw = b""  # received but not yet decoded, because the queue is full
        self._paused = False
        self._mode = _Mode.PULL
        self._drain = False
        self._turn = 0
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    def whole(cls, data: bytes) -> Body:
        """A body that has come already."""
        body = cls(_NO_MORE, pause=_nothing, resume=_nothing, finished=_nothing)
        if data:
            body.received = body._queued = len(data)
            body._queue.append(data)
        return body

    @property
    def trailers(self) -> list[tuple[str, str]]:
        """The trailers, lower-case names first; complete once the body has ended."""
        return self._decoder.trailers

    @property
    def buffered(self) -> int:
        """Bytes kept in memory for the reader at this moment."""
        return self._queued + len(self._raw)

    @property
    def paused(self) -> bool:
        """Whether the peer is held back because the reader has not taken what came."""
        return self._paused

    async def next_chunk(self) -> bytes | None:
        """The next chunk as the peer wrote it; None at the end.

        Returns at once where one is waiting. Raises BodyError, after all that came before it, for
        a body that was cut off, malformed, or too large. One reader at a time.
        """
        while True:
            if self._queue:
                if self._turn >= _TURN:
                    self._turn = 0
                    await asyncio.sleep(0)
                    continue
                self._turn += 1
                chunk = self._queue.popleft()
                self._queued -= len(chunk)
                if self._paused and self._queued <= LOW_WATER and len(self._queue) <= _FEW:
                    self._refill()
                return chunk
            if self._raw:
                self._refill()
            elif self.error is not None:
                raise self.error
            elif self.ended:
                return None
            else:
                self._turn = 0
                waiter = self._waiter = asyncio.get_running_loop().create_future()
                try:
                    await waiter
                finally:
                    self._waiter = None

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises BodyTooLargeError past `limit` bytes, and BodyError."""
        if self.ended and self.error is None and self.received <= limit:
            return self.taken()
        over = asyncio.get_running_loop().create_future()
        self.collect(limit, lambda: None if over.done() else over.set_result(None))
        await over
        if self.error is not None:
            raise self.error
        return self.taken()

    def collect(self, limit: int, done: Callable[[], None]) -> None:
        """Gather the whole body, up to `limit` bytes, and call `done` once it ended or failed."""
        self.limit = limit
        self.on_end = done
        self._mode = _Mode.COLLECT
        if self.ended:
            if self.error is None and self.received > limit:
                self.error = self._too_large()
            done()
        elif not self._check_limit():
            self._refill()

    def taken(self) -> bytes:
        """What has been gathered; it is handed out once."""
        whole = self._queue[0] if len(self._queue) == 1 else b"".join(self._queue)
        if self._gathered:
            self._gathered += whole
            whole = bytes(self._gathered)
            self._gathered.clear()
        self._queue.clear()
        self._queued = 0
        return whole

    def discard(self) -> None:
        """Let the rest go by without keeping it."""
        self._mode = _Mode.DISCARD
        self._queue.clear()
        self._queued = 0
        self._refill()
        self._wake()

    def drain(self, on: bool) -> None:
        """While on, take what comes although the queue is full (it is bounded by the caller)."""
        self._drain = on
        if on:
            self._refill()
        elif self._full():
            self._hold()

    def stop(self, error: BodyError) -> None:
        """End the body here: what has come can still be read, then `error` is raised."""
        self._take_all()
        self._end(error)

    def feed(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Take what the connection has received; return how much of it belongs to this body."""
        if self._raw:
            self._raw += bytes(memoryview(data)[start:end])
            if self._mode is not _Mode.PULL or self._drain:
                self._refill()
            return end
        at = self._decode(data, start, end)
        if at < end and not self.ended:
            self._raw = bytes(memoryview(data)[at:end])
            if self._mode is not _Mode.PULL or self._drain:
                self._refill()
            else:
                self._hold()
            return end
        if self._full():
            self._hold()
        return at

    def _full(self) -> bool:
        return self._queued >= HIGH_WATER and self._mode is _Mode.PULL and not self.ended and not self._drain

    def cut(self) -> None:
        """The peer has closed: what came is kept, and then it is an error unless it was complete."""
        self._take_all()
        self._end(TruncatedBodyError("the connection was closed in the middle of the body"))

    def _take_all(self) -> None:
        if self._raw and not self.ended:
            self._drain = True
            self._refill()
        if not self.ended:
            rest = self._decoder.rest()
            self.received += len(rest)
            self._keep(rest)

    def _decode(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Decode into the queue as far as there is room; return how far it came."""
        if self.ended:
            return start
        queue = self._queue
        pulled = self._mode is _Mode.PULL and not self._drain
        room = HIGH_WATER - self._queued if pulled else _NO_LIMIT
        most = _MOST - len(queue) if pulled else _NO_LIMIT
        at = start
        out: list[bytes] = []
        error: BodyError | None = None
        try:
            at = self._decoder.decode(data, start, end, out, room=room, most=most)
        except BodyError as broken:
            error = broken
            at = end
        came = sum(map(len, out))
        self.received += came
        if self._mode is not _Mode.DISCARD:
            queue.extend(out)
            self._queued += came
        if self._mode is _Mode.COLLECT and len(queue) > _FEW:
            # millions of tiny chunks would weigh many times their bytes
            self._gathered += b"".join(queue)
            queue.clear()
        if not self._check_limit():
            if error is not None or self._decoder.done:
                self._end(error)
            elif came:
                self._wake()
        return at

    def _check_limit(self) -> bool:
        if self.limit is None or self.received <= self.limit or self.ended:
            return False
        over = self.received - self.limit
        while over > 0 and self._queue:
            last = self._queue.pop()
            self._queued -= len(last)
            if len(last) > over:
                self._keep(last[:-over])
            over -= len(last)
        self._end(self._too_large())
        return True

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"the body is larger than {self.limit:,} bytes")

    def _keep(self, piece: bytes) -> None:
        if piece and self._mode is not _Mode.DISCARD:
            self._queue.append(piece)
            self._queued += len(piece)

    def _refill(self) -> None:
        """There is room again: decode what was left, then let the peer go on."""
        while self._raw and not self.ended:
            raw, self._raw = self._raw, b""
            at = self._decode(raw, 0, len(raw))
            if self.ended:
                if self._decoder.done:
                    self._finished(raw[at:])
                break
            self._raw = raw[at:]
            if at == 0 or (self._mode is _Mode.PULL and not self._drain):
                break
        roomy = self._queued <= LOW_WATER or self._drain or self._mode is not _Mode.PULL
        if self._paused and not self._raw and (roomy or self.ended):
            self._paused = False
            self._resume()

    def _hold(self) -> None:
        if not self._paused:
            self._paused = True
            self._pause()

    def _end(self, error: BodyError | None) -> None:
        if self.ended:
            return
        self.ended = True
        self.error = error
        if error is not None:
            self._raw = b""
        if self._paused and not self._raw:
            self._paused = False
            self._resume()
        self._wake()
        if self.on_end is not None:
            self.on_end()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
