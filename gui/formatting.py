"""How figures and long texts read: durations, ages, sizes, counts, ids. No Qt here.

Units stay put and decimals are fixed within a range, so that a figure that changes does not jump.
"""

from __future__ import annotations

import math
import re

__all__ = [
    "elide_end",
    "elide_middle",
    "format_age",
    "format_bytes",
    "format_count",
    "format_countdown",
    "format_ms",
    "format_rate",
    "format_seconds",
    "format_share",
    "health_words",
    "one_line",
    "plural",
]

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_ELLIPSIS = "…"
_VERSION = re.compile(r"\d+(?:\.\d+)+")


def format_bytes(count: float) -> str:
    """A size, in steps of 1,024: "512 B", "1.4 KB", "38 MB", "4 GB"."""
    return _scaled(count, 0)


def format_share(done: int, of: int) -> str:
    """Bytes that have come, of all, in one unit: "41 of 120 MB"; without the whole only what has come."""
    if of <= 0:
        return format_bytes(done) if done > 0 else ""
    whole = format_bytes(of)
    figure, unit = whole.split(" ")
    value = _sane(done) / 1024 ** _UNITS.index(unit)
    return f"{value:.1f} of {whole}" if "." in figure else f"{_half_up(value)} of {whole}"


def format_rate(bytes_per_second: float) -> str:
    """A throughput, never below KB/s so that its unit stays put: "0.7 KB/s", "219 MB/s"."""
    return f"{_scaled(bytes_per_second, 1)}/s"


def format_ms(milliseconds: float) -> str:
    """A duration that is over: "0.6 ms", "18 ms", "2.51 s", "1m 05s"."""
    value = _sane(milliseconds)
    if value < 0.95:
        return f"{value:.1f} ms"
    if value < 999.5:
        return f"{_half_up(value)} ms"
    if value < 59_995:
        return f"{value / 1000:.2f} s"
    return _clock_words(_half_up(value / 1000))


def format_seconds(seconds: float) -> str:
    """A duration that still runs, to a tenth: "0.4 s", "12.0 s", "1m 05s". Rounds down, as a clock does."""
    value = math.floor(_sane(seconds) * 10 + 1e-6) / 10
    return f"{value:.1f} s" if value < 60 else _clock_words(value)


def format_age(seconds: float) -> str:
    """How long something has been there: "0.2 s", "42 s", "2m 14s", "22m", "3h 05m", "2d 4h"."""
    value = _sane(seconds)
    if value < 10:
        return format_seconds(value)
    if value < 60:
        return f"{int(value)} s"
    return _clock_words(value)


def format_countdown(seconds: float) -> str:
    """What is left: "3:36", "0:05", "1:02:00". Rounds up, so that 0:00 means now."""
    whole = math.ceil(_sane(seconds) - 1e-6)
    hours, rest = divmod(max(0, whole), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def format_count(number: int) -> str:
    """A count with thousands set apart: "1,044"."""
    return f"{number:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 instance", "2 instances", "1,044 events"."""
    return f"{format_count(number)} {one if number == 1 else many or one + 's'}"


def health_words(backend: str, online: bool, detail: str) -> str:
    """A backend and how it stands, on one line: "docker 28.2", "podman offline: connection refused"."""
    if not online:
        return f"{backend} offline: {detail}" if detail else f"{backend} offline"
    version = _VERSION.search(detail)
    return f"{backend} {version.group()}" if version else backend


def elide_middle(text: str, length: int) -> str:
    """At most `length` characters, the middle left out; for ids and paths: "4f0c…91e2"."""
    if len(text) <= length:
        return text
    keep = max(0, length - 1)
    head = (keep + 1) // 2
    return text[:head] + _ELLIPSIS + text[len(text) - (keep - head) :]


def elide_end(text: str, length: int) -> str:
    """At most `length` characters, the end left out; for names."""
    return text if len(text) <= length else text[: max(0, length - 1)].rstrip() + _ELLIPSIS


def one_line(text: str, length: int = 200) -> str:
    """`text` on one line for a cell or a status bar: white space and control characters become one blank."""
    # the cut before the split bounds the work on a text of megabytes
    clean = "".join(char if char.isprintable() else " " for char in text[: length * 4])
    return elide_end(" ".join(clean.split()), length)


def _sane(value: float) -> float:
    # far beyond any real figure, and still exact enough to round
    return min(max(0.0, value), 1e30) if math.isfinite(value) else 0.0


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)


def _scaled(count: float, lowest: int) -> str:
    value = _sane(count)
    unit = 0
    # 1023.5 of one unit would read "1024": it is 1.0 of the next
    while unit < lowest or (value >= 1023.5 and unit < len(_UNITS) - 1):
        value /= 1024
        unit += 1
    if unit == 0 or value >= 9.95 or abs(value - _half_up(value)) < 1e-3:
        return f"{_half_up(value)} {_UNITS[unit]}"
    return f"{value:.1f} {_UNITS[unit]}"


def _clock_words(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days}d {hours_left}h"
    if hours:
        return f"{hours}h {minutes_left:02}m"
    if minutes >= 10:
        return f"{minutes}m"
    return f"{minutes}m {left:02}s"
