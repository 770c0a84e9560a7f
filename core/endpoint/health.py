"""`GET /_stoker/health`: whether this Stoker can serve, and with what. 200 if it can, 503 if not."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from core.endpoint.facts import STATES
from core.endpoint.routes import Route

if TYPE_CHECKING:
    from core.endpoint.call import Call

__all__ = ["Health", "version"]


def version() -> str:
    """The installed distribution's version; "checkout" where it runs from its sources."""
    try:
        return metadata.version("stoker")
    except metadata.PackageNotFoundError:
        return "checkout"


class Health:
    """Answers for one endpoint. `closing` tells that it takes no more work, `connections` how many are open."""

    def __init__(self, closing: Callable[[], bool], connections: Callable[[], int]) -> None:
        self._closing = closing
        self._connections = connections
        self._started = time.monotonic()
        self._version = version()

    @property
    def routes(self) -> Sequence[Route]:
        """Its one route."""
        return (Route("GET", "/_stoker/health", "GetHealth", self._answer),)

    async def _answer(self, call: Call) -> None:
        runtime = call.runtime
        default, backends = runtime.default_backend(), runtime.backends()
        states = Counter(instance.state for instance in runtime.instances())
        status = "ok" if backends[default].online else "backend_offline"
        if self._closing():
            status = "closing"
        document = {
            "status": status,
            "version": self._version,
            "home": str(runtime.home),
            "owner_id": runtime.owner_id,
            "process_id": os.getpid(),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "default_backend": default,
            "backends": {name: {"online": each.online, "detail": each.detail} for name, each in backends.items()},
            "endpoint": {"url": call.url, "connection_count": self._connections()},
            "queue": {
                "waiting_count": runtime.waiting(),
                "running_count": runtime.running(),
                "event_count": len(runtime.event_queue),
            },
            "instances": {state.value: states[state] for state in STATES},
            "function_count": len(runtime.functions()),
        }
        call.reply(document, 200 if status == "ok" else 503, [("cache-control", "no-store")])
