"""The strip that is there while images are fetched: one row each, with cancel, retry and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from core.errors import ImagePullError
from core.events import Event
from core.images import ImagePull, PullState
from gui.context import Context
from gui.formatting import plural
from gui.models.pulls import Pulls
from gui.widgets.pull_row import PullRow

__all__ = ["PullsPanel"]

_ROWS = 3
_NAMED = 2


class PullsPanel(QFrame):
    """Takes no room while nothing is pulled. `said(text)` tells how a pull ended that leaves no row."""

    said = Signal(str)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("pulls")
        self.setAccessibleName("Images that are pulled")
        self._context = context
        self._runtime = context.runtime
        self.model = Pulls(self._runtime.pulls(), self)
        self._rows: dict[str, PullRow] = {}
        self._more = QLabel()
        self._more.setObjectName("pulls_more")
        self._more.setProperty("role", "small")
        self._more.setContentsMargins(30, 0, 14, 3)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 3, 0, 3)
        self._column.setSpacing(0)
        self._column.addWidget(self._more, 0, Qt.AlignmentFlag.AlignLeft)
        context.coalescer.add(self._take)
        context.theme.changed.connect(self._dress)
        self.model.changed.connect(self._show)
        self.model.ended.connect(self._ended)
        self._show()

    def _take(self, events: Sequence[Event]) -> None:
        self.model.take(events)

    def _show(self) -> None:
        pulls = self.model.all()
        shown = {pull.id: pull for pull in pulls[:_ROWS]}
        for gone in self._rows.keys() - shown.keys():
            row = self._rows.pop(gone)
            row.hide()
            row.deleteLater()
        for place, (pull_id, pull) in enumerate(shown.items()):
            row = self._rows.get(pull_id) or self._new_row(pull_id)
            if self._column.indexOf(row) != place:
                self._column.insertWidget(place, row)
            names = self._functions_on(pull)
            row.show_pull(pull, _listed(names), can_retry=bool(names))
            row.show()
        left = len(pulls) - len(shown)
        self._more.setText(f"and {plural(left, 'more image')}")
        self._more.setVisible(left > 0)
        self.setVisible(bool(pulls))

    def _new_row(self, pull_id: str) -> PullRow:
        row = self._rows[pull_id] = PullRow()
        row.set_tokens(self._context.theme.tokens)
        row.cancelled.connect(lambda: self._runtime.cancel_pull(pull_id))
        row.retried.connect(lambda: self._retry(pull_id))
        row.dismissed.connect(lambda: self.model.dismiss(pull_id))
        return row

    def _functions_on(self, pull: ImagePull) -> list[str]:
        """The functions whose instances need this image on that engine."""
        default = self._runtime.default_backend()
        return [
            function.function_name
            for function in self._runtime.functions()
            if (function.backend or default) == pull.backend
            and self._runtime.image_of(function.function_name) == pull.image
        ]

    def _retry(self, pull_id: str) -> None:
        pull = next((each for each in self.model.all() if each.id == pull_id), None)
        names = self._functions_on(pull) if pull is not None else []
        if pull is None or not names:
            # its functions have gone meanwhile: nobody needs it
            self.model.dismiss(pull_id)
            return
        self._context.tasks.start(f"Pull {pull.image}", self._pull(names[0]))

    async def _pull(self, name: str) -> None:
        try:
            await self._runtime.prepull(name)
        except ImagePullError:
            # the row says so
            return

    def _ended(self, pull: ImagePull) -> None:
        if pull.state is PullState.DONE:
            self.said.emit(f"Pulled {pull.image} on {pull.backend}")
        elif pull.state is PullState.CANCELLED:
            self.said.emit(f"Gave up the pull of {pull.image}; a launch begins it again")

    def _dress(self) -> None:
        for row in self._rows.values():
            row.set_tokens(self._context.theme.tokens)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
