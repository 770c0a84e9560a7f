"""An image on its way to an engine: how far its pull is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["ImagePull", "PullState"]


class PullState(StrEnum):
    """Where a pull stands. All but PULLING are final."""

    PULLING = "pulling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ImagePull:
    """One pull at a moment.

    `layers` and `total` (bytes) grow while the engine finds out what there is; 0 is not known yet.
    `detail` says why it failed. `started` is `time.monotonic()`.
    """

    id: str
    backend: str
    image: str
    state: PullState
    layers: int
    layers_done: int
    received: int
    total: int
    detail: str
    started: float
