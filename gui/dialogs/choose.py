"""Asks for a zip or a folder with the system's own dialog, without stopping the loop."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QDialog, QFileDialog, QWidget

from gui.dialogs.base import ask

__all__ = ["choose_folder", "choose_zip"]


async def choose_zip(parent: QWidget | None, title: str, start: Path | None = None) -> Path | None:
    """A zip file, or None where the person thought better of it."""
    dialog = QFileDialog(parent, title, str(start or ""), "Zip archives (*.zip);;All files (*)")
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    return await _chosen(dialog)


async def choose_folder(parent: QWidget | None, title: str, start: Path | None = None) -> Path | None:
    """A folder, or None where the person thought better of it."""
    dialog = QFileDialog(parent, title, str(start or ""))
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    return await _chosen(dialog)


async def _chosen(dialog: QFileDialog) -> Path | None:
    if await ask(dialog) != QDialog.DialogCode.Accepted:
        return None
    files = dialog.selectedFiles()
    return Path(files[0]) if files else None
