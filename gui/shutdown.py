"""How the window closes, in stages: ask, listen no more, wait for what runs, end the instances, quit.

Each stage is visible. Closing again hurries: it answers the question with "cancel them", stops the
waiting, and at last kills.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from core.runtime import LambdaRuntime
from gui.errors import Problems
from gui.formatting import plural

if TYPE_CHECKING:
    from gui.endpoint import EndpointControl

__all__ = ["Answer", "Shutdown", "Stage"]


class Stage(StrEnum):
    """How far the closing has come."""

    OPEN = "open"
    ASKING = "asking"
    WAITING = "waiting"
    ENDING = "ending"
    CLOSED = "closed"


class Answer(StrEnum):
    """What to do with invocations that run."""

    WAIT = "wait"
    CANCEL = "cancel"
    KEEP = "keep"


Ask = Callable[[int], Awaitable[Answer]]


class Shutdown(QObject):
    """Closes one window's runtime. `closed` is set when nothing is left to wait for.

    `stage_changed(stage)` is emitted at each step. `ask(running)` puts the question to the person; it
    is also put where nothing runs but `calls()` of the endpoint are under way.
    """

    stage_changed = Signal(object)

    def __init__(
        self,
        runtime: LambdaRuntime,
        problems: Problems,
        ask: Ask,
        parent: QObject | None = None,
        *,
        endpoint: EndpointControl | None = None,
        calls: Callable[[], int] = int,
    ) -> None:
        super().__init__(parent)
        self._endpoint = endpoint
        self._calls = calls
        self._runtime = runtime
        self._problems = problems
        self._ask = ask
        self._stage = Stage.OPEN
        self._task: asyncio.Task[None] | None = None
        self._hurrying: set[asyncio.Task[object]] = set()
        self._force = asyncio.Event()
        self.closed = asyncio.Event()

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return self._stage

    def request(self, answer: Answer | None = None) -> None:
        """Close, or hurry where it closes already. With an `answer` nobody is asked."""
        match self._stage:
            case Stage.OPEN:
                if self._task is None:
                    self._task = asyncio.get_running_loop().create_task(self._close(answer), name="close the window")
            case Stage.ASKING:
                self._force.set()
            case Stage.WAITING:
                self._set(Stage.ENDING)
                if self._endpoint is not None:
                    self._endpoint.cut()
                self._hurry(self._runtime.close(drain=False))
            case Stage.ENDING:
                self._hurry(self._runtime.stop_all(force=True))
            case Stage.CLOSED:
                pass

    def progress(self) -> str:
        """What is being waited for, in words."""
        running, instances = self._runtime.running(), len(self._runtime.instances())
        match self._stage:
            case Stage.WAITING if running:
                return f"Waiting for {plural(running, 'invocation')} to end…"
            case Stage.WAITING if calls := self._calls():
                return f"Answering {plural(calls, 'call')}…"
            case Stage.WAITING | Stage.ENDING if instances:
                return f"Ending {plural(instances, 'instance')}…"
            case Stage.WAITING | Stage.ENDING:
                return "Writing the journal…"
            case _:
                return ""

    async def _close(self, answer: Answer | None) -> None:
        try:
            running = self._runtime.running() + self._calls()
            if answer is None:
                answer = await self._answer(running) if running else Answer.CANCEL
            if answer is Answer.KEEP:
                self._force.clear()
                self._set(Stage.OPEN)
                return
            self._set(Stage.WAITING if answer is Answer.WAIT and running else Stage.ENDING)
            if self._endpoint is not None:
                # what was asked before is answered while the runtime still takes work
                await self._endpoint.close(drain=answer is Answer.WAIT and bool(running))
            await self._runtime.close(drain=answer is Answer.WAIT)
            if self._endpoint is not None:
                await self._endpoint.aclose()
        except Exception as error:
            # whatever it was, the window must not stay because of it
            self._problems.report("Close", error)
            self._finish()
        else:
            self._finish()
        finally:
            self._task = None

    def _finish(self) -> None:
        self._set(Stage.CLOSED)
        self.closed.set()

    async def _answer(self, running: int) -> Answer:
        self._set(Stage.ASKING)
        asked = asyncio.ensure_future(self._ask(running))
        forced = asyncio.ensure_future(self._force.wait())
        try:
            await asyncio.wait({asked, forced}, return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else Answer.CANCEL
        finally:
            for each in (asked, forced):
                each.cancel()
            await asyncio.wait({asked, forced})

    def _hurry(self, work: Awaitable[object]) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._hurrying.add(task)
        task.add_done_callback(self._hurried)

    def _hurried(self, task: asyncio.Task[object]) -> None:
        self._hurrying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._problems.report("Close", error)

    def _set(self, stage: Stage) -> None:
        if stage is not self._stage:
            self._stage = stage
            self.stage_changed.emit(stage)
