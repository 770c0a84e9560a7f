"""A runtime whose streams the test writes: for order, speed and failures that no real function can be told to have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import cast

from core.events import EventBus, InvocationStarted
from core.instances import InstanceSnapshot
from core.invocation import InvocationResult, StreamingInvocation
from core.journal import SavedEvent
from core.runtime import LambdaRuntime

Chunks = Callable[[], AsyncIterator[bytes]]


class Script:
    """One invocation's stream: what `chunks` yields, then `result`; what it raises is raised to the reader."""

    def __init__(self, chunks: Chunks, request_id: str, function_name: str, result: InvocationResult) -> None:
        self.request_id = request_id
        self.function_name = function_name
        self.instance_id = "i-0001"
        self.cold = False
        self.content_type = "text/plain"
        self.streaming = True
        self.whole: bytes | None = None
        self.result: InvocationResult | None = None
        self.cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._final = result
        self._chunks = chunks()

    async def next_chunk(self) -> bytes | None:
        if self.result is not None:
            return None
        following: asyncio.Future[bytes | None] = asyncio.ensure_future(anext(self._chunks, None))
        try:
            futures: list[asyncio.Future[object]] = [following, self.cancelled]  # type: ignore[list-item]
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            chunk = following.result() if following.done() else None
        finally:
            following.cancel()
        if chunk is None and self.result is None:
            self.result = self._final
        return chunk

    def _stop(self) -> None:
        if not self.cancelled.done():
            self.cancelled.set_result(None)

    def take_whole(self) -> None:
        raise AssertionError("a script has no whole response")

    async def cancel(self) -> InvocationResult:
        self.result = self.result or replace(self._final, cancelled=True)
        self._stop()
        return self.result

    async def discard(self) -> InvocationResult:
        raise AssertionError("the window discards nothing")

    def abandon(self) -> None:
        self._stop()


class Quick(Script):
    """A stream that never waits: chunks are there as fast as they are taken."""

    async def next_chunk(self) -> bytes | None:
        if self.result is not None:
            return None
        chunk = await anext(self._chunks, None)
        if chunk is None:
            self.result = self._final
        return chunk


class ScriptedRuntime:
    """As much of `LambdaRuntime` as the workbench calls."""

    def __init__(self) -> None:
        self.events = EventBus()
        self.saved: dict[str, str] = {}
        self.asked: list[bytes] = []
        self.scripts: list[Script] = []
        self.places: dict[str, int] = {}
        self.kind: type[Script] = Script
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: Exception | None = None
        self.result = InvocationResult(request_id="", function_name="")
        self.chunks: Chunks = _nothing

    def as_runtime(self) -> LambdaRuntime:
        return cast("LambdaRuntime", self)

    async def invoke_streaming(self, name: str, payload: bytes, *, request_id: str, source: str) -> StreamingInvocation:
        assert source == "window"
        self.asked.append(payload)
        asked = time.monotonic()
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.events.publish(
            InvocationStarted(
                request_id=request_id,
                function_name=name,
                instance_id="i-0001",
                cold_start=False,
                waited=time.monotonic() - asked,
                source=source,
            )
        )
        result = replace(self.result, request_id=request_id, function_name=name)
        script = self.kind(self.chunks, request_id, name, result)
        self.scripts.append(script)
        return StreamingInvocation(script)

    def instances(self, name: str | None = None) -> list[InstanceSnapshot]:
        return []

    def position(self, request_id: str) -> int:
        return self.places.get(request_id, 0)

    async def saved_events(self, name: str) -> list[SavedEvent]:
        return [SavedEvent(name, title, payload, 0.0) for title, payload in sorted(self.saved.items())]

    async def save_event(self, name: str, title: str, payload: str) -> None:
        self.saved[title] = payload

    async def delete_event(self, name: str, title: str) -> None:
        self.saved.pop(title, None)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
