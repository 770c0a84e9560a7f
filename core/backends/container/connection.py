"""The way to one engine: looked for until it answers, watched while it does, found again when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.backends.base import BackendHealth
from core.backends.container.engine import Engine, EngineError, EngineFacts
from core.backends.container.network import host_address
from core.backends.container.watch import EngineEvents

if TYPE_CHECKING:
    from core.backends.container.engines import Place

__all__ = ["Connected", "Connection"]

_log = logging.getLogger(__name__)

_FIRST_RETRY = 0.5  # seconds
_LAST_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class Connected:
    """An engine that answers. `host` is the address by which its containers reach this machine."""

    engine: Engine
    facts: EngineFacts
    host: str
    place: Place


class Connection:
    """`changed` is called when it comes or goes; `arrived` is awaited before it counts as there.

    `happened(action, container, attributes)` gets the engine's events about this owner's containers.
    """

    def __init__(
        self,
        name: str,
        places: Sequence[Place],
        owner: str,
        *,
        changed: Callable[[], None],
        arrived: Callable[[Engine], Awaitable[None]],
        happened: Callable[[str, str, dict[str, str]], None],
    ) -> None:
        self.name = name
        self._places = tuple(places)
        self._owner = owner
        self._changed = changed
        self._arrived = arrived
        self._happened = happened
        self._now: Connected | None = None
        self._events: EngineEvents | None = None
        self._reason = "not asked yet"
        self._looking: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._closed = False

    def start(self) -> None:
        """Begin to look for the engine; does not wait for it."""
        if self._looking is None and not self._closed:
            self._looking = asyncio.get_running_loop().create_task(self._look(), name=f"connect {self.name}")

    @property
    def now(self) -> Connected | None:
        """The engine, while it answers."""
        return self._now

    @property
    def health(self) -> BackendHealth:
        """The engine's version, or why there is none."""
        if self._now is not None:
            return BackendHealth(True, self._now.facts.version)
        return BackendHealth(False, self._reason)

    def told(self) -> dict[str, str]:
        """Where it was found and what it says of itself; where it is offline, where it was looked for."""
        now = self._now
        if now is None:
            named = [f"{place.url} ({place.found_by})" for place in self._places if not place.usual]
            usual = sum(place.usual for place in self._places)
            if usual:
                named.append(f"{usual} usual sockets")
            return {"looked for at": "\n".join(named) or "nowhere"}
        return {
            "address": now.place.url,
            "found by": now.place.found_by,
            "API": now.facts.api_version,
            "architecture": now.facts.architecture,
        }

    async def asked(self) -> None:
        """Wait until every place has been tried once."""
        await self._asked.wait()

    async def aclose(self) -> None:
        """Let the engine go, and look no more."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self._let_go()

    async def _look(self) -> None:
        wait = _FIRST_RETRY
        while not await self._found():
            if not self._asked.is_set():
                self._asked.set()
                self._changed()
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LAST_RETRY)
        self._asked.set()
        self._changed()

    async def _found(self) -> bool:
        """Try every place once."""
        reason = ""
        for place in self._places:
            if place.vacant:
                continue
            engine = Engine(self.name, place.url)
            try:
                await self._enter(engine, place)
            except (EngineError, OSError) as error:
                engine.close()
                reason = reason or f"{error.reason if isinstance(error, EngineError) else error} ({place.found_by})"
            except BaseException:
                engine.close()
                raise
            else:
                return True
        before, self._reason = self._reason, reason or "not found"
        if self._asked.is_set() and before != self._reason:
            self._changed()
        return False

    async def _enter(self, engine: Engine, place: Place) -> None:
        facts = await engine.facts()
        host = await engine.call("tell its network", host_address)
        events = EngineEvents(
            engine, self._owner, happened=self._happened, broken=lambda reason: self._lost(engine, reason)
        )
        try:
            await events.start()
            await self._arrived(engine)
        except BaseException:
            events.close()
            raise
        self._events, self._now = events, Connected(engine, facts, host, place)

    def _lost(self, engine: Engine, reason: str) -> None:
        """The engine's events have ended: it has gone, or starts anew."""
        if self._closed or self._now is None or self._now.engine is not engine:
            return
        self._reason = reason
        self._let_go()
        self._looking = None
        self._changed()
        self.start()

    def _let_go(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._now is not None:
            self._now.engine.close()
            self._now = None
