"""A cold start in parts, as the table shows it. No Qt here."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.instances import Phase
from gui.formatting import format_ms

__all__ = ["FIRST_BYTE", "Part", "parts_of", "tooltip", "total"]

FIRST_BYTE = "first byte"
# the token of the theme in which each part is painted
_TOKENS = {
    "prepare": "dim",
    "pull": "draining",
    "create": "idle",
    "spawn": "idle",
    "copy": "ok",
    "start": "starting",
    "init": "busy",
    FIRST_BYTE: "text",
}
_MEANS = {
    "prepare": "code and layers are made ready",
    "pull": "the image is fetched",
    "create": "the container is created",
    "spawn": "the process is started",
    "copy": "code and layers are copied in",
    "start": "the container starts",
    "init": "the runtime loads the function",
    FIRST_BYTE: "the first invocation, until its first byte",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `seconds` so far, `running` while it goes on."""

    name: str
    seconds: float
    running: bool = False

    @property
    def token(self) -> str:
        """The name of its colour."""
        return _TOKENS.get(self.name, "dim")


def parts_of(phases: Sequence[Phase], first_byte_ms: float | None, now: float) -> list[Part]:
    """The phases in order, and at last what the first invocation took until its first byte, where that is known."""
    found = []
    for phase in phases:
        running = phase.seconds is None
        found.append(Part(phase.name, max(0.0, now - phase.started) if running else phase.seconds or 0.0, running))
    if first_byte_ms is not None:
        found.append(Part(FIRST_BYTE, first_byte_ms / 1000))
    return found


def total(parts: Sequence[Part]) -> float:
    """Seconds of all parts together."""
    return sum(part.seconds for part in parts)


def tooltip(parts: Sequence[Part], colour_of: Callable[[str], str]) -> str:
    """Each part with its colour, its length and what happens in it, as rich text."""
    rows = []
    for part in parts:
        colour = colour_of(part.token)
        square = f'<span style="color:{colour}">■</span>' if colour else "■"
        length = format_ms(part.seconds * 1000) + (" so far" if part.running else "")
        about = _MEANS.get(part.name, "")
        rows.append(
            f"<tr><td>{square}&nbsp;{html.escape(part.name)}&nbsp;&nbsp;</td>"
            f'<td align="right">{length}&nbsp;&nbsp;</td><td>{about}</td></tr>'
        )
    rows.append(f'<tr><td>cold start</td><td align="right">{format_ms(total(parts) * 1000)}&nbsp;&nbsp;</td></tr>')
    return f"<table>{''.join(rows)}</table>"
