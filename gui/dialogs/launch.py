"""How many instances to launch."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QSpinBox, QWidget

from gui.dialogs.base import StokerDialog
from gui.formatting import plural

__all__ = ["LaunchDialog"]


class LaunchDialog(StokerDialog):
    """A count, and what the function's limit makes of it."""

    def __init__(self, parent: QWidget | None, name: str, has: int, cap: int) -> None:
        super().__init__(parent, f"Launch {name}", "launch_dialog")
        self.count = QSpinBox()
        self.count.setObjectName("launch_count")
        self.count.setAccessibleName("How many instances")
        self.count.setRange(1, max(1, cap - has))
        self.count.setValue(3)
        self.count.setMinimumWidth(90)
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
