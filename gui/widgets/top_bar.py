"""The strip at the top: the program's name, its menus, how the backends stand, and the endpoint."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenuBar, QSizePolicy, QWidget

from gui.formatting import one_line
from gui.tokens import Tokens
from gui.widgets.dot import Dot
from gui.widgets.eliding_label import ElidingLabel
from gui.widgets.endpoint_badge import EndpointBadge

__all__ = ["TopBar"]


class TopBar(QFrame):
    """`show_backends` takes each backend's name with whether it is online and its version, or why not."""

    def __init__(self, menus: QMenuBar | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("top_bar")
        self._brand = QLabel()
        self._brand.setObjectName("brand")
        self._brand.setAccessibleName("Stoker")
        self._brand.setTextFormat(Qt.TextFormat.RichText)
        self._states: dict[str, tuple[Dot, ElidingLabel]] = {}
        self._tokens: Tokens | None = None
        self._known: Mapping[str, tuple[bool, str]] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 6, 14, 6)
        row.setSpacing(12)
        row.addWidget(self._brand)
        if menus is not None:
            menus.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            row.addWidget(menus, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)
        self._backends = QHBoxLayout()
        self._backends.setSpacing(6)
        row.addLayout(self._backends)
        row.addSpacing(8)
        self.endpoint = EndpointBadge()
        row.addWidget(self.endpoint)
        self.setMinimumHeight(44)

    def set_tokens(self, tokens: Tokens) -> None:
        """Take the theme's colours."""
        self._tokens = tokens
        self.endpoint.set_tokens(tokens)
        size = self.font().pointSizeF() + 2
        accent = f'<span style="color:{tokens.accent}">o</span>'
        self._brand.setText(f'<span style="font-size:{size:g}pt; font-weight:600">St{accent}ker</span>')
        self.show_backends(self._known)

    def show_backends(self, known: Mapping[str, tuple[bool, str]]) -> None:
        """Show each backend with a dot and its words."""
        self._known = known
        if self._tokens is None:
            return
        for name, (online, detail) in known.items():
            if name not in self._states:
                dot, label = Dot(), ElidingLabel()
                # in a narrow window they give way, all of them alike
                label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
                label.setObjectName(f"backend_{name}")
                label.setProperty("role", "dim")
                if self._states:
                    self._backends.addSpacing(8)
                self._backends.addWidget(dot)
                self._backends.addWidget(label)
                self._states[name] = (dot, label)
            dot, label = self._states[name]
            dot.set_colour(self._tokens.ok if online else self._tokens.error)
            text = _words(name, detail) if online else f"{name} offline: {detail}"
            label.setText(one_line(text, 64))
            label.setToolTip(text)


def _words(name: str, detail: str) -> str:
    """ "docker 28.2" where the detail is a version, else the two side by side."""
    if not detail:
        return name
    return f"{name} {detail}" if detail[0].isdigit() else f"{name} · {detail}"
