"""The engine's own events, as they happen: how containers end, and that the engine is there or not."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core.backends.container.engine import OLDEST_API
from core.backends.container.labels import OWNER

if TYPE_CHECKING:
    from core.backends.container.engine import Engine

__all__ = ["EngineEvents"]

_log = logging.getLogger(__name__)


class EngineEvents:
    """Follows an engine's events about one owner's containers, on one thread, until it ends or is closed.

    `happened(action, container, attributes)` and `broken(why)` are called on the loop.
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
        self._stream: Any = None
        self._client: Any = None
        self._closed = False
        self._open = self._loop.create_future()
        self._thread = threading.Thread(target=self._follow, name=f"stoker-{engine.name}-events", daemon=True)

    async def start(self) -> None:
        """Begin; returns once the engine sends. Raises EngineError."""
        self._thread.start()
        await asyncio.shield(self._open)

    def close(self) -> None:
        """Follow no more; the thread ends by itself."""
        self._closed = True
        if self._stream is not None:
            # the read that the thread is in ends with the socket
            with suppress(Exception):
                self._stream.close()

    def _follow(self) -> None:
        from docker import APIClient

        reason = "the engine has ended its events"
        try:
            # a client of its own: this one's read never times out
            self._client = APIClient(base_url=self._engine.url, version=OLDEST_API, timeout=None)  # type: ignore[arg-type]
            self._client.trust_env = False
            filters = {"type": ["container"], "label": [f"{OWNER}={self._owner}"]}
            self._stream = self._client.events(decode=True, filters=filters)
            self._tell(self._opened, None)
            for event in self._stream:
                actor = event.get("Actor") or {}
                self._tell(
                    self._happened,
                    str(event.get("Action", "")),
                    str(actor.get("ID", "")),
                    dict(actor.get("Attributes") or {}),
                )
        except Exception as error:
            failure = self._engine.failure("tell what happens", error)
            if failure is None:
                _log.exception("the events of %s", self._engine.name)
            reason = failure.reason if failure is not None else f"{type(error).__name__}: {error}"
            self._tell(self._opened, failure or error)
        finally:
            if self._client is not None:
                with suppress(Exception):
                    self._client.close()
            if not self._closed:
                self._tell(self._broken, reason)

    def _opened(self, error: Exception | None) -> None:
        if not self._open.done():
            if error is None:
                self._open.set_result(None)
            else:
                self._open.set_exception(error)
                self._open.exception()

    def _tell(self, function: Callable[..., None], *args: object) -> None:
        # a loop that was closed meanwhile has nobody left to tell
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)
