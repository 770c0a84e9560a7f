"""The titles of panels that share one place: the one in front is a heading, the others lead to theirs."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QFont
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

__all__ = ["PanelTabs"]


class PanelTabs(QWidget):
    """One word for each checkable action, `front` being that of the panel these titles stand in."""

    def __init__(self, panels: Mapping[str, QAction], front: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for name, action in panels.items():
            button = QPushButton()
            button.setObjectName(f"{front}_tab_{name}")
            button.setText(action.text())
            button.setToolTip(action.toolTip() if name != front else "")
            button.setAccessibleName(f"Show {action.text().lower()}")
            button.setProperty("flat", True)
            button.setProperty("quiet", name != front)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus if name != front else Qt.FocusPolicy.NoFocus)
            # the first letter stands where the heading of any other panel does
            button.setStyleSheet("QPushButton { padding: 3px 6px; }")
            font = button.font()
            font.setWeight(QFont.Weight.DemiBold if name == front else QFont.Weight.Normal)
            button.setFont(font)
            if name != front:
                button.clicked.connect(lambda _=False, a=action: a.setChecked(True))
            row.addWidget(button)
        row.addStretch(1)
