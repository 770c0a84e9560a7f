"""Colours, fonts and the one style sheet; follows the system's light or dark scheme."""

from __future__ import annotations

from contextlib import suppress

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QApplication

from gui.tokens import DARK, LIGHT, Tokens, ink

__all__ = ["Theme", "mono_font"]


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

    def ink(self, token: str) -> QColor:
        """The colour for words in a token's colour: legible on every ground."""
        return QColor(ink(self.tokens, token))

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
