"""One backend in the top bar: a dot and its words, as a button."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QPushButton, QWidget

from gui.formatting import health_words, one_line
from gui.tokens import Tokens

__all__ = ["BackendBadge"]

_DOT = 8
_GAP = 6
_SIDE = 6
_MOST_LETTERS = 56
# an engine that was never there is no fault
_ABSENT = "not found"
_NOT_YET = "not asked yet"


class BackendBadge(QPushButton):
    """Shows what `show_health` was told last, in as many words as there is room for."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self._full = self._short = name
        self._tone = "dim"
        self._bright = False
        self.online = False
        """As it was told last."""
        self._tokens: Tokens | None = None
        self.setObjectName(f"backend_{name}")
        self.setProperty("flat", True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    @property
    def words(self) -> str:
        """All that it has to say, whether there is room for it or not."""
        return self._full

    def set_tokens(self, tokens: Tokens) -> None:
        """Take the theme's colours."""
        self._tokens = tokens
        self.update()

    def show_health(self, online: bool, detail: str, *, default: bool) -> None:
        """`detail` is its version, or why it is offline."""
        self.online = online
        self._short = self.name if online else f"{self.name} offline"
        mark = " · default" if default else ""
        self._full = one_line(health_words(self.name, online, detail), _MOST_LETTERS) + mark
        if detail == _NOT_YET and not online:
            self._short, self._full = self.name, f"{self.name}: looking…{mark}"
        self._tone = "ok" if online else "dim" if detail in {_ABSENT, _NOT_YET} else "error"
        self._bright = default
        says = [f"{self.name} is online: {detail}" if online and detail else f"{self._short}: {detail}".rstrip(": ")]
        if default:
            says.append("Functions that choose no backend start here.")
        says.append("Click for details.")
        self.setToolTip("\n".join(says))
        self.setAccessibleName(f"Backend {self._full}")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(self._width_for(self._full), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(self._width_for(self._short), super().minimumSizeHint().height())

    def _width_for(self, text: str) -> int:
        return 2 * _SIDE + _DOT + _GAP + self.fontMetrics().horizontalAdvance(text) + 2

    def shown_text(self) -> str:
        """What fits."""
        metrics, room = self.fontMetrics(), self.width() - 2 * _SIDE - _DOT - _GAP
        if metrics.horizontalAdvance(self._full) <= room:
            return self._full
        # a piece of a reason is worth something, a piece of the name or of "offline" is not
        if room <= metrics.horizontalAdvance(f"{self._short}: xxx…"):
            return metrics.elidedText(self._short, Qt.TextElideMode.ElideRight, room)
        return metrics.elidedText(self._full, Qt.TextElideMode.ElideRight, room)

    def paintEvent(self, event: QPaintEvent) -> None:
        # the style sheet's ground and frame; there is no text for it to paint
        super().paintEvent(event)
        if self._tokens is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(getattr(self._tokens, self._tone)))
        painter.drawEllipse(QRectF(_SIDE, self.height() / 2 - _DOT / 2, _DOT, _DOT))
        painter.setPen(QColor(self._tokens.text if self._bright else self._tokens.dim))
        rect = self.rect().adjusted(_SIDE + _DOT + _GAP, 0, -_SIDE + 2, 0)
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.shown_text())
        painter.end()
