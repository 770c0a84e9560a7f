"""What the process backend's tests share: archives from texts, a launch that records, process look-ups."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.archives import Archive
from core.backends.base import Launch
from core.emulator.runtime_api import InvokeOutcome, InvokeRequest, RuntimeApi
from core.instances import InstanceExit

_numbers = itertools.count(1)


def archive(directory: Path, files: Mapping[str, str | bytes]) -> Archive:
    """An archive whose unpacked directory holds `files`; a file named `bootstrap` is executable."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o755 if path.name == "bootstrap" or path.parent.name == "bin" else 0o644)
    directory.mkdir(parents=True, exist_ok=True)
    return Archive(digest=directory.name, path=directory / "none.zip", directory=directory, size=0, unpacked_size=0)


@dataclass
class Recorder:
    """A launch that keeps what it is told."""

    phases: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    exits: list[InstanceExit] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    on_phase: Callable[[str], None] = lambda _: None

    def launch(self, owner: str, init_timeout: float = 10.0) -> Launch:
        return Launch(
            instance_id=f"i-{next(_numbers):08x}",
            owner_id=owner,
            init_timeout=init_timeout,
            phase=self._phase,
            log=self._log,
            exited=self._exited,
            note=self.notes.__setitem__,
        )

    def _phase(self, name: str) -> None:
        self.phases.append(name)
        self.on_phase(name)

    def _log(self, lines: Sequence[str]) -> None:
        self.lines.extend(lines)

    def _exited(self, exit_: InstanceExit) -> None:
        self.exits.append(exit_)
        self.exited.set()


@dataclass
class Answer:
    """A reply that was read to its end."""

    payload: bytes
    chunks: list[bytes]
    headers: dict[str, str]
    streaming: bool
    outcome: InvokeOutcome


async def invoke(api: RuntimeApi, payload: bytes = b"{}", *, timeout: float | None = None, **more: str) -> Answer:
    request = InvokeRequest(request_id=f"request-{next(_numbers)}", payload=payload, timeout=timeout, **more)
    reply = await api.invoke(request)
    chunks = []
    while (chunk := await reply.next_chunk()) is not None:
        chunks.append(chunk)
    assert reply.outcome is not None
    headers = {name.lower(): value for name, value in reply.headers}
    return Answer(b"".join(chunks), chunks, headers, reply.streaming, reply.outcome)


def alive(pid: int) -> bool:
    """Whether this process lives (a zombie does not)."""
    try:
        data = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return data[data.rfind(")") + 2] not in "ZX"


def with_environment(text: str) -> list[int]:
    """Living processes that have `text` in their environment."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in Path(entry.path, "environ").read_bytes() and alive(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def eventually(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for what another process does; there is no event for it here."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
