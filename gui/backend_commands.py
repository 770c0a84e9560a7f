"""The backends as the window has them: how each stands, what is known of it, and which one is the default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PySide6.QtCore import QObject, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup, QGuiApplication
from PySide6.QtWidgets import QGridLayout, QLabel, QMenu, QWidget, QWidgetAction

from core.events import BackendChanged, DefaultBackendChanged, Event
from gui.context import Context
from gui.formatting import health_words, one_line
from gui.widgets.backend_strip import BackendStrip

__all__ = ["BackendCommands"]

_WIDEST = 420
_DEFAULT = "Functions that choose no backend start here."
_RETURNS = "Stoker connects by itself as soon as it answers."


class BackendCommands(QObject):
    """Keeps the strip in the top bar and the menu of defaults up to date. `done(text)` says what was achieved."""

    done = Signal(str)

    def __init__(self, window: QWidget, context: Context, strip: BackendStrip, defaults: QMenu) -> None:
        super().__init__(window)
        self._window = window
        self._context = context
        self._runtime = context.runtime
        self._strip = strip
        self._defaults = defaults
        self._closing = False
        strip.asked.connect(self.show_menu)
        strip.more_asked.connect(self._show_more)
        defaults.aboutToShow.connect(self._fill_defaults)
        context.coalescer.add(self._take)
        self._fill_defaults()
        self.update()

    def close(self) -> None:
        """Offer nothing more: the window closes."""
        self._closing = True
        self._defaults.setEnabled(False)

    def update(self) -> None:
        """Show how all stand."""
        known = {name: (health.online, health.detail) for name, health in self._runtime.backends().items()}
        self._strip.show_backends(known, self._runtime.default_backend())

    def make_default(self, name: str) -> None:
        """Let functions that choose no backend start there."""
        self._context.tasks.start(f"Make {name} the default backend", self._make_default(name))

    def show_menu(self, name: str) -> None:
        """Open a backend's menu below its badge."""
        self._open(self.menu_of(name), self._strip.badge(name))

    def menu_of(self, name: str) -> QMenu:
        """What is known of a backend, and what can be done with it."""
        menu = QMenu(self._window)
        menu.setObjectName("backend_menu")
        menu.setTitle(name)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        facts = self._runtime.backend_facts(name)
        details = QWidgetAction(menu)
        details.setDefaultWidget(self._details(name))
        details.setEnabled(False)
        menu.addAction(details)
        menu.addSeparator()
        if name != self._runtime.default_backend() and not self._closing:
            make = menu.addAction("Make default")
            make.setObjectName("make_default")
            make.setToolTip("New instances of functions that choose no backend start here; what runs stays where it is")
            make.triggered.connect(lambda: self.make_default(name))
        if address := facts.get("address"):
            copy = menu.addAction("Copy address")
            copy.setObjectName("copy_backend_address")
            copy.triggered.connect(lambda: self._copy(address, f"Copied the address of {name}"))
        copy = menu.addAction("Copy details")
        copy.setObjectName("copy_backend_details")
        lines = [health_words(name, *self._health(name)), *(f"{key}: {value}" for key, value in facts.items())]
        copy.triggered.connect(lambda: self._copy("\n".join(lines), f"Copied what is known of {name}"))
        menu.setToolTipsVisible(True)
        return menu

    def _details(self, name: str) -> QWidget:
        online, detail = self._health(name)
        body = QWidget()
        body.setObjectName("backend_details")
        grid = QGridLayout(body)
        grid.setContentsMargins(12, 8, 14, 8)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        title = QLabel(f"{name} · online" if online else f"{name} · offline")
        title.setProperty("role", "heading")
        grid.addWidget(title, 0, 0, 1, 2)
        for row, (key, value) in enumerate(self._lines(name, online, detail), 1):
            if not key:
                said = _label(value, "small")
                grid.addWidget(said, row, 0, 1, 2)
                continue
            grid.addWidget(_label(key, "dim"), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(_label(value, ""), row, 1)
        return body

    def _lines(self, name: str, online: bool, detail: str) -> Iterator[tuple[str, str]]:
        if online and detail:
            yield ("engine" if health_words(name, online, detail) != name else ""), detail
        elif not online:
            yield "why", detail or "unknown"
        yield from self._runtime.backend_facts(name).items()
        here = sum(each.backend == name for each in self._runtime.instances())
        yield "instances", f"{here:,}"
        if not online:
            yield "", _RETURNS
        if name == self._runtime.default_backend():
            yield "", _DEFAULT

    def _health(self, name: str) -> tuple[bool, str]:
        health = self._runtime.backends()[name]
        return health.online, health.detail

    def _show_more(self, names: Sequence[str]) -> None:
        menu = QMenu(self._window)
        menu.setObjectName("more_backends_menu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for name in names:
            words = one_line(health_words(name, *self._health(name)), 64)
            menu.addAction(words).triggered.connect(lambda _=False, name=name: self.show_menu(name))
        self._open(menu, self._strip.more)

    def _open(self, menu: QMenu, below: QWidget) -> None:
        size = menu.sizeHint()
        corner = below.mapToGlobal(QPoint(0, below.height() + 2))
        # within the window, which may end close to the badge
        right = self._window.mapToGlobal(QPoint(self._window.width() - 8, 0)).x()
        corner.setX(min(corner.x(), right - size.width()))
        menu.popup(corner)
        # Return works at once, and Esc gives the focus back
        first = next((each for each in menu.actions() if each.isEnabled() and not each.isSeparator()), None)
        if first is not None:
            menu.setActiveAction(first)

    def _fill_defaults(self) -> None:
        for action in self._defaults.actions():
            self._defaults.removeAction(action)
            action.deleteLater()
        group = QActionGroup(self._defaults)
        default = self._runtime.default_backend()
        for name in self._runtime.backends():
            action = QAction(one_line(health_words(name, *self._health(name)), 64), self._defaults)
            action.setObjectName(f"default_{name}")
            action.setCheckable(True)
            action.setChecked(name == default)
            action.triggered.connect(lambda _=False, name=name: self.make_default(name))
            group.addAction(action)
            self._defaults.addAction(action)

    def _take(self, events: Sequence[Event]) -> None:
        if any(isinstance(event, BackendChanged | DefaultBackendChanged) for event in events):
            self.update()

    def _copy(self, text: str, said: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.done.emit(said)

    async def _make_default(self, name: str) -> None:
        if name == self._runtime.default_backend():
            return
        await self._runtime.set_default_backend(name)
        self._context.coalescer.flush()
        online, detail = self._health(name)
        said = f"Functions that choose no backend start on {name} from now on"
        self.done.emit(said if online else f"{said}, once it is back ({one_line(detail, 60)})")


def _label(text: str, role: str) -> QLabel:
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(True)
    made.setMinimumWidth(
        min(_WIDEST, made.fontMetrics().horizontalAdvance(max(text.splitlines() or [""], key=len)) + 4)
    )
    made.setMaximumWidth(_WIDEST)
    if role:
        made.setProperty("role", role)
    return made
