"""Instances behind a socket: the same facade, with the standalone emulator as the other end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.backends.base import LambdaBackend
from core.errors import InvocationFailedError
from core.instances import ContainerHandle, InstanceState, WarmInstance
from core.runtime import LambdaRuntime
from tests.core.sources import Gate, scripted_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.archives import Archive
    from core.functions import LambdaFunction
    from core.instances import BackendHandle

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Standalone(LambdaBackend):
    """Each instance is a `python -m core.emulator` of its own; the first few endpoints lead nowhere."""

    name = "standalone"

    def __init__(self, dead: int = 0) -> None:
        self.dead = dead
        self.launches = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def launch(
        self, function: LambdaFunction, code_zip: Archive | None, layers: Sequence[Archive], deploy_id: str
    ) -> WarmInstance:
        self.launches += 1
        port = free_port()
        endpoint = f"http://127.0.0.1:{port}"
        if self.launches <= self.dead:
            return WarmInstance(endpoint, ContainerHandle(str(port)))
        assert code_zip is not None
        address = f"127.0.0.1:{port}"
        self._processes[str(port)] = subprocess.Popen(
            [
                *(sys.executable, "-m", "core.emulator", "--runtime-interface-emulator-address", address),
                *("--runtime-api-address", "127.0.0.1:0", str(code_zip.directory / "bootstrap")),
            ],
            cwd=ROOT,
            env={**os.environ, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return WarmInstance(endpoint, ContainerHandle(str(port)))

    async def terminate(self, handle: BackendHandle) -> None:
        assert isinstance(handle, ContainerHandle)
        process = self._processes.pop(handle.id, None)
        if process is not None:
            process.terminate()
            process.wait(10)


def steps(*wanted: Sequence[object]) -> bytes:
    return json.dumps(list(wanted)).encode()


async def test_a_stream_crosses_a_socket_chunk_by_chunk(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, backends=[Standalone()]) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        event = steps(["chunk", "first"], gate.step, ["chunk", "second"])
        async with await runtime.invoke_streaming("scripted", event) as invocation:
            assert await invocation.next_chunk() == b"first"
            gate.open()
            assert await invocation.next_chunk() == b"second"
            assert await invocation.next_chunk() is None
        assert invocation.result is not None
        assert invocation.result.function_error is None
        (instance,) = runtime.instances()
        assert (instance.backend, instance.state) == ("standalone", InstanceState.IDLE)


async def test_a_reader_that_waits_is_woken_by_a_cancel(home: Path, tmp_path: Path, gate: Gate) -> None:
    async with LambdaRuntime.open(home=home, backends=[Standalone()]) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        invocation = await runtime.invoke_streaming("scripted", steps(["chunk", "first"], gate.step))
        assert await invocation.next_chunk() == b"first"
        reader = asyncio.create_task(invocation.next_chunk())
        await asyncio.sleep(0)
        assert (await invocation.cancel()).cancelled
        assert await reader is None
        assert (await runtime.invoke("scripted", b'{"next": 1}')).payload == b'{"next": 1}'


async def test_an_error_known_before_the_first_byte_is_a_result(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home=home, backends=[Standalone()]) as runtime:
        await runtime.add_function(scripted_function(tmp_path, timeout=1))
        function = runtime.function("scripted")
        assert function.code is not None
        (function.code / "bootstrap").write_text("#!/bin/sh\nexit 3\n")
        await runtime.refresh_code("scripted")
        result = await runtime.invoke("scripted")
        assert result.function_error == "Unhandled"
        assert result.error_type == "Runtime.ExitError"


async def test_another_instance_is_asked_where_no_byte_was_sent_to_the_first(home: Path, tmp_path: Path) -> None:
    backend = Standalone(dead=1)
    async with LambdaRuntime.open(home=home, backends=[backend]) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        result = await runtime.invoke("scripted", b'{"n": 1}')
        assert result.payload == b'{"n": 1}'
        assert backend.launches == 2
        assert len(runtime.instances()) == 1
        assert runtime.instances()[0].served == 1


async def test_two_instances_that_cannot_be_reached_are_a_failure_that_says_so(home: Path, tmp_path: Path) -> None:
    backend = Standalone(dead=5)
    async with LambdaRuntime.open(home=home, backends=[backend]) as runtime:
        await runtime.add_function(scripted_function(tmp_path))
        with pytest.raises(InvocationFailedError, match="cannot be reached"):
            await runtime.invoke("scripted")
        assert backend.launches == 2
        assert runtime.running() == 0
