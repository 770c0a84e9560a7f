"""A table view over rows that change many times a second."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPoint, QRect, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QCursor,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from gui.models.keyed_rows import KeyedRows
from gui.theme import Theme
from gui.widgets.cell_delegate import EDGE_PADDING, ROW_HEIGHT, CellDelegate

__all__ = ["LiveTable", "copy_text"]

Index = QModelIndex | QPersistentModelIndex


class LiveTable(QTableView):
    """Shows a `KeyedRows` model that is also a `CellSource`; selections are by key.

    `held_changed(bool)` tells when nothing may move: while the mouse is over the rows or a menu
    that was given to `open_menu` is open. `hovered(int)` is the row under the mouse, or -1.
    `copied` asks for the selected rows to be put on the clipboard.
    """

    held_changed = Signal(bool)
    hovered = Signal(int)
    copied = Signal()

    def __init__(self, delegate: CellDelegate, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._delegate = delegate
        self._theme = theme
        self._empty_text = ""
        self._inside = False
        self._menus = 0
        self._held = False
        self._hovered = -1
        self.setProperty("surface", "background")
        self.setItemDelegate(delegate)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setMouseTracking(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        rows = self.verticalHeader()
        rows.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        columns = self.horizontalHeader()
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        columns.setStretchLastSection(True)
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(44)
        columns.setSortIndicatorClearable(True)
        # the model's titles say how it is sorted
        columns.setStyleSheet(
            f"QHeaderView::section:first {{ padding-left: {EDGE_PADDING}px; }}"
            "QHeaderView::up-arrow, QHeaderView::down-arrow { image: none; width: 0; height: 0; }"
        )
        columns.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.verticalScrollBar().valueChanged.connect(self._scrolled)

    # --- what it shows

    @property
    def empty_text(self) -> str:
        """What is said where the rows would be when there are none."""
        return self._empty_text

    def set_empty_text(self, text: str) -> None:
        """What to say where the rows would be when there are none."""
        if text != self._empty_text:
            self._empty_text = text
            self.viewport().update()

    def selected_keys(self) -> list[str]:
        """The keys of the selected rows, from top to bottom."""
        model = self.model()
        assert isinstance(model, KeyedRows)
        return [model.key_at(row) for row in sorted(index.row() for index in self.selectionModel().selectedRows())]

    def select_keys(self, keys: Sequence[str]) -> None:
        """Select exactly the rows with these keys that are shown; the first becomes the current one."""
        model = self.model()
        assert isinstance(model, KeyedRows)
        flag = QItemSelectionModel.SelectionFlag
        selection = self.selectionModel()
        places = [place for place in map(model.place_of, keys) if place is not None]
        if places:
            selection.setCurrentIndex(model.index(places[0], 0), flag.ClearAndSelect | flag.Rows)
        else:
            selection.clearSelection()
        for place in places[1:]:
            selection.select(model.index(place, 0), flag.Select | flag.Rows)

    # --- when nothing may move

    @property
    def held(self) -> bool:
        """Whether the mouse is over the rows or a menu is open."""
        return self._held

    def open_menu(self, menu: QMenu, where: QPoint) -> None:
        """Open `menu` at this place of the screen, without waiting; rows keep still until it closes."""
        self._menus += 1
        self._hold()
        menu.aboutToHide.connect(self._menu_closed)
        menu.popup(where)

    def _menu_closed(self) -> None:
        self._menus = max(0, self._menus - 1)
        # the mouse may have left, or come back, while the menu had it
        self._inside = self._is_mouse_over()
        self._hold()

    def _is_mouse_over(self) -> bool:
        viewport = self.viewport()
        return viewport.isVisible() and viewport.rect().contains(viewport.mapFromGlobal(QCursor.pos()))

    def _hold(self) -> None:
        held = self._inside or self._menus > 0
        if held != self._held:
            self._held = held
            self.held_changed.emit(held)

    def _hover(self, row: int) -> None:
        if row != self._hovered:
            before, self._hovered = self._hovered, row
            self._delegate.hovered = row
            for each in (before, row):
                self._update_row(each)
            self.hovered.emit(row)

    def _scrolled(self) -> None:
        if self._inside:
            self._hover(self.rowAt(self.viewport().mapFromGlobal(QCursor.pos()).y()))

    def _update_row(self, row: int) -> None:
        if row >= 0:
            self.viewport().update(0, self.rowViewportPosition(row), self.viewport().width(), ROW_HEIGHT)

    # --- Qt's side

    def viewportEvent(self, event: QEvent) -> bool:
        match event.type():
            case QEvent.Type.Enter:
                self._inside = True
                self._hold()
            case QEvent.Type.MouseMove:
                assert isinstance(event, QMouseEvent)
                self._hover(self.rowAt(int(event.position().y())))
            case QEvent.Type.Leave | QEvent.Type.Hide:
                self._inside = False
                self._hover(-1)
                self._hold()
            case _:
                pass
        return super().viewportEvent(event)

    def dataChanged(self, top_left: Index, bottom_right: Index, roles: Sequence[int] = ()) -> None:
        """Paint the cells that changed; Qt would paint the whole viewport."""
        if QAccessible.isActive():
            super().dataChanged(top_left, bottom_right, list(roles))
            return
        top = self.rowViewportPosition(top_left.row())
        bottom = self.rowViewportPosition(bottom_right.row()) + ROW_HEIGHT
        last = bottom_right.column()
        left = self.columnViewportPosition(top_left.column())
        right = self.columnViewportPosition(last) + self.columnWidth(last)
        self.viewport().update(QRect(left, top, right - left, bottom - top))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        model = self.model()
        if self._empty_text and (model is None or model.rowCount() == 0):
            painter = QPainter(self.viewport())
            painter.setPen(self._theme.color("dim"))
            area = self.viewport().rect().adjusted(24, 12, -24, -12)
            painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), self._empty_text)
            painter.end()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copied.emit()
            event.accept()
            return
        super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """Letters are commands here, not a search."""


def copy_text(text: str) -> None:
    """Put `text` on the clipboard."""
    QGuiApplication.clipboard().setText(text)
