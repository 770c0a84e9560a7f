"""What this program is, which version, and where it keeps its things."""

from __future__ import annotations

import platform
from pathlib import Path

from PySide6.QtCore import Qt, qVersion
from PySide6.QtWidgets import QWidget

from gui.dialogs.base import StokerDialog
from gui.version import version

__all__ = ["AboutDialog"]


class AboutDialog(StokerDialog):
    """Facts that one would copy into a report."""

    def __init__(self, parent: QWidget | None, home: Path) -> None:
        super().__init__(parent, "Stoker", "about_dialog")
        self.setMinimumWidth(420)
        self.say("A desktop control room for a warm pool of AWS-Lambda-style functions.")
        facts = (
            f"Version {version()}\nPython {platform.python_version()}, Qt {qVersion()}\nHome {home}\nApache License 2.0"
        )
        self.say(facts, "dim").setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.foot.addStretch(1)
        self.button("Close", "close", default=True).clicked.connect(self.accept)
