"""One request and its response, as a handler sees them, and what a connection allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .http_body import Body
from .http_heads import BODILESS

__all__ = ["CHUNKED", "Channel", "Exchange", "Limits"]

CHUNKED = ("transfer-encoding", "chunked")
"""The last header of a response whose body follows."""


class Limits:
    """What a connection allows: head size in bytes, and seconds (None: no limit).

    `unwanted_timeout` is for the rest of a body whose request has been answered.
    """

    __slots__ = ("head_size", "head_timeout", "idle_timeout", "unwanted_timeout")

    def __init__(
        self,
        head_size: int = 64 * 1024,
        head_timeout: float | None = 10.0,
        idle_timeout: float | None = None,
        unwanted_timeout: float | None = None,
    ) -> None:
        self.head_size = head_size
        self.head_timeout = head_timeout
        self.idle_timeout = idle_timeout
        self.unwanted_timeout = unwanted_timeout


class Channel(Protocol):
    """The connection that an exchange writes to."""

    lost: bool
    peer: str

    def send_head(self, exchange: Exchange, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Write a response's head, and with it a body that is complete."""

    def send_ours(self, exchange: Exchange, lines: str, body: bytes) -> None:
        """The same for a 200 whose header lines are sure to be well-formed."""

    def send_data(self, exchange: Exchange, data: bytes) -> None:
        """Write a piece of a response's body."""

    def send_end(self, exchange: Exchange, trailers: Sequence[tuple[str, str]]) -> None:
        """Complete a response."""

    async def writable(self) -> None:
        """Wait while the peer does not take what was written."""

    def abort(self) -> None:
        """Close at once."""

    def cut(self) -> None:
        """Close once what was written is out."""


class Exchange:
    """One request and its response.

    `authority` is the host of a target that names one, which goes before the Host header (RFC 9112,
    section 3.2.2). `on_gone` is called when the peer goes away before the response is complete. Writing
    after that does nothing. With `answer_waits` the response is sent together with that to the request
    behind this one, if there is one already: for peers that said that this is all the same to them.
    """

    __slots__ = (
        "_channel",
        "_first",
        "_headers",
        "answer_waits",
        "authority",
        "body",
        "finished",
        "method",
        "on_gone",
        "path",
        "query",
        "started",
    )

    def __init__(self, channel: Channel, method: str, target: str, headers: list[tuple[str, str]], body: Body) -> None:
        path, _, query = target.partition("?")
        authority: str | None = None
        if not path.startswith("/") and "://" in path:
            authority, _, path = path.partition("://")[2].partition("/")
            path = "/" + path
        self.method = method
        self.authority = authority
        self.path = path
        self.query = query
        self._headers = headers
        self._first: dict[str, str] | None = None
        self.body = body
        self.on_gone: Callable[[], None] | None = None
        self.started = False
        self.finished = False
        self.answer_waits = False
        self._channel = channel

    @property
    def gone(self) -> bool:
        """Whether the peer can no longer be written to."""
        return self._channel.lost

    @property
    def peer(self) -> str:
        """The peer's address, without its port."""
        return self._channel.peer

    def header(self, name: str) -> str | None:
        """The first header of this lower-case name."""
        if self._first is None:
            self._first = dict(reversed(self._headers))
        return self._first.get(name)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All of them, in their order, with lower-case names; to be replaced, not changed."""
        return self._headers

    @headers.setter
    def headers(self, headers: list[tuple[str, str]]) -> None:
        self._headers, self._first = headers, None

    def respond(self, status: int, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send a whole response. One that HTTP allows no body is sent without it."""
        if status in BODILESS:
            self._channel.send_head(self, status, list(headers), b"")
        else:
            self._channel.send_head(self, status, [*headers, ("content-length", str(len(body)))], body)
        self._channel.send_end(self, ())

    def respond_ours(self, lines: str, body: bytes) -> None:
        """As `respond` with 200, where nothing needs to be judged: `lines` are whole header lines of our own making."""
        self._channel.send_ours(self, f"{lines}content-length: {len(body)}\r\n", body)
        self._channel.send_end(self, ())

    def start(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send the head of a response whose body follows by `write` and `end`."""
        self._channel.send_head(self, status, [*headers, CHUNKED], b"")

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; waits while the peer does not take what was sent."""
        self._channel.send_data(self, data)
        await self._channel.writable()

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """The body is complete."""
        self._channel.send_end(self, trailers)

    def abort(self) -> None:
        """Cut the connection, so that the peer sees that the response is not complete."""
        self._channel.abort()

    def cut(self) -> None:
        """The same, but let what was written of it go out first. Nothing can be written any more."""
        self.finished = True
        self._channel.cut()
