"""Colours JSON by role: names, texts, numbers and constants."""

from __future__ import annotations

import re

from PySide6.QtGui import QSyntaxHighlighter, QTextCharFormat, QTextDocument

from gui.theme import Theme

__all__ = ["JsonHighlighter"]

_TOKEN = re.compile(
    r'(?P<name>"[^"\\]*(?:\\.[^"\\]*)*"(?=\s*:))|(?P<text>"[^"\\]*(?:\\.[^"\\]*)*"?)|(?P<word>\b(?:true|false|null)\b)'
)
# a line beyond this is data, not something a person reads by colour
_LONGEST = 20_000
_ROLES = {"name": "idle", "text": "ok", "word": "draining"}


class JsonHighlighter(QSyntaxHighlighter):
    """Follows the theme. JSON has no text over several lines, so a line is enough to know its colours."""

    def __init__(self, document: QTextDocument, theme: Theme) -> None:
        super().__init__(document)
        self._theme = theme
        self._formats: dict[str, QTextCharFormat] = {}
        theme.changed.connect(self._recolour)
        self._make_formats()

    def highlightBlock(self, text: str) -> None:
        if len(text) > _LONGEST:
            return
        for match in _TOKEN.finditer(text):
            role = match.lastgroup
            if role is not None:
                start, end = match.span()
                self.setFormat(start, end - start, self._formats[role])

    def _make_formats(self) -> None:
        for role, token in _ROLES.items():
            form = QTextCharFormat()
            form.setForeground(self._theme.color(token))
            self._formats[role] = form

    def _recolour(self) -> None:
        self._make_formats()
        self.rehighlight()
