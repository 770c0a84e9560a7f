"""What an earlier Stoker left behind: looked for, shown with reasons, and removed where ticked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from shiboken6 import isValid

from core.backends.base import StaleCandidate
from core.owners import OwnerState, owner_state
from gui.dialogs.base import StokerDialog
from gui.errors import words_for
from gui.formatting import format_age, plural
from gui.tasks import Tasks
from gui.theme import Theme

__all__ = ["ReapStaleDialog"]

Look = Callable[[], Awaitable[Sequence[StaleCandidate]]]
Reap = Callable[[Collection[str]], Awaitable[Sequence[StaleCandidate]]]

_COLUMNS = ("reap", "what", "function", "backend", "age", "owner", "reason")
_ID = Qt.ItemDataRole.UserRole


class ReapStaleDialog(StokerDialog):
    """Ticks what belongs to owners known to be dead; what is unknown is shown and left unticked.

    What a living Stoker owns cannot be ticked. `look` finds the candidates, `reap` removes those ids.
    """

    def __init__(self, parent: QWidget | None, theme: Theme, tasks: Tasks, look: Look, reap: Reap) -> None:
        super().__init__(parent, "Reap what was left behind", "reap_stale_dialog")
        self._theme, self._tasks, self._look, self._reap_ids = theme, tasks, look, reap
        self.resize(960, 420)
        self._text = self.say("")
        self._text.setObjectName("reap_stale_text")
        self._busy = QProgressBar()
        self._busy.setRange(0, 0)
        self._busy.setTextVisible(False)
        self._busy.setAccessibleName("Working")
        self.body.addWidget(self._busy)
        self.table = self._make_table()
        self.body.addWidget(self.table, 1)
        self.foot.addStretch(1)
        self._again = self.button("Look again", "look_again")
        self._again.clicked.connect(self.look)
        self._close = self.button("Close", "no", default=True)
        self._close.clicked.connect(self.reject)
        self._go = self.button("Reap", "yes", primary=True)
        self._go.clicked.connect(self.reap)
        self._candidates: list[StaleCandidate] = []
        self._outcome = ""
        theme.changed.connect(self._colour_all)
        self._set_busy(False)

    def look(self) -> None:
        """Find the candidates anew."""
        self._tasks.start("Look for what was left behind", self._find())

    def reap(self) -> None:
        """Remove what is ticked."""
        self._tasks.start("Reap stale", self._remove(self.ticked()))

    def ticked(self) -> list[str]:
        """The ids of the candidates that are ticked."""
        found = []
        for place in range(self.table.rowCount()):
            item = self.table.item(place, 0)
            if item is not None and item.checkState() == Qt.CheckState.Checked:
                found.append(str(item.data(_ID)))
        return found

    # --- work

    async def _find(self) -> None:
        self._set_busy(True, "Looking for what earlier Stokers left behind…")
        try:
            found = await self._look()
            if isValid(self):
                self._show(found)
        except Exception as error:
            self._tell(f"The search failed: {words_for(error)}")
            raise
        finally:
            if isValid(self):
                self._set_busy(False)

    async def _remove(self, ids: Collection[str]) -> None:
        self._set_busy(True, f"Removing {plural(len(ids), 'item')}…")
        try:
            await self._reap_ids(ids)
            left = await self._look()
        except Exception as error:
            self._tell(f"Reaping failed: {words_for(error)}")
            raise
        finally:
            if isValid(self):
                self._set_busy(False)
        if not isValid(self):
            return
        still = {candidate.id for candidate in left}
        stayed = sum(1 for each in ids if each in still)
        self._outcome = f"Removed {plural(len(ids) - stayed, 'item')}."
        if stayed:
            self._outcome += f" {plural(stayed, 'item')} could not be removed; the reason stands beside it."
        self._show(left)

    # --- views

    def _tell(self, text: str) -> None:
        # what was begun goes on when the dialog is closed
        if isValid(self):
            self._text.setText(text)

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(0, len(_COLUMNS))
        table.setObjectName("reap_stale_table")
        table.setAccessibleName("What was left behind")
        table.setHorizontalHeaderLabels(["", *_COLUMNS[1:]])
        table.verticalHeader().hide()
        table.setShowGrid(False)
        table.setWordWrap(False)
        # paths and ids tell most at their ends
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.verticalHeader().setDefaultSectionSize(30)
        header = table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setHighlightSections(False)
        for column, width in enumerate((34, 240, 130, 80, 76, 110)):
            table.setColumnWidth(column, width)
        header.setSectionResizeMode(len(_COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)
        table.itemChanged.connect(self._ticks_changed)
        return table

    def _set_busy(self, busy: bool, text: str = "") -> None:
        self._busy.setVisible(busy)
        self._again.setEnabled(not busy)
        self.table.setEnabled(not busy)
        if text:
            self._text.setText(text)
        if busy:
            self._go.setEnabled(False)
        else:
            self._ticks_changed()

    def _show(self, candidates: Sequence[StaleCandidate]) -> None:
        self._candidates = list(candidates)
        self.table.blockSignals(True)
        self.table.setRowCount(len(self._candidates))
        for place, candidate in enumerate(self._candidates):
            self._fill(place, candidate)
        self.table.blockSignals(False)
        sure = sum(1 for candidate in self._candidates if candidate.reap)
        if not self._candidates:
            found = "Nothing was left behind."
        else:
            found = f"{plural(len(self._candidates), 'thing')} found; {sure} whose owner is known to be dead."
        self._text.setText(f"{self._outcome} {found}".strip())
        self._outcome = ""
        self._ticks_changed()

    def _fill(self, place: int, candidate: StaleCandidate) -> None:
        alive = owner_state(candidate.owner) is OwnerState.ALIVE
        tick = QTableWidgetItem()
        tick.setData(_ID, candidate.id)
        tick.setCheckState(Qt.CheckState.Checked if candidate.reap and not alive else Qt.CheckState.Unchecked)
        tick.setFlags(Qt.ItemFlag.NoItemFlags if alive else Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
        tick.setToolTip("It belongs to a Stoker that runs" if alive else "Tick to remove it")
        self.table.setItem(place, 0, tick)
        texts = (
            candidate.what if candidate.kind in candidate.what else f"{candidate.kind} {candidate.what}".strip(),
            candidate.function_name or "unknown",
            candidate.backend,
            format_age(candidate.age) if candidate.age is not None else "unknown",
            candidate.owner or "unknown",
            candidate.reason,
        )
        for column, text in enumerate(texts, start=1):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            self.table.setItem(place, column, item)
        self._colour(place)

    def _colour(self, place: int) -> None:
        colour = QColor(self._theme.tokens.text if self._candidates[place].reap else self._theme.tokens.dim)
        for column in range(1, self.table.columnCount()):
            item = self.table.item(place, column)
            if item is not None:
                item.setForeground(colour)

    def _colour_all(self) -> None:
        for place in range(len(self._candidates)):
            self._colour(place)

    def _ticks_changed(self, *_: object) -> None:
        count = len(self.ticked())
        self._go.setEnabled(count > 0 and not self._busy.isVisibleTo(self))
        self._go.setText(f"Reap {count}" if count else "Reap")
