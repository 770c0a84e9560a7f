"""One tab: an event, its invocation, the response and the facts."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSplitter, QVBoxLayout, QWidget

from core.events import Event
from core.instances import InstanceState
from gui.context import Context
from gui.formatting import format_ms
from gui.models.coalescer import FRAME_MS
from gui.workbench.event_editor import EventEditor
from gui.workbench.facts_view import FactsView
from gui.workbench.response_view import ResponseView
from gui.workbench.run import Run, RunState
from gui.workbench.tab_bar import TabText

__all__ = ["InvocationTab"]

_CLOCK_MS = 100


class InvocationTab(QWidget):
    """`changed` is emitted when its title may read differently or its invocation begins or ends."""

    changed = Signal()
    invoke_pressed = Signal()
    cancel_pressed = Signal()

    def __init__(
        self, context: Context, function_name: str, draft: str | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._context = context
        self.function_name = function_name
        self.run: Run | None = None
        self._shown_over = True
        self._build(draft)
        # a frame is only asked for when something came; nothing ticks in a tab at rest
        self._frame = QTimer(self)
        self._frame.setSingleShot(True)
        self._frame.setInterval(FRAME_MS)
        self._frame.timeout.connect(self.refresh)
        self._clock = QTimer(self)
        self._clock.setInterval(_CLOCK_MS)
        self._clock.timeout.connect(self._tick)
        self._show_buttons()

    def _build(self, draft: str | None) -> None:
        self.event_editor = EventEditor(self._context, self.function_name, draft, self)
        self.invoke_button = QPushButton("Invoke  Ctrl ⏎", self)
        self.invoke_button.setProperty("primary", True)
        self.invoke_button.setAccessibleName("Invoke")
        self.invoke_button.setToolTip("Send the event to the function (Ctrl+Enter)")
        self.invoke_button.clicked.connect(self.invoke_pressed)
        self.cancel_button = QPushButton("Cancel  Esc", self)
        self.cancel_button.setAccessibleName("Cancel")
        self.cancel_button.setToolTip("Leave the queue, or stop the function and its instance (Esc)")
        self.cancel_button.clicked.connect(self.cancel_pressed)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.invoke_button)
        buttons.addWidget(self.cancel_button)
        buttons.addStretch(1)
        left = QWidget(self)
        left.setObjectName("event_side")
        column = QVBoxLayout(left)
        column.setContentsMargins(14, 10, 14, 12)
        column.setSpacing(8)
        column.addWidget(self.event_editor, 1)
        column.addLayout(buttons)
        self.response = ResponseView(self._context, self)
        self.facts = FactsView(self._context.theme, self)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        for part in (left, self.response, self.facts):
            self.splitter.addWidget(part)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([350, 580, 225])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.splitter)
        QWidget.setTabOrder(self.event_editor.editor, self.invoke_button)
        QWidget.setTabOrder(self.invoke_button, self.cancel_button)

    def name_buttons(self, current: bool) -> None:
        """Only the tab in front has the buttons by which they are found."""
        self.invoke_button.setObjectName("invoke" if current else "invoke_behind")
        self.cancel_button.setObjectName("cancel" if current else "cancel_behind")

    # --- its invocation

    @property
    def running(self) -> bool:
        """Whether its invocation is not over."""
        return self.run is not None and not self.run.over

    def start(self, payload: bytes) -> Run:
        """Invoke with `payload`; what it showed before goes."""
        self._forget()
        run = Run(self.function_name, payload, self._something_new)
        self.run = run
        self._shown_over = False
        self.response.show_run(run)
        run.attach(self._context.tasks.start(f"Invoke {self.function_name}", run.drive(self._context.runtime)))
        self.refresh()
        return run

    def cancel(self) -> None:
        """Stop the invocation, if one runs. Once more does not wait for its instance."""
        if self.run is not None and not self.run.over:
            self._context.tasks.start(f"Cancel {self.function_name}", self.run.stop())

    def take(self, events: Sequence[Event]) -> None:
        """News from the pool."""
        run = self.run
        if run is None or run.over:
            return
        waiting = run.state in {RunState.SENDING, RunState.QUEUED, RunState.STARTING}
        if not waiting:
            run.take(events)
            return
        runtime = self._context.runtime
        starting = sum(1 for each in runtime.instances(self.function_name) if each.state is InstanceState.STARTING)
        run.take(events)
        run.place(runtime.position(run.request_id), starting)

    def close_run(self) -> None:
        """The tab goes: end its invocation and free what it kept."""
        self.cancel()
        self._forget()
        self.event_editor.leave()
        self.response.leave()

    def _forget(self) -> None:
        if self.run is not None:
            self.run.detach()
            self.run = None

    # --- what it shows

    def title(self) -> TabText:
        """What its tab reads."""
        run = self.run
        if run is None:
            return TabText(self.function_name)
        if not run.over:
            return TabText(self.function_name, str(run.state), run.state.token)
        if run.state is RunState.SUCCEEDED:
            return TabText(self.function_name, format_ms(run.elapsed * 1000))
        if run.state is RunState.FUNCTION_ERROR and run.result is not None:
            return TabText(self.function_name, run.result.error_type or "function error")
        return TabText(self.function_name, str(run.state))

    def refresh(self) -> None:
        """Take in what is new since the last frame."""
        run = self.run
        self._frame.stop()
        if run is not None:
            run.dirty = False
        if self.isVisible():
            more = self.response.refresh()
            self.facts.show_run(run)
            if more and run is not None:
                run.touch()
        self._show_buttons()
        over = run is None or run.over
        if self.isVisible() and not over:
            if not self._clock.isActive():
                self._clock.start()
        else:
            self._clock.stop()
        self.changed.emit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._clock.stop()

    def _something_new(self) -> None:
        run = self.run
        if run is not None and run.over:
            # the end is shown at once, and the buttons with it
            self._frame.start(0)
        elif not self._frame.isActive():
            self._frame.start(FRAME_MS)

    def _show_buttons(self) -> None:
        running = self.running
        if self.cancel_button.isEnabled() != running:
            had_focus = self.cancel_button.hasFocus()
            self.cancel_button.setEnabled(running)
            if had_focus and not running:
                self.invoke_button.setFocus()

    def _tick(self) -> None:
        if self.run is not None and not self.run.over:
            self.facts.show_elapsed(self.run)
