"""What the window remembers from one start to the next, in an ini file of its home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QSettings

__all__ = ["WindowState"]

_FILE = "window.ini"


class WindowState:
    """Typed access to `home/window.ini`. A file that was damaged reads as one that is empty."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._settings = QSettings(str(home / _FILE), QSettings.Format.IniFormat)

    def bytes(self, key: str) -> QByteArray | None:
        """What Qt's `saveState` and `saveGeometry` gave, or None."""
        value: Any = self._settings.value(key)
        return value if isinstance(value, QByteArray) and not value.isEmpty() else None

    def text(self, key: str) -> str | None:
        """A text, or None."""
        value: Any = self._settings.value(key)
        return value if isinstance(value, str) and value else None

    def flag(self, key: str) -> bool:
        """True if it was set."""
        return self.text(key) == "yes"

    def put(self, key: str, value: QByteArray | str | bool | None) -> None:
        """Keep a value; None forgets it. Nothing is kept once the home is gone: Qt would make it again, open to all."""
        if not self._home.is_dir():
            return
        if value is None:
            self._settings.remove(key)
        elif isinstance(value, bool):
            self._settings.setValue(key, "yes" if value else "no")
        else:
            self._settings.setValue(key, value)

    def save(self) -> None:
        """Write the file now."""
        self._settings.sync()
