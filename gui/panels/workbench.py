"""The workbench: one tab an invocation, with the event that is sent and the response as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from PySide6.QtCore import QByteArray, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMessageBox, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from core.events import Event, FunctionRemoved
from core.names import split_key
from gui.context import Context
from gui.workbench.invocation_tab import InvocationTab
from gui.workbench.style import workbench_style
from gui.workbench.tab_bar import TabBar

__all__ = ["WorkbenchPanel"]


class WorkbenchPanel(QWidget):
    """`running_changed` is emitted when an invocation begins or ends, or another tab comes to the front."""

    running_changed = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._function: str | None = None
        self._drafts: dict[str, str] = {}
        self._tabs: list[InvocationTab] = []
        self._running: frozenset[int] = frozenset()
        self._widths: QByteArray | None = None
        self.setObjectName("workbench")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._build()
        context.theme.changed.connect(self._dress)
        context.coalescer.add(self._take)
        self._dress()
        self._show_pages()

    def _build(self) -> None:
        self.bar = TabBar(self._context.theme, self)
        self.bar.currentChanged.connect(self._tab_chosen)
        self.bar.close_requested.connect(self.close_tab)
        self._plus = QToolButton(self)
        self._plus.setObjectName("new_tab")
        self._plus.setText("+")
        self._plus.setProperty("flat", True)
        self._plus.setAccessibleName("New tab")
        self._plus.setToolTip("Another tab for the selected function (Ctrl+T)")
        self._plus.clicked.connect(self.new_tab)
        top = QHBoxLayout()
        top.setContentsMargins(10, 6, 10, 0)
        top.setSpacing(4)
        top.addWidget(self.bar, 0, Qt.AlignmentFlag.AlignBottom)
        top.addWidget(self._plus)
        top.addStretch(1)
        strip = QWidget(self)
        strip.setObjectName("tab_strip")
        strip.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        strip.setLayout(top)
        self._empty = QLabel("Select a function to invoke it", self)
        self._empty.setObjectName("workbench_empty")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setProperty("role", "dim")
        self._stack = QStackedWidget(self)
        self._stack.setObjectName("bench")
        self._stack.addWidget(self._empty)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(strip)
        layout.addWidget(self._stack, 1)
        local = Qt.ShortcutContext.WidgetWithChildrenShortcut
        for keys, slot in (
            ("Ctrl+S", self._save_event),
            ("Ctrl+Shift+F", self._format_event),
            ("Ctrl+W", self._close_current),
            ("Ctrl+T", self.new_tab),
        ):
            QShortcut(QKeySequence(keys), self, context=local).activated.connect(slot)

    # --- what the window asks of it

    def show_function(self, name: str | None) -> None:
        """Bring the tab of `name` to the front, or make one. None leaves the tabs as they are."""
        self._function = name
        self._plus.setEnabled(name is not None)
        if name is None:
            return
        current = self.current
        if current is not None and current.function_name == name:
            return
        for tab in reversed(self._tabs):
            if tab.function_name == name:
                self.bar.setCurrentIndex(self._tabs.index(tab))
                return
        if current is not None and current.run is None:
            # nothing has happened in it: it makes room instead of staying behind
            index = self._tabs.index(current)
            self._insert(index + 1, name)
            self._drop(index)
        else:
            self._insert(len(self._tabs), name)

    def new_tab(self) -> None:
        """Another tab for the selected function (or the one in front)."""
        name = self._function or (self.current.function_name if self.current is not None else None)
        if name is not None:
            self._insert(len(self._tabs), name)

    def invoke(self) -> None:
        """Send the event of the tab in front; while its invocation runs, in a tab of its own."""
        tab = self.current
        if tab is None:
            return
        payload = tab.event_editor.payload()
        if payload is None:
            tab.event_editor.point_at_problem()
            return
        if tab.running:
            self._remember(tab)
            tab = self._insert(self._tabs.index(tab) + 1, tab.function_name, like=tab)
        tab.start(payload)
        self._count()

    def cancel(self) -> None:
        """Stop the invocation of the tab in front."""
        if self.current is not None:
            self.current.cancel()

    def running(self) -> int:
        """How many of the window's invocations are not over."""
        return sum(1 for tab in self._tabs if tab.running)

    def current_running(self) -> bool:
        """Whether Cancel would do something."""
        return self.current is not None and self.current.running

    async def cancel_all(self) -> None:
        """Stop every invocation and wait until they are over."""
        runs = [tab.run for tab in self._tabs if tab.run is not None and not tab.run.over]
        await asyncio.gather(*(run.stop() for run in runs), return_exceptions=True)
        self._count()

    def save_state(self) -> QByteArray:
        """The widths of the columns, for `restore_state`."""
        return self._widths if self._widths is not None else QByteArray()

    def restore_state(self, state: QByteArray) -> None:
        """Give the columns the widths that `save_state` told."""
        if not state.isEmpty():
            self._widths = state
            for tab in self._tabs:
                tab.splitter.restoreState(state)

    @property
    def current(self) -> InvocationTab | None:
        """The tab in front."""
        index = self.bar.currentIndex()
        return self._tabs[index] if 0 <= index < len(self._tabs) else None

    @property
    def tabs(self) -> Sequence[InvocationTab]:
        """All tabs, from left to right."""
        return tuple(self._tabs)

    # --- tabs

    def close_tab(self, index: int) -> None:
        """Close a tab; while its invocation runs, ask first."""
        tab = self._tabs[index]
        if not tab.running:
            self._drop(index)
            return
        box = QMessageBox(self)
        box.setObjectName("close_running_tab")
        box.setIcon(QMessageBox.Icon.NoIcon)
        box.setText(f"{tab.function_name} is still running.")
        box.setInformativeText("Closing its tab cancels the invocation and ends its instance.")
        close = box.addButton("Cancel it and close", QMessageBox.ButtonRole.DestructiveRole)
        keep = box.addButton("Keep running", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(keep)
        close.clicked.connect(lambda: self._drop(self._tabs.index(tab)) if tab in self._tabs else None)
        box.finished.connect(box.deleteLater)
        box.open()

    def _insert(self, index: int, name: str, like: InvocationTab | None = None) -> InvocationTab:
        tab = InvocationTab(self._context, name, self._drafts.get(name), self)
        if self._widths is not None:
            tab.splitter.restoreState(self._widths)
        tab.splitter.splitterMoved.connect(lambda: self._widths_changed(tab))
        tab.changed.connect(lambda: self._tab_changed(tab))
        tab.invoke_pressed.connect(self.invoke)
        tab.cancel_pressed.connect(self.cancel)
        tab.event_editor.edited.connect(lambda: self._remember(tab))
        tab.event_editor.stored.connect(lambda: self._reload_saved(tab))
        self._tabs.insert(index, tab)
        self._stack.addWidget(tab)
        self.bar.blockSignals(True)
        self.bar.insertTab(index, "")
        self.bar.show_text(index, tab.title())
        self.bar.setCurrentIndex(index)
        self.bar.blockSignals(False)
        self._show_pages()
        self._context.tasks.start(f"Read the saved events of {name}", tab.event_editor.load())
        return tab

    def _drop(self, index: int) -> None:
        tab = self._tabs.pop(index)
        tab.close_run()
        self.bar.blockSignals(True)
        self.bar.removeTab(index)
        self.bar.blockSignals(False)
        self._stack.removeWidget(tab)
        tab.deleteLater()
        self._show_pages()
        self._count()

    def _show_pages(self) -> None:
        current = self.current
        self.bar.setVisible(bool(self._tabs))
        self._plus.setVisible(bool(self._tabs))
        for tab in self._tabs:
            tab.name_buttons(tab is current)
        self._stack.setCurrentWidget(current if current is not None else self._empty)
        self.running_changed.emit()

    def _tab_chosen(self, _index: int) -> None:
        self._show_pages()

    def _tab_changed(self, tab: InvocationTab) -> None:
        if tab in self._tabs:
            self.bar.show_text(self._tabs.index(tab), tab.title())
            self._count()

    def _count(self) -> None:
        # which ones, not how many: one may end in the moment in which another begins
        running = frozenset(id(tab.run) for tab in self._tabs if tab.running)
        if running != self._running:
            self._running = running
            self.running_changed.emit()

    def _widths_changed(self, tab: InvocationTab) -> None:
        self._widths = tab.splitter.saveState()
        for other in self._tabs:
            if other is not tab:
                other.splitter.restoreState(self._widths)

    # --- events and drafts

    def _remember(self, tab: InvocationTab) -> None:
        self._drafts[tab.function_name] = tab.event_editor.text

    def _reload_saved(self, saved_in: InvocationTab) -> None:
        for tab in self._tabs:
            same = split_key(tab.function_name)[0] == split_key(saved_in.function_name)[0]
            if tab is not saved_in and same:
                self._context.tasks.start(f"Read the saved events of {tab.function_name}", tab.event_editor.load())

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, FunctionRemoved):
                self._forget(event.function_name)
        for tab in self._tabs:
            tab.take(events)

    def _forget(self, name: str) -> None:
        self._drafts.pop(name, None)
        for tab in [tab for tab in self._tabs if tab.function_name == name and tab.run is None]:
            self._drop(self._tabs.index(tab))

    # --- keys

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # The window's own shortcuts come first; these serve where it has none.
        ctrl = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if ctrl and event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter}:
            self.invoke()
        elif event.key() == Qt.Key.Key_Escape and self.current_running():
            self.cancel()
        else:
            super().keyPressEvent(event)

    def _save_event(self) -> None:
        if self.current is not None:
            self.current.event_editor.save()

    def _format_event(self) -> None:
        if self.current is not None:
            self.current.event_editor.format()

    def _close_current(self) -> None:
        if self.current is not None:
            self.close_tab(self.bar.currentIndex())

    def _dress(self) -> None:
        self.setStyleSheet(workbench_style(self._context.theme.tokens))
