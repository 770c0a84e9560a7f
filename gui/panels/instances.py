"""The table of instances, with the buttons that launch, end and reap them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import QByteArray, QEvent, QObject, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QStyle, QVBoxLayout, QWidget

from core.errors import LambdaRuntimeError
from core.events import Event
from core.instances import InstanceState, MemoryUsage
from gui.actions import Actions, tool_button
from gui.context import Context
from gui.formatting import format_count
from gui.models.instance_row import Column
from gui.models.instances import InstancesModel
from gui.panels.instances_columns import GIVE_WAY, NARROWEST, ROOM_FOR_CPU, usual_widths
from gui.widgets.cell_delegate import CellDelegate
from gui.widgets.column_fit import fit
from gui.widgets.eliding_label import ElidingLabel
from gui.widgets.live_table import LiveTable, copy_text
from gui.widgets.row_actions import RowActions

__all__ = ["InstancesPanel"]

_TICK_MS = 1000
_LIVELY_TICK_MS = 250
_FADE_STEP_MS = 16
_MEMORY_EVERY = 1.0
# Asking every instance of a crowded pool may take long; what is not reached is asked next time.
_MEMORY_BUDGET = 0.008
_COUNTED = (
    InstanceState.BUSY,
    InstanceState.IDLE,
    InstanceState.STARTING,
    InstanceState.DRAINING,
    InstanceState.TERMINATING,
)


class InstancesPanel(QWidget):
    """All instances, or those of one function.

    `selection_changed` follows every change of `selected_ids()`. `logs_requested(id)` is emitted by
    Enter, L, a double click and the row's own button.
    """

    selection_changed = Signal()
    logs_requested = Signal(str)

    def __init__(self, context: Context, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("instances_panel")
        self._context = context
        self._actions = actions
        self._selected: list[str] = []
        self._memory_asked = 0.0
        self._memory_from = 0
        self._widths_chosen = False
        self.model = InstancesModel(self)
        self.model.fading = self.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration) > 0
        self.model.colour_of = lambda token: context.theme.ink(token).name()
        self._delegate = CellDelegate(self.model, context.theme, self)
        self.table = LiveTable(self._delegate, context.theme)
        self.table.setObjectName("instances_table")
        self.table.setAccessibleName("Instances")
        self.table.setModel(self.model)
        self._summary = ElidingLabel()
        self._summary.setObjectName("instances_summary")
        self._summary.setProperty("role", "small")
        self._row_actions = RowActions(context.theme, self.table.viewport())
        self._row_actions.add("logs", "Logs", "Show what this instance writes (Enter)")
        self._row_actions.add("pin", "Unpin", "Keep this instance from idle reaping, or no longer (P)")
        self._row_actions.add("container", "Copy id", "Copy the container's id")
        self._row_actions.add("shell", "Copy shell", "Copy the command that opens a shell inside this instance")
        self._row_actions.add("terminate", "Terminate", "End this instance; a busy one finishes first (Del)")

        self._tick_timer = QTimer(self)
        self._tick_timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._tick_timer.timeout.connect(self._tick)
        self._fade_timer = QTimer(self)
        self._fade_timer.setInterval(_FADE_STEP_MS)
        self._fade_timer.timeout.connect(self._fade)

        self._lay_out()
        self._connect()
        self.model.refill(context.runtime.instances())
        self._told()
        context.coalescer.add(self._take)

    # --- what the window asks

    def show_function(self, name: str | None) -> None:
        """Show the instances of one function, or of all with None. Selected ones that stay, stay selected."""
        if name == self.model.function:
            return
        selected = self.table.selected_keys()
        self.model.set_function(name)
        self.table.select_keys(selected)
        self._selection_may_have_changed()
        self._told()

    def selected_ids(self) -> list[str]:
        """The ids of the selected instances, from top to bottom."""
        return self.table.selected_keys()

    def container_ids(self) -> list[str]:
        """The containers of the selected instances that are still there, from top to bottom."""
        rows = [self.model.find(each) for each in self.selected_ids()]
        return [row.container for row in rows if row is not None and row.container and row.gone is None]

    def select(self, instance_ids: Sequence[str]) -> None:
        """Select exactly these instances, as far as they are shown."""
        self.table.select_keys(instance_ids)

    def save_state(self) -> QByteArray:
        """The columns' widths and the sorted column, for the next start; empty where nobody chose any."""
        if not self._widths_chosen and self.model.sort_column is None:
            return QByteArray()
        return self.table.horizontalHeader().saveState()

    def restore_state(self, state: QByteArray) -> bool:
        """Take up what `save_state` gave; False where it does not fit."""
        header = self.table.horizontalHeader()
        if not header.restoreState(state):
            return False
        self._widths_chosen = True
        header.setStretchLastSection(True)
        self.model.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
        return True

    # --- how it is put together

    def _lay_out(self) -> None:
        actions = self._actions
        title = QLabel("Instances")
        title.setProperty("role", "heading")
        head = QHBoxLayout()
        head.setContentsMargins(14, 8, 14, 8)
        head.setSpacing(8)
        head.addWidget(title)
        head.addWidget(self._summary, 1)
        head.addWidget(tool_button(actions.launch, "launch", menu=actions.launch_menu(self)))
        head.addWidget(tool_button(actions.terminate, "terminate"))
        head.addWidget(tool_button(actions.kill, "kill", danger=True))
        head.addWidget(tool_button(actions.evict, "evict"))
        head.addSpacing(8)
        head.addWidget(tool_button(actions.reap_idle, "reap_idle"))
        head.addWidget(tool_button(actions.reap_stale, "reap_stale"))
        head.addWidget(tool_button(actions.stop_all, "stop_all"))
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(head)
        whole.addWidget(self.table, 1)
        # it takes what is left, but never less than what it was given itself
        self.table.setColumnWidth(Column.REMARK, NARROWEST)
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Use the room there is, until the person has set a width."""
        if self._widths_chosen:
            return
        usual, room = usual_widths(self.font()), self.table.viewport().width()
        # a column only where there is something to tell in it: for local processes there is not
        was_hidden, hidden = self.table.isColumnHidden(Column.CPU), not self.model.tells_cpu or room < ROOM_FOR_CPU
        self.table.setColumnHidden(Column.CPU, hidden)
        if hidden:
            del usual[Column.CPU]
        for column, width in fit(usual, GIVE_WAY, room).items():
            if column != Column.REMARK:
                self.table.setColumnWidth(column, width)
        if was_hidden != hidden:
            # Qt takes what it had stretched the last column to for its own width then
            self.table.setColumnWidth(Column.REMARK, NARROWEST)

    def _column_resized(self, *_: int) -> None:
        if QGuiApplication.mouseButtons() & Qt.MouseButton.LeftButton and self.table.horizontalHeader().underMouse():
            self._widths_chosen = True

    def _connect(self) -> None:
        table = self.table
        table.held_changed.connect(self.model.hold)
        table.hovered.connect(self._hovered)
        table.copied.connect(self._copy)
        table.doubleClicked.connect(lambda index: self.logs_requested.emit(self.model.key_at(index.row())))
        table.customContextMenuRequested.connect(self._open_menu)
        table.installEventFilter(self)
        table.viewport().installEventFilter(self)
        table.horizontalHeader().sectionResized.connect(self._column_resized)
        # these two listen only where the instances are, see gui.actions
        table.addAction(self._actions.terminate)
        table.addAction(self._actions.kill)
        table.selectionModel().selectionChanged.connect(self._selection_may_have_changed)
        self.model.modelReset.connect(self._selection_may_have_changed)
        self.model.rowsRemoved.connect(self._selection_may_have_changed)
        self._row_actions.chosen.connect(self._row_action)
        self._context.theme.changed.connect(self._restyle)

    # --- events and the passing of time

    def _take(self, events: Sequence[Event]) -> None:
        shown = self.model.rowCount()
        self.model.take(events)
        # the row under a mouse that rests may have ended, or been pinned
        self._hovered(self._delegate.hovered)
        if self.model.rowCount() > shown and self.model.fading and self.isVisible():
            self._fade_timer.start()
        self._told()

    def _told(self) -> None:
        """Bring everything beside the rows up to date."""
        shown = self.model.counts()
        number, living = shown.total(), self.model.living()
        words = [f"{format_count(number)} shown" if number == living else f"{number:,} of {living:,} shown"]
        words += [f"{shown[state]:,} {state.value}" for state in _COUNTED if shown[state]]
        self._summary.setText(" · ".join(words) if living else "")
        name = self.model.function
        self.table.set_empty_text(
            "No instances. Launch one, or invoke a function."
            if name is None
            else f"No instances of {name}. Launch one, or invoke it."
        )
        self._arm()

    def _arm(self) -> None:
        """Run the timer only where time changes what is seen."""
        if not self.isVisible() or not self.model.anything:
            self._tick_timer.stop()
            return
        wanted = _LIVELY_TICK_MS if self.model.lively else _TICK_MS
        # slower only from within a tick: events that keep coming must not put it off for ever
        if not self._tick_timer.isActive() or wanted < self._tick_timer.interval():
            self._tick_timer.start(wanted)

    def _tick(self) -> None:
        if self.window().isMinimized():
            return
        now = time.monotonic()
        whole = now - self._memory_asked >= _MEMORY_EVERY - 0.05
        if whole:
            self._memory_asked = now
            self._ask_memory()
        self.model.settle()
        self.model.tick(only_lively=not whole)
        wanted = _LIVELY_TICK_MS if self.model.lively else _TICK_MS
        if wanted != self._tick_timer.interval():
            self._tick_timer.setInterval(wanted)
        self._told()

    def _fade(self) -> None:
        if not self.isVisible() or not self.model.tick_fresh():
            self._fade_timer.stop()

    def _ask_memory(self) -> None:
        """Ask for those in sight, or for all where they are sorted by it."""
        if self.model.sort_column is Column.MEMORY:
            places = range(self.model.rowCount())
        else:
            top = max(0, self.table.rowAt(0))
            bottom = self.table.rowAt(self.table.viewport().height() - 1)
            places = range(top, (bottom if bottom >= 0 else self.model.rowCount() - 1) + 1)
        ids = [row.snapshot.id for row in map(self.model.row_at, places) if row.has_memory]
        if not ids:
            return
        start = self._memory_from % len(ids)
        until = time.monotonic() + _MEMORY_BUDGET
        found: list[tuple[str, MemoryUsage | None]] = []
        for instance_id in ids[start:] + ids[:start]:
            try:
                found.append((instance_id, self._context.runtime.memory(instance_id)))
            except LambdaRuntimeError:
                # it has gone since; its event is on the way
                continue
            if time.monotonic() >= until:
                break
        self._memory_from = start + len(found)
        self.model.set_memory(found)
        if self.model.tells_cpu and self.table.isColumnHidden(Column.CPU):
            self._fit_columns()

    # --- the mouse and the keyboard

    def _selection_may_have_changed(self) -> None:
        selected = self.table.selected_keys()
        if selected != self._selected:
            self._selected = selected
            self.selection_changed.emit()
        self._hovered(self._delegate.hovered)

    def _hovered(self, place: int) -> None:
        if not 0 <= place < self.model.rowCount() or self.model.row_at(place).gone is not None:
            self._row_actions.hide()
            return
        row = self.model.row_at(place)
        self._row_actions.set_text("pin", "Unpin" if row.snapshot.pinned else "Pin")
        for name in ("container", "shell"):
            self._row_actions.set_shown(name, bool(row.container))
        viewport = self.table.viewport()
        rect = self.table.visualRect(self.model.index(place, Column.REMARK))
        rect.setLeft(0)
        rect.setRight(viewport.width() - 1)
        self._row_actions.place(rect, selected=self.model.key_at(place) in self._selected)

    def _row_action(self, name: str) -> None:
        place = self._delegate.hovered
        if not 0 <= place < self.model.rowCount():
            return
        instance_id = self.model.key_at(place)
        if name == "logs":
            self.logs_requested.emit(instance_id)
            return
        self.table.select_keys([instance_id])
        a = self._actions
        actions = {"pin": a.pin, "container": a.copy_container, "shell": a.copy_shell, "terminate": a.terminate}
        actions[name].trigger()
        self._hovered(place)

    def _open_menu(self, where: QPoint) -> None:
        actions = self._actions
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.setToolTipsVisible(True)
        if self.table.indexAt(where).isValid():
            menu.addAction(actions.show_logs)
            menu.addAction(actions.pin)
            menu.addSeparator()
            menu.addAction(actions.terminate)
            menu.addAction(actions.kill)
            menu.addSeparator()
            menu.addAction(actions.copy_container)
            menu.addAction(actions.copy_shell)
            menu.addAction("Copy ids").triggered.connect(lambda: copy_text("\n".join(self.selected_ids())))
            menu.addAction("Copy rows").triggered.connect(self._copy)
            menu.addSeparator()
        menu.addMenu(actions.launch_menu(menu))
        menu.addAction(actions.evict)
        menu.addSeparator()
        menu.addAction(actions.reap_idle)
        menu.addAction(actions.reap_stale)
        menu.addAction(actions.stop_all)
        self.table.open_menu(menu, self.table.viewport().mapToGlobal(where))

    def _copy(self) -> None:
        places = [self.model.place_of(key) for key in self.selected_ids()]
        copy_text("\n".join(self.model.row_text(place) for place in places if place is not None))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.table and event.type() == QEvent.Type.KeyPress:
            assert isinstance(event, QKeyEvent)
            plain = event.modifiers() in {Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier}
            if plain and event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_L}:
                if self._selected:
                    self.logs_requested.emit(self._selected[0])
                return True
            if plain and event.key() == Qt.Key.Key_P:
                if self._selected:
                    self._actions.pin.trigger()
                return True
        elif watched is self.table.viewport() and event.type() == QEvent.Type.Resize:
            self._fit_columns()
        return super().eventFilter(watched, event)

    # --- being seen

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.model.settle()
        self._told()
        # the first figures at once, not a second later
        self._memory_asked = 0.0
        if self._tick_timer.isActive():
            QTimer.singleShot(0, self, self._tick)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._tick_timer.stop()
        self._fade_timer.stop()

    def _restyle(self) -> None:
        self._delegate.refresh()
        self.table.viewport().update()
