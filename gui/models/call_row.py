"""One request to the endpoint as the list of calls knows it, and how it reads. No Qt here."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from core.errors import InvalidRequestError
from core.events import CallEnded, CallStarted, InvocationEnded
from core.names import LATEST, parse_function, split_key
from gui.formatting import format_age, format_ms, format_seconds, one_line
from gui.models.cells import Cell

__all__ = ["TITLES", "CallColumn", "CallRow"]

# for so long a call that runs shows tenths of seconds
_TENTHS = 10.0


class CallColumn(IntEnum):
    """The list's columns, from left to right."""

    TIME = 0
    CALLER = 1
    OPERATION = 2
    FUNCTION = 3
    INSTANCE = 4
    STATUS = 5
    DURATION = 6
    REMARK = 7


TITLES = ("time", "caller", "operation", "function", "instance", "status", "duration", "")
_MONO = frozenset({CallColumn.TIME, CallColumn.INSTANCE, CallColumn.STATUS, CallColumn.DURATION})


@dataclass(slots=True)
class CallRow:
    """A call, and the invocation that it became, if it did.

    `function` is as the client named it, without what every ARN has; `key` is whom it ran
    (NAME or NAME:NUMBER), where it ran one. `started` is `time.monotonic()`, `wall` `time.time()`.
    """

    id: str
    caller: str
    peer: str
    operation: str
    started: float
    wall: float
    function: str = ""
    key: str | None = None
    instance_id: str | None = None
    streaming: bool = False
    over: bool = False
    status: int = 0
    error: str | None = None
    failed: str | None = None
    seconds: float = 0.0
    gone: bool = False

    @classmethod
    def began(cls, event: CallStarted) -> CallRow:
        """A row for a call that has just come."""
        row = cls(event.call_id, event.caller, event.peer, event.operation, event.at, event.wall)
        row.function = _shown(event.function_name)
        return row

    @classmethod
    def missed(cls, event: CallEnded) -> CallRow:
        """A row for a call whose beginning was not seen."""
        started, wall = event.at - event.seconds, event.wall - event.seconds
        row = cls(event.call_id, event.caller, event.peer, event.operation, started, wall)
        row.end(event)
        return row

    def end(self, event: CallEnded) -> None:
        """It was answered, or its client went away."""
        self.over = True
        self.function = _shown(event.function_name) or self.function
        self.status, self.error, self.seconds, self.gone = event.status, event.error, event.seconds, event.gone

    def judge(self, event: InvocationEnded) -> None:
        """The invocation that it became is over."""
        result = event.result
        if result is not None and result.function_error is not None:
            self.failed = result.error_type or result.function_error

    def concerns(self, name: str) -> bool:
        """Whether it is about this function; about any of its versions where `name` is no version's."""
        named = {each for each in (self.function, self.key) if each}
        if split_key(name)[1] == LATEST:
            named = {split_key(each)[0] for each in named}
        return name in named

    @property
    def wrong(self) -> bool:
        """Whether it ended in an error, the API's or the function's."""
        return self.over and (self.status >= 400 or self.error is not None or self.failed is not None)

    @property
    def remark(self) -> str:
        """The error's code, and that the client went away."""
        words = [self.error or self.failed] if self.over else []
        if self.gone:
            words.append("client gone")
        return " · ".join(filter(None, words))

    def duration(self, now: float) -> str:
        """How long it took, or runs."""
        if self.over:
            return format_ms(self.seconds * 1000)
        seconds = now - self.started
        return format_seconds(seconds) if seconds < _TENTHS else format_age(seconds)

    def hasty(self, now: float) -> bool:
        """Whether its duration is shown in tenths, and changes as often."""
        return not self.over and now - self.started < _TENTHS

    @property
    def status_words(self) -> str:
        """The HTTP status, or how it stands."""
        if not self.over:
            return "streaming" if self.streaming else "running"
        return str(self.status) if self.status else "none"

    @property
    def time_words(self) -> str:
        """When it came, to the millisecond."""
        whole = int(self.wall)
        return f"{time.strftime('%H:%M:%S', time.localtime(whole))}.{int((self.wall - whole) * 1000):03}"

    def text(self, column: CallColumn, now: float) -> str:
        """What the row says in this column."""
        match column:
            case CallColumn.TIME:
                return self.time_words
            case CallColumn.CALLER:
                return self.caller
            case CallColumn.OPERATION:
                return self.operation
            case CallColumn.FUNCTION:
                return self.function or self.key or ""
            case CallColumn.INSTANCE:
                return self.instance_id or ""
            case CallColumn.STATUS:
                return self.status_words
            case CallColumn.DURATION:
                return self.duration(now)
            case CallColumn.REMARK:
                return self.remark

    def cell(self, column: CallColumn, now: float) -> Cell:
        """What the row shows in this column now."""
        tone = "text"
        if column in {CallColumn.TIME, CallColumn.CALLER, CallColumn.INSTANCE}:
            tone = "dim"
        elif column is CallColumn.STATUS:
            tone = "error" if self.status >= 400 or (self.over and not self.status) else "dim" if self.over else "busy"
        elif column is CallColumn.REMARK:
            tone = "error" if self.wrong else "dim"
        return Cell(
            text=one_line(self.text(column, now), 120),
            tone=tone,
            mono=column in _MONO,
            right=column is CallColumn.DURATION,
            middle=column is CallColumn.INSTANCE,
            pill=column is CallColumn.STATUS and not self.over,
        )

    def tooltip(self, now: float) -> str:
        """Everything known about it, as a small table of rich text."""
        rows = "".join(
            f"<tr><td>{html.escape(name)}&nbsp;&nbsp;</td><td>{html.escape(one_line(value, 400))}</td></tr>"
            for name, value in self._facts(now)
        )
        return f"<table>{rows}</table>"

    def _facts(self, now: float) -> Iterator[tuple[str, str]]:
        yield "request", self.id
        yield "caller", f"{self.caller}, from {self.peer}"
        yield "operation", self.operation
        if self.function and self.key not in {None, self.function}:
            yield "function", f"{self.function}, which was {self.key}"
        elif self.function or self.key:
            yield "function", self.function or str(self.key)
        if self.instance_id:
            yield "instance", self.instance_id
        yield "status", self.status_words if not self.over or self.status else "nothing was answered"
        yield "duration" if self.over else "so far", self.duration(now)
        if self.error:
            yield "error", self.error
        if self.failed:
            yield "function error", self.failed
        if self.gone:
            yield "client", "went away before its answer was complete"


def _shown(name: str | None) -> str:
    if not name:
        return ""
    try:
        target = parse_function(name)
    except InvalidRequestError:
        return name
    if target.qualifier in {None, LATEST}:
        return target.name
    return f"{target.name}:{target.qualifier}"
