"""The event that is sent: the editor, its validation, and the saved events of the function."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFont, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QInputDialog, QLabel, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from core.journal import SavedEvent
from core.names import split_key
from gui.context import Context
from gui.formatting import elide_end
from gui.samples import sample_events
from gui.theme import mono_font
from gui.widgets.code_editor import CodeEditor
from gui.workbench.json_highlighter import JsonHighlighter
from gui.workbench.json_text import JsonProblem, check_json, format_json
from gui.workbench.labels import CalmLabel

__all__ = ["EventEditor"]

_FRESH = "{}"
# up to here the text is checked at every key, beyond when one pauses
_CHECK_AT_ONCE = 200_000
_PAUSE_MS = 250


class _Picker(QPushButton):
    """A button as wide as there is room for, at the right of it; a long title is elided."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._title, self._end = "Saved", " ▾"
        self.setMinimumWidth(84)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_title(self, title: str, end: str) -> None:
        self._title, self._end = title, end
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        metrics = self.fontMetrics()
        room = self.width() - 26 - metrics.horizontalAdvance(self._end)
        self.setText(metrics.elidedText(self._title, Qt.TextElideMode.ElideRight, room).replace("&", "&&") + self._end)


class EventEditor(QWidget):
    """`edited` is emitted when the text changes, `stored` when the saved events do."""

    edited = Signal()
    stored = Signal()

    def __init__(self, context: Context, function_name: str, draft: str | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        # a published version has its function's saved events
        self._function = split_key(function_name)[0]
        self._saved: list[SavedEvent] = []
        self._title: str | None = None
        self._untouched = draft is None
        self._gone = False
        self.problem: JsonProblem | None = None
        self._build()
        self.editor.setPlainText(_FRESH if draft is None else draft)
        self.editor.textChanged.connect(self._text_changed)
        context.theme.changed.connect(self._show_problem)
        self._check()

    def _build(self) -> None:
        self._heading = QLabel("Event", self)
        self._heading.setProperty("role", "heading")
        self.picker = _Picker(self)
        self.picker.setObjectName("saved_events")
        self.picker.setToolTip("Saved events of this function, and events as AWS services send them")
        self.picker.setAccessibleName("Saved events")
        self.picker.clicked.connect(self._open_menu)
        self.save_button = QPushButton("Save as…", self)
        self.save_button.setObjectName("save_event")
        self.save_button.setAccessibleName("Save the event as")
        self.save_button.setToolTip("Keep this event with the function under a name (Ctrl+S keeps it under its own)")
        self.save_button.clicked.connect(self.save_as)
        self.format_button = QPushButton("Format", self)
        self.format_button.setObjectName("format_event")
        self.format_button.setToolTip("Lay the JSON out, one value a line (Ctrl+Shift+F)")
        self.format_button.clicked.connect(self.format)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self._heading)
        head.addWidget(self.picker, 1)
        for button in (self.save_button, self.format_button):
            head.addWidget(button)
        self.editor = CodeEditor(self)
        self.editor.setObjectName("event_editor")
        self.editor.setAccessibleName("Event as JSON")
        font: QFont = mono_font()
        self.editor.setFont(font)
        self.editor.document().setDocumentMargin(0)
        self._highlighter = JsonHighlighter(self.editor.document(), self._context.theme)
        self.message = CalmLabel(self, lines=2)
        self.message.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom)
        self.message.setObjectName("event_message")
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._check)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addWidget(self.editor, 1)
        layout.addWidget(self.message)
        QWidget.setTabOrder(self.picker, self.save_button)
        QWidget.setTabOrder(self.save_button, self.format_button)
        QWidget.setTabOrder(self.format_button, self.editor)

    def minimumSizeHint(self) -> QSize:
        # without the button that can go
        least = super().minimumSizeHint()
        if not self.save_button.isHidden():
            least.setWidth(least.width() - self.save_button.sizeHint().width() - 8)
        return least

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        others = self._heading.sizeHint().width() + self.format_button.sizeHint().width() + self.picker.minimumWidth()
        # where there is no room for it, the menu of saved events still has it
        self.save_button.setVisible(self.width() >= others + self.save_button.sizeHint().width() + 3 * 8)

    # --- the text

    @property
    def text(self) -> str:
        """What stands in the editor."""
        return self.editor.toPlainText()

    def payload(self) -> bytes | None:
        """The event as it would be sent, or None when it is not JSON. Nothing at all is sent as {}."""
        self._check()
        if self.problem is not None:
            return None
        return (self.text if self.text.strip() else _FRESH).encode(errors="replace")

    def point_at_problem(self) -> None:
        """Put the cursor where the JSON goes wrong."""
        if self.problem is not None:
            cursor = self.editor.textCursor()
            cursor.setPosition(min(self.problem.position, self.editor.document().characterCount() - 1))
            self.editor.setTextCursor(cursor)
            self.editor.ensureCursorVisible()
            self.editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def format(self) -> None:
        """Lay the JSON out; what is not JSON stays as it is, with the reason shown."""
        self._check()
        if self.problem is not None:
            self.point_at_problem()
            return
        text = self.text
        made = format_json(text)
        if made and made != text:
            self.editor.replace_all(made)

    def use(self, title: str | None, text: str) -> None:
        """Put another event in the editor; `title` is the saved event's, if it is one."""
        self.editor.replace_all(text)
        self._title = title
        self._untouched = False
        self._name_picker()

    def _text_changed(self) -> None:
        self._untouched = False
        self._name_picker()
        if self.editor.document().characterCount() > _CHECK_AT_ONCE:
            self._pause.start()
        else:
            self._check()
        self.edited.emit()

    def _check(self) -> None:
        self._pause.stop()
        text = self.text
        self.problem = check_json(text) if text.strip() else None
        self._show_problem()

    def _show_problem(self) -> None:
        theme = self._context.theme
        if self.problem is not None:
            words, token = str(self.problem), "error"
            self.editor.mark(self.problem.position, theme.color("error"))
        else:
            words, token = ("" if self.text.strip() else "empty: sends {}"), "dim"
            self.editor.mark(None, theme.color("error"))
        self.message.setStyleSheet(f"color: {theme.color(token).name()}")
        self.message.show_text(words)

    # --- saved events

    async def load(self) -> None:
        """Read the saved events; the first of them stands in an editor that nobody has touched."""
        self.set_saved(await self._context.runtime.saved_events(self._function))

    def leave(self) -> None:
        """The tab goes; what is still being read or saved must not touch it."""
        self._gone = True

    def set_saved(self, saved: Sequence[SavedEvent]) -> None:
        """The saved events of the function are these."""
        if self._gone:
            return
        self._saved = list(saved)
        if self._untouched and self._saved:
            first = self._saved[0]
            self.editor.setPlainText(first.payload)
            self._title = first.title
        elif self._title is None:
            same = [event.title for event in self._saved if event.payload == self.text]
            self._title = same[0] if same else None
        elif all(event.title != self._title for event in self._saved):
            self._title = None
        self._untouched = False
        self._name_picker()

    @property
    def title(self) -> str | None:
        """The saved event that the text came from."""
        return self._title

    @property
    def modified(self) -> bool:
        """Whether the text is no longer what was saved under its title."""
        return any(event.title == self._title and event.payload != self.text for event in self._saved)

    def save(self) -> None:
        """Save under the present title; ask for one where there is none."""
        if self._title is None:
            self.save_as()
        else:
            self._start_save(self._title)

    def save_as(self) -> None:
        """Ask for a title and save under it."""
        dialog = QInputDialog(self)
        dialog.setWindowTitle("Save the event")
        dialog.setLabelText(f"Save this event of {self._function} as")
        dialog.setTextValue(self._title or "")
        dialog.setOkButtonText("Save")
        dialog.textValueSelected.connect(self._title_given)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _title_given(self, title: str) -> None:
        title = " ".join(title.split())
        if title:
            self._start_save(title)

    def _start_save(self, title: str) -> None:
        self._context.tasks.start(f"Save the event {title}", self._save(title, self.text))

    async def _save(self, title: str, text: str) -> None:
        await self._context.runtime.save_event(self._function, title, text)
        self._title = title
        await self._reload()

    async def _delete(self, title: str) -> None:
        await self._context.runtime.delete_event(self._function, title)
        await self._reload()

    async def _reload(self) -> None:
        await self.load()
        if not self._gone:
            self.stored.emit()

    def _name_picker(self) -> None:
        mark = " •" if self.modified else ""
        self.picker.show_title(self._title or "Saved", f"{mark} ▾")
        self.picker.setAccessibleDescription(f"{self._title or 'none'}{', modified' if mark else ''}")

    def menu(self) -> QMenu:
        """The menu of saved events."""
        menu = QMenu(self)
        for event in self._saved:
            action = menu.addAction(elide_end(event.title, 48).replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(event.title == self._title)
            action.triggered.connect(lambda _=False, event=event: self.use(event.title, event.payload))
        if not self._saved:
            menu.addAction("No saved events").setEnabled(False)
        menu.addSeparator()
        services = menu.addMenu("As AWS services send them")
        for sample in sample_events():
            action = services.addAction(sample.title.replace("&", "&&"))
            action.triggered.connect(lambda _=False, sample=sample: self.use(None, sample.payload))
        menu.addSeparator()
        menu.addAction("Save as…").triggered.connect(self.save_as)
        if self._title is not None:
            title = self._title
            shown = elide_end(title, 24).replace("&", "&&")
            menu.addAction(f"Save “{shown}”\tCtrl+S").triggered.connect(lambda: self._start_save(title))
            menu.addAction(f"Delete “{shown}”").triggered.connect(
                lambda: self._context.tasks.start(f"Delete the event {title}", self._delete(title))
            )
        return menu

    def _open_menu(self) -> None:
        menu = self.menu()
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.picker.mapToGlobal(QPoint(0, self.picker.height() + 2)))
