"""The local endpoint as the window has it: on or off, on which port, what went wrong, and what is remembered.

The endpoint itself (and with it pydantic) is imported when it is first switched on, on a thread, so
that neither the start nor the window waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QObject, Signal

from core.errors import EndpointUnusableError
from core.settings import change_settings

if TYPE_CHECKING:
    from core.endpoint.endpoint import Endpoint
    from core.runtime import LambdaRuntime

__all__ = ["HOST", "EndpointControl", "EndpointState", "is_free"]

HOST = "127.0.0.1"
_FILE = "settings.json"
# stands for a port that is not chosen yet
_UNKNOWN = "PORT"
_Made = TypeVar("_Made")


class EndpointState(StrEnum):
    """How the endpoint stands."""

    OFF = "off"
    OPENING = "opening"
    ON = "on"
    CLOSING = "closing"


class EndpointControl(QObject):
    """Opens and closes one runtime's endpoint. `changed` is emitted after each step.

    `port` is what it listens on when it is switched on next (0: any free one), `problem` why the
    last attempt failed. Steps follow one another: who asks for one waits for the one before.
    """

    changed = Signal()

    def __init__(self, runtime: LambdaRuntime, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runtime = runtime
        self._endpoint: Endpoint | None = None
        self._state = EndpointState.OFF
        self._steps = asyncio.Lock()
        self._cut = asyncio.Event()
        self._drains: set[asyncio.Task[None]] = set()
        self._closed = False
        self.port = runtime.settings.endpoint_port
        self.problem: EndpointUnusableError | None = None

    @property
    def state(self) -> EndpointState:
        """How it stands."""
        return self._state

    @property
    def on(self) -> bool:
        """Whether it answers."""
        return self._state is EndpointState.ON

    @property
    def address(self) -> str | None:
        """ "host:port" while it is on."""
        return self._endpoint.address if self.on and self._endpoint is not None else None

    @property
    def url(self) -> str:
        """As a client takes it; where it is off, as it would be."""
        return f"http://{self.address or f'{HOST}:{self.port or _UNKNOWN}'}"

    async def open(self, port: int | None = None) -> str:
        """Listen on `port` (None: the remembered one); returns the address. On that port already, it stays.

        Where it is open elsewhere it moves; if it cannot, it goes back and stays where it was.
        Raises EndpointUnusableError, which is also kept in `problem`.
        """
        async with self._steps:
            wanted = self.port if port is None else port
            if self._closed:
                raise EndpointUnusableError(f"{HOST}:{wanted}", "Stoker is closing")
            before = self.address
            if before is not None and wanted == _port_of(before):
                return before
            endpoint = self._endpoint or await self._make()
            if before is not None:
                await endpoint.close()
            self._set(EndpointState.OPENING, None)
            try:
                address = await endpoint.open(HOST, wanted)
            except EndpointUnusableError as error:
                await self._go_back(endpoint, before, error)
                raise
            except BaseException:
                self._set(EndpointState.OFF, None)
                raise
            self.port = wanted
            self._set(EndpointState.ON, None)
            return address

    async def close(self, *, drain: bool = False) -> None:
        """Listen no more; with `drain` answer what was asked before. A `cut` ends the waiting."""
        async with self._steps:
            endpoint = self._endpoint
            if endpoint is None or self._state is EndpointState.OFF:
                self._set(EndpointState.OFF, None)
                return
            if drain:
                self._set(EndpointState.CLOSING, None)
                await self._drain(endpoint)
            await endpoint.close()
            self._set(EndpointState.OFF, None)

    def cut(self) -> None:
        """Wait no longer for what is still being answered."""
        self._cut.set()

    async def aclose(self) -> None:
        """Close it for good, once the runtime is closed. Idempotent."""
        self._closed = True
        self.cut()
        await self.close()
        if self._endpoint is not None:
            await self._endpoint.aclose()
        await asyncio.gather(*self._drains, return_exceptions=True)

    async def remember(self, *, port: bool = False) -> None:
        """Keep for the next start whether it is on, and with `port` on which one. Written on a thread.

        Raises HomeUnusableError and InvalidSettingError.
        """
        path = self._runtime.home / _FILE
        kept: dict[str, object] = {"endpoint_on": self.on}
        if port:
            kept["endpoint_port"] = self.port

        async with self._steps:
            await _on_a_thread(lambda: change_settings(path, **kept))

    async def _make(self) -> Endpoint:
        self._set(EndpointState.OPENING, None)
        try:
            kind = await _on_a_thread(_import)
        except BaseException:
            self._set(EndpointState.OFF, None)
            raise
        self._endpoint = kind(self._runtime)
        return self._endpoint

    async def _go_back(self, endpoint: Endpoint, before: str | None, error: EndpointUnusableError) -> None:
        if before is not None:
            try:
                await endpoint.open(HOST, _port_of(before))
            except EndpointUnusableError as worse:
                error = worse
            else:
                self._set(EndpointState.ON, error)
                return
        self._set(EndpointState.OFF, error)

    async def _drain(self, endpoint: Endpoint) -> None:
        self._cut.clear()
        drain = asyncio.get_running_loop().create_task(endpoint.close(drain=True), name="drain the endpoint")
        # past a cut it still waits for functions that run to their end
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)
        cut = asyncio.ensure_future(self._cut.wait())
        try:
            await asyncio.wait({drain, cut}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cut.cancel()

    def _set(self, state: EndpointState, problem: EndpointUnusableError | None) -> None:
        self._state, self.problem = state, problem
        self.changed.emit()


def is_free(port: int) -> bool:
    """Whether something could listen on that port of this machine, as far as can be told without listening."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
            sock.listen(1)
        except (OSError, OverflowError):
            return False
        return True


def _import() -> type[Endpoint]:
    from core.endpoint.endpoint import Endpoint

    return Endpoint


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def _on_a_thread(call: Callable[[], _Made]) -> _Made:
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stoker-endpoint")
    try:
        return await asyncio.wrap_future(thread.submit(call))
    finally:
        thread.shutdown(wait=False)
