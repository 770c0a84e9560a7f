"""The strip at the top: the program's name, its menus, how the backends stand, and the endpoint."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenuBar, QSizePolicy, QWidget

from gui.tokens import Tokens
from gui.widgets.backend_strip import BackendStrip
from gui.widgets.endpoint_badge import EndpointBadge

__all__ = ["TopBar"]


class TopBar(QFrame):
    """`backends` and `endpoint` are filled by whoever knows how they stand."""

    def __init__(self, menus: QMenuBar | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("top_bar")
        self._brand = QLabel()
        self._brand.setObjectName("brand")
        self._brand.setAccessibleName("Stoker")
        self._brand.setTextFormat(Qt.TextFormat.RichText)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 6, 14, 6)
        row.setSpacing(12)
        row.addWidget(self._brand)
        if menus is not None:
            menus.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            row.addWidget(menus, 0, Qt.AlignmentFlag.AlignVCenter)
        self.backends = BackendStrip()
        row.addWidget(self.backends, 1)
        self.endpoint = EndpointBadge()
        row.addWidget(self.endpoint)
        self.setMinimumHeight(44)

    def set_tokens(self, tokens: Tokens) -> None:
        """Take the theme's colours."""
        self.backends.set_tokens(tokens)
        self.endpoint.set_tokens(tokens)
        size = self.font().pointSizeF() + 2
        accent = f'<span style="color:{tokens.accent}">o</span>'
        self._brand.setText(f'<span style="font-size:{size:g}pt; font-weight:600">St{accent}ker</span>')
