"""One HTTP/1.1 connection as an asyncio protocol: what comes is parted into requests, served one at a time.

Nothing in here knows of Lambda. A request becomes an `Exchange` as soon as its head is complete; the
handler is called synchronously with it and answers now or later.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import h11

from .http_body import Body
from .http_decoders import ChunkedDecoder, Decoder, LengthDecoder
from .http_exchange import Exchange, Limits
from .http_head_reader import BadHeadError, HeadReader
from .http_heads import RequestHead
from .http_responses import HttpResponses

__all__ = ["HttpConnection", "Owner"]

_log = logging.getLogger(__name__)
_DISCARD_MOST = 64 * 1024 * 1024  # bytes of an unwanted body that are let go by to keep a connection
_PIPELINED_MOST = 64 * 1024
_AHEAD = 32  # requests sent ahead that are served in one turn of the loop


class Owner(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    receive_buffer: bytearray
    receive_view: memoryview

    def accept(self, connection: HttpConnection) -> bool:
        """Whether this connection is taken."""

    def handle(self, exchange: Exchange) -> None:
        """Called with each request."""

    def forget(self, connection: HttpConnection) -> None:
        """The connection is gone."""


class HttpConnection(HttpResponses):
    """The server's side of one connection: one request at a time, kept alive between them."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(HeadReader(owner.limits))
        self.drain_left = 0
        self._owner = owner
        self._parsing = False

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected."""
        super().connection_made(transport)
        if not self._owner.accept(self):
            self.abort()
            return
        self._quiet_since = self._loop.time()
        self._watch(self._owner.limits.idle_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever closed it."""
        super().connection_lost(exc)
        self._owner.forget(self)
        self._peer_gone()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; it is used up before anybody else receives."""
        return self._owner.receive_view

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        self.drain_left -= nbytes
        self._quiet_since = self._loop.time()
        self._received(self._owner.receive_buffer, nbytes)

    def eof_received(self) -> bool:
        """The peer sends no more; True keeps the connection for the answer."""
        self._eof = True
        self.drain_left = 0
        exchange = self._exchange
        if exchange is None or self._closing:
            return False
        if not exchange.body.ended:
            exchange.body.cut()
        elif exchange.on_gone is not None:
            self._peer_gone()
            return False
        # a peer that has sent all may still read the answer
        return not exchange.finished and self._exchange is exchange and not self.lost

    def resume_writing(self) -> None:
        """It takes it again."""
        super().resume_writing()
        if self._exchange is None and self._read_paused and not self._parsing:
            self._go_on()

    @property
    def patience(self) -> tuple[int, float] | None:
        """How this connection waits for its peer: the less it is worth keeping the lower, and since when.

        0 between requests, 1 in a head, 2 in a body, 3 for what was sent to be taken; None where the
        peer waits for us.
        """
        if self.lost or self._closing:
            return 0, 0.0
        if self._exchange is None:
            return 1 if self._heads.partial else 0, self._quiet_since
        if self._write_paused:
            return 3, self._quiet_since
        body = self._exchange.body
        return None if body.ended or body.paused else (2, self._quiet_since)

    def retire(self) -> None:
        """Serve the request that is under way and no other: a connection without one closes now."""
        self._retired = True
        if self._exchange is None and not self._heads.partial:
            self._close_soon()

    def drain(self, on: bool) -> None:
        """While on, take what has arrived although a reader holds the connection back."""
        if self._exchange is not None:
            self._exchange.body.drain(on)

    # requests

    def _received(self, data: bytes | bytearray, end: int) -> None:
        if self._closing:
            self._ignore(end)
            return
        exchange = self._exchange
        if exchange is None and not self._write_paused:
            pending, self._pending = self._pending, b""
            self._parse(pending + bytes(memoryview(data)[:end]))
        elif exchange is None or self._body_over:
            self._pending += bytes(memoryview(data)[:end])
            if len(self._pending) > _PIPELINED_MOST:
                self._pause()
        else:
            self._feed(exchange, data, 0, end)

    def _feed(self, exchange: Exchange, data: bytes | bytearray, start: int, end: int) -> None:
        body = exchange.body
        if body.error is not None:
            self._ignore(end - start)
            return
        at = body.feed(data, start, end)
        if exchange.finished:
            self._ignored += at - start
            if self._ignored > _DISCARD_MOST:
                self._close_soon()
        if body.ended and not self._body_over and body.error is None:
            self._body_done(bytes(memoryview(data)[at:end]))

    def _ignore(self, count: int) -> None:
        self._ignored += count
        if self._ignored > _DISCARD_MOST:
            self.abort()

    def _body_done(self, rest: bytes) -> None:
        """The whole body has come; `rest` already belongs to the next request."""
        self._body_over = True
        self._pending = rest
        self._next_cycle()

    def _parse(self, data: bytes) -> None:
        """Serve the requests in `data`: several, where they were sent ahead and are answered at once."""
        self._parsing = True
        served = 0
        while data:
            self._parse_one(data)
            data = b""
            if self._exchange is None and not self._closing and not self.lost and not self._write_paused:
                data, self._pending = self._pending, b""
            served += 1
            if data and served >= _AHEAD:
                # a flood of them must not hold the loop up
                self._pending = data
                self._pause()
                self._loop.call_soon(self._go_on)
                break
        self._parsing = False

    def _go_on(self) -> None:
        self._resume()
        if self._exchange is None and self._pending and not self._closing and not self.lost:
            pending, self._pending = self._pending, b""
            self._parse(pending)

    def _parse_one(self, data: bytes) -> None:
        partial = self._heads.partial
        try:
            found = self._heads.read(data)
        except BadHeadError as error:
            self._refuse(error.status, str(error))
            return
        if found is not None:
            self._clock.stop()
            self._begin(*found)
        elif not partial:
            self._watch(self._owner.limits.head_timeout)

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        size = head.length
        if size is not None and size <= len(rest) and self._heads.plain is not None:
            # a handler that finds the body there need not wait for it
            body = Body.whole(rest[:size])
            rest = rest[size:]
        else:
            decoder: Decoder = ChunkedDecoder(self._owner.limits.head_size) if size is None else LengthDecoder(size)
            body = Body(decoder, pause=self._pause, resume=self._resume, finished=self._body_done)
        exchange = Exchange(self, head.method, head.target, [*head.headers], body)
        self._exchange = exchange
        self._ignored = 0
        self._body_over = body.ended
        self._pending = rest if body.ended else b""
        if self._heads.plain is None and self._heads.parser.they_are_waiting_for_100_continue and not body.ended:
            self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        try:
            self._owner.handle(exchange)
        except Exception:
            _log.exception("%s %s could not be answered", exchange.method, exchange.path)
            if not exchange.started:
                exchange.respond(500)
            else:
                self.abort()
        if rest and self._exchange is exchange and not self._body_over:
            self._feed(exchange, rest, 0, len(rest))

    def _next_cycle(self) -> None:
        """Go on with the next request once the body has come and the response is out."""
        exchange = self._exchange
        if exchange is None or not exchange.finished or self.lost or self._closing:
            return
        if not self._body_over:
            if exchange.body.error is not None:
                self._close_soon()
            elif not exchange.body.ended:
                exchange.body.on_end = None
                self._watch(self._owner.limits.unwanted_timeout)
                exchange.body.discard()
            return
        if self._eof or self._retired or not self._heads.renew():
            self._close_soon()
            return
        self._exchange = None
        self._quiet_since = self._loop.time()
        if self._write_paused:
            # who does not take the answers gets no more of them
            self._pause()
            self._watch(self._owner.limits.idle_timeout)
            return
        self._resume()
        if not self._pending:
            self._watch(self._owner.limits.idle_timeout)
        elif not self._parsing:
            self._go_on()

    def _too_slow(self) -> None:
        if self._heads.partial and not self._closing:
            self._refuse(408, "its request took too long")
        else:
            super()._too_slow()

    def _peer_gone(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if not exchange.body.ended:
            exchange.body.cut()
        if not exchange.finished and exchange.on_gone is not None:
            gone, exchange.on_gone = exchange.on_gone, None
            gone()
