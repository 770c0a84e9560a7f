"""The event loop of the window: asyncio on Qt's own."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, Protocol, TypeVar

from PySide6.QtCore import QSocketNotifier, Qt, QTimer
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop  # type: ignore[import-untyped]
from shiboken6 import isValid

__all__ = ["QtLoop", "make_loop"]

_FEW_CANCELLED = 100


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


_Descriptor = int | _HasFileno
_T = TypeVar("_T")


class QtLoop(QEventLoop):  # type: ignore[misc]
    """qasync's loop with timers and callbacks of its own: exact, gone when they are cancelled, and quick.

    qasync starts one coarse Qt timer for each `call_later`. Such a timer may fire a twentieth of its time
    early, so that a function's deadline of 10 s could come at 9.5 s, and stays until it is due
    after it was cancelled, so that the deadlines of thousands of quick invocations pile up. Here
    one precise timer serves the earliest of them all.

    For each `call_soon` qasync starts a Qt timer too, and ends it, which took a quarter of the loop's time
    for a warm invocation. Here those of one turn are called by one timer, in their order; those
    that they make wait for the next turn, so that Qt's own events come in between. And what is to be
    read or written is, as soon as Qt says so: qasync would switch the notifier off, wait a turn, and switch
    it on again.
    """

    def __init__(self, app: QApplication) -> None:
        self._due: list[asyncio.TimerHandle] = []
        self._cancelled = 0
        self._ready: deque[asyncio.Handle] = deque()
        self._turning = False  # whether a turn is to come
        self._turn = QTimer()
        self._turn.setInterval(0)
        self._turn.timeout.connect(self._take_turn)
        self._clock = QTimer()
        self._clock.setSingleShot(True)
        self._clock.setTimerType(Qt.TimerType.PreciseTimer)
        self._clock.timeout.connect(self._ring)
        super().__init__(app)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """As asyncio's."""
        self._check_closed()
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._turning:
            self._turn_soon()
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's. `delay` is in seconds; one of 0 or less is `call_soon`."""
        if delay <= 0:
            return self.call_soon(callback, *args, context=context)
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's."""
        self._check_closed()
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._due, handle)
        handle._scheduled = True  # type: ignore[attr-defined]
        if self._due[0] is handle:
            self._wind()
        return handle

    def run_until_complete(self, future: Awaitable[_T]) -> _T:
        """As asyncio's.

        qasync handles Qt's events once more when the loop has ended: timers then start tasks, and
        tasks take steps, outside of a running loop, and fail. Here they wait for the next run.
        """
        self._check_closed()
        task = asyncio.ensure_future(future, loop=self)

        def stop(_: object) -> None:
            self.stop()

        task.add_done_callback(stop)
        try:
            self.run_forever()
        finally:
            task.remove_done_callback(stop)
        if not task.done():
            raise RuntimeError("the loop was stopped before what it ran had ended")
        return task.result()

    def close(self) -> None:
        """Let the timers go with the loop."""
        # an application that has ended took its timers along
        if isValid(self._clock):
            self._clock.stop()
        if isValid(self._turn):
            self._turn.stop()
        self._due.clear()
        self._ready.clear()
        super().close()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """TimerHandle.cancel() calls this; the heap is swept when it holds mostly cancelled ones."""
        self._cancelled += 1
        if self._cancelled > _FEW_CANCELLED and self._cancelled * 2 > len(self._due):
            self._due = [each for each in self._due if not each.cancelled()]
            heapq.heapify(self._due)
            self._cancelled = 0
            self._wind()

    # sockets: what asyncio's transports and `add_reader` ask of their loop

    def _add_reader(self, fd: _Descriptor, callback: Callable[..., object], *args: Any) -> None:
        self._watch(self._read_notifiers, fd, QSocketNotifier.Type.Read, asyncio.Handle(callback, args, self))

    def _add_writer(self, fd: _Descriptor, callback: Callable[..., object], *args: Any) -> None:
        self._watch(self._write_notifiers, fd, QSocketNotifier.Type.Write, asyncio.Handle(callback, args, self))

    def _watch(
        self,
        notifiers: dict[_Descriptor, QSocketNotifier],
        fd: _Descriptor,
        kind: QSocketNotifier.Type,
        handle: asyncio.Handle,
    ) -> None:
        self._check_closed()
        if (existing := notifiers.pop(fd, None)) is not None:
            existing.setEnabled(False)
            existing.activated["int"].disconnect()  # type: ignore[index]
        notifier = notifiers[fd] = QSocketNotifier(fd if isinstance(fd, int) else fd.fileno(), kind)
        running = False

        def is_ready() -> None:
            nonlocal running
            if notifiers.get(fd) is not notifier or not self.is_running():
                return
            if running:
                # the callback handles events itself, and the socket is as ready as before
                notifier.setEnabled(False)
                return
            running = True
            try:
                handle._run()
            finally:
                running = False
                if notifiers.get(fd) is notifier and not notifier.isEnabled():
                    notifier.setEnabled(True)
            if self._ready:
                # what came of it need not wait until Qt comes round
                self._take_turn()

        notifier.activated["int"].connect(is_ready)  # type: ignore[index]
        notifier.setEnabled(True)

    def _take_turn(self) -> None:
        if not self.is_running():
            return
        ready = self._ready
        # Qt rings no timer inside its own ringing, but a new one it does: of a callback that handles events
        # meanwhile, as a dialog does, the others need not wait for the end
        self._turn.stop()
        self._turning = False
        count = len(ready)
        if count > 1:
            self._turn_soon()
        for _ in range(count):
            if not ready:
                break  # taken inside
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
        if not ready and self._turning and isValid(self._turn):
            self._turn.stop()
            self._turning = False

    def _turn_soon(self) -> None:
        self._turn.start()
        self._turning = True

    def _wind(self) -> None:
        if self._due:
            # rounded up: a timer that is early would find nothing due and be wound again
            self._clock.start(max(0, int((self._due[0].when() - self.time()) * 1000) + 1))
        else:
            self._clock.stop()

    def _ring(self) -> None:
        now = self.time()
        while self._due and (self._due[0].cancelled() or self._due[0].when() <= now):
            handle = heapq.heappop(self._due)
            handle._scheduled = False  # type: ignore[attr-defined]
            if handle.cancelled():
                self._cancelled = max(0, self._cancelled - 1)
            else:
                handle._run()
        self._wind()


def make_loop(app: QApplication) -> asyncio.AbstractEventLoop:
    """A loop that runs on `app`; for `asyncio.Runner(loop_factory=...)`."""
    loop: asyncio.AbstractEventLoop = QtLoop(app)
    return loop
