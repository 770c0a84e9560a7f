"""The window: puts panels, menus and services together, and knows nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QKeySequence, QPaintEvent, QShortcut
from PySide6.QtWidgets import QApplication, QMainWindow, QMenuBar, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from core.events import CallEnded, CallStarted, Event, Trouble
from core.names import split_key
from core.runtime import LambdaRuntime
from gui.actions import Actions
from gui.backend_commands import BackendCommands
from gui.commands import Commands
from gui.context import Context
from gui.dialogs.base import ask
from gui.dialogs.confirm import Choice, choose
from gui.endpoint import EndpointControl, EndpointState
from gui.endpoint_commands import EndpointCommands
from gui.errors import Problems
from gui.formatting import plural
from gui.icons import icon_path
from gui.menus import fill_menus
from gui.models.coalescer import Coalescer
from gui.panels.calls import CallsPanel
from gui.panels.functions import FunctionsPanel
from gui.panels.instances import InstancesPanel
from gui.panels.logs import LogsPanel
from gui.panels.pulls import PullsPanel
from gui.panels.workbench import WorkbenchPanel
from gui.shutdown import Answer, Shutdown, Stage
from gui.status_line import StatusLine
from gui.tasks import Tasks
from gui.theme import Theme
from gui.widgets.banner import Banner
from gui.widgets.closing_card import ClosingCard
from gui.widgets.drop_overlay import DropOverlay, dropped_code
from gui.widgets.toast import Toast
from gui.widgets.top_bar import TopBar
from gui.window_state import WindowState

__all__ = ["MainWindow", "open_window"]

_SIZE = (1440, 900)
# requests that last as long as their client wants: nobody waits for their end
_WATCHING = frozenset({"StreamEvents"})


class MainWindow(QMainWindow):
    """One home's window. Closing it only begins its `shutdown`; whoever opened it waits for `shutdown.closed`.

    Afterwards `dispose` lets go of everything that is not the window's own.
    """

    def __init__(self, runtime: LambdaRuntime, theme: Theme, problems: Problems) -> None:
        super().__init__()
        self.setObjectName("main_window")
        self.setWindowTitle("Stoker")
        self.setAcceptDrops(True)
        self.theme = theme
        self.problems = problems
        self.tasks = Tasks(self)
        self.coalescer = Coalescer(runtime.events, self)
        self.context = Context(runtime, self.tasks, theme, self.coalescer)
        self.actions_ = Actions(self)
        self.state = WindowState(runtime.home)
        self.endpoint = EndpointControl(runtime, self)
        self.shutdown = Shutdown(
            runtime, problems, self._ask_about_running, self, endpoint=self.endpoint, calls=self.calls_under_way
        )
        self.painted = asyncio.Event()
        """Set once its first picture is there."""
        self._runtime = runtime
        self._disposed = False
        self._picking = False

        self.functions = FunctionsPanel(self.context, self.actions_)
        self.instances = InstancesPanel(self.context, self.actions_)
        self.workbench = WorkbenchPanel(self.context)
        self.logs = LogsPanel(self.context, actions=self.actions_)
        self.calls = CallsPanel(self.context, self.actions_, self.endpoint)
        self.pulls = PullsPanel(self.context)
        self.commands = Commands(
            self,
            self.context,
            self.actions_,
            functions=self.functions,
            instances=self.instances,
            workbench=self.workbench,
        )
        self._lay_out()
        self.endpoint_commands = EndpointCommands(
            self,
            self.context,
            self.actions_,
            self.endpoint,
            self.top_bar.endpoint,
            under_way=self.calls_under_way,
            function_name=self._function_for_clients,
        )
        self.backend_commands = BackendCommands(self, self.context, self.top_bar.backends, self._default_menu)
        self._connect()
        self._set_shortcuts()
        self._recall()
        self._dress()
        self.functions.focus_list()
        for message in runtime.news:
            self.problems.add("", message)

    # --- building

    def _lay_out(self) -> None:
        menus = self.menuBar() if sys.platform == "darwin" else QMenuBar()
        self._default_menu = fill_menus(menus, self.actions_)
        self.top_bar = TopBar(None if sys.platform == "darwin" else menus)
        self.banner = Banner()
        self.status_line = StatusLine(self.context, self.functions.model)
        self.centre = _splitter("centre_splitter", Qt.Orientation.Vertical)
        self.bottom = QStackedWidget()
        self.bottom.addWidget(self.logs)
        self.bottom.addWidget(self.calls)
        for panel, stretch in ((self.instances, 5), (self.workbench, 4), (self.bottom, 2)):
            self.centre.addWidget(panel)
            self.centre.setStretchFactor(self.centre.indexOf(panel), stretch)
        self.bottom.hide()
        self.across = _splitter("main_splitter", Qt.Orientation.Horizontal)
        self.across.addWidget(self.functions)
        self.across.addWidget(self.centre)
        self.across.setStretchFactor(1, 1)
        self.across.setSizes([284, _SIZE[0] - 284])
        self.centre.setSizes([420, 360, 230])
        body = self._body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.top_bar)
        column.addWidget(self.banner)
        column.addWidget(self.pulls)
        column.addWidget(self.across, 1)
        column.addWidget(self.status_line)
        self.setCentralWidget(body)
        self.toast = Toast(body)
        self.closing_card = ClosingCard(body)
        self.drop_overlay = DropOverlay(self.theme, self)

    def _connect(self) -> None:
        a = self.actions_
        self.tasks.failed.connect(self.problems.report)
        self.problems.changed.connect(self._show_problems)
        self.banner.details_wanted.connect(lambda: self.tasks.start("Show details", self._show_details()))
        self.banner.dismissed.connect(self.problems.dismiss)
        self.commands.done.connect(self.toast.say)
        self.calls.said.connect(self.toast.say)
        self.backend_commands.done.connect(self.toast.say)
        self.pulls.said.connect(self.toast.say)
        self.coalescer.add(self._take)
        self.theme.changed.connect(self._dress)
        self.shutdown.stage_changed.connect(self._closing_stage)
        self.closing_card.hurry.connect(self.shutdown.request)
        self.drop_overlay.dropped.connect(self.commands.add_function)

        self.functions.function_selected.connect(self.instances.show_function)
        self.functions.function_selected.connect(self.workbench.show_function)
        self.functions.function_selected.connect(self._filter_calls)
        # also when another tab, with an editor of its own, comes to the front
        self.workbench.running_changed.connect(self._let_drops_through)
        self._let_drops_through()
        self.instances.selection_changed.connect(self._follow_in_logs)
        self.instances.logs_requested.connect(self.show_logs)
        self.calls.logs_requested.connect(self.show_logs)
        self.calls.picked.connect(self._pick)

        a.show_logs.triggered.connect(lambda: self.show_logs(self.instances.selected_ids()[0]))
        a.logs.toggled.connect(lambda shown: self._set_bottom(self.logs, shown))
        a.calls.toggled.connect(lambda shown: self._set_bottom(self.calls, shown))
        a.filter.triggered.connect(self.functions.focus_filter)
        a.clear_selection.triggered.connect(lambda: self.functions.select(None))
        a.quit.triggered.connect(self.close)
        a.about.triggered.connect(lambda: self.tasks.start("About Stoker", self._about()))

    def _set_shortcuts(self) -> None:
        a = self.actions_
        self.addActions(
            [action for action in vars(a).values() if getattr(action, "shortcutContext", None) and _is_global(action)]
        )
        for panel in (self.functions, self.instances, self.logs, self.calls):
            panel.addAction(a.clear_selection)
        self.functions.addAction(a.remove)
        self.instances.addActions([a.terminate, a.kill])
        self.workbench.addAction(a.cancel)
        # where nothing runs, Esc in the workbench means what it means everywhere
        local = Qt.ShortcutContext.WidgetWithChildrenShortcut
        self._escape = QShortcut(QKeySequence("Esc"), self.workbench, context=local)
        self._escape.activated.connect(lambda: self.functions.select(None))
        a.cancel.changed.connect(lambda: self._escape.setEnabled(not a.cancel.isEnabled()))
        self._escape.setEnabled(not a.cancel.isEnabled())

    def _dress(self) -> None:
        self.top_bar.set_tokens(self.theme.tokens)
        self.banner.set_colour(self.theme.tokens.error)

    # --- what happens

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Trouble(about=about, message=message):
                    self.problems.add("" if message.startswith(about) else about, message)
                case CallStarted() | CallEnded() if self.endpoint.state is EndpointState.CLOSING:
                    self.endpoint_commands.update()
                case _:
                    pass
        if self.shutdown.stage in {Stage.WAITING, Stage.ENDING}:
            self._tell_progress()

    def _show_problems(self) -> None:
        if not self.problems.unseen:
            self.banner.hide()
            return
        newest = self.problems.kept[-1]
        times = f" ({newest.count} times)" if newest.count > 1 else ""
        self.banner.show_problem(newest.sentence + times, more=self.problems.unseen - 1)

    async def _show_details(self) -> None:
        from gui.dialogs.details import DetailsDialog

        await ask(DetailsDialog(self, self.problems.kept))
        self.problems.dismiss()

    async def _about(self) -> None:
        from gui.dialogs.about import AboutDialog

        await ask(AboutDialog(self, self._runtime.home))

    # --- the endpoint and its calls

    def calls_under_way(self) -> int:
        """How many calls of the endpoint are being answered now."""
        # what has happened in this frame counts
        self.coalescer.flush()
        return self.calls.model.running(but=_WATCHING)

    def _function_for_clients(self) -> str:
        names = self.functions.model.names()
        return self.functions.selected() or (names[0] if names else "NAME")

    def _filter_calls(self, name: str | None) -> None:
        # a row that was picked must not lead to a list with other rows in its place
        self.calls.show_function(name, only=not self._picking)

    def _pick(self, name: str | None, instance_id: str | None) -> None:
        """A call was chosen: select its function and its instance, as far as they are there."""
        model = self.functions.model
        known = next((each for each in (name, name and split_key(name)[0]) if each and model.row(each)), None)
        if known is not None and known != self.functions.selected():
            self._picking = True
            try:
                self.functions.select(known)
            finally:
                self._picking = False
        if instance_id is not None:
            self.instances.select([instance_id])

    # --- logs

    def show_logs(self, instance_id: str) -> None:
        """Show the logs panel with what this instance writes."""
        self.actions_.logs.setChecked(True)
        self.logs.show_instance(instance_id)

    def _set_bottom(self, panel: QWidget, shown: bool) -> None:
        """Logs and calls share one place: the one that is asked for takes it."""
        a = self.actions_
        if shown:
            (a.calls if panel is self.logs else a.logs).setChecked(False)
            self.bottom.setCurrentWidget(panel)
        self.bottom.setVisible(a.logs.isChecked() or a.calls.isChecked())
        if a.logs.isChecked():
            self._follow_in_logs()

    def _follow_in_logs(self) -> None:
        ids = self.instances.selected_ids()
        if ids and self.actions_.logs.isChecked():
            self.logs.show_instance(ids[0])

    # --- files dropped on the window

    def _let_drops_through(self) -> None:
        # a text field would take a file as its path, in text
        for widget in self._body.findChildren(QWidget):
            if widget.acceptDrops():
                widget.setAcceptDrops(False)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_code(event.mimeData()) is not None and self.shutdown.stage is Stage.OPEN:
            event.acceptProposedAction()
            # from here on the overlay takes the drag, whatever lies below it
            self.drop_overlay.begin()

    # --- closing

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._disposed or self.shutdown.stage is Stage.CLOSED:
            event.accept()
            return
        # Qt would end the program before the runtime has closed
        event.ignore()
        self.shutdown.request()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self.painted.set()

    def raise_window(self) -> None:
        """Come to the front."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()
        # a dialog that is open stays in front of its window
        if (dialog := QApplication.activeModalWidget()) is not None:
            dialog.raise_()
            dialog.activateWindow()

    async def _ask_about_running(self, running: int) -> Answer:
        one = running == 1
        text = (
            f"{_under_way(self._runtime.running(), self.calls_under_way())}. Stoker can wait for "
            f"{'it' if one else 'them'} to end, or cancel {'it' if one else 'them'}. "
            "Either way all instances end with it."
        )
        choices = [
            Choice("wait", f"Wait for {'it' if one else 'them'}", primary=True),
            Choice("cancel_running", f"Cancel {'it' if one else 'them'}", danger=True),
        ]
        answer = await choose(self, "Close Stoker?", text, choices, no="Keep open")
        return {"wait": Answer.WAIT, "cancel_running": Answer.CANCEL}.get(answer or "", Answer.KEEP)

    def _closing_stage(self, stage: Stage) -> None:
        if stage in {Stage.WAITING, Stage.ENDING}:
            self.commands.close()
            self.endpoint_commands.close()
            self.backend_commands.close()
            self.status_line.stop()
            self._remember()
            self._tell_progress()

    def _tell_progress(self) -> None:
        button = "Cancel them now" if self.shutdown.stage is Stage.WAITING else "Kill them now"
        self.closing_card.tell(self.shutdown.progress(), button)

    async def dispose(self) -> None:
        """Cancel what the window still does and take it off the screen. After `shutdown.closed`."""
        self._disposed = True
        self.coalescer.close()
        await self.tasks.cancel_all()
        await self.endpoint.aclose()
        self.hide()
        self.close()
        self.deleteLater()

    # --- memory

    def _recall(self) -> None:
        self.resize(*_SIZE)
        screen = self.screen().availableGeometry().size()
        if screen.width() < _SIZE[0] or screen.height() < _SIZE[1]:
            self.resize(self.size().boundedTo(screen))
        if (geometry := self.state.bytes("geometry")) is not None:
            self.restoreGeometry(geometry)
        for splitter in (self.across, self.centre):
            if (sizes := self.state.bytes(splitter.objectName())) is not None:
                splitter.restoreState(sizes)
        if (columns := self.state.bytes("instance_columns")) is not None:
            self.instances.restore_state(columns)
        if (widths := self.state.bytes("workbench")) is not None:
            self.workbench.restore_state(widths)
        # a splitter's state remembers what was hidden, which is for the action to say
        self.bottom.hide()
        self.actions_.logs.setChecked(self.state.flag("logs"))
        self.actions_.calls.setChecked(self.state.flag("calls"))
        self.functions.select(self.state.text("function"))

    def _remember(self) -> None:
        self.state.put("geometry", self.saveGeometry())
        for splitter in (self.across, self.centre):
            self.state.put(splitter.objectName(), splitter.saveState())
        self.state.put("instance_columns", self.instances.save_state())
        self.state.put("workbench", self.workbench.save_state())
        self.state.put("logs", self.actions_.logs.isChecked())
        self.state.put("calls", self.actions_.calls.isChecked())
        self.state.put("function", self.functions.selected())
        self.state.save()


async def open_window(
    runtime: LambdaRuntime, *, theme: Theme | None = None, problems: Problems | None = None, show: bool = True
) -> MainWindow:
    """Build the window of an open runtime, dress the application, and show it."""
    app = QApplication.instance()
    assert isinstance(app, QApplication), "the loop made it"
    theme = theme or Theme(app)
    theme.install(app)
    if app.windowIcon().isNull():
        from PySide6.QtGui import QIcon

        app.setWindowIcon(QIcon(str(icon_path("stoker"))))
    window = MainWindow(runtime, theme, problems or Problems())
    if show:
        window.show()
    return window


def _under_way(running: int, calls: int) -> str:
    parts = [plural(running, "invocation")] if running or not calls else []
    if calls:
        parts.append(plural(calls, "call to the endpoint", "calls to the endpoint"))
    return f"{' and '.join(parts)} {'is' if running + calls == 1 else 'are'} running"


def _splitter(name: str, orientation: Qt.Orientation) -> QSplitter:
    made = QSplitter(orientation)
    made.setObjectName(name)
    made.setHandleWidth(1)
    made.setChildrenCollapsible(False)
    return made


def _is_global(action: object) -> bool:
    from PySide6.QtGui import QAction

    return isinstance(action, QAction) and action.shortcutContext() is Qt.ShortcutContext.WindowShortcut
