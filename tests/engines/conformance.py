"""What the conformance suite's tests share: one backend behind a real facade, and functions that suit it.

Its tests know no backend: they say what must hold, and run on processes, on Docker and on Podman.
"""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.events import Event
from core.functions import LambdaFunction
from core.instances import ContainerHandle, InstanceSnapshot, ProcessHandle
from core.invocation import InvocationResult, StreamingInvocation
from core.runtime import LambdaRuntime
from tests.core.backends.support import alive, eventually
from tests.core.sources import python_function, scripted_function
from tests.core.waiting import until
from tests.engines.engine import ENGINES, EngineUnderTest
from tests.engines.gate_service import GateService, gate_service

__all__ = [
    "BACKENDS",
    "ECHO_RUNTIME",
    "BackendUnderTest",
    "Bench",
    "in_containers",
    "in_processes",
    "limits",
    "listening",
    "steps",
]

BACKENDS = ("process", *ENGINES)

in_containers = pytest.mark.parametrize("backend", ENGINES, indirect=True)
"""For what has a meaning in containers only."""

ECHO_RUNTIME = """
import http.client, os
while True:
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    event = api.getresponse()
    request, body = event.headers["Lambda-Runtime-Aws-Request-Id"], event.read()
    api.request("POST", f"/2018-06-01/runtime/invocation/{request}/response", body)
    api.getresponse().read()
"""
"""A runtime in Python that answers with the event, for images."""

in_processes = pytest.mark.parametrize("backend", ["process"], indirect=True)
"""For what has a meaning in processes only."""


def steps(*wanted: Sequence[object]) -> bytes:
    """The event that makes a scripted function do this."""
    return json.dumps(list(wanted)).encode()


def listening() -> set[tuple[str, int]]:
    """The addresses at which this process listens."""
    found = psutil.Process().net_connections("inet")
    return {(each.laddr.ip, each.laddr.port) for each in found if each.status == psutil.CONN_LISTEN}


@dataclass
class Bench:
    """A Stoker in a home of its own whose functions run on one backend."""

    backend: str
    engine: EngineUnderTest | None  # None for processes
    runtime: LambdaRuntime
    folder: Path
    gate: GateService
    events: list[Event]

    @property
    def contained(self) -> bool:
        """Whether its instances are containers."""
        return self.engine is not None

    async def scripted(self, name: str = "scripted", **fields: Any) -> LambdaFunction:
        """Add a custom runtime that does what its event lists; it finds the gate's URL in GATE_URL."""
        function = scripted_function(
            self._new_folder(), name, python="/usr/bin/python3" if self.contained else None, **self._with_gate(fields)
        )
        return await self.runtime.add_function(function)

    async def python(self, source: str, name: str = "python", **fields: Any) -> LambdaFunction:
        """Add a Python function on AWS's own client; it finds the gate's URL in GATE_URL."""
        if self.contained:
            fields = {"runtime": "python3.11", **fields}
        function = python_function(self._new_folder(), source, name, **self._with_gate(fields))
        return await self.runtime.add_function(function)

    def _with_gate(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "environment": {"GATE_URL": self.gate.url, **fields.get("environment", {})}}

    def _new_folder(self) -> Path:
        made = self.folder / f"functions-{len(list(self.folder.iterdir()))}"
        made.mkdir()
        return made

    def wait_at(self, path: str = "") -> list[str]:
        """The step that waits at the gate."""
        return ["ask", "GATE_URL", path]

    async def started(self, *more: Sequence[object], name: str = "scripted") -> StreamingInvocation:
        """An invocation whose first chunk has arrived and whose function waits at the gate."""
        event = steps(["chunk", "arrived"], self.wait_at(), *more)
        invocation = await self.runtime.invoke_streaming(name, event)
        assert await invocation.next_chunk() == b"arrived"
        return invocation

    async def serves(self, name: str = "scripted") -> str:
        """The next invocation works; returns which instance served it."""
        result = await self.runtime.invoke(name, b'{"ok": 1}')
        assert (result.function_error, result.payload) == (None, b'{"ok": 1}')
        assert result.instance_id is not None
        return result.instance_id

    async def gone(self, instance_id: str | None) -> None:
        """Wait until the pool has no such instance."""
        await until(self.runtime, lambda: all(each.id != instance_id for each in self.runtime.instances()))

    def told(self, kind: type[Event]) -> list[Any]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def exists(self, instance: InstanceSnapshot) -> bool:
        """Whether anything of the instance is there, as the system and not the pool tells it."""
        match instance.handle:
            case ProcessHandle(pid=pid):
                return alive(pid)
            case ContainerHandle(id=container):
                assert self.engine is not None
                return container in self.engine.containers(self.runtime.owner_id)
            case _:
                return False

    async def vanished(self, instance: InstanceSnapshot) -> None:
        """Wait until nothing is there of one that ended by itself: the pool lets it go at once, before that."""
        await eventually(lambda: not self.exists(instance))

    def inspect(self, instance: InstanceSnapshot) -> dict[str, Any]:
        """What the engine knows of an instance's container."""
        assert self.engine is not None
        assert isinstance(instance.handle, ContainerHandle)
        return self.engine.inspect(instance.handle.id)

    def runtime_api(self, instance: InstanceSnapshot) -> str | None:
        """Where a container's runtime finds its Runtime API; None where its image brings its own."""
        return self.variables(instance).get("AWS_LAMBDA_RUNTIME_API")

    def variables(self, instance: InstanceSnapshot) -> dict[str, str]:
        """The environment of an instance's container, as the engine knows it."""
        return dict(each.split("=", 1) for each in self.inspect(instance)["Config"]["Env"])

    def kill(self, instance: InstanceSnapshot) -> None:
        """End an instance from outside, behind Stoker's back."""
        match instance.handle:
            case ProcessHandle(pid=pid):
                psutil.Process(pid).kill()
            case ContainerHandle(id=container):
                assert self.engine is not None
                self.engine.client.kill(container)

    def result(self, invocation: StreamingInvocation) -> InvocationResult:
        """Of one that has ended."""
        assert invocation.result is not None
        return invocation.result


class BackendUnderTest:
    """One backend; `open` gives a bench on it, and sees to it that nothing is left."""

    def __init__(self, name: str, engine: EngineUnderTest | None, folder: Path) -> None:
        self.name = name
        self.engine = engine
        self._folder = folder

    def rest(self) -> None:
        """Let the connections go by which the test itself looks at the engine; the next look makes new ones."""
        if self.engine is not None:
            self.engine.client.close()

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Bench]:
        """A bench whose Stoker has these settings."""
        async with gate_service() as gate:
            tasks, ports = asyncio.all_tasks(), listening()
            home = self._folder / "home"
            async with LambdaRuntime.open(home=home, default_backend=self.name, **settings) as runtime:
                await until(runtime, lambda: runtime.backends()[self.name].online)
                events: list[Event] = []
                runtime.events.subscribe(events.append)
                yield Bench(self.name, self.engine, runtime, self._folder, gate, events)
            assert list((home / "instances").rglob("*")) == []
            if self.engine is not None:
                assert self.engine.containers(runtime.owner_id) == set()
            # what a function that was ended still had open at the gate is no leftover of Stoker's
            await gate.aclose()
            # a fixture is taken down by another task than the one that set it up
            own = {asyncio.current_task()}
            assert {task.get_name() for task in asyncio.all_tasks() - tasks - own} == set()
            assert listening() - ports == set()
        for thread in threading.enumerate():
            if thread.name.startswith(("stoker-docker", "stoker-podman")):
                # it was told to end: what it was at may take a moment
                thread.join(10)
                assert not thread.is_alive(), f"a thread is left: {thread.name}"
        gc.collect()


def limits() -> list[Any]:
    """For containers of a test's own: Podman gives others more than every machine lets it."""
    from docker.types import Ulimit

    return [Ulimit(name="nofile", soft=1024, hard=1024), Ulimit(name="nproc", soft=1024, hard=1024)]
