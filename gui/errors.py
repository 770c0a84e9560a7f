"""What went wrong, once and in words; the details wait behind a button.

Everything that fails comes here: tasks (`Tasks.failed`), what Python or the loop did not expect
(`install`), and what the core reports as `Trouble`. The window shows the newest in its banner.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from PySide6.QtCore import QObject, Signal

from core.errors import InvalidFunctionError, LambdaRuntimeError

__all__ = ["Problem", "Problems", "words_for"]

_log = logging.getLogger(__name__)
_MOST_KEPT = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong. `wall` is `time.time()` of the last of `count` times."""

    what: str
    words: str
    details: str
    wall: float
    count: int = 1

    @property
    def sentence(self) -> str:
        """What happened, to what, on one line."""
        return f"{self.what}: {self.words}" if self.what else self.words


def words_for(error: BaseException) -> str:
    """An error as a person would say it."""
    match error:
        case InvalidFunctionError():
            return f"{error.field.replace('_', ' ')} {error.rule}"
        case LambdaRuntimeError():
            return str(error)
        case BaseExceptionGroup():
            first = words_for(error.exceptions[0])
            more = len(error.exceptions) - 1
            return f"{first} (and {more} more)" if more else first
        case OSError() if error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror}"
        case TimeoutError():
            return "it took too long"
        case _:
            text = str(error).strip()
            kind = type(error).__name__
            return f"something in Stoker went wrong ({kind}: {text})" if text else f"something went wrong ({kind})"


class Problems(QObject):
    """The list of what went wrong in this window, newest last. `changed` is emitted after each change."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kept: deque[Problem] = deque(maxlen=_MOST_KEPT)
        self._unseen = 0
        self._undo: list[Callable[[], None]] = []

    @property
    def kept(self) -> tuple[Problem, ...]:
        """All that are remembered, oldest first."""
        return tuple(self._kept)

    @property
    def unseen(self) -> int:
        """How many came since the last `dismiss`."""
        return self._unseen

    def report(self, what: str, error: BaseException) -> None:
        """Keep an error; `what` says what was being done ("Launch sample-echo")."""
        details = "".join(traceback.format_exception(error))
        tail = getattr(error, "log_tail", ())
        if tail:
            details = "Its last lines:\n" + "\n".join(f"  {line}" for line in tail) + "\n\n" + details
        self.add(what, words_for(error), details)

    def add(self, what: str, words: str, details: str = "") -> None:
        """Keep something that is already in words. What repeats is counted, not shown again."""
        last = self._kept[-1] if self._kept else None
        if last is not None and self._unseen and (last.what, last.words) == (what, words):
            self._kept[-1] = replace(last, count=last.count + 1, wall=time.time(), details=details)
        else:
            self._kept.append(Problem(what, words, details, time.time()))
            self._unseen += 1
        self.changed.emit()

    def dismiss(self) -> None:
        """Everything so far has been seen."""
        self._unseen = 0
        self.changed.emit()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear of every exception that nothing else caught, in Qt's slots and in the loop."""
        before = sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            if not isinstance(error, Exception):
                before(kind, error, trace)
                return
            _log.error("nothing caught this", exc_info=(kind, error, trace))
            self.report("", error)

        def handle(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
            error = context.get("exception")
            message = str(context.get("message", "the event loop failed"))
            _log.error("%s", message, exc_info=error)
            # without an exception it is a remark of the loop's own, for the log only
            if isinstance(error, Exception):
                self.report("", error)

        sys.excepthook = hook
        loop.set_exception_handler(handle)

        def undo() -> None:
            if sys.excepthook is hook:
                sys.excepthook = before
            if not loop.is_closed():
                loop.set_exception_handler(None)

        self._undo.append(undo)

    def uninstall(self) -> None:
        """Give both hooks back."""
        while self._undo:
            self._undo.pop()()
