"""The side of a connection that answers: plain responses are written here, all others by h11."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress

import h11

from .http_exchange import CHUNKED, Exchange
from .http_head_reader import HeadReader
from .http_heads import REASONS, encoded, last_chunk, write_response
from .http_socket import HttpSocket

__all__ = ["HttpResponses"]

_log = logging.getLogger(__name__)
_LINGER = 1.0  # seconds in which a peer that still sends may read the answer that refused it
_LINGER_CUT = 10.0  # seconds in which a peer may read what there was of a response that broke off
_TOGETHER = 64 * 1024  # bytes of a body up to which it is copied behind its head, so that they go out as one


class HttpResponses(HttpSocket, ABC):
    """The channel of a connection's exchanges, up to the close.

    Which one is under way is set by `HttpConnection`, which reads the requests.
    """

    def __init__(self, heads: HeadReader) -> None:
        super().__init__()
        self._heads = heads
        self._exchange: Exchange | None = None
        self._body_over = True
        self._pending = b""  # received after the request that is being served
        self._ignored = 0  # bytes that nobody wanted
        self._chunked = False  # the response to a plain head
        self._held = b""  # an answer that waits for the next one
        self._eof = False
        self._retired = False
        self._closing = False

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

    # the end

    def cut(self) -> None:
        """Close without completing the response, once what was written of it is out."""
        if self._heads.parser.their_http_version == b"1.0":
            self._reset()  # to such a peer a mere close is the end of the body
            return
        self._close_soon()
        if not self.lost:
            self._watch(_LINGER_CUT)

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

    @abstractmethod
    def _next_cycle(self) -> None:
        """Go on with the next request once the body has come and the response is out."""
