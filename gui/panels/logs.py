"""What an instance writes, live."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TypeVar

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.errors import LambdaRuntimeError
from core.events import Event, InstanceChanged, InstanceExited, InstanceLogged
from core.instances import InstanceExit, InstanceSnapshot
from gui.actions import Actions
from gui.context import Context
from gui.formatting import format_count, one_line
from gui.models.instance_row import InstanceRow
from gui.models.logs import LINES_SHOWN, LineKind, LogLine, read_line
from gui.theme import mono_font
from gui.widgets.eliding_label import ElidingLabel
from gui.widgets.find_bar import FindBar
from gui.widgets.log_view import LogView
from gui.widgets.panel_tabs import PanelTabs

__all__ = ["LogsPanel"]

# a whole line is shown in pieces of this many characters, since Qt is slow with one that is very long
_PIECE = 1_000
_WHOLE_AT_MOST = 1_000_000
_ENDS_KEPT = 100
_Kept = TypeVar("_Kept")


class _Chooser(QComboBox):
    """Asks for its entries when it is opened: a list that nobody looks at need not be kept up to date."""

    def __init__(self, panel: LogsPanel) -> None:
        super().__init__()
        self._panel = panel

    def showPopup(self) -> None:
        self._panel.fill_chooser()
        super().showPopup()

    def hidePopup(self) -> None:
        super().hidePopup()
        self._panel.name_chosen()


class LogsPanel(QWidget):
    """The lines of one instance: those that are kept first, then each as it comes.

    When the instance ends, its lines stay, with a last one that says why. With `actions` the title
    also leads to the other panels in the same place.
    """

    def __init__(self, context: Context, parent: QWidget | None = None, *, actions: Actions | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("logs_panel")
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._context = context
        self._instance: str | None = None
        self._last: InstanceSnapshot | None = None
        # how the last instances ended, the newest last
        self._ends: OrderedDict[str, InstanceSnapshot] = OrderedDict()
        self._exits: OrderedDict[str, InstanceExit] = OrderedDict()
        # lines that came while nobody looked
        self._unshown: deque[LogLine] = deque(maxlen=LINES_SHOWN)
        self.view = LogView(context.theme)
        self.view.setObjectName("logs_view")
        self.view.setAccessibleName("Logs")
        self._chooser = _Chooser(self)
        self._chooser.setObjectName("logs_instance")
        self._chooser.setAccessibleName("Instance")
        self._chooser.setPlaceholderText("Choose an instance")
        self._chooser.setMinimumContentsLength(28)
        self._chooser.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._status = ElidingLabel()
        self._status.setObjectName("logs_status")
        self._status.setProperty("role", "small")
        self._find_bar = FindBar()
        self._lay_out(actions)
        self._connect()
        self._describe()
        context.coalescer.add(self._take)

    # --- what the window asks

    @property
    def instance_id(self) -> str | None:
        """Whose lines are shown."""
        return self._instance

    def show_instance(self, instance_id: str | None) -> None:
        """Show the lines of this instance, or nothing with None."""
        if instance_id == self._instance:
            return
        # events that wait already would bring lines that the runtime gives us now as well
        self._context.coalescer.flush()
        self._instance = instance_id
        self._last = None
        self._unshown.clear()
        lines: list[LogLine] = []
        if instance_id is not None:
            self._last = self._find_instance(instance_id)
            lines = [read_line(line) for line in self._context.runtime.log_lines(instance_id)]
            if self._last is None:
                lines.append(LogLine("instance ended", LineKind.NOTICE))
            elif self._last.state.final:
                lines.append(self._last_line(self._last))
        self.view.replace(lines)
        self._show_in_chooser()
        self._describe()

    def fill_chooser(self) -> None:
        """Offer all instances there are, and the one that is shown."""
        snapshots = self._context.runtime.instances()
        known = {snapshot.id: snapshot for snapshot in (*snapshots, *reversed(self._ends.values()))}
        entries = [(_title(snapshot), snapshot.id) for snapshot in known.values()]
        if self._instance is not None and self._instance not in known:
            entries.append((f"{self._instance} · ended", self._instance))
        self._chooser.clear()
        for text, instance_id in entries:
            self._chooser.addItem(text, instance_id)
        self._chooser.setCurrentIndex(self._chooser.findData(self._instance))

    def name_chosen(self) -> None:
        """Leave the state out of the closed box: the word beside it is the one that is kept true."""
        if self._last is not None:
            self._chooser.setItemText(self._chooser.currentIndex(), f"{self._last.id} · {self._last.function_name}")

    # --- how it is put together

    def _lay_out(self, actions: Actions | None) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        if actions is None:
            title = QLabel("Logs")
            title.setProperty("role", "heading")
            head.addWidget(title)
            head.setContentsMargins(14, 8, 14, 2)
        else:
            head.addWidget(PanelTabs({"logs": actions.logs, "calls": actions.calls}, "logs"))
            head.setContentsMargins(7, 8, 14, 2)
        head.addWidget(self._chooser)
        head.addWidget(self._status, 1)
        self._wrap = self._button("Wrap", "logs_wrap", "Break long lines")
        self._wrap.setCheckable(True)
        self._find = self._button("Find", "logs_find", "Look for a text (Ctrl+F)")
        self._copy = self._button("Copy", "logs_copy", "Copy what is selected, or all lines")
        self._clear = self._button("Clear", "logs_clear", "Empty this view; what is kept elsewhere stays")
        for button in (self._find, self._wrap, self._copy, self._clear):
            head.addWidget(button)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(head)
        whole.addWidget(self._find_bar)
        whole.addWidget(self.view, 1)

    @staticmethod
    def _button(text: str, name: str, tooltip: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setObjectName(name)
        button.setToolTip(tooltip)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    def _connect(self) -> None:
        self._chooser.activated.connect(lambda index: self.show_instance(self._chooser.itemData(index)))
        self._wrap.toggled.connect(self._set_wrap)
        self._find.clicked.connect(self._open_find)
        self._copy.clicked.connect(self._copy_lines)
        self._clear.clicked.connect(self._clear_lines)
        self._find_bar.asked.connect(self._look_for)
        self._find_bar.closed.connect(self._close_find)
        self.view.find_asked.connect(self._open_find)
        self.view.whole_asked.connect(self._show_whole)
        self.view.installEventFilter(self)
        self._find_bar.field.installEventFilter(self)
        self._context.theme.changed.connect(self.view.restyle)

    # --- events

    def _take(self, events: Sequence[Event]) -> None:
        lines: list[LogLine] = []
        changed = False
        for event in events:
            match event:
                case InstanceLogged(instance_id=self._instance, lines=raw):
                    lines += [read_line(line) for line in raw]
                case InstanceExited(instance_id=instance_id, exit=exit_):
                    _keep(self._exits, instance_id, exit_)
                case InstanceChanged(instance=snapshot):
                    if snapshot.state.final:
                        _keep(self._ends, snapshot.id, snapshot)
                    if snapshot.id == self._instance:
                        changed = True
                        self._last = snapshot
                        if snapshot.state.final:
                            lines.append(self._last_line(snapshot))
                case _:
                    pass
        if lines:
            if self.isVisible():
                self.view.append(lines)
            else:
                self._unshown.extend(lines)
        if changed or lines:
            self._describe()

    def _find_instance(self, instance_id: str) -> InstanceSnapshot | None:
        try:
            return self._context.runtime.instance(instance_id)
        except LambdaRuntimeError:
            # it has gone; its last lines are kept for a while
            return self._ends.get(instance_id)

    def _ended(self, snapshot: InstanceSnapshot) -> str:
        row = InstanceRow(snapshot, 0.0)
        row.exit = self._exits.get(snapshot.id)
        return row.ended()

    def _last_line(self, snapshot: InstanceSnapshot) -> LogLine:
        return LogLine(f"instance ended: {one_line(self._ended(snapshot), 1_000)}", LineKind.NOTICE)

    def _describe(self) -> None:
        """Say whose lines these are and whether more can come."""
        snapshot = self._last
        if self._instance is None:
            self._status.setText("")
            self.view.setPlaceholderText("Choose an instance to see what it writes.")
        elif snapshot is None:
            self._status.setText("ended")
            self.view.setPlaceholderText("Nothing is kept of this instance.")
        else:
            ended = f"ended: {self._ended(snapshot)}" if snapshot.state.final else snapshot.state.value
            count = self.view.line_count + len(self._unshown)
            many = f"last {format_count(LINES_SHOWN)} lines" if count >= LINES_SHOWN else ""
            self._status.setText(" · ".join(filter(None, (ended, many))))
            self.view.setPlaceholderText("Nothing written yet.")

    def _show_in_chooser(self) -> None:
        if self._instance is None:
            self._chooser.setCurrentIndex(-1)
            return
        place = self._chooser.findData(self._instance)
        if place < 0:
            self._chooser.addItem(f"{self._instance} · ended", self._instance)
            place = self._chooser.count() - 1
        self._chooser.setCurrentIndex(place)
        self.name_chosen()

    # --- buttons and keys

    def _set_wrap(self, wrap: bool) -> None:
        mode = QPlainTextEdit.LineWrapMode
        self.view.setLineWrapMode(mode.WidgetWidth if wrap else mode.NoWrap)
        if self.view.following:
            self.view.follow()

    def _open_find(self) -> None:
        selected = self.view.textCursor().selectedText()
        # a selection over several lines is not what one looks for
        self._find_bar.open("" if "\u2029" in selected else selected)

    def _close_find(self) -> None:
        self._find_bar.hide()
        self.view.setFocus()

    def _look_for(self, text: str, backward: bool) -> None:
        self._find_bar.show_found(self.view.find_next(text, backward=backward))

    def _copy_lines(self) -> None:
        if self.view.textCursor().hasSelection():
            self.view.copy()
        else:
            QGuiApplication.clipboard().setText(self.view.text())

    def _clear_lines(self) -> None:
        self._unshown.clear()
        self.view.clear_lines()
        self._describe()

    def _show_whole(self, text: str) -> None:
        dialog = QDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(f"One line, {format_count(len(text))} characters")
        dialog.resize(760, 480)
        field = QPlainTextEdit()
        field.setReadOnly(True)
        field.setFont(mono_font())
        shown = text[:_WHOLE_AT_MOST]
        pieces = [shown[start : start + _PIECE] for start in range(0, len(shown), _PIECE)]
        field.setPlainText("\n".join(pieces))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton("Copy", QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(text))
        buttons.rejected.connect(dialog.reject)
        column = QVBoxLayout(dialog)
        column.addWidget(field, 1)
        column.addWidget(buttons)
        dialog.open()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in {QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress}:
            assert isinstance(event, QKeyEvent)
            if event.matches(QKeySequence.StandardKey.Find):
                # taken here, or the window's filter of functions would answer
                event.accept()
                if event.type() == QEvent.Type.KeyPress:
                    self._open_find()
                return True
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        unshown = list(self._unshown)
        self._unshown.clear()
        self.view.append(unshown)
        self._describe()


def _keep(kept: OrderedDict[str, _Kept], key: str, value: _Kept) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _ENDS_KEPT:
        kept.popitem(last=False)


def _title(snapshot: InstanceSnapshot) -> str:
    return f"{snapshot.id} · {snapshot.function_name} · {snapshot.state.value}"
