"""The window's actions: one place for their words, shortcuts and icons.

Menu bar, buttons and context menus all show these same `QAction`s. What an action does is connected
in `gui.commands`; here it only knows how to be asked for, and to say why it cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

__all__ = ["LAUNCH_COUNTS", "Actions", "tool_button"]

LAUNCH_COUNTS = (1, 2, 5, 10)
_ABOUT = "about"


class Actions(QObject):
    """All actions of one window.

    `launch_requested(count)` carries the menu's counts, 0 for "Launch n…". The plain `launch`
    action stands for one instance.
    """

    launch_requested = Signal(int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        local = Qt.ShortcutContext.WidgetWithChildrenShortcut

        self.add = self._make("add", "Add function…", "Describe a function and choose its code", "Ctrl+N")
        self.add_zip = self._make("add_zip", "Add function from a zip…", "Choose a deployment package", "Ctrl+O")
        self.add_folder = self._make(
            "add_folder", "Add function from a folder…", "Choose a folder with the code", "Ctrl+Shift+O"
        )
        self.edit = self._make("edit", "Edit…", "Change the selected function", "F2")
        self.reload = self._make(
            "reload", "Reload code", "Read the selected function's code again from where it came", "F5"
        )
        self.pull_image = self._make(
            "pull_image", "Pull image", "Fetch the image that the selected function runs on", "F6"
        )
        self.clone = self._make("clone", "Clone…", "Add a copy of the selected function", "Ctrl+D")
        self.remove = self._make("remove", "Remove…", "Forget the selected function", "Ctrl+Del", context=local)

        self.invoke = self._make("invoke", "Invoke", "Send the event to the function", "Ctrl+Return", "Ctrl+Enter")
        self.cancel = self._make("cancel", "Cancel", "End the running invocation", "Esc", context=local)

        self.launch = self._make("launch", "Launch", "Start an instance of the selected function", "Ctrl+L")
        self.evict = self._make("evict", "Evict", "End all instances of the selected function", "Ctrl+E")
        # Del edits text elsewhere, so these two only listen where the instances are
        self.terminate = self._make(
            "terminate", "Terminate", "End the selected instances; a busy one finishes first", "Del", context=local
        )
        self.kill = self._make("kill", "Kill", "End the selected instances at once", "Shift+Del", context=local)
        self.pin = self._make("pin", "Pin", "Keep the selected instances from idle reaping", "Ctrl+P")
        self.show_logs = self._make("show_logs", "Show logs", "What the selected instance writes", "Ctrl+G")

        self.copy_container = self._make(
            "copy_container", "Copy container id", "Copy the ids of the selected instances' containers", "Ctrl+Shift+D"
        )
        self.copy_shell = self._make(
            "copy_shell",
            "Copy shell command",
            "Copy the line that opens a shell inside the instance",
            "Ctrl+Shift+X",
        )

        self.reap_idle = self._make("reap_idle", "Reap idle…", "End instances that nobody has used", "Ctrl+I")
        self.reap_stale = self._make(
            "reap_stale", "Reap stale…", "Find what an earlier Stoker left behind", "Ctrl+Shift+I"
        )
        self.stop_all = self._make("stop_all", "Stop all…", "End every instance", "Ctrl+Shift+S")

        self.filter = self._make("filter", "Filter functions", "Go to the filter", "Ctrl+F")
        self.clear_selection = self._make(
            "clear_selection", "All functions", "Show the instances of all functions", "Esc", context=local
        )
        self.logs = self._make("logs", "Logs", "Show or hide the logs", "Ctrl+Shift+G")
        self.logs.setCheckable(True)
        self.calls = self._make("calls", "Calls", "Show or hide who calls the endpoint", "Ctrl+Shift+L")
        self.calls.setCheckable(True)

        self.endpoint = self._make(
            "endpoint", "Answer SDKs and the AWS CLI", "Turn the local endpoint on or off", "Ctrl+Shift+E"
        )
        self.endpoint.setCheckable(True)
        self.endpoint_copy = self._make(
            "endpoint_copy", "Copy the address", "Copy the URL that clients take", "Ctrl+Shift+C"
        )
        self.endpoint_setup = self._make(
            "endpoint_setup", "Port and clients…", "Choose the port, and see how clients call it", "Ctrl+Shift+P"
        )

        self.quit = self._make("quit", "Quit", "Close Stoker and end its instances", "Ctrl+Q")
        self.quit.setMenuRole(QAction.MenuRole.QuitRole)
        self.about = self._make("about", "About Stoker", "Version, home and licence")
        self.about.setMenuRole(QAction.MenuRole.AboutRole)

    def set_available(self, action: QAction, why_not: str | None) -> None:
        """Enable `action`, or disable it with the reason in its tooltip."""
        action.setEnabled(why_not is None)
        self._describe(action, why_not)

    def launch_menu(self, parent: QWidget) -> QMenu:
        """A menu of counts for a Launch button or a menu bar."""
        menu = QMenu("Launch", parent)
        for count in LAUNCH_COUNTS:
            words = "Launch 1 instance" if count == 1 else f"Launch {count} instances"
            menu.addAction(words).triggered.connect(lambda _=False, n=count: self.launch_requested.emit(n))
        menu.addSeparator()
        menu.addAction("Launch n…").triggered.connect(lambda: self.launch_requested.emit(0))

        def follow() -> None:
            menu.setEnabled(self.launch.isEnabled())
            menu.menuAction().setEnabled(self.launch.isEnabled())

        def let_go() -> None:
            # either may go first
            with suppress(RuntimeError):
                self.launch.changed.disconnect(follow)

        self.launch.changed.connect(follow)
        menu.destroyed.connect(let_go)
        follow()
        return menu

    def _make(
        self,
        name: str,
        words: str,
        about: str,
        *shortcuts: str,
        context: Qt.ShortcutContext = Qt.ShortcutContext.WindowShortcut,
    ) -> QAction:
        action = QAction(words, self)
        action.setObjectName(f"{name}_action")
        action.setProperty(_ABOUT, about)
        action.setIconText(words)
        action.setShortcuts(_sequences(shortcuts))
        action.setShortcutContext(context)
        self._describe(action, None)
        return action

    @staticmethod
    def _describe(action: QAction, why_not: str | None) -> None:
        about = str(action.property(_ABOUT))
        keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        tip = f"{about} ({keys})" if keys else about
        if why_not is not None:
            tip = f"{tip}\nNot now: {why_not}"
        action.setToolTip(tip)
        action.setStatusTip("")


def _sequences(shortcuts: Sequence[str]) -> list[QKeySequence]:
    return [QKeySequence(each) for each in shortcuts]


def tool_button(
    action: QAction, object_name: str, primary: bool = False, *, danger: bool = False, menu: QMenu | None = None
) -> QToolButton:
    """A button for `action` that follows its words, state and tooltip.

    `primary` is for the one filled button of a view, `danger` for what cannot be undone. With a
    `menu`, a click triggers the action and the arrow at the right opens the menu.
    """
    button = QToolButton()
    button.setDefaultAction(action)
    button.setObjectName(object_name)
    button.setAccessibleName(action.text().rstrip("…"))
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setProperty("primary", primary)
    button.setProperty("danger", danger)
    if menu is not None:
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
    return button
