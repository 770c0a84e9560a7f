"""Copy and save: the buttons beside the views of a response, or one that stands for both."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QPoint, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QPushButton, QWidget

from gui.context import Context
from gui.formatting import format_bytes
from gui.workbench.run import Run

__all__ = ["ResponseActions"]

_ANSWER_MS = 1_200
_GAP = 8
NARROW = 34


class ResponseActions(QWidget):
    """A button answers in its own place for a moment, and never changes its width."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._run: Run | None = None
        self._gone = False
        self.copy_button = self._button("Copy", "copy_response", "Copy the response as text", widest="Copied")
        self.copy_button.clicked.connect(self.copy)
        self.save_button = self._button(
            "Save as…", "save_response", "Save all bytes of the response to a file", widest="Save as…"
        )
        self.save_button.clicked.connect(self.ask_save)
        self._more = QPushButton("⋯", self)
        self._more.setObjectName("response_more")
        self._more.setFixedWidth(NARROW)
        self._more.setAccessibleName("Copy or save the response")
        self._more.setToolTip("Copy or save the response")
        self._more.clicked.connect(self._open_more)
        self._answered = QTimer(self)
        self._answered.setSingleShot(True)
        self._answered.setInterval(_ANSWER_MS)
        self._answered.timeout.connect(self._name_buttons)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(_GAP)
        for button in (self.copy_button, self.save_button, self._more):
            layout.addWidget(button)
        self.set_narrow(False)

    @property
    def wide(self) -> int:
        """How much room both buttons take."""
        return self.copy_button.width() + _GAP + self.save_button.width()

    def set_narrow(self, narrow: bool) -> None:
        """Whether one button stands for the two."""
        self._more.setVisible(narrow)
        self.copy_button.setVisible(not narrow)
        self.save_button.setVisible(not narrow)

    def show_run(self, run: Run | None) -> None:
        """Whose response it is now, and whether there is any."""
        self._run = run
        has_bytes = run is not None and run.response.size > 0
        self.copy_button.setEnabled(has_bytes)
        self.save_button.setEnabled(has_bytes)

    def leave(self) -> None:
        """The tab goes; what is still being saved must not touch it."""
        self._gone = True

    def copy(self) -> None:
        """Put the response, as far as it is kept in memory, on the clipboard as text."""
        if self._run is not None:
            QGuiApplication.clipboard().setText(bytes(self._run.response.head).decode(errors="replace"))
            self.copy_button.setText("Copied")
            self._answered.start()

    def ask_save(self) -> None:
        """Ask for a file, then save to it."""
        run = self._run
        if run is None:
            return
        dialog = QFileDialog(self, "Save the response as")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.selectFile(f"{run.function_name}-{run.request_id[:8]}{_suffix(run)}")
        dialog.fileSelected.connect(lambda name: self._start_save(run, Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    async def save(self, run: Run, path: Path) -> None:
        """Write all bytes of the response to `path`. Raises OSError."""
        size = await run.response.spool.save(path)
        if not self._gone:
            self.save_button.setText("Saved")
            self.save_button.setToolTip(f"Saved {format_bytes(size)} to {path}")
            self._answered.start()

    def _start_save(self, run: Run, path: Path) -> None:
        self._context.tasks.start(f"Save the response to {path.name}", self.save(run, path))

    def _button(self, words: str, name: str, tip: str, widest: str) -> QPushButton:
        button = QPushButton(words, self)
        button.setObjectName(name)
        button.setToolTip(tip)
        # heard without the heading beside it
        button.setAccessibleName(tip)
        button.setFixedWidth(button.fontMetrics().horizontalAdvance(widest) + 26)
        return button

    def _name_buttons(self) -> None:
        self.copy_button.setText("Copy")
        self.save_button.setText("Save as…")

    def _open_more(self) -> None:
        menu = QMenu(self)
        for words, slot in (("Copy", self.copy), ("Save as…", self.ask_save)):
            action = menu.addAction(words)
            action.setEnabled(self.save_button.isEnabled())
            action.triggered.connect(slot)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self._more.mapToGlobal(QPoint(0, self._more.height() + 2)))


def _suffix(run: Run) -> str:
    if run.response.binary(over=run.over):
        return ".bin"
    kind = run.result.content_type.split(";")[0].strip() if run.result is not None else ""
    return ".json" if kind == "application/json" else ".txt"
