"""The way to one engine: looked for until it answers, watched while it does, found again when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from core.backends.base import NOT_ASKED, BackendHealth
from core.backends.container.engine import Engine, EngineError, EngineFacts
from core.backends.container.network import host_address
from core.backends.container.watch import EngineEvents

if TYPE_CHECKING:
    from core.backends.container.engines import Place

__all__ = ["Connected", "Connection"]

_log = logging.getLogger(__name__)

_FIRST_RETRY = 0.5  # seconds
_LAST_RETRY = 5.0
_GLANCE = 0.5  # seconds between two looks at whether a socket has appeared, which asks nobody
_PATIENCE = 5.0  # seconds in which an engine must have said who it is
_ALIVE = 10  # seconds in which one that is slow with a call must have answered that it is there
_RETURNING = 30.0  # seconds for seeing after what ran while it was away


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
        # for as long as this connection is: a launch goes on where only the events broke off
        self._engines: dict[Place, Engine] = {}
        self._reason = NOT_ASKED
        self._looking: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
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
        """Which engine it is, or why there is none."""
        if self._now is not None:
            return BackendHealth(True, str(self._now.facts))
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
        }

    async def asked(self) -> None:
        """Wait until every place has been tried once, since the start or since the engine went."""
        await self._asked.wait()

    async def aclose(self) -> None:
        """Let the engine go, and look no more."""
        self._closed = True
        tasks = [task for task in (self._looking, self._checking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._asked.set()
        self._let_go()
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()

    async def _look(self) -> None:
        wait = _FIRST_RETRY
        while not await self._found():
            if not self._asked.is_set():
                self._asked.set()
                self._changed()
            await self._rest(wait)
            wait = min(wait * 2, _LAST_RETRY)
        self._asked.set()
        self._changed()

    async def _rest(self, seconds: float) -> None:
        """Before the next round: shorter where a socket appears, or is made anew."""
        loop = asyncio.get_running_loop()
        end, before = loop.time() + seconds, [place.made for place in self._places]
        while (left := end - loop.time()) > 0 and before == [place.made for place in self._places]:  # noqa: ASYNC110
            # no event tells of a file
            await asyncio.sleep(min(left, _GLANCE))

    async def _found(self) -> bool:
        """Try every place once."""
        reason = ""
        for place in self._places:
            if place.vacant:
                if (engine := self._engines.get(place)) is not None:
                    engine.give_up("it has gone")
                continue
            try:
                await self._enter(place)
                return True
            except EngineError as error:
                why = error.reason
            except OSError as error:
                why = error.strerror or str(error)
            except Exception as error:
                # whatever answers there is not what it should be: that must not end the looking
                _log.warning("%s at %s", self.name, place.url, exc_info=True)
                why = f"what answers there is no container engine ({type(error).__name__}: {error})"
            reason = reason or f"{why} ({place.found_by})"
            if (engine := self._engines.get(place)) is not None:
                engine.give_up(why)
        before, self._reason = self._reason, reason or self._nowhere()
        if self._asked.is_set() and before != self._reason:
            self._changed()
        return False

    def _nowhere(self) -> str:
        named = next((place for place in self._places if not place.usual), None)
        return f"nothing is at {named.url} ({named.found_by})" if named is not None else "not found"

    async def _enter(self, place: Place) -> None:
        facts, host = await self._ask(place)
        engine = self._engines.get(place)
        if engine is None:
            engine = self._engines[place] = Engine(
                self.name,
                place.url,
                place.tls,
                silent=partial(self._lost, place),
                late=partial(self._late, place),
            )
        engine.again()
        events = EngineEvents(engine, self._owner, happened=self._happened, broken=partial(self._lost, place))
        try:
            try:
                async with asyncio.timeout(_RETURNING):
                    await events.start()
                    await self._arrived(engine)
            except TimeoutError as error:
                raise EngineError(self.name, "tell what is on it", "it does not answer") from error
            if events.ended is not None:
                # in this moment: nobody would hear of a container's end
                raise EngineError(self.name, "tell what happens", events.ended)
        except BaseException:
            events.close()
            raise
        self._events, self._now = events, Connected(engine, facts, host, place)

    async def _ask(self, place: Place) -> tuple[EngineFacts, str]:
        """Who is there, by a thread of its own: those of an engine that hangs may all be waiting."""
        if place.trouble:
            raise EngineError(self.name, "be asked", place.trouble)
        engine = Engine(self.name, place.url, place.tls, threads=1, timeout=_PATIENCE)
        try:
            async with asyncio.timeout(2 * _PATIENCE):
                return await engine.facts(), await engine.call("tell its network", host_address)
        except TimeoutError as error:
            raise EngineError(self.name, "tell its version", "it does not come to an end with its answer") from error
        finally:
            engine.close()

    def _late(self, place: Place) -> None:
        """A call waits long for its answer, as it may: unless the engine answers nobody."""
        if not self._closed and (self._checking is None or self._checking.done()):
            checking = self._check(place)
            self._checking = asyncio.get_running_loop().create_task(checking, name=f"see whether {self.name} answers")

    async def _check(self, place: Place) -> None:
        asked = self._engines[place]
        other = Engine(self.name, place.url, place.tls, threads=1, timeout=_ALIVE)
        try:
            async with asyncio.timeout(2 * _ALIVE):
                await other.call("answer", lambda client: client.ping())
        except (EngineError, TimeoutError) as error:
            if isinstance(error, EngineError) and not error.unreachable:
                return
            if self._now is not None and self._now.engine is asked:
                reason = error.reason if isinstance(error, EngineError) else "it does not answer"
                self._lost(place, reason)
                # all that wait for it need not wait out their time
                asked.give_up(reason)
        finally:
            other.close()

    def _lost(self, place: Place, reason: str) -> None:
        """Its events have ended, or a call got no answer: it has gone, hangs, or starts anew."""
        if self._closed or self._now is None or self._now.engine is not self._engines.get(place):
            return
        self._reason = reason
        self._let_go()
        self._looking = None
        self._asked.clear()
        self._changed()
        self.start()

    def _let_go(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
        self._now = None
