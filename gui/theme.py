"""Colours, fonts and the one style sheet; follows the system's light or dark scheme."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, fields

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QApplication

from core.instances import InstanceState

__all__ = ["DARK", "LIGHT", "Theme", "Tokens", "mono_font", "state_token"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The palette by role, as #rrggbb."""

    background: str
    panel: str
    raised: str
    line: str
    text: str
    dim: str
    accent: str
    on_accent: str
    busy: str
    idle: str
    starting: str
    draining: str
    ok: str
    error: str
    selection: str


DARK = Tokens(
    background="#15171a",
    panel="#1c1f23",
    raised="#23272c",
    line="#2d3238",
    text="#e8e6e3",
    dim="#9aa0a6",
    accent="#f0803c",
    on_accent="#1a1008",
    busy="#f0803c",
    idle="#5aa9e6",
    starting="#d9b44a",
    draining="#a78bda",
    ok="#62b77a",
    error="#ef6461",
    selection="#2b2420",
)
LIGHT = Tokens(
    background="#f6f5f3",
    panel="#ffffff",
    raised="#fbfaf8",
    line="#e3e0db",
    text="#23211e",
    dim="#6b665f",
    accent="#c2540a",
    on_accent="#ffffff",
    busy="#c2540a",
    idle="#1f6fb2",
    starting="#8f6a00",
    draining="#6b46b5",
    ok="#257a41",
    error="#b3261e",
    selection="#f6e9df",
)

_STATE_TOKENS = {
    InstanceState.STARTING: "starting",
    InstanceState.IDLE: "idle",
    InstanceState.BUSY: "busy",
    InstanceState.DRAINING: "draining",
    InstanceState.TERMINATING: "draining",
    InstanceState.FAILED: "error",
    InstanceState.DEAD: "dim",
}


def state_token(state: InstanceState) -> str:
    """The name of the colour that stands for an instance's state."""
    return _STATE_TOKENS[state]


def mono_font(points_less: float = 0.5) -> QFont:
    """The system's fixed-width face, a little smaller than the UI font, for ids, figures and payloads."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    size = QGuiApplication.font().pointSizeF()
    if size > 0:
        font.setPointSizeF(max(7.0, size - points_less))
    return font


class Theme(QObject):
    """The tokens in force. `changed` is emitted after they were replaced.

    `install` puts them on the whole application: palette and style sheet, again at each change.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._forced: Tokens | None = None
        self._app: QApplication | None = None
        hints = QGuiApplication.styleHints()
        hints.colorSchemeChanged.connect(self._scheme_changed)

    @property
    def tokens(self) -> Tokens:
        if self._forced is not None:
            return self._forced
        dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return DARK if dark else LIGHT

    def color(self, token: str) -> QColor:
        """The colour of a token by name ("busy", "dim", ...)."""
        return QColor(getattr(self.tokens, token))

    def install(self, app: QApplication) -> None:
        """Dress the application, now and whenever the tokens change."""
        self._app = app
        # one style on every platform: what is drawn is ours, what is not drawn stays consistent with it
        app.setStyle("Fusion")
        self._dress()

    def uninstall(self) -> None:
        """Leave the application as it is and follow nothing any more."""
        self._app = None
        with suppress(RuntimeError):
            QGuiApplication.styleHints().colorSchemeChanged.disconnect(self._scheme_changed)

    def force(self, tokens: Tokens | None) -> None:
        """Use these tokens whatever the system says (screenshots, a person's choice); None follows again."""
        self._forced = tokens
        self._replaced()

    def _scheme_changed(self) -> None:
        if self._forced is None:
            self._replaced()

    def _replaced(self) -> None:
        self._dress()
        self.changed.emit()

    def _dress(self) -> None:
        if self._app is None:
            return
        from gui.style import palette, style_sheet

        tokens = self.tokens
        self._app.setPalette(palette(tokens))
        points = QGuiApplication.font().pointSizeF()
        self._app.setStyleSheet(style_sheet(tokens, points if points > 0 else 10.0))


assert {f.name for f in fields(Tokens)} >= set(_STATE_TOKENS.values())
