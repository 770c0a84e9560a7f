"""The bus as server-sent events: `curl -N http://127.0.0.1:9001/_stoker/events` shows what happens as it happens.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError
from core.endpoint.event_facts import about, event_facts, event_name
from core.endpoint.pool_operations import flag
from core.endpoint.routes import Route
from core.endpoint.selection import Selection, select_by
from core.errors import FunctionNotFoundError, InvalidRequestError
from core.events import Event, EventBus, InstanceLogged
from core.names import parse_function

if TYPE_CHECKING:
    from core.endpoint.call import Call

__all__ = ["EventFeed"]

_MOST_READERS = 100
_MOST_HELD = 1024 * 1024  # bytes that wait for one reader
_BATCH = 64 * 1024
_KEEP_ALIVE = 15.0  # seconds of silence after which a comment shows that the connection stands
_STALLED = 60.0  # seconds after which a reader that takes nothing is cut off
_GREETING = b"retry: 1000\n: what happens from now on\n\n"
_COMMENT = b": nothing new\n\n"


class EventFeed:
    """Gives every event of the bus to each reader, and listens to it only while there are any.

    An event's id is its number among those that were given to anybody.
    """

    def __init__(self, events: EventBus, *, keep_alive: float = _KEEP_ALIVE, stalled: float = _STALLED) -> None:
        self._events = events
        self._keep_alive = keep_alive
        self._stalled = stalled
        self._readers: set[_Reader] = set()
        self._number = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def routes(self) -> Sequence[Route]:
        """`?function=` gives only what is about one function, `?logs=true` also what instances write."""
        return (Route("GET", "/_stoker/events", "StreamEvents", self._answer),)

    def __len__(self) -> int:
        """How many read."""
        return len(self._readers)

    def end(self) -> None:
        """Let every reader have what waits for it, and end its stream."""
        for reader in tuple(self._readers):
            reader.stop()

    def _hear(self, event: Event) -> None:
        self._number += 1
        data: bytes | None = None
        for reader in self._readers:
            if reader.wants(event):
                if data is None:
                    document = json.dumps(event_facts(event), ensure_ascii=False, separators=(",", ":"))
                    data = f"id: {self._number}\nevent: {event_name(event)}\ndata: {document}\n\n".encode(
                        "utf-8", "replace"
                    )
                reader.put(data)

    async def _answer(self, call: Call) -> None:
        logs = flag(call, "logs")
        only = _selected(call)
        headers = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-store")]
        if call.exchange.method == "HEAD":
            call.send(200, b"", headers)
            return
        if len(self._readers) >= _MOST_READERS:
            raise ApiError(429, "TooManyRequestsException", f"{_MOST_READERS} read the events already")
        reader = _Reader(only, logs)
        if not self._readers:
            self._unsubscribe = self._events.subscribe(self._hear)
        self._readers.add(reader)
        call.exchange.on_gone = reader.stop
        try:
            call.start(200, headers)
            await self._pass_on(call, reader)
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._unsubscribe()

    async def _pass_on(self, call: Call, reader: _Reader) -> None:
        exchange = call.exchange
        data: bytes | None = _GREETING
        try:
            while data is not None and not exchange.gone:
                async with asyncio.timeout(self._stalled):
                    await exchange.write(data)
                data = await reader.take(self._keep_alive)
        except TimeoutError:
            call.error = "StalledReader"
            exchange.abort()
            return
        exchange.end()


def _selected(call: Call) -> Selection | None:
    """The function that is asked for. It need not be known yet. Raises InvalidRequestError."""
    text = call.query("function")
    if text is None:
        return None
    try:
        found = select_by(call.runtime, text)
    except FunctionNotFoundError:
        target = parse_function(text)
        found = Selection(target.name, frozenset({target.qualifier or ""}))
    call.function_name = str(found)
    return found


class _Reader:
    """One reader and what waits for it. One that is too slow loses the oldest, and is told how many."""

    def __init__(self, only: Selection | None, logs: bool) -> None:
        self._only = only
        self._logs = logs
        self._waiting: deque[bytes] = deque()
        self._held = 0
        self._lost = 0
        self._stopped = False
        self._news = asyncio.Event()

    def wants(self, event: Event) -> bool:
        """Whether it asked for such an event."""
        if self._stopped or (isinstance(event, InstanceLogged) and not self._logs):
            return False
        if self._only is None:
            return True
        key = about(event)
        return key is not None and (key in self._only or _written_otherwise(key, self._only))

    def put(self, data: bytes) -> None:
        """Have it sent."""
        self._waiting.append(data)
        self._held += len(data)
        while self._held > _MOST_HELD and len(self._waiting) > 1:
            self._held -= len(self._waiting.popleft())
            self._lost += 1
        self._news.set()

    def stop(self) -> None:
        """Take nothing more; what waits can still be taken."""
        self._stopped = True
        self._news.set()

    async def take(self, patience: float) -> bytes | None:
        """What is to be sent next; a comment where nothing happens for `patience` s; None at the end."""
        if not self._waiting and not self._stopped:
            self._news.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._news.wait()
            except TimeoutError:
                return _COMMENT
        if not self._waiting:
            return None
        pieces: list[bytes] = []
        if self._lost:
            pieces.append(b'event: events_lost\ndata: {"event":"events_lost","lost_count":%d}\n\n' % self._lost)
            self._lost = 0
        size = 0
        while self._waiting and size < _BATCH:
            piece = self._waiting.popleft()
            size += len(piece)
            pieces.append(piece)
        self._held -= size
        return b"".join(pieces)


def _written_otherwise(key: str, only: Selection) -> bool:
    # a call names its function as its client did: perhaps by an ARN
    if ":" not in key:
        return False
    try:
        target = parse_function(key)
    except InvalidRequestError:
        return False
    return target.name == only.name and (only.qualifiers is None or (target.qualifier or "$LATEST") in only.qualifiers)
