"""One HTTP/1.1 connection as an asyncio protocol: heads by `http_head_reader`, bodies by our own decoders.

Nothing in here knows of Lambda. A request becomes an `Exchange` as soon as its head is complete; the
handler is called synchronously with it and answers now or later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import h11

from .http_body import Body
from .http_decoders import ChunkedDecoder, Decoder, LengthDecoder
from .http_exchange import CHUNKED, Exchange, Limits
from .http_head_reader import BadHeadError, HeadReader
from .http_heads import REASONS, RequestHead, encoded, last_chunk, write_response
from .http_socket import HttpSocket

__all__ = ["HttpConnection", "Owner"]

_log = logging.getLogger(__name__)
_LINGER = 1.0  # seconds in which a peer that still sends may read the answer that refused it
_LINGER_CUT = 10.0  # seconds in which a peer may read what there was of a response that broke off
_DISCARD_MOST = 64 * 1024 * 1024  # bytes of an unwanted body that are let go by to keep a connection
_PIPELINED_MOST = 64 * 1024
_TOGETHER = 64 * 1024  # bytes of a body up to which it is copied behind its head, so that they go out as one
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


class HttpConnection(HttpSocket):
    """The server's side of one connection: one request at a time, kept alive between them."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self.drain_left = 0
        self._owner = owner
        self._heads = HeadReader(owner.limits)
        self._chunked = False  # the response to a plain head
        self._exchange: Exchange | None = None
        self._body_over = True
        self._pending = b""  # received after the request that is being served
        self._held = b""  # an answer that waits for the next one
        self._ignored = 0
        self._closing = False
        self._eof = False
        self._parsing = False
        self._retired = False

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

    def cut(self) -> None:
        """Close without completing the response, once what was written of it is out."""
        if self._heads.parser.their_http_version == b"1.0":
            self._reset()  # to such a peer a mere close is the end of the body
            return
        self._close_soon()
        if not self.lost:
            self._watch(_LINGER_CUT)

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

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what is not HTTP, and close."""
        _log.debug("refused a connection from %s: %s", self.peer, reason)
        if self._heads.parser.our_state is h11.IDLE or self._heads.parser.our_state is h11.SEND_RESPONSE:
            phrase = REASONS.get(status, b"Bad Request")
            self._send(
                h11.Response(
                    status_code=status, headers=[("connection", "close"), ("content-length", "0")], reason=phrase
                )
            )
        self._close_soon()

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

    def _peer_gone(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if not exchange.body.ended:
            exchange.body.cut()
        if not exchange.finished and exchange.on_gone is not None:
            gone, exchange.on_gone = exchange.on_gone, None
            gone()

    # responses

    def send_head(self, exchange: Exchange, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Write a response's head, and with it a body that is complete."""
        if exchange is not self._exchange or exchange.started or self.lost:
            exchange.started = True
            return
        exchange.started = True
        if (self._retired or exchange.body.error is not None) and not any(name == "connection" for name, _ in headers):
            headers.append(("connection", "close"))
        if self._heads.plain is not None:
            head = write_response(status, headers)
            if head is not None:
                self._chunked = headers[-1:] == [CHUNKED]
                self._write_head(head, body)
                return
            self._heads.tell_h11()
        response = h11.Response(
            status_code=status,
            headers=encoded(headers),
            reason=REASONS.get(status, b""),
        )
        head = self._heads.parser.send(response) or b""
        if body and exchange.method != "HEAD":
            self._heads.parser.send_with_data_passthrough(h11.Data(data=body))
            self._write_head(head, body)
        else:
            self._write(head)

    def send_ours(self, exchange: Exchange, lines: str, body: bytes) -> None:
        """The same for a 200 whose header lines are sure to be well-formed, and its whole body."""
        if self._heads.plain is None or self._retired or exchange.body.error is not None:
            fields = [line.partition(": ") for line in lines.split("\r\n")[:-1]]
            self.send_head(exchange, 200, [(name, value) for name, _, value in fields], body)
            return
        if exchange is self._exchange and not exchange.started and not self.lost:
            self._chunked = False
            self._write_head(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("utf-8", "surrogateescape"), body)
        exchange.started = True

    def _write_head(self, head: bytes, body: bytes) -> None:
        if len(body) <= _TOGETHER:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)

    def send_data(self, exchange: Exchange, data: bytes) -> None:
        """Write a piece of a response's body."""
        if exchange is not self._exchange or exchange.finished or self.lost or not data or exchange.method == "HEAD":
            return
        if self._heads.plain is None:
            pieces = self._heads.parser.send_with_data_passthrough(h11.Data(data=data)) or ()
        else:
            pieces = [b"%x\r\n" % len(data), data, b"\r\n"]
        # a piece at a time would reach the peer a piece at a time
        self._write(b"".join(pieces))

    def send_end(self, exchange: Exchange, trailers: Sequence[tuple[str, str]]) -> None:
        """Complete a response."""
        if exchange is not self._exchange or exchange.finished:
            return
        exchange.finished = True
        exchange.on_gone = None
        if self.lost:
            return
        fields = encoded(trailers)
        if self._heads.plain is not None:
            if self._chunked:
                self._write(last_chunk(fields))
            self._next_cycle()
            return
        if self._heads.parser.their_http_version == b"1.0":
            fields = []  # it has no chunks, hence no trailers
        self._send(h11.EndOfMessage(headers=fields))
        self._next_cycle()

    def _send(self, event: h11.Event) -> None:
        data = self._heads.parser.send(event)
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.answer_waits and self._pending:
            self._held += data
            return
        if self._held:
            data, self._held = self._held + data, b""
        transport = self._transport
        # one that has failed is closing before `connection_lost` tells of it
        if transport is not None and not self.lost and not self._closing and not transport.is_closing():
            transport.write(data)

    def _too_slow(self) -> None:
        if self._heads.partial and not self._closing:
            self._refuse(408, "its request took too long")
        else:
            super()._too_slow()

    def _close_soon(self) -> None:
        """Close, but let the peer read the answer: a close with unread data would reset the connection."""
        if self._closing or self._transport is None or self.lost:
            return
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)
        self._closing = True
        self._ignored = 0
        if self._eof or (self._exchange is not None and self._body_over):
            self._transport.close()
            return
        self._resume()
        with suppress(OSError, RuntimeError):
            self._transport.write_eof()
        self._watch(_LINGER)
