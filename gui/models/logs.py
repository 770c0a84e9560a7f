"""Log lines made fit to be shown: what kind each is, what of it is printable, where it is cut. No Qt here."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from gui.formatting import format_count

__all__ = ["LINES_SHOWN", "LINE_SHOWN", "LineKind", "LogLine", "WholeLines", "read_line"]

LINES_SHOWN = 10_000
# Qt lays out a wrapped line of 200,000 characters in more than half a second; this many take nothing.
LINE_SHOWN = 2_000
_WHOLE_CHARACTERS = 8_000_000

_PLATFORM = re.compile(r"(?:START|END|REPORT|INIT_START|INIT_REPORT|RESTORE_START|RESTORE_REPORT|EXTENSION)\b")
_ERROR = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL|Traceback|panic|Unhandled\w*|Task timed out|\w*(?:Error|Exception))\b"
    r"|\[(?:error|fatal)\]|\"level\":\s*\"(?:error|fatal)\"",
)
# terminal colours and cursor moves: ESC [ ... letter, and ESC ] ... BEL
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
# what would end a paragraph in Qt, and control characters but the tab
_BREAKS = re.compile("[\x00-\x08\n\x0b-\x1f\x7f-\x9f\u2028\u2029\ufdd0\ufdd1\ufffc]")


class LineKind(StrEnum):
    """Who speaks in a line, and how it is to be seen."""

    OUTPUT = "output"
    PLATFORM = "platform"
    ERROR = "error"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line as it is shown. `whole` is the line itself where more than a part is too much, else None."""

    text: str
    kind: LineKind
    whole: str | None = None


def read_line(raw: str) -> LogLine:
    """Make a line fit to be shown: no terminal escapes, nothing that breaks it, not too long.

    START, END and REPORT are Lambda's own lines:
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html
    """
    # what lies behind the cut is not looked at, whatever its length
    head = raw[: 2 * LINE_SHOWN].rstrip("\r\n")
    if "\x1b" in head:
        head = _ESCAPES.sub("", head)
    text = _BREAKS.sub(" ", head)
    whole = None
    if len(raw) > 2 * LINE_SHOWN or len(text) > LINE_SHOWN:
        text = f"{text[:LINE_SHOWN]} … ({format_count(len(raw))} characters)"
        whole = raw
    if _PLATFORM.match(text):
        return LogLine(text, LineKind.PLATFORM, whole)
    kind = LineKind.ERROR if _ERROR.search(text[:LINE_SHOWN]) else LineKind.OUTPUT
    return LogLine(text, kind, whole)


class WholeLines:
    """The whole text of lines that were cut, by running number; the oldest go when it is too much."""

    def __init__(self, characters: int = _WHOLE_CHARACTERS) -> None:
        self._limit = characters
        self._kept: OrderedDict[int, str] = OrderedDict()
        self._size = 0

    def keep(self, number: int, whole: str) -> None:
        """Keep a line, unless it alone is too much."""
        if len(whole) > self._limit:
            return
        self._kept[number] = whole
        self._size += len(whole)
        while self._size > self._limit:
            self._size -= len(self._kept.popitem(last=False)[1])

    def forget_before(self, number: int) -> None:
        """Lines before this one are shown no longer."""
        while self._kept and next(iter(self._kept)) < number:
            self._size -= len(self._kept.popitem(last=False)[1])

    def get(self, number: int) -> str | None:
        """The whole line, or None where it was not cut or is forgotten."""
        return self._kept.get(number)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._size = 0
