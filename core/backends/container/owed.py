"""Containers that could not be removed when they should have been: tried again until they are gone.

An engine may be away, hang, or answer with an error just then. Whoever wanted the container gone does not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core.backends.container.engine import EngineError

if TYPE_CHECKING:
    from core.backends.container.engine import Engine

__all__ = ["Owed", "remove_container"]

_log = logging.getLogger(__name__)

_FIRST_RETRY = 1.0  # seconds
_LAST_RETRY = 30.0
_PATIENCE = 10.0  # seconds for the last attempt of all
_ENDS = 60.0  # seconds in which a removal that somebody else has begun must be over


def remove_container(client: Any, container: str) -> None:
    """Remove a container in whatever state, by its id or name; none there is success.

    Blocks, and raises what the SDK raises.
    """
    from docker.errors import APIError, NotFound

    try:
        _remove(client, container)
    except NotFound:
        return
    except APIError as error:
        with suppress(NotFound):
            if error.status_code == 409 and "already in progress" in str(error):
                # somebody else is removing it: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerDelete
                client.wait(container, timeout=_ENDS, condition="removed")
            elif "container state improper" in str(error):
                # Podman cannot stop one that ends by itself in this moment
                client.wait(container, timeout=_ENDS)
                _remove(client, container)
            else:
                raise


def _remove(client: Any, container: str) -> None:
    client.remove_container(container, v=True, force=True)


class Owed:
    """`engine` tells which engine answers now, or None."""

    def __init__(self, engine: Callable[[], Engine | None]) -> None:
        self._engine = engine
        self._containers: set[str] = set()
        self._paying: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._containers)

    def __contains__(self, container: str) -> bool:
        return container in self._containers

    def add(self, container: str) -> None:
        """This one must go."""
        self._containers.add(container)
        self.pay()

    def pay(self) -> None:
        """Try again now, in the background: the engine is there."""
        if not self._closed and self._containers and (self._paying is None or self._paying.done()):
            self._paying = asyncio.get_running_loop().create_task(self._pay(), name="remove what is owed")

    async def aclose(self) -> None:
        """Try a last time; what is left is told by the length."""
        self._closed = True
        if self._paying is not None:
            self._paying.cancel()
            await asyncio.gather(self._paying, return_exceptions=True)
        if self._containers and (engine := self._engine()) is not None:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._round(engine)
            except TimeoutError:
                _log.warning("%s does not answer: %d containers are left on it", engine.name, len(self))

    async def _pay(self) -> None:
        wait = _FIRST_RETRY
        while self._containers and (engine := self._engine()) is not None:
            await self._round(engine)
            if not self._containers:
                return
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LAST_RETRY)

    async def _round(self, engine: Engine) -> None:
        await asyncio.gather(*(self._one(engine, container) for container in tuple(self._containers)))

    async def _one(self, engine: Engine, container: str) -> None:
        try:
            await engine.call("remove a container", lambda client: remove_container(client, container))
        except EngineError as error:
            _log.warning("%s: %s", container[:12], str(error))
        else:
            self._containers.discard(container)
