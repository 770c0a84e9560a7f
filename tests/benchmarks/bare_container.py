"""What an engine and a runtime need by themselves: a container of Stoker's specification by the SDK's calls alone."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from typing import TYPE_CHECKING, Any

from core.backends.container.labels import Labels
from core.backends.container.network import host_address
from core.backends.container.specification import (
    Specification,
    command_of,
    environment_of,
    image_of,
    mounts_of,
    platform_of,
)
from core.emulator.requests import FunctionFacts, InvokeRequest
from core.emulator.runtime_api import RuntimeApi

if TYPE_CHECKING:
    from core.catalogue import Deploy

__all__ = ["BareContainer"]

_PATIENCE = 60.0


class BareContainer:
    """A function in containers of one engine, without pool, backend, output and exit watch."""

    def __init__(self, client: Any, deploy: Deploy) -> None:
        self._client = client
        self._deploy = deploy
        self._host = host_address(client)

    async def cold_start(self, event: bytes) -> dict[str, float]:
        """Create, start, wait for the runtime, invoke once: milliseconds of each. The container is removed."""
        function = self._deploy.function
        timeout, memory = float(function.timeout), function.memory_size
        facts = FunctionFacts(function.function_name, "$LATEST", "arn", function.handler or "", timeout, memory)
        api = RuntimeApi(facts, log=lambda lines: None)
        address = await api.start(self._host, ahead=True)
        specification = self._specification(address)
        container = ""
        try:
            async with asyncio.timeout(_PATIENCE):
                marks = [time.perf_counter()]
                container = await asyncio.to_thread(specification.create, self._client)
                marks.append(time.perf_counter())
                await asyncio.to_thread(self._client.start, container)
                marks.append(time.perf_counter())
                await api.ready()
                marks.append(time.perf_counter())
                reply = await api.invoke(InvokeRequest("first", event))
                answer = b""
                while (chunk := await reply.next_chunk()) is not None:
                    answer += chunk
                marks.append(time.perf_counter())
            if not answer:
                raise RuntimeError("the function answered nothing")
        finally:
            if container:
                await asyncio.to_thread(self._client.remove_container, container, v=True, force=True)
            await api.aclose()
        steps = [(after - before) * 1000 for before, after in itertools.pairwise(marks)]
        return dict(zip(("create", "start", "init", "rest"), steps, strict=True)) | {"total": sum(steps)}

    def _specification(self, address: str) -> Specification:
        function, code = self._deploy.function, self._deploy.code
        entrypoint, command, directory = command_of(function)
        return Specification(
            labels=Labels("benchmark", f"b-{secrets.token_hex(6)}", function.function_name, self._deploy.deploy_id),
            image=image_of(function),
            platform=platform_of(function.architecture),
            command=command,
            entrypoint=entrypoint,
            working_directory=directory,
            environment=environment_of(function, secrets.token_hex(16), address),
            mounts=mounts_of(function, code.directory if code is not None else None, None),
            memory_mb=function.memory_size,
            tmp_mb=function.ephemeral_storage,
            host="host-gateway" if self._host.startswith("127.") else self._host,
        )
