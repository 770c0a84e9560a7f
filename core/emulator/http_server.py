"""A small HTTP/1.1 server in asyncio: streamed bodies both ways, trailers, back-pressure.

The Runtime API and the invoke endpoints stand on it. It works on every loop that has sockets,
qasync's included, and needs no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import struct
import termios
from collections.abc import Awaitable, Callable

from .http_connection import HttpConnection
from .http_exchange import Exchange, Limits
from .listening import listening_socket

__all__ = ["Exchange", "HttpServer", "Limits", "in_tasks"]

_log = logging.getLogger(__name__)

_RECEIVE = 64 * 1024
_KERNEL_BUFFER = 256 * 1024  # keeps what the kernel holds of one connection within the same bound as ours
_SETTLE_ROUNDS = 8
_SETTLE_MOST = 400
_PATIENCE = (0.0, 0.0, 1.0, 5.0)  # seconds of each kind of waiting in which a connection makes no room for another


class HttpServer:
    """Listens on one address and gives each request to `handler`, synchronously.

    `allow` decides by the peer's address who may connect; others are cut off at once. Where it answers
    None, nothing of that peer is read until `recheck` has asked it again.
    """

    def __init__(
        self,
        handler: Callable[[Exchange], None],
        *,
        limits: Limits | None = None,
        max_connections: int = 256,
        allow: Callable[[str], bool | None] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.address: str | None = None
        self.receive_buffer = bytearray(_RECEIVE)
        self.receive_view = memoryview(self.receive_buffer)
        self._handler = handler
        self._max_connections = max_connections
        self._allow = allow
        self._connections: set[HttpConnection] = set()
        self._undecided: set[HttpConnection] = set()
        self._server: asyncio.Server | None = None
        self._settling: set[asyncio.Handle] = set()
        self._closed = False
        self._empty: asyncio.Future[None] | None = None

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, ahead: bool = False) -> str:
        """Listen; returns "host:port" as bound. Raises OSError where that cannot be.

        `ahead` listens on an address that this machine is only about to have (Linux).
        """
        sock = listening_socket(host, port, ahead=ahead, receive_buffer=_KERNEL_BUFFER)
        try:
            server = self._server = await asyncio.get_running_loop().create_server(
                lambda: HttpConnection(self), sock=sock, start_serving=False
            )
        except BaseException:
            sock.close()
            raise
        try:
            await server.start_serving()
        except BaseException:
            # by the server and not merely the socket: the loop would go on watching its descriptor, and
            # be deaf to whatever gets that number next
            server.close()
            raise
        bound = sock.getsockname()
        self.address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"
        return self.address

    def stop_listening(self) -> None:
        """Take no further connection; those that are open go on."""
        if self._server is not None:
            self._server.close()

    async def retire(self) -> None:
        """Close each connection once its request has been answered; returns when there is none."""
        self.stop_listening()
        for connection in tuple(self._connections):
            connection.retire()
        await self._emptied()

    async def aclose(self) -> None:
        """Close the listener and cut all connections. Idempotent."""
        self.close()
        server, self._server = self._server, None
        if server is not None:
            await server.wait_closed()
        await self._emptied()

    async def _emptied(self) -> None:
        while self._connections:
            if self._empty is None:
                self._empty = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._empty)

    def close(self) -> None:
        """The same without waiting for it."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        for handle in self._settling:
            handle.cancel()
        self._settling.clear()
        for connection in tuple(self._connections):
            connection.abort()

    def settle(self, then: Callable[[], None]) -> None:
        """Call `then` once everything that has arrived by now has been read.

        That is what the kernel holds for open connections, past a reader that holds one back, and
        what comes of connections that wait to be accepted.
        """
        loop = asyncio.get_running_loop()
        watched = [connection for connection in self._connections if _unread(connection)]
        for connection in watched:
            connection.drain_left = _unread(connection)
            connection.drain(True)
        rounds = 0
        handle: asyncio.Handle

        def turn() -> None:
            nonlocal rounds, handle
            self._settling.discard(handle)
            rounds += 1
            waiting = any(one.drain_left > 0 and not one.lost for one in watched)
            if rounds < _SETTLE_ROUNDS or (waiting and rounds < _SETTLE_MOST):
                handle = loop.call_soon(turn)
                self._settling.add(handle)
                return
            for connection in watched:
                connection.drain(False)
            then()

        handle = loop.call_soon(turn)
        self._settling.add(handle)

    # what a connection asks of its server

    def accept(self, connection: HttpConnection) -> bool:
        """Take a connection, or not."""
        if self._closed:
            return False
        if len(self._connections) >= self._max_connections and not self._make_room():
            _log.warning("a connection from %s was refused: %d are open", connection.peer, len(self._connections))
            return False
        allowed = self._allow is None or self._allow(connection.peer)
        if allowed is False:
            self._refused(connection)
            return False
        self._connections.add(connection)
        if allowed is None:
            self._undecided.add(connection)
            connection.hold()
        return True

    def _make_room(self) -> bool:
        """Let go of the connection that has kept us waiting without use for longest, if there is one."""
        now = asyncio.get_running_loop().time()
        waiting = [
            (*patience, number, connection)
            for number, connection in enumerate(self._connections)
            if (patience := connection.patience) is not None and now - patience[1] >= _PATIENCE[patience[0]]
        ]
        if not waiting:
            return False
        victim = min(waiting)[-1]
        _log.info("a connection from %s that was not used made room for another", victim.peer)
        self.forget(victim)
        victim.abort()
        return True

    def recheck(self) -> None:
        """Ask `allow` again about those of whom it did not know."""
        for connection in tuple(self._undecided):
            allowed = self._allow is None or self._allow(connection.peer)
            if allowed is None:
                continue
            self._undecided.discard(connection)
            if allowed:
                connection.let_go()
            else:
                self._refused(connection)
                connection.abort()

    @staticmethod
    def _refused(connection: HttpConnection) -> None:
        _log.warning("a connection from %s was refused: not the peer this address is for", connection.peer)

    def handle(self, exchange: Exchange) -> None:
        """Give a request to the handler."""
        self._handler(exchange)

    def forget(self, connection: HttpConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._undecided.discard(connection)
        if not self._connections and self._empty is not None:
            self._empty.set_result(None)
            self._empty = None


def _unread(connection: HttpConnection) -> int:
    descriptor = connection.fileno()
    if descriptor < 0:
        return 0
    with contextlib.suppress(OSError):
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0])
    return 0


class in_tasks:  # noqa: N801 - reads as a function where it is used
    """A handler that answers each request in a task of its own, by the coroutine function `answer`.

    A task that fails is logged and its response cut or answered with 500. `aclose` cancels them.
    """

    def __init__(self, answer: Callable[[Exchange], Awaitable[None]]) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._others = 0
        self._none: asyncio.Future[None] | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Begin to answer."""
        self.run(exchange, self._answer(exchange))

    def run(self, exchange: Exchange, answering: Awaitable[None]) -> None:
        """Answer a request by this instead."""
        task = asyncio.get_running_loop().create_task(self._run(exchange, answering))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def begun(self) -> None:
        """A request is being answered without a task; to be followed by `ended`."""
        self._others += 1

    def ended(self) -> None:
        """It has been answered, or has a task from now on."""
        self._others -= 1
        if not self._others and self._none is not None:
            self._none.set_result(None)
            self._none = None

    async def _run(self, exchange: Exchange, answering: Awaitable[None]) -> None:
        try:
            await answering
        except Exception:
            _log.exception("%s %s could not be answered", exchange.method, exchange.path)
        finally:
            if not exchange.started:
                exchange.respond(500)
            elif not exchange.finished:
                exchange.abort()

    def __len__(self) -> int:
        return len(self._tasks) + self._others

    async def settled(self) -> None:
        """Wait until everything has been answered."""
        while self._tasks or self._others:
            if self._tasks:
                await asyncio.wait(tuple(self._tasks))
                continue
            if self._none is None:
                self._none = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._none)

    async def aclose(self) -> None:
        """Cancel what is still being answered, and wait for it."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
