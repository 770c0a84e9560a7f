"""Who calls the endpoint, live: one row a request."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetrics, QGuiApplication, QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QMenu, QToolButton, QVBoxLayout, QWidget

from core.events import EndpointChanged, Event
from gui.actions import Actions
from gui.context import Context
from gui.endpoint import EndpointControl
from gui.formatting import format_count
from gui.models.call_row import TITLES, CallColumn, CallRow
from gui.models.calls import CALLS_KEPT, CallsModel
from gui.theme import mono_font
from gui.widgets.cell_delegate import CELL_PADDING, EDGE_PADDING, ROW_HEIGHT, CellDelegate
from gui.widgets.column_fit import fit
from gui.widgets.eliding_label import ElidingLabel
from gui.widgets.live_table import LiveTable, copy_text
from gui.widgets.panel_tabs import PanelTabs
from gui.widgets.row_actions import RowActions
from gui.widgets.state_pill import pill_width

__all__ = ["CallsPanel"]

_HASTY_MS = 250
_CALM_MS = 1_000

# the longest text that each column usually has to show
_WIDEST = {
    CallColumn.TIME: "00:00:00.000",
    CallColumn.CALLER: "aws-sdk-js/3.1000.0",
    CallColumn.OPERATION: "InvokeWithResponseStream",
    CallColumn.FUNCTION: "nightly-report-12:live",
    CallColumn.INSTANCE: "i-00000000",
    CallColumn.STATUS: "streaming",
    CallColumn.DURATION: "59m 59s",
    CallColumn.REMARK: "ResourceNotFoundException",
}
_MONO = frozenset({CallColumn.TIME, CallColumn.INSTANCE, CallColumn.DURATION})
_GIVE_WAY = (
    (CallColumn.REMARK, 120),
    (CallColumn.OPERATION, 120),
    (CallColumn.FUNCTION, 96),
    (CallColumn.CALLER, 96),
    (CallColumn.REMARK, 60),
)


class CallsPanel(QWidget):
    """The last thousand calls, of all functions or of the selected one; the newest is the last.

    It stays at the end while nobody scrolls up, and lies still under the mouse. `picked(function,
    instance)` is emitted when the person chooses a row, either may be None; `logs_requested(instance)`
    by Enter, L and a double click; `said` tells what was copied.
    """

    picked = Signal(object, object)
    logs_requested = Signal(str)
    said = Signal(str)

    def __init__(
        self, context: Context, actions: Actions, control: EndpointControl, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("calls_panel")
        self.setProperty("surface", "background")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._context = context
        self._actions = actions
        self._control = control
        self._selected: str | None = None
        self._offered: str | None = None
        self._following = True
        self._moving = False
        self.model = CallsModel(self)
        self.model.wake(False)
        self._delegate = CellDelegate(self.model, context.theme, self)
        self.table = LiveTable(self._delegate, context.theme)
        self.table.setObjectName("calls_table")
        self.table.setAccessibleName("Calls")
        self.table.setModel(self.model)
        # they stand in the order in which they came
        self.table.setSortingEnabled(False)
        self.table.horizontalHeader().setSectionsClickable(False)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._summary = ElidingLabel()
        self._summary.setObjectName("calls_summary")
        self._summary.setProperty("role", "small")
        self._row_actions = RowActions(context.theme, self.table.viewport())
        self._row_actions.add("copy_call", "Copy id", "Copy the request id")
        self._row_actions.add("call_logs", "Logs", "Show what its instance writes (Enter)")
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._lay_out()
        self._connect()
        self._told()
        context.coalescer.add(self._take)

    # --- what the window asks

    def show_function(self, name: str | None, *, only: bool = True) -> None:
        """Show the calls of one function, or of all with None; without `only`, merely offer to."""
        self._offered = name
        self._only.setVisible(name is not None)
        self._only.setChecked(name is not None and only)
        if name is not None:
            self._only.setText(f"Only {name}" if len(name) <= 24 else "Only the selected function")
        self._filter()

    def selected(self) -> CallRow | None:
        """The call whose row is selected."""
        keys = self.table.selected_keys()
        place = self.model.place_of(keys[0]) if keys else None
        return None if place is None else self.model.row_at(place)

    @property
    def following(self) -> bool:
        """Whether the newest row is kept in sight."""
        return self._following

    # --- how it is put together

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(7, 8, 14, 2)
        head.setSpacing(8)
        head.addWidget(PanelTabs({"logs": self._actions.logs, "calls": self._actions.calls}, "calls"))
        head.addWidget(self._summary, 1)
        self._only = self._button("calls_only", "", "Show the calls of the selected function, or of all")
        self._only.setCheckable(True)
        self._copy = self._button("calls_copy", "Copy id", "Copy the selected call's request id")
        self._clear = self._button("calls_clear", "Clear", "Forget the calls that are over")
        for button in (self._only, self._copy, self._clear):
            head.addWidget(button)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(head)
        whole.addWidget(self.table, 1)
        self._only.hide()
        self._fit_columns()

    @staticmethod
    def _button(name: str, words: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setObjectName(name)
        button.setText(words)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    def _fit_columns(self) -> None:
        for column, width in fit(_usual_widths(self), _GIVE_WAY, self.table.viewport().width()).items():
            if column != CallColumn.REMARK:
                self.table.setColumnWidth(column, width)

    def _connect(self) -> None:
        table = self.table
        table.held_changed.connect(self._held)
        table.hovered.connect(self._hovered)
        table.copied.connect(self._copy_row)
        table.doubleClicked.connect(lambda _: self._ask_for_logs(self.selected()))
        table.customContextMenuRequested.connect(self._open_menu)
        table.installEventFilter(self)
        table.viewport().installEventFilter(self)
        table.verticalScrollBar().valueChanged.connect(self._scrolled)
        table.selectionModel().selectionChanged.connect(self._selection_changed)
        self.model.rowsInserted.connect(self._keep_up)
        self.model.rowsAboutToBeRemoved.connect(self._stay)
        self.model.modelReset.connect(self._was_reset)
        self._only.clicked.connect(self._filter)
        self._copy.clicked.connect(lambda: self._copy_id(self.selected()))
        self._clear.clicked.connect(self._forget)
        self._row_actions.chosen.connect(self._row_action)
        self._control.changed.connect(self._told)
        self._context.theme.changed.connect(self._restyle)

    # --- events and the passing of time

    def _take(self, events: Sequence[Event]) -> None:
        self.model.take(events)
        if any(isinstance(event, EndpointChanged) for event in events) or self.isVisible():
            self._told()

    def _told(self) -> None:
        """Bring everything beside the rows up to date."""
        model = self.model
        shown, running = model.rowCount(), model.running_shown()
        words = []
        if shown:
            words.append(f"{format_count(shown)} shown" if shown < CALLS_KEPT else f"the last {CALLS_KEPT:,}")
            if running:
                words.append(f"{format_count(running)} running")
            if model.seen > shown:
                words.append(f"{format_count(model.seen)} in all")
        self._summary.setText(" · ".join(words))
        self._copy.setEnabled(bool(self.table.selected_keys()))
        self._clear.setEnabled(model.kept > model.running())
        about = f" for {model.function}" if model.function is not None else ""
        self.table.set_empty_text(
            f"No calls yet{about}. Clients reach this pool at {self._control.url}."
            if self._control.on
            else "The endpoint is off. Turn it on at the top right, and every request to it is listed here."
        )
        self._hovered(self._delegate.hovered)
        if not self.isVisible() or not running:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start(_HASTY_MS)

    def _tick(self) -> None:
        if not self.window().isMinimized():
            self._timer.setInterval(_HASTY_MS if self.model.tick() else _CALM_MS)

    # --- staying at the end, or where one has scrolled to

    def _scrolled(self, value: int) -> None:
        if not self._moving:
            self._following = value >= self.table.verticalScrollBar().maximum()

    def _keep_up(self) -> None:
        if self._following and not self.table.held:
            self._moving = True
            self.table.scrollToBottom()
            self._moving = False

    def _stay(self, _parent: object, first: int, last: int) -> None:
        """Rows at the top leave: what is in sight stays in its place."""
        bar = self.table.verticalScrollBar()
        above = (last - first + 1) * ROW_HEIGHT
        if not self._following and first * ROW_HEIGHT < bar.value():
            self._moving = True
            bar.setValue(max(0, bar.value() - above))
            self._moving = False

    def _held(self, held: bool) -> None:
        self.model.hold(held)
        if not held:
            self._keep_up()
            self._told()

    def _was_reset(self) -> None:
        self._selected = None
        self._following = True
        self._keep_up()

    # --- the mouse and the keyboard

    def _selection_changed(self) -> None:
        row = self.selected()
        self._copy.setEnabled(row is not None)
        if row is None or row.id == self._selected:
            return
        self._selected = row.id
        name = row.key or row.function or None
        self.picked.emit(name, row.instance_id)

    def _hovered(self, place: int) -> None:
        if not 0 <= place < self.model.rowCount():
            self._row_actions.hide()
            return
        viewport = self.table.viewport()
        rect = self.table.visualRect(self.model.index(place, CallColumn.REMARK))
        rect.setLeft(0)
        rect.setRight(viewport.width() - 1)
        self._row_actions.place(rect, selected=self.model.key_at(place) in self.table.selected_keys())

    def _row_action(self, name: str) -> None:
        place = self._delegate.hovered
        if 0 <= place < self.model.rowCount():
            row = self.model.row_at(place)
            if name == "call_logs":
                self._ask_for_logs(row)
            else:
                self._copy_id(row)

    def _open_menu(self, where: QPoint) -> None:
        row = self.selected()
        if row is None or not self.table.indexAt(where).isValid():
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        logs = menu.addAction("Show logs")
        logs.setEnabled(row.instance_id is not None)
        logs.triggered.connect(lambda: self._ask_for_logs(row))
        menu.addSeparator()
        menu.addAction("Copy request id").triggered.connect(lambda: self._copy_id(row))
        menu.addAction("Copy row").triggered.connect(self._copy_row)
        self.table.open_menu(menu, self.table.viewport().mapToGlobal(where))

    def _copy_id(self, row: CallRow | None) -> None:
        if row is not None:
            copy_text(row.id)
            self.said.emit(f"Copied the request id {row.id}")

    def _copy_row(self) -> None:
        keys = self.table.selected_keys()
        place = self.model.place_of(keys[0]) if keys else None
        if place is not None:
            copy_text(self.model.row_text(place))

    def _ask_for_logs(self, row: CallRow | None) -> None:
        if row is not None and row.instance_id is not None:
            self.logs_requested.emit(row.instance_id)

    def _forget(self) -> None:
        self.model.clear()
        self._told()

    def _filter(self) -> None:
        selected = self.table.selected_keys()
        self.model.set_function(self._offered if self._only.isChecked() else None)
        self._selected = selected[0] if selected else None
        self.table.select_keys(selected)
        self._told()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.table and event.type() == QEvent.Type.KeyPress:
            assert isinstance(event, QKeyEvent)
            plain = event.modifiers() in {Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier}
            if plain and event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_L}:
                self._ask_for_logs(self.selected())
                return True
        elif watched is self.table.viewport() and event.type() == QEvent.Type.Resize:
            self._fit_columns()
            QTimer.singleShot(0, self, self._keep_up)
        return super().eventFilter(watched, event)

    # --- being seen

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.model.wake(True)
        self._told()
        QTimer.singleShot(0, self, self._keep_up)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.model.wake(False)
        self._timer.stop()

    def _restyle(self) -> None:
        self._delegate.refresh()
        self.table.viewport().update()


def _usual_widths(panel: QWidget) -> dict[int, int]:
    """How wide each column is where there is room."""
    mono, face = QFontMetrics(mono_font()), QFontMetrics(QGuiApplication.font())
    widths: dict[int, int] = {}
    for column, widest in _WIDEST.items():
        metrics = mono if column in _MONO else face
        width = metrics.horizontalAdvance(widest) + 2 * CELL_PADDING + 4
        if column is CallColumn.STATUS:
            width = pill_width(widest, mono) + 2 * CELL_PADDING + 4
        if column is CallColumn.TIME:
            width += EDGE_PADDING - CELL_PADDING
        widths[column] = max(width, face.horizontalAdvance(TITLES[column]) + 2 * CELL_PADDING + 4)
    return widths
