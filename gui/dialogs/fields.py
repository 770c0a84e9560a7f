"""Labelled fields in a column, each with a place for what is wrong with it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QGridLayout, QLabel, QLineEdit, QSpinBox, QVBoxLayout, QWidget

__all__ = ["Fields", "whole_number"]


def whole_number(
    object_name: str, words: str, bounds: tuple[int, int], *, suffix: str = "", least_means: str = ""
) -> QSpinBox:
    """A spin box; `least_means` is shown in place of the smallest value."""
    made = QSpinBox()
    made.setObjectName(object_name)
    made.setAccessibleName(words)
    made.setRange(*bounds)
    made.setSuffix(suffix)
    made.setSpecialValueText(least_means)
    made.setMinimumWidth(140)
    # the style sheet's padding does not reach the text of a spin box
    made.lineEdit().setTextMargins(6, 0, 0, 0)
    # the wheel scrolls a form; it must not change what it passes over
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return made


class Fields(QWidget):
    """A form: `add` puts a field under its label, `wrong` shows an error at it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(8)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnStretch(3, 1)
        self._errors: dict[str, QLabel] = {}
        self._fields: dict[str, QWidget] = {}
        self._labels: dict[str, QLabel] = {}
        self._rows: dict[str, tuple[QWidget, QWidget]] = {}

    def add(self, key: str, words: str, field: QWidget, row: QWidget | None = None, *, left: bool = False) -> None:
        """Add a field; `row` is what is laid out if the field is only a part of it, `left` keeps it narrow."""
        place = self._grid.rowCount()
        self._put(key, words, field, place, 0)
        cell = QVBoxLayout()
        cell.setSpacing(2)
        cell.addWidget(row or field, 0, Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag(0))
        cell.addWidget(self._errors[key])
        self._grid.addLayout(cell, place, 1, 1, 1 if left else 3)
        self._rows[key] = (self._labels[key], row or field)

    def beside(self, key: str, words: str, field: QWidget) -> None:
        """Add a narrow field at the right of the one added last."""
        place = self._grid.rowCount() - 1
        self._put(key, words, field, place, 2)
        cell = QVBoxLayout()
        cell.setSpacing(2)
        cell.addWidget(field, 0, Qt.AlignmentFlag.AlignLeft)
        cell.addWidget(self._errors[key])
        self._grid.addLayout(cell, place, 3)

    def _put(self, key: str, words: str, field: QWidget, place: int, column: int) -> None:
        label = QLabel(words)
        label.setProperty("role", "dim")
        label.setBuddy(field)
        label.setMinimumWidth(104)
        # a label's text stands on the line of the field's, which has a border and padding
        label.setContentsMargins(0, 7, 0, 0)
        error = QLabel()
        error.setObjectName(f"{key}_error")
        error.setProperty("role", "error")
        error.setWordWrap(True)
        error.setTextFormat(Qt.TextFormat.PlainText)
        error.hide()
        self._grid.addWidget(label, place, column, Qt.AlignmentFlag.AlignTop)
        self._labels[key] = label
        self._errors[key] = error
        self._fields[key] = field
        # what is being mended is not called wrong any more
        if isinstance(field, QLineEdit):
            field.textEdited.connect(lambda _: self.wrong(key, ""))
        elif isinstance(field, QSpinBox):
            field.valueChanged.connect(lambda _: self.wrong(key, ""))
        elif isinstance(field, QComboBox):
            field.activated.connect(lambda _: self.wrong(key, ""))

    def note(self, object_name: str) -> QLabel:
        """Add a remark below what was added last; it takes no room until it is shown."""
        said = QLabel()
        said.setObjectName(object_name)
        said.setProperty("role", "small")
        said.setWordWrap(True)
        said.setTextFormat(Qt.TextFormat.PlainText)
        said.hide()
        self._grid.addWidget(said, self._grid.rowCount(), 1, 1, 3)
        return said

    def set_shown(self, key: str, shown: bool) -> None:
        """Show a field that has a row of its own, or leave it out."""
        for part in self._rows[key]:
            part.setVisible(shown)
        if not shown:
            self.wrong(key, "")

    def finish(self) -> None:
        """Push what was added to the top."""
        self._grid.setRowStretch(self._grid.rowCount(), 1)

    def has(self, key: str) -> bool:
        """Whether there is a field of this key."""
        return key in self._fields

    def wrong(self, key: str, text: str) -> None:
        """Show what is wrong with a field, and go to it."""
        error, field = self._errors[key], self._fields[key]
        if not text and not error.text():
            return
        error.setText(text)
        error.setVisible(bool(text))
        field.setProperty("wrong", bool(text))
        field.style().unpolish(field)
        field.style().polish(field)
        if text:
            field.setFocus(Qt.FocusReason.OtherFocusReason)

    def clear(self) -> None:
        """Nothing is wrong any more."""
        for key in self._errors:
            self.wrong(key, "")
