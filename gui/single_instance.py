"""One window a home: a second start raises the first one's.

The first listens on a socket in the user's private runtime directory, named after the home. Who
owns the home is decided by the home's lock alone; the socket only carries the wish to be seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from core.errors import HomeUnusableError
from core.owners import runtime_directory

__all__ = ["WindowSocket", "raise_first", "socket_path"]

_log = logging.getLogger(__name__)
_RAISE = b"raise\n"
_RAISED = b"raised\n"
_PATIENCE = 2.0


def socket_path(home: Path) -> Path:
    """Where the window of this home listens. Raises HomeUnusableError."""
    digest = hashlib.sha256(str(home.expanduser().resolve()).encode()).hexdigest()[:16]
    return runtime_directory() / f"window-{digest}.sock"


def raise_first(home: Path) -> bool:
    """Ask the window that works in `home`, if there is one, to come to the front. Blocks for at most 2 s."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(_PATIENCE)
            peer.connect(str(socket_path(home)))
            peer.sendall(_RAISE)
            return peer.recv(len(_RAISED)) == _RAISED
    except (OSError, HomeUnusableError):
        # nobody listens, or what listened was killed and left its socket
        return False


class WindowSocket:
    """Listens for later starts in the same home. Only whoever holds the home's lock may open one."""

    def __init__(self, home: Path, raise_window: Callable[[], None]) -> None:
        self._home = home
        self._raise = raise_window
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def open(self) -> None:
        """Begin to listen. What an earlier Stoker left there is replaced.

        A machine where that is impossible (a path too long) is no reason not to start.
        """
        try:
            path = socket_path(self._home)
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, path=str(path))
        except (OSError, HomeUnusableError) as error:
            _log.info("a second start will not raise this window: %s", error)
            return
        self._path = path

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._path = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                if await reader.readline() == _RAISE:
                    self._raise()
                    writer.write(_RAISED)
                    await writer.drain()
        except (OSError, TimeoutError, ValueError):
            _log.debug("a second start went away", exc_info=True)
        finally:
            writer.close()
