"""The list of functions at the left: filter, select, and everything one can do with a function."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QItemSelection, QItemSelectionModel, QObject, QPoint, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from core.events import Event
from gui.actions import Actions
from gui.context import Context
from gui.formatting import plural
from gui.models.functions import FunctionsModel
from gui.panels.function_delegate import FunctionDelegate
from gui.widgets.eliding_label import ElidingLabel

__all__ = ["FunctionsPanel"]


class _List(QListView):
    """A click beside the rows selects nothing; Qt would leave the selection as it is."""

    beside = Signal()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        left = event.button() == Qt.MouseButton.LeftButton
        if left and not self.indexAt(event.position().toPoint()).isValid():
            self.beside.emit()


class FunctionsPanel(QWidget):
    """`function_selected(name)` follows each change of the selection; None stands for all functions.

    A function that the filter hides stays selected: typing does not change what else is shown.
    """

    function_selected = Signal(object)

    def __init__(self, context: Context, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._actions = actions
        self._selected: str | None = None
        self._quiet = False
        self.model = FunctionsModel(context.runtime, self)
        self.setObjectName("functions_panel")
        self.setProperty("surface", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(220)
        self._build()
        context.coalescer.add(self._take)
        context.theme.changed.connect(self.list.viewport().update)
        self.model.changed.connect(self._figures)
        self._figures()
        self._show_emptiness()

    def selected(self) -> str | None:
        """The selected function, or None where all are meant."""
        return self._selected

    def select(self, name: str | None) -> None:
        """Select a function (one that does not exist: none), as a click would."""
        self._choose(name if name is not None and self.model.row(name) is not None else None)
        self._mark()

    def focus_list(self) -> None:
        """Go to the list; to Add function where it is empty."""
        target = self.list if self.model.rowCount() else self._add
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def focus_filter(self) -> None:
        """Go to the filter with all of its text selected."""
        self.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter.selectAll()

    # --- building

    def _build(self) -> None:
        title = QLabel("Functions")
        title.setProperty("role", "heading")
        self._count = QLabel()
        self._count.setProperty("role", "small")
        self._count.setObjectName("functions_count")
        head = QHBoxLayout()
        # as high as the heads of the other panels, which have buttons
        title.setMinimumHeight(30)
        head.setContentsMargins(14, 8, 14, 4)
        head.setSpacing(8)
        head.addWidget(title)
        head.addWidget(self._count, 1)

        self.filter = QLineEdit()
        self.filter.setObjectName("functions_filter")
        self.filter.setPlaceholderText("Filter by name, runtime, backend")
        self.filter.setAccessibleName("Filter functions")
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(self._filter_changed)
        self.filter.installEventFilter(self)
        filter_row = QHBoxLayout()
        filter_row.setContentsMargins(12, 0, 12, 8)
        filter_row.addWidget(self.filter)

        self.list = _List()
        self.list.beside.connect(lambda: self.select(None))
        self.list.setObjectName("functions_list")
        self.list.setAccessibleName("Functions")
        self.list.setModel(self.model)
        self.list.setItemDelegate(FunctionDelegate(self._context.theme, self.list))
        self.list.setUniformItemSizes(False)
        self.list.setMouseTracking(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._menu)
        self.list.selectionModel().selectionChanged.connect(self._selection_changed)

        self._empty = QLabel()
        self._empty.setObjectName("functions_empty")
        self._empty.setProperty("role", "dim")
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._empty.setContentsMargins(16, 8, 16, 8)

        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addLayout(filter_row)
        column.addWidget(self._empty, 1)
        column.addWidget(self.list, 1)
        column.addWidget(self._foot())

    def _foot(self) -> QFrame:
        foot = QFrame()
        foot.setObjectName("functions_foot")
        add = self._add = QPushButton("+ Add function")
        add.setObjectName("add_function")
        add.setToolTip(self._actions.add.toolTip())
        add.clicked.connect(self._actions.add.trigger)
        hint = ElidingLabel("or drop a zip or folder")
        hint.setProperty("role", "dim")
        row = QHBoxLayout(foot)
        row.setContentsMargins(8, 6, 14, 6)
        row.setSpacing(2)
        row.addWidget(add)
        row.addWidget(hint, 1)
        return foot

    # --- selection

    def _choose(self, name: str | None) -> None:
        if name == self._selected:
            return
        self._selected = name
        self.function_selected.emit(name)

    def _selection_changed(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        if self._quiet:
            return
        indexes = self.list.selectionModel().selectedIndexes()
        self._choose(self.model.name_at(indexes[0]) if indexes else None)

    def _mark(self) -> None:
        """Make the view show what is selected."""
        index = self.model.place_of(self._selected) if self._selected is not None else None
        self._quiet = True
        try:
            if index is None or not index.isValid():
                self.list.selectionModel().clearSelection()
            else:
                flags = QItemSelectionModel.SelectionFlag.ClearAndSelect
                self.list.selectionModel().setCurrentIndex(index, flags)
        finally:
            self._quiet = False

    def _take(self, events: Sequence[Event]) -> None:
        # Qt would select a neighbour of a row that goes
        self._quiet = True
        try:
            self.model.take(events)
        finally:
            self._quiet = False
        self._keep_selection()

    def _filter_changed(self, text: str) -> None:
        self._quiet = True
        try:
            self.model.set_filter(text)
        finally:
            self._quiet = False
        self._keep_selection()

    def _keep_selection(self) -> None:
        if self._selected is not None and self.model.row(self._selected) is None:
            self._choose(None)
        if (index := self.list.currentIndex()).isValid() != (self._selected is not None) or (
            self.model.name_at(index) != self._selected
        ):
            self._mark()
        self._show_emptiness()

    # --- the rest

    def _figures(self) -> None:
        instances = self.model.total()
        names = len(self.model.functions())
        self._count.setText(f"{names} · {plural(instances, 'instance')}")

    def _show_emptiness(self) -> None:
        empty = not self.model.rowCount()
        self.list.setVisible(not empty)
        self._empty.setVisible(empty)
        if not empty:
            return
        if self.model.names():
            self._empty.setText(f"No function matches “{self.filter.text().strip()}”.")
        else:
            self._empty.setText(
                "There is no function yet.\n\nDrop a zip or a folder with its code on this window, "
                "or choose + Add function below."
            )

    def _menu(self, at: QPoint) -> None:
        index = self.list.indexAt(at)
        if not index.isValid():
            return
        self.select(self.model.name_at(index))
        a = self._actions
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(a.invoke)
        menu.addMenu(a.launch_menu(menu))
        menu.addSeparator()
        menu.addActions([a.edit, a.reload, a.pull_image, a.clone, a.remove])
        menu.addSeparator()
        menu.addActions([a.evict, a.reap_idle])
        menu.popup(self.list.viewport().mapToGlobal(at))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.filter and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Down and self.model.rowCount():
                self.list.setFocus(Qt.FocusReason.TabFocusReason)
                if self._selected not in self.model.shown:
                    self.select(self.model.shown[0])
                return True
            if event.key() == Qt.Key.Key_Escape and self.filter.text():
                self.filter.clear()
                return True
        override = watched is self.filter and event.type() == QEvent.Type.ShortcutOverride
        if override and isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape and self.filter.text():
            # else Esc would clear the selection while there is a filter to clear first
            event.accept()
            return True
        return super().eventFilter(watched, event)
