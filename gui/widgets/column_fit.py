"""Column widths for the room there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["fit"]


def fit(usual: Mapping[int, int], least: Sequence[tuple[int, int]], room: int) -> dict[int, int]:
    """The usual widths, or narrower ones where they need more than `room`.

    `least` says which columns give way, the first one first, and how narrow each may become. What
    is still too much is left to a scroll bar.
    """
    widths = dict(usual)
    missing = sum(widths.values()) - room
    for column, narrowest in least:
        if missing <= 0:
            break
        given = max(0, min(missing, widths[column] - narrowest))
        widths[column] -= given
        missing -= given
    return widths
