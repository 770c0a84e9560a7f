"""The log of one instance: raw output into lines, each to the request that was running."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence

from .limits import LOG_TAIL

__all__ = ["MAX_LINE", "RequestLog", "report_line"]

MAX_LINE = 64 * 1024
"""Bytes after which a line without an end is passed on as it is."""

_SEPARATORS = re.compile(rb"\r\n|\n|\r")


class RequestLog:
    """Splits the runtime's output into lines and keeps the tail of the running request.

    `\\r` separates lines as well: runtimes use it to keep several in one log event.
    """

    def __init__(self, sink: Callable[[Sequence[str]], None]) -> None:
        self._sink = sink
        self._partial = bytearray()
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._following = False

    def begin(self, line: str) -> None:
        """A request starts, with its START line; what comes from now on is its own."""
        self.flush()
        self._tail.clear()
        self._tail_size = 0
        self._following = True
        self.add([line])

    def end(self, lines: Sequence[str]) -> str:
        """The request ends, with its last lines; returns the last 4 KB of its log."""
        self.flush()
        self.add(lines)
        self._following = False
        text = "".join(line + "\n" for line in self._tail).encode("utf-8", "replace")
        self._tail.clear()
        self._tail_size = 0
        return text[-LOG_TAIL:].decode("utf-8", "ignore")

    def feed(self, data: bytes) -> None:
        """Raw output; a last line that is not complete waits for its rest."""
        self._partial += data
        if b"\n" not in data and len(self._partial) < MAX_LINE:
            return
        cut = self._partial.rfind(b"\n") + 1
        lines = []
        if cut:
            block = bytes(self._partial[:cut])
            del self._partial[:cut]
            for line in block[:-1].split(b"\n"):
                lines.extend(_lines(line))
        while len(self._partial) >= MAX_LINE:
            stop = MAX_LINE
            while stop > MAX_LINE - 4 and self._partial[stop - 1] & 0xC0 == 0x80:
                stop -= 1  # not in the middle of a character
            if self._partial[stop - 1] >= 0xC0:
                stop -= 1
            lines.extend(_lines(bytes(self._partial[:stop])))
            del self._partial[:stop]
        self.add(lines)

    def flush(self) -> None:
        """Pass on a last line that has no end."""
        if self._partial:
            rest = bytes(self._partial)
            self._partial.clear()
            self.add(_lines(rest))

    def add(self, lines: Sequence[str]) -> None:
        """Lines that are complete."""
        if not lines:
            return
        if self._following:
            for line in lines:
                self._tail.append(line)
                self._tail_size += len(line) + 1
            while self._tail and self._tail_size - len(self._tail[0]) - 1 >= LOG_TAIL:
                self._tail_size -= len(self._tail.popleft()) + 1
        self._sink(lines)


def _lines(data: bytes) -> list[str]:
    """The lines of one log event; a line of any length is cut to MAX_LINE bytes apiece."""
    if data.endswith(b"\r"):
        data = data[:-1]
    found = []
    for part in _SEPARATORS.split(data):
        if len(part) <= MAX_LINE:
            found.append(part.decode("utf-8", "replace"))
        else:
            text = part.decode("utf-8", "replace")
            found.extend(text[at : at + MAX_LINE] for at in range(0, len(text), MAX_LINE))
    return found


def report_line(
    request_id: str,
    *,
    duration_ms: float,
    memory_size: int,
    peak: int | None,
    init_ms: float | None,
    status: str = "",
) -> str:
    """Lambda's REPORT line. `memory_size` in MB, `peak` in bytes (left out where it is not known)."""
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {-int(-duration_ms // 1)} ms",
        f"Memory Size: {memory_size} MB",
    ]
    if peak is not None:
        parts.append(f"Max Memory Used: {megabytes(peak)} MB")
    if init_ms is not None:
        parts.append(f"Init Duration: {init_ms:.2f} ms")
    if status:
        parts.append(status)
    return "\t".join(parts) + "\t"


def megabytes(size: int) -> int:
    """Bytes as whole megabytes, rounded up."""
    return -(-size // (1024 * 1024))
