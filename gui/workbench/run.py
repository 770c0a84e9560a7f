"""One invocation from the window: asks for it, reads it, stops it, and knows how it stands. No Qt here."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from core.errors import LambdaRuntimeError
from core.events import Event, InstanceLogged, InstancePhaseChanged, InvocationStarted
from gui.workbench.response import Response

if TYPE_CHECKING:
    from core.instances import Phase
    from core.invocation import InvocationResult, StreamingInvocation
    from core.runtime import LambdaRuntime

__all__ = ["Run", "RunState"]

_log = logging.getLogger(__name__)

# The stream may have chunks ready for ever; after this long the loop gets its turn.
_TURN = 0.004
_LOG_LINES = 2_000


class RunState(StrEnum):
    """How an invocation stands, in the words that the window shows."""

    SENDING = "sending"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STREAMING = "streaming"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "function error"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether the invocation is over."""
        return self in _FINAL

    @property
    def token(self) -> str:
        """The name of the theme's colour for it."""
        return _TOKENS[self]


_S = RunState
_FINAL = frozenset({_S.SUCCEEDED, _S.FUNCTION_ERROR, _S.CANCELLED, _S.FAILED})
_WAITING = frozenset({_S.SENDING, _S.QUEUED, _S.STARTING})
_TOKENS = {
    _S.SENDING: "busy",
    _S.QUEUED: "starting",
    _S.STARTING: "starting",
    _S.RUNNING: "busy",
    _S.STREAMING: "busy",
    _S.CANCELLING: "draining",
    _S.SUCCEEDED: "ok",
    _S.FUNCTION_ERROR: "error",
    _S.CANCELLED: "draining",
    _S.FAILED: "error",
}


class Run:
    """`drive` is the whole of it; whatever happens there ends in a final state.

    `changed` is called at the first change after `dirty` was last cleared, so a stream of any speed
    calls it once a frame.
    """

    def __init__(self, function_name: str, payload: bytes, changed: Callable[[], None]) -> None:
        self.function_name = function_name
        self.payload = payload
        self.request_id = str(uuid.uuid4())
        self.state = RunState.SENDING
        self.response = Response()
        self.result: InvocationResult | None = None
        self.error: BaseException | None = None
        self.invoked = time.monotonic()
        self.started: float | None = None
        self.ended: float | None = None
        self.instance_id: str | None = None
        self.cold_start: bool | None = None
        self.transport = ""
        """How its response comes, where it does not stream: "buffered by RIE: it cannot connect"."""
        self.position = 0
        self.phase: Phase | None = None
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.dirty = False
        self._changed = changed
        self._invocation: StreamingInvocation | None = None
        self._task: asyncio.Task[None] | None = None

    # --- what it shows

    @property
    def over(self) -> bool:
        """Whether it has its final state."""
        return self.state.final

    @property
    def base(self) -> float:
        """Where the clock of the response starts: the instance took the event (or, not known yet, Invoke)."""
        return self.started if self.started is not None else self.invoked

    @property
    def elapsed(self) -> float:
        """Seconds since Invoke, until the end."""
        return (self.ended if self.ended is not None else time.monotonic()) - self.invoked

    # --- its life

    def attach(self, task: asyncio.Task[None]) -> None:
        """The task that runs `drive`. Cancelled before its first step, it never gets there."""
        self._task = task
        task.add_done_callback(lambda _: None if self.over else self._end(RunState.CANCELLED))

    def detach(self) -> None:
        """Nobody looks any more: tell nothing, and free the bytes."""
        self._changed = _nothing
        self.response.close()

    async def drive(self, runtime: LambdaRuntime) -> None:
        """Invoke, and read to the end. Raises nothing but cancellation: what fails is kept in `error`."""
        try:
            invocation = await runtime.invoke_streaming(
                self.function_name, self.payload, request_id=self.request_id, source="window"
            )
            self._began(invocation)
            self.transport = _transport(runtime, self.function_name, invocation.instance_id)
            async with invocation:
                await self._read(invocation)
            self._finish(invocation.result)
        except asyncio.CancelledError:
            self._end(RunState.CANCELLED)
            raise
        except LambdaRuntimeError as error:
            self._fail(error)
        except Exception as error:
            _log.exception("invocation %s of %s failed in the window", self.request_id, self.function_name)
            self._fail(error)

    async def stop(self) -> None:
        """End it: leave the queue, or have the instance stopped. A second call does not wait for the instance."""
        if self.over:
            return
        task, invocation = self._task, self._invocation
        if invocation is None or self.state is RunState.CANCELLING:
            if task is not None:
                task.cancel()
        else:
            self.state = RunState.CANCELLING
            self.touch()
            self.result = await invocation.cancel()
        if task is not None:
            await asyncio.wait([task])

    def take(self, events: Sequence[Event]) -> None:
        """News from the pool."""
        for event in events:
            match event:
                case InvocationStarted(request_id=self.request_id):
                    self.started = event.at
                    self.instance_id = event.instance_id
                    self.cold_start = event.cold_start
                    self.position = 0
                    if self.state in _WAITING:
                        self.state = RunState.RUNNING
                case InstancePhaseChanged() if event.function_name == self.function_name:
                    self.phase = event.phase
                case InstanceLogged() if event.instance_id == self.instance_id and not self.over:
                    self.log.extend(event.lines)
        self.touch()

    def place(self, position: int, starting: int) -> None:
        """Its place in the line (from 1; 0 once it is served), and how many instances start just now."""
        self.position = position
        if self.state in _WAITING and position:
            self.state = RunState.STARTING if position <= starting else RunState.QUEUED

    async def _read(self, invocation: StreamingInvocation) -> None:
        clock = time.monotonic
        response = self.response
        turn = clock()
        while (chunk := await invocation.next_chunk()) is not None:
            now = clock()
            if chunk:
                response.add(chunk, now)
                if self.state is RunState.RUNNING:
                    self.state = RunState.STREAMING
                if not self.dirty:
                    self.touch()
                if response.spool.crowded:
                    await response.spool.room()
            if now - turn > _TURN:
                await asyncio.sleep(0)
                turn = clock()

    def _began(self, invocation: StreamingInvocation) -> None:
        self._invocation = invocation
        self.instance_id = invocation.instance_id
        self.cold_start = invocation.cold_start
        self.position = 0
        if self.state in _WAITING:
            self.state = RunState.RUNNING
        self.touch()

    def _finish(self, result: InvocationResult | None) -> None:
        self.result = result or self.result
        if self.result is None:
            self._fail(RuntimeError("the stream ended without a result"))
        elif self.result.cancelled:
            self._end(RunState.CANCELLED)
        elif self.result.function_error is not None:
            self._end(RunState.FUNCTION_ERROR)
        else:
            self._end(RunState.SUCCEEDED)

    def _fail(self, error: Exception) -> None:
        if self.state is RunState.CANCELLING:
            self._end(RunState.CANCELLED)
            return
        self.error = error
        self._end(RunState.FAILED)

    def _end(self, state: RunState) -> None:
        if self._invocation is not None and self.result is None:
            self.result = self._invocation.result
        self.ended = time.monotonic()
        if self.started is None and self.result is not None:
            # over before the pool's news came round
            self.started = self.invoked + self.result.queued_ms / 1000
        self.state = state
        self.touch()

    def touch(self) -> None:
        """Something is new (or left over from the frame before)."""
        if not self.dirty:
            self.dirty = True
            self._changed()


def _transport(runtime: LambdaRuntime, name: str, instance_id: str | None) -> str:
    found = next((each for each in runtime.instances(name) if each.id == instance_id), None)
    return found.details.get("transport", "") if found is not None else ""


def _nothing() -> None:
    pass
