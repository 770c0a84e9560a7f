"""The images on their way, and those that did not come: adapts the core's events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QObject, Signal

from core.events import Event, ImagePullChanged
from core.images import ImagePull, PullState

__all__ = ["Pulls"]


class Pulls(QObject):
    """Oldest first. `changed` follows each frame in which one moved, `ended(pull)` each that is over.

    A pull that failed stays until it is dismissed, or the same image is fetched once more.
    """

    changed = Signal()
    ended = Signal(object)

    def __init__(self, under_way: Iterable[ImagePull] = (), parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pulls = {pull.id: pull for pull in under_way}

    def all(self) -> list[ImagePull]:
        """Those under way and those that failed."""
        return list(self._pulls.values())

    def dismiss(self, pull_id: str) -> None:
        """The person has seen that it failed."""
        if self._pulls.pop(pull_id, None) is not None:
            self.changed.emit()

    def take(self, events: Sequence[Event]) -> None:
        """Apply the events of one frame."""
        over: list[ImagePull] = []
        moved = False
        for event in events:
            if not isinstance(event, ImagePullChanged):
                continue
            moved = True
            pull = event.pull
            if pull.state in {PullState.PULLING, PullState.FAILED}:
                if pull.id not in self._pulls:
                    self._forget_failed(pull)
                self._pulls[pull.id] = pull
            else:
                self._pulls.pop(pull.id, None)
                self._forget_failed(pull)
            if pull.state is not PullState.PULLING:
                over.append(pull)
        if moved:
            self.changed.emit()
        for pull in over:
            self.ended.emit(pull)

    def _forget_failed(self, newer: ImagePull) -> None:
        for pull in self.all():
            same = (pull.backend, pull.image) == (newer.backend, newer.image)
            if same and pull.id != newer.id and pull.state is PullState.FAILED:
                del self._pulls[pull.id]
