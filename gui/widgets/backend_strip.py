"""All backends in the top bar, in the room there is."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from gui.formatting import plural
from gui.tokens import Tokens
from gui.widgets.backend_badge import BackendBadge

__all__ = ["BackendStrip"]

_SPACING = 2
_HEIGHT = 30


class BackendStrip(QWidget):
    """Long reasons give way first; what then has no room goes behind one button at the end.

    `asked(name)` is emitted by a badge, `more_asked(names)` by that button.
    """

    asked = Signal(str)
    more_asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("backends")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._tokens: Tokens | None = None
        self._badges: dict[str, BackendBadge] = {}
        self._default = ""
        self.hidden_names: list[str] = []
        """Those for which there is no room now."""
        self.more = QPushButton(self)
        self.more.setObjectName("backends_more")
        self.more.setProperty("flat", True)
        self.more.setProperty("quiet", True)
        self.more.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.more.setStyleSheet("QPushButton { padding: 3px 5px; }")
        self.more.clicked.connect(lambda: self.more_asked.emit(list(self.hidden_names)))
        self.more.hide()

    def set_tokens(self, tokens: Tokens) -> None:
        """Take the theme's colours."""
        self._tokens = tokens
        for badge in self._badges.values():
            badge.set_tokens(tokens)

    def show_backends(self, known: Mapping[str, tuple[bool, str]], default: str) -> None:
        """Each backend's name with whether it is online, and its version or why it is not."""
        self._default = default
        for name, (online, detail) in known.items():
            badge = self._badges.get(name)
            if badge is None:
                badge = self._badges[name] = BackendBadge(name, self)
                badge.clicked.connect(lambda _=False, name=name: self.asked.emit(name))
                if self._tokens is not None:
                    badge.set_tokens(self._tokens)
            badge.show_health(online, detail, default=name == default)
        self.updateGeometry()
        self._arrange()

    def badge(self, name: str) -> QWidget:
        """Where a backend's menu opens: its badge, or the button that it is behind."""
        badge = self._badges[name]
        return badge if badge.isVisibleTo(self) else self.more

    def sizeHint(self) -> QSize:
        return QSize(self._together([badge.sizeHint().width() for badge in self._badges.values()]), _HEIGHT)

    def minimumSizeHint(self) -> QSize:
        return QSize(56, _HEIGHT)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in {QEvent.Type.FontChange, QEvent.Type.StyleChange}:
            self._arrange()

    def _arrange(self) -> None:
        shown = self._with_room()
        widths = self._widths(shown)
        self.hidden_names = [name for name in self._badges if name not in shown]
        taken = self._together(list(widths.values()))
        if self.hidden_names:
            self.more.setText(f"+{len(self.hidden_names)}")
            self.more.setToolTip(f"{plural(len(self.hidden_names), 'more backend')}: {', '.join(self.hidden_names)}")
            self.more.setAccessibleName(self.more.toolTip())
            taken += _SPACING + self.more.sizeHint().width()
        # at the right, beside the endpoint
        x = max(0, self.width() - taken)
        for name, badge in self._badges.items():
            badge.setVisible(name in shown)
            if name in shown:
                badge.setGeometry(x, 0, widths[name], self.height())
                x += widths[name] + _SPACING
        self.more.setVisible(bool(self.hidden_names))
        self.more.setGeometry(x, 0, self.more.sizeHint().width(), self.height())

    def _with_room(self) -> list[str]:
        """Those that can be shown with at least their names, in order; the default is the last to go."""
        shown = list(self._badges)
        while len(shown) > 1:
            needed = self._together([self._badges[name].minimumSizeHint().width() for name in shown])
            if len(shown) < len(self._badges):
                needed += _SPACING + max(40, self.more.sizeHint().width())
            if needed <= self.width():
                break
            shown.remove(next(name for name in reversed(shown) if name != self._default))
        return shown

    def _widths(self, shown: list[str]) -> dict[str, int]:
        """The room over what names need goes to versions first, then to reasons, short ones first."""
        least = {name: self._badges[name].minimumSizeHint().width() for name in shown}
        wanted = {name: self._badges[name].sizeHint().width() - least[name] for name in shown}
        room = self.width() - self._together(list(least.values()))
        if len(shown) < len(self._badges):
            room -= _SPACING + max(40, self.more.sizeHint().width())
        widths = dict(least)
        order = sorted(shown, key=lambda each: (not self._badges[each].online, wanted[each]))
        for left, name in zip(range(len(shown), 0, -1), order, strict=True):
            share = room if self._badges[name].online else room // left
            given = max(0, min(wanted[name], share))
            widths[name] += given
            room -= given
        return widths

    @staticmethod
    def _together(widths: list[int]) -> int:
        return sum(widths) + _SPACING * max(0, len(widths) - 1)
