"""What every panel is given: the runtime, the tasks, the theme and the gathered events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.runtime import LambdaRuntime
    from gui.models.coalescer import Coalescer
    from gui.tasks import Tasks
    from gui.theme import Theme

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """The services of one window."""

    runtime: LambdaRuntime
    tasks: Tasks
    theme: Theme
    coalescer: Coalescer
