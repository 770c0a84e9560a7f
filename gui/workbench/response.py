"""What came back: every chunk's time, size and first bytes, kept in arrays; no Qt here.

Times are `time.monotonic()` seconds.
"""

from __future__ import annotations

from array import array

from gui.workbench.spool import HEAD_LIMIT, Spool

__all__ = ["LISTED", "Response", "looks_binary", "show_bytes"]

# how many chunks are listed one by one (24 to 40 bytes each); the totals count all
LISTED = 500_000
BINS = 512
_PREVIEW = 48
_STRIDE = 24
_SNIFF = 4096
_FIRST_BIN = 0.0005
_HTTP_HEAD_END = b"\0" * 8


class Response:
    """Grows by `add`, which costs about a microsecond; everything else is read when it is shown."""

    def __init__(self, listed: int = LISTED, head_limit: int = HEAD_LIMIT) -> None:
        self.spool = Spool(head_limit)
        self.chunks = 0
        self.first_at: float | None = None
        self.last_at = 0.0
        self.largest_gap = 0.0
        # bytes by time since the first chunk: BINS slots of `bin_width` seconds; the width doubles when they are full
        self.bin_width = _FIRST_BIN
        self.bins = [0] * BINS
        self._listed = listed
        self._times = array("d")
        self._ends = array("q")
        self._previews = bytearray()
        self._first_kept_apart = 0

    @property
    def size(self) -> int:
        """Bytes received."""
        return self.spool.size

    @property
    def head(self) -> bytearray:
        """The beginning, as far as it is kept in memory."""
        return self.spool.head

    @property
    def listed(self) -> int:
        """How many chunks can be asked for one by one."""
        return len(self._times)

    def binary(self, *, over: bool) -> bool:
        """Whether the beginning is not text; until the stream is `over`, a character may still be cut off."""
        return looks_binary(_body(bytes(self.head[:_SNIFF])), whole=over and self.size <= _SNIFF)

    def add(self, data: bytes, at: float) -> None:
        """A chunk arrived."""
        first = self.first_at
        if first is None:
            first = self.first_at = at
        else:
            self.largest_gap = max(self.largest_gap, at - self.last_at)
        self.last_at = at
        self.chunks += 1
        slot = int((at - first) / self.bin_width)
        if slot >= BINS:
            slot = self._widen(at - first)
        self.bins[slot] += len(data)
        start = self.spool.size
        self.spool.add(data)
        if len(self._times) < self._listed:
            self._times.append(at)
            self._ends.append(self.spool.size)
            if start >= len(self.spool.head):
                if not self._previews:
                    self._first_kept_apart = len(self._times) - 1
                self._previews += data[:_STRIDE].ljust(_STRIDE, b"\0")

    def at(self, index: int) -> float:
        """When chunk `index` (from 0) arrived."""
        return self._times[index]

    def gap(self, index: int) -> float | None:
        """Seconds since the chunk before, or None for the first."""
        return self._times[index] - self._times[index - 1] if index else None

    def total(self, index: int) -> int:
        """Bytes received up to and with this chunk."""
        return self._ends[index]

    def length(self, index: int) -> int:
        """Bytes of this chunk."""
        return self._ends[index] - self._start(index)

    def beginning(self, index: int) -> bytes:
        """The first bytes of this chunk: 48 of them, or 24 beyond what is kept in memory."""
        start = self._start(index)
        size = self._ends[index] - start
        if start < len(self.head):
            return bytes(self.head[start : start + min(size, _PREVIEW)])
        place = (index - self._first_kept_apart) * _STRIDE
        return bytes(self._previews[place : place + min(size, _STRIDE)])

    def close(self) -> None:
        """Free the temporary file."""
        self.spool.close()

    def _start(self, index: int) -> int:
        return self._ends[index - 1] if index else 0

    def _widen(self, offset: float) -> int:
        while (slot := int(offset / self.bin_width)) >= BINS:
            bins = self.bins
            self.bins = [bins[i] + bins[i + 1] for i in range(0, BINS, 2)] + [0] * (BINS // 2)
            self.bin_width *= 2
        return slot


def _body(data: bytes) -> bytes:
    """`data` without the status and headers that `HttpResponseStream.from` writes as JSON and eight NULs before a body.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
    """
    if data.startswith(b"{"):
        head, parted, body = data.partition(_HTTP_HEAD_END)
        if parted and b"\0" not in head:
            return body
        # its end may still be to come
        return head.rstrip(b"\0") if data.endswith(b"\0") else data
    return data


def looks_binary(data: bytes, *, whole: bool) -> bool:
    """Whether `data` is no UTF-8 text. Unless it is the `whole`, a character may be cut off at its end."""
    if b"\0" in data:
        return True
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return whole or error.start < len(data) - 3
    return False


# the signs that Unicode has for control characters are missing from most faces
_VISIBLE = dict.fromkeys((*range(32), 127), "·") | {9: "→", 10: "↵"}


def show_bytes(data: bytes) -> str:
    """A few bytes on one line: text as text, line ends as ↵, other control characters as ·, the rest as \\x.. ."""
    return data.decode(errors="backslashreplace").translate(_VISIBLE)
