"""A way to a registry that holds after so many bytes: a pull stays where it is, as long as it is looked at."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

__all__ = ["HeldRelay", "build_layers", "held_relay"]

_READ = 65_536


class HeldRelay:
    """Passes everything on to `target`, and of what comes back `let_through` bytes until `release` is called."""

    def __init__(self, target: tuple[str, int], let_through: int) -> None:
        self._target = target
        self._left = let_through
        self._open = asyncio.Event()
        self._links: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self.held = asyncio.Event()
        """Set once something waits for `release`."""
        self.port = 0

    def release(self) -> None:
        """Hold nothing any more."""
        self._open.set()

    async def link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its client's side."""
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        task.add_done_callback(self._links.discard)
        try:
            back, forth = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._ends |= {writer, forth}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, forth, counted=False))
                group.create_task(self._pass_on(back, writer, counted=True))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._ends -= {writer, forth}
            for end in (writer, forth):
                end.close()

    async def aclose(self) -> None:
        """Cut every connection."""
        self.release()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _pass_on(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, counted: bool) -> None:
        while data := await source.read(_READ):
            if counted:
                self._left -= len(data)
                if self._left < 0 and not self._open.is_set():
                    self.held.set()
                    await self._open.wait()
            to.write(data)
            await to.drain()
        with suppress(OSError):
            to.write_eof()


@asynccontextmanager
async def held_relay(target: tuple[str, int], let_through: int) -> AsyncIterator[HeldRelay]:
    """A relay on a free port of 127.0.0.1."""
    relay = HeldRelay(target, let_through)
    server = await asyncio.start_server(relay.link, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.aclose()


def build_layers(client: Any, base: str, tag: str, sizes: list[int]) -> None:
    """An image with one layer of incompressible bytes for each of `sizes` over `base`. Blocks.

    `client` is docker-py's low-level client.
    """
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        lines = [f"FROM {base}"]
        for number, size in enumerate(sizes):
            entry = tarfile.TarInfo(f"part-{number}")
            entry.size = size
            archive.addfile(entry, io.BytesIO(os.urandom(size)))
            lines.append(f"COPY part-{number} /part-{number}")
        recipe = "\n".join(lines).encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        archive.addfile(entry, io.BytesIO(recipe))
    context.seek(0)
    for said in client.build(fileobj=context, custom_context=True, tag=tag, rm=True, decode=True):
        if "error" in said:
            raise RuntimeError(f"{tag} could not be built: {said['error']}")
