"""How containers end, as their engine tells it."""

from __future__ import annotations

from dataclasses import dataclass

from core.backends.exits import signal_words

__all__ = ["Ended", "how_it_ended"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended, as its engine tells it."""

    code: int | None
    out_of_memory: bool
    reason: str
    stands_still: bool = False
    """Whether its processes are there, and will write no more."""

    @property
    def signal(self) -> int | None:
        """The signal that ended it, as far as the code tells."""
        return self.code - 128 if self.code is not None and self.code > 128 else None


def how_it_ended(code: int | None) -> str:
    """An exit code in words: above 128 it is the number of a signal."""
    if code is None:
        return "it ended"
    return signal_words(code - 128) if code > 128 else f"exit status {code}"
