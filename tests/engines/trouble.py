"""What the tests of trouble share: functions for containers, a check that nothing is left, and an unreliable proxy."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from core.functions import LambdaFunction
from core.instances import ContainerHandle, InstanceSnapshot
from core.runtime import LambdaRuntime
from tests.core.sources import scripted_function
from tests.core.waiting import until
from tests.engines.engine import EngineUnderTest

__all__ = [
    "EngineProxy",
    "Request",
    "busy",
    "contained",
    "container_of",
    "gone",
    "nothing_left",
    "online",
    "serves",
    "steps",
    "until_removed",
]


def steps(*wanted: Sequence[object]) -> bytes:
    """The event that makes a scripted function do this."""
    return json.dumps(list(wanted)).encode()


def contained(folder: Path, name: str = "scripted", **fields: Any) -> LambdaFunction:
    """A scripted function whose interpreter is the image's."""
    function = scripted_function(folder / name, name, **fields)
    bootstrap = folder / name / f"{name}-code" / "bootstrap"
    _, _, rest = bootstrap.read_text().partition("\n")
    bootstrap.write_text(f"#!/usr/bin/python3 -IS\n{rest}")
    return function


async def online(runtime: LambdaRuntime, backend: str) -> None:
    """Wait until the backend's engine is there."""
    await until(runtime, lambda: runtime.backends()[backend].online)


async def serves(runtime: LambdaRuntime, name: str = "scripted") -> str:
    """The next invocation works; returns which instance served it."""
    result = await runtime.invoke(name, b'{"ok": 1}')
    assert (result.function_error, result.payload) == (None, b'{"ok": 1}'), result
    assert result.instance_id is not None
    return result.instance_id


async def busy(runtime: LambdaRuntime, name: str = "scripted") -> Any:
    """An invocation whose first chunk has come and whose function is asleep."""
    invocation = await runtime.invoke_streaming(name, steps(["chunk", "arrived"], ["sleep", 600]))
    assert await invocation.next_chunk() == b"arrived"
    return invocation


async def until_removed(engine: EngineUnderTest, containers: Collection[str]) -> None:
    """Wait until the engine has removed these."""
    for container in containers:
        with suppress(NotFound):
            await asyncio.to_thread(engine.client.wait, container, condition="removed")
    assert engine.containers().isdisjoint(containers)


async def gone(runtime: LambdaRuntime, instance_id: str | None) -> None:
    """Wait until the pool has no such instance."""
    await until(runtime, lambda: all(each.id != instance_id for each in runtime.instances()))


def container_of(instance: InstanceSnapshot) -> str:
    """The id of its container."""
    assert isinstance(instance.handle, ContainerHandle)
    return instance.handle.id


class _Held:
    """What this process holds."""

    def __init__(self) -> None:
        # those of a test's own `to_thread` stay with its loop
        self.threads = {each for each in threading.enumerate() if not each.name.startswith("asyncio_")}
        self.tasks = asyncio.all_tasks() - {asyncio.current_task()}
        self.descriptors = _descriptors()

    def more_than(self, before: _Held) -> dict[str, object]:
        """What has come to it."""
        found: dict[str, object] = {}
        if threads := [each.name for each in self.threads - before.threads]:
            found["threads"] = threads
        if tasks := [each.get_name() for each in self.tasks - before.tasks]:
            found["tasks"] = tasks
        if len(self.descriptors) > len(before.descriptors):
            found["descriptors"] = sorted(self.descriptors - before.descriptors)
        return found


def _descriptors() -> set[str]:
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(f"{each.name}: {each.readlink()}")
    return found


@asynccontextmanager
async def nothing_left(*engines: EngineUnderTest) -> AsyncIterator[None]:
    """At the end: no container, network or volume on the engines, no thread, task or descriptor in this process."""
    on_engines = [_on(engine) for engine in engines]
    gc.collect()
    before = _Held()
    yield
    gc.collect()
    for engine, was in zip(engines, on_engines, strict=True):
        owners = {key: value - was[key] for key, value in _on(engine).items() if value - was[key]}
        assert not owners, f"left on {engine.name}: {owners}"
    left: dict[str, object] = {}
    for _ in range(500):
        left = _Held().more_than(before)
        if not left:
            return
        # a thread that has been told to end, or a socket that has been closed, goes in a turn of its own
        await asyncio.sleep(0.01)
    raise AssertionError(f"left in this process: {left}")


def _on(engine: EngineUnderTest) -> dict[str, set[str]]:
    client: Any = engine.client
    found = {
        "networks": {each["Name"] for each in client.networks()},
        "volumes": {each["Name"] for each in client.volumes().get("Volumes") or []},
    }
    # the test's own connections are not what is asked for
    client.close()
    return found


class Request:
    """One request on its way to the engine; an action may change `head` and `body`, or let it fail."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.body = body
        self._writer = writer

    def answer(self, status: int, message: str) -> None:
        """Answer in the engine's stead, as it tells of errors."""
        body = json.dumps({"message": message}).encode()
        head = f"HTTP/1.1 {status} Trouble\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)

    def replace(self, old: bytes, new: bytes) -> None:
        """Change the body."""
        assert old in self.body, self.body
        self.body = self.body.replace(old, new)
        self.head = re.sub(rb"(?i)content-length: \d+", b"Content-Length: %d" % len(self.body), self.head)


Action = Callable[[Request], Awaitable[bool]]
"""Returns whether the request goes on to the engine."""


class EngineProxy:
    """A socket in front of an engine's own, whose requests a test may hold, change, refuse or cut off."""

    def __init__(self, socket: Path, url: str) -> None:
        self.socket = socket
        self.seen: list[str] = []
        self._engine = url.removeprefix("unix://")
        self._rules: list[tuple[re.Pattern[str], Action]] = []
        self._deaf: list[re.Pattern[str]] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = asyncio.Event()

    @property
    def url(self) -> str:
        """Where Stoker finds it."""
        return f"unix://{self.socket}"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._taken, self.socket)

    async def stop(self) -> None:
        """Listen no more, and cut everything."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.socket.unlink(missing_ok=True)
        await self.cut()

    async def cut(self) -> None:
        """Cut what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def when(self, pattern: str, action: Action) -> None:
        """Do this with each request whose method and path match, until `forget`."""
        self._rules.insert(0, (re.compile(pattern), action))

    def swallow(self, pattern: str) -> None:
        """Let these requests reach the engine, and cut the connection where the answer should come."""
        self._deaf.append(re.compile(pattern))

    def forget(self) -> None:
        """Be honest again."""
        self._rules.clear()
        self._deaf.clear()

    async def asked(self, pattern: str, times: int = 1) -> None:
        """Wait until so many such requests have come."""
        while sum(bool(re.search(pattern, each)) for each in self.seen) < times:
            self._heard.clear()
            await self._heard.wait()

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="proxy")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await self._read(reader, writer)
            if request is None:
                return
            line = request.head.split(b"\r\n", 1)[0].decode().rpartition(" ")[0]
            self.seen.append(line)
            self._heard.set()
            action = next((action for pattern, action in self._rules if pattern.search(line)), None)
            if action is None or await action(request):
                await self._pass_on(request, reader, writer, deaf=any(each.search(line) for each in self._deaf))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        if b"connection: upgrade" not in head.lower():
            # one request a connection: the next one may meet another rule
            head = re.sub(rb"(?i)connection: [^\r]*\r\n", b"", head)[:-2] + b"Connection: close\r\n\r\n"
        return Request(head, body, writer)

    async def _pass_on(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, deaf: bool
    ) -> None:
        answers, engine = await asyncio.open_unix_connection(self._engine)
        try:
            engine.write(request.head + request.body)
            if deaf:
                await answers.readuntil(b"\r\n\r\n")
                return
            # the upload of an archive, and a client that goes
            upward = asyncio.ensure_future(_copy(reader, engine))
            try:
                await _copy(answers, writer)
            finally:
                upward.cancel()
                await asyncio.gather(upward, return_exceptions=True)
        finally:
            engine.close()
            with suppress(OSError):
                await engine.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
