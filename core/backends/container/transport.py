"""How events reach a runtime in a container: through this machine's Runtime API, or the image's own emulator.

The first streams. Whether containers of an engine can reach this machine is found out by trying, with the
first container that starts there, and remembered for as long as that engine is connected.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from core.backends.container.engine import EngineError
from core.emulator.runtime_api import InitError

if TYPE_CHECKING:
    from core.backends.container.instance import ContainerInstance

__all__ = ["BUFFERED", "HostUnreachableError", "Way", "ready_or_unreachable"]

BUFFERED = "buffered by RIE"
"""What an instance is marked with whose responses do not stream."""

_PATIENCE = 3.0  # seconds in which a connection inside one machine must have come about
_REFUSED = 1  # what bash says where it could not connect


class Way(StrEnum):
    """HOST streams through this machine's Runtime API; IMAGE is served, buffered, by the emulator in the image."""

    HOST = "host"
    IMAGE = "image"


class HostUnreachableError(Exception):
    """A container cannot connect to this machine; `reason` says how that was seen."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
            if error.timed_out and not instance.reached.is_set():
                raise HostUnreachableError(f"nothing connected to {address} within {timeout:g} s") from error
            raise
    finally:
        for task in (ready, reached, probe):
            task.cancel()
        await asyncio.gather(ready, reached, probe, return_exceptions=True)


async def _blocked(instance: ContainerInstance, address: str) -> str | None:
    """Why a shell in the container cannot connect; waits for ever where that cannot be found out."""
    host, _, port = address.rpartition(":")
    connect = ["/bin/bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"]
    try:
        async with asyncio.timeout(_PATIENCE):
            code = await instance.engine.call("run a probe", lambda client: _run(client, instance.id, connect))
    except TimeoutError:
        return f"a connection from the container to {address} gets no answer"
    except EngineError:
        code = None
    if code == _REFUSED:
        return f"a connection from the container to {address} is refused"
    # it can connect, or there is no such shell: the runtime itself shows
    await asyncio.get_running_loop().create_future()
    return None


def _run(client: Any, container: str, command: list[str]) -> int | None:
    made = client.exec_create(container, command, stdout=True, stderr=True)
    client.exec_start(made["Id"])
    code = client.exec_inspect(made["Id"]).get("ExitCode")
    return int(code) if code is not None else None
