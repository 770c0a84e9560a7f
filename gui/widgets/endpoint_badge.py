"""The endpoint in the top bar: a dot, its address, a button to copy that, and the switch."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from gui.theme import mono_font
from gui.tokens import Tokens, ink
from gui.widgets.dot import Dot
from gui.widgets.switch import Switch

__all__ = ["EndpointBadge"]

_COPIED_MS = 1500


class EndpointBadge(QWidget):
    """Shows what `show_state` was told last. `asked` is emitted by the address, `switched` by the switch."""

    asked = Signal()
    switched = Signal()
    cut_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("endpoint")
        self._tokens: Tokens | None = None
        self._tone = "dim"
        self._url = ""
        self._dot = Dot()
        self.address = self._button("endpoint_address", "", "")
        self.address.clicked.connect(self.asked)
        self.copy = _Steady("endpoint_copy", "copy", "copied")
        self.copy.setAccessibleName("Copy the endpoint's address")
        self.copy.clicked.connect(self.copy_url)
        self.cut = self._button("endpoint_cut", "Cut off", "Do not wait for them: cut the connections now")
        self.cut.setProperty("danger", True)
        self.cut.clicked.connect(self.cut_wanted)
        self.switch = Switch()
        self.switch.setObjectName("endpoint_switch")
        self.switch.setAccessibleName("Endpoint")
        self.switch.clicked.connect(self.switched)
        self._back = QTimer(self)
        self._back.setSingleShot(True)
        self._back.setInterval(_COPIED_MS)
        self._back.timeout.connect(lambda: self.copy.say(copied=False))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._dot, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.address)
        row.addWidget(self.copy)
        row.addWidget(self.cut)
        row.addSpacing(6)
        row.addWidget(self.switch, 0, Qt.AlignmentFlag.AlignVCenter)

    def set_tokens(self, tokens: Tokens) -> None:
        """Take the theme's colours."""
        self._tokens = tokens
        self.switch.set_tokens(tokens)
        self._dress()

    def show_state(self, words: str, tone: str, *, url: str = "", on: bool = False, tip: str = "") -> None:
        """`words` in a token's colour; with a `url` they are an address, which can be copied."""
        if url != self._url:
            self._back.stop()
            self.copy.say(copied=False)
        self._tone, self._url = tone, url
        self.address.setText(words)
        self.address.setAccessibleName(f"Endpoint: {words}")
        self.address.setToolTip(tip)
        self.copy.setVisible(bool(url))
        self.copy.setToolTip(f"Copy {url}")
        self.switch.setChecked(on)
        self._dress()

    def show_cut(self, shown: bool) -> None:
        """Offer not to wait for calls that are being answered."""
        self.cut.setVisible(shown)

    def copy_url(self) -> None:
        """Put the URL on the clipboard, and say so."""
        if self._url:
            QGuiApplication.clipboard().setText(self._url)
            self.copy.say(copied=True)
            self._back.start()

    def _dress(self) -> None:
        if self._tokens is None:
            return
        self._dot.set_colour(getattr(self._tokens, self._tone))
        self.address.setFont(mono_font() if self._url else self.font())
        colour = self._tokens.text if self._url else ink(self._tokens, self._tone)
        self.address.setStyleSheet(f"QPushButton {{ color: {colour}; padding: 3px 5px; }}")

    @staticmethod
    def _button(name: str, words: str, tip: str) -> QPushButton:
        button = QPushButton()
        button.setObjectName(name)
        button.setText(words)
        button.setToolTip(tip)
        button.setProperty("flat", True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button


class _Steady(QPushButton):
    """A flat button with two words that is as wide as the longer one."""

    def __init__(self, name: str, words: str, after: str) -> None:
        super().__init__()
        self._words, self._after = words, after
        self.setObjectName(name)
        self.setText(words)
        self.setProperty("flat", True)
        self.setProperty("quiet", True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setStyleSheet("QPushButton { padding: 3px 5px; text-align: left; }")

    def say(self, *, copied: bool) -> None:
        """Show the second word, or the first one."""
        self.setText(self._after if copied else self._words)

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        metrics = self.fontMetrics()
        more = metrics.horizontalAdvance(max(self._words, self._after, key=len)) - metrics.horizontalAdvance(
            self.text()
        )
        return QSize(hint.width() + max(0, more), hint.height())
