"""The docker SDK's client for one thread, set up as Stoker needs it.

The SDK keeps a pool of connections for every URL that it ever asked for, and leaves no way to end a call that
an engine does not answer. Here one socket's calls share one pool, and `sever` ends those that are under way.
"""

from __future__ import annotations

import socket
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from docker import APIClient
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

if TYPE_CHECKING:
    from core.backends.container.tls import Tls

__all__ = ["interrupt", "make_client", "sever"]


class _Connection(UnixHTTPConnection):
    pool: _Pool

    def connect(self) -> None:
        super().connect()
        if self.pool.severed:
            # in this moment: `sever` has not seen this socket
            self.cut()

    def cut(self) -> None:
        if isinstance(self.sock, socket.socket):
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.severed = False
        self._mutex = threading.Lock()
        self._connections: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def _new_conn(self) -> Any:
        connection = _Connection(self.base_url, self.socket_path, self.timeout)  # type: ignore[arg-type]
        connection.pool = self
        with self._mutex:
            self._connections.add(connection)
        return connection

    def sever(self) -> None:
        self.severed = True
        self.interrupt()

    def interrupt(self) -> None:
        with self._mutex:
            connections = tuple(self._connections)
        for connection in connections:
            connection.cut()


class _Adapter(UnixHTTPAdapter):
    """One pool for all URLs of a socket."""

    def __init__(self, socket_url: str, timeout: float) -> None:
        super().__init__(socket_url, timeout)  # type: ignore[arg-type]
        self.pool = _Pool("http+docker://localhost", self.socket_path, self.timeout, maxsize=self.max_pool_size)
        self.pools[self.socket_path] = self.pool

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        return self.pool


def make_client(url: str, tls: Tls | None, *, version: str, timeout: float) -> APIClient:
    """A client that asks nobody yet. Raises DockerException for an address or files that are none."""
    try:
        client: Any = APIClient(base_url=url, version=version, timeout=int(timeout), tls=tls.config() if tls else False)
    except ValueError as error:
        from docker.errors import DockerException

        raise DockerException(f"{url} is no address ({error})") from error
    # the API may be asked through proxies only where somebody says so for this engine
    client.trust_env = False
    if url.startswith(("unix://", "http+unix://")):
        adapter = _Adapter("http+unix://" + url.partition("://")[2], timeout)
        client.mount("http+docker://", adapter)
        client._custom_adapter = adapter
    made: APIClient = client
    return made


def interrupt(client: APIClient) -> None:
    """End the calls that are under way over a local socket: their threads get an OSError. Any thread may call it."""
    adapter = client.adapters.get("http+docker://")
    if isinstance(adapter, _Adapter):
        adapter.pool.interrupt()


def sever(client: APIClient) -> None:
    """End those, and all that will be made with it: nobody needs it any more."""
    adapter = client.adapters.get("http+docker://")
    if isinstance(adapter, _Adapter):
        adapter.pool.sever()
