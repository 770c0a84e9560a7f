"""How many instances to launch."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui.dialogs.base import StokerDialog
from gui.dialogs.fields import whole_number
from gui.formatting import plural

__all__ = ["LaunchDialog"]


class LaunchDialog(StokerDialog):
    """A count, and what the function's limit makes of it."""

    def __init__(self, parent: QWidget | None, name: str, has: int, cap: int) -> None:
        super().__init__(parent, f"Launch {name}", "launch_dialog")
        self.count = whole_number("launch_count", "How many instances", (1, max(1, cap - has)))
        self.count.setValue(3)
        row = QHBoxLayout()
        row.addWidget(self.count)
        row.addWidget(QLabel("instances"))
        row.addStretch(1)
        self.body.addLayout(row)
        self.say(f"It has {plural(has, 'instance')}; its limit is {cap}.", "small")
        self.foot.addStretch(1)
        self.button("Cancel", "no").clicked.connect(self.reject)
        self.button("Launch", "yes", primary=True, default=True).clicked.connect(self.accept)
        self.count.selectAll()
        self.count.setFocus()
