"""How events reach a runtime in a container: through this machine's Runtime API, or the image's own emulator.

The first streams. Whether containers of an engine can reach this machine is found out by trying, with the
first container that starts there, and remembered for as long as that engine is connected.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from core.backends.container.engine import EngineError
from core.backends.container.owed import remove_container
from core.emulator.runtime_api import InitError

if TYPE_CHECKING:
    from core.backends.container.engine import Engine
    from core.backends.container.instance import ContainerInstance
    from core.backends.container.specification import Specification

__all__ = ["BUFFERED", "HostUnreachableError", "Way", "ready_or_unreachable"]

BUFFERED = "buffered by RIE"
"""What an instance is marked with whose responses do not stream."""

_PATIENCE = 3.0  # seconds in which a connection inside one machine must have come about
_REFUSED = "it cannot connect"


class Way(StrEnum):
    """HOST streams through this machine's Runtime API; IMAGE is served, buffered, by the emulator in the image."""

    HOST = "host"
    IMAGE = "image"


class HostUnreachableError(Exception):
    """A container cannot connect to this machine; `reason` says how that was seen.

    `slow` where nothing but the end of its time showed it: the runtime may only have been slow.
    """

    def __init__(self, reason: str, slow: InitError | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.slow = slow


async def ready_or_unreachable(instance: ContainerInstance, address: str, timeout: float) -> None:
    """Wait for the runtime's first `next`, and meanwhile find out whether it could ask for it at all.

    Raises HostUnreachableError, and the Runtime API's InitError.
    """
    ready = asyncio.ensure_future(instance.ready(timeout))
    reached = asyncio.ensure_future(instance.reached.wait())
    probe = asyncio.ensure_future(_blocked(instance, address))
    try:
        await asyncio.wait({ready, reached, probe}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() and not reached.done() and (reason := probe.result()) is not None:
            raise HostUnreachableError(reason)
        try:
            await ready
        except InitError as error:
            if not instance.reached.is_set():
                if error.timed_out:
                    raise HostUnreachableError(f"nothing connected to {address} within {timeout:g} s", error) from error
                # a runtime that cannot connect may end before anything else could be tried in its container
                if error.exited and (reason := await _blocked_beside(instance, address)) is not None:
                    raise HostUnreachableError(reason) from error
            raise
    finally:
        for task in (ready, reached, probe):
            task.cancel()
        await asyncio.gather(ready, reached, probe, return_exceptions=True)


async def _blocked(instance: ContainerInstance, address: str) -> str | None:
    """Why a shell in the container cannot connect; waits for ever where that cannot be found out."""
    reason = await _cannot_connect(instance.engine, instance.id, address)
    if reason is None:
        # it can connect, or there is no such shell: the runtime itself shows
        await asyncio.get_running_loop().create_future()
    return reason


async def _blocked_beside(instance: ContainerInstance, address: str) -> str | None:
    """Why a shell in another container of the same image cannot connect; None where it can, or cannot be had."""
    like = instance.specification
    if like is None:
        return None
    waits = replace(
        like, role="probe", entrypoint=("/bin/bash",), command=("-c", "exec sleep 60"), environment={}, mounts=()
    )
    starting = asyncio.ensure_future(instance.engine.call("start a probe", lambda client: _start(client, waits)))
    try:
        return await _cannot_connect(instance.engine, await asyncio.shield(starting), address)
    except EngineError:
        return None
    finally:
        await asyncio.shield(_end(instance.engine, starting, waits.name))


async def _cannot_connect(engine: Engine, container: str, address: str) -> str | None:
    """Why a shell in this container cannot; None where it can, or there is no such shell."""
    host, _, port = address.rpartition(":")
    connect = ["/bin/bash", "-c", f"(exec 3<>/dev/tcp/{host}/{port}) 2>/dev/null || echo {_REFUSED}"]
    try:
        async with asyncio.timeout(_PATIENCE):
            said = await engine.call("run a probe", lambda client: _run(client, container, connect))
    except TimeoutError:
        return f"a connection from the container to {address} gets no answer"
    except EngineError:
        return None
    return f"a connection from the container to {address} is refused" if said == _REFUSED else None


def _run(client: Any, container: str, command: list[str]) -> str:
    """What it writes: an engine may tell the exit code only a moment after the end."""
    made = client.exec_create(container, command, stdout=True, stderr=True)
    return str(client.exec_start(made["Id"]).decode("utf-8", "replace")).strip()


def _start(client: Any, specification: Specification) -> str:
    container = specification.create(client)
    client.start(container)
    return container


async def _end(engine: Engine, starting: asyncio.Future[str], name: str) -> None:
    """Remove a probe, however far it came."""
    with suppress(EngineError):
        await starting
    with suppress(EngineError):
        await engine.call("remove a container", lambda client: remove_container(client, name))
