"""The engine's own events, as they happen: how containers end, and that the engine is there or not."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core.backends.container.engine import OLDEST_API, EngineError
from core.backends.container.labels import OWNER

if TYPE_CHECKING:
    from core.backends.container.engine import Engine

__all__ = ["EngineEvents"]

_log = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds in which an engine must have begun to tell


class EngineEvents:
    """Follows an engine's events about one owner's containers, on one thread, until it ends or is closed.

    `happened(action, container, attributes)` and `broken(why)` are called on the loop. Once it is broken,
    `ended` says why.
    """

    def __init__(
        self,
        engine: Engine,
        owner: str,
        *,
        happened: Callable[[str, str, dict[str, str]], None],
        broken: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._owner = owner
        self._happened = happened
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._mutex = threading.Lock()
        self._stream: Any = None
        self._client: Any = None
        self._closed = False
        self._open = self._loop.create_future()
        self._thread = threading.Thread(target=self._follow, name=f"stoker-{engine.name}-events", daemon=True)
        self.ended: str | None = None

    async def start(self) -> None:
        """Begin; returns once the engine sends. Raises EngineError."""
        self._thread.start()
        await asyncio.shield(self._open)

    def close(self) -> None:
        """Follow no more; the thread ends by itself, at once."""
        with self._mutex:
            self._closed = True
            self._cut()

    def _cut(self) -> None:
        """The call, or the read, that the thread is in ends with its socket."""
        if self._stream is not None:
            with suppress(Exception):
                self._stream.close()
        elif self._client is not None:
            from core.backends.container.client import sever

            sever(self._client)

    def _follow(self) -> None:
        reason = "the engine has ended its events"
        try:
            self._connect()
            for event in self._stream:
                self._take(event)
        except Exception as error:
            failure = self._engine.failure("tell what happens", error)
            if failure is None:
                _log.exception("the events of %s", self._engine.name)
                failure = EngineError(self._engine.name, "tell what happens", f"{type(error).__name__}: {error}")
            reason = failure.reason
            self._tell(self._opened, failure)
        finally:
            if self._client is not None:
                with suppress(Exception):
                    self._client.close()
            if not self._closed:
                self._tell(self._has_ended, reason)

    def _connect(self) -> None:
        from core.backends.container.client import make_client

        client: Any = make_client(self._engine.url, self._engine.tls, version=OLDEST_API, timeout=_PATIENCE)
        with self._mutex:
            # a client of its own: nobody else's call waits behind this one
            self._client = client
        if self._closed:
            raise EngineError(self._engine.name, "tell what happens", "nobody listens any more")
        filters = {"type": ["container"], "label": [f"{OWNER}={self._owner}"]}
        stream = client.events(decode=True, filters=filters)
        with self._mutex:
            self._stream = stream
            # from here on it may be silent for as long as nothing happens
            client._disable_socket_timeout(client._get_raw_response_socket(stream._response))
            if self._closed:
                self._cut()
        self._tell(self._opened, None)

    def _take(self, event: Any) -> None:
        actor = event.get("Actor") if isinstance(event, dict) else None
        if isinstance(actor, dict):
            action, container = str(event.get("Action", "")), str(actor.get("ID", ""))
            self._tell(self._happened, action, container, dict(actor.get("Attributes") or {}))

    def _opened(self, error: Exception | None) -> None:
        if not self._open.done():
            if error is None:
                self._open.set_result(None)
            else:
                self._open.set_exception(error)
                self._open.exception()

    def _has_ended(self, reason: str) -> None:
        self.ended = reason
        if not self._closed:
            self._broken(reason)

    def _tell(self, function: Callable[..., None], *args: object) -> None:
        # a loop that was closed meanwhile has nobody left to tell
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)
