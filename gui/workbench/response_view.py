"""The live response: as text, JSON, chunks, bytes or log lines, and below it when the chunks came."""

from __future__ import annotations

import logging
import time

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSize
from PySide6.QtGui import QFontMetrics, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QStackedWidget,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from gui.context import Context
from gui.formatting import format_bytes, format_count
from gui.theme import mono_font
from gui.workbench.chunk_model import ChunkModel
from gui.workbench.chunk_strip import ChunkStrip
from gui.workbench.failure import function_failure, own_failure
from gui.workbench.failure_view import FailureView
from gui.workbench.feeds import Feed, JsonFeed, TextFeed
from gui.workbench.hex_view import HexView
from gui.workbench.live_text import LiveText
from gui.workbench.response import LISTED
from gui.workbench.response_actions import NARROW, ResponseActions
from gui.workbench.run import Run, RunState
from gui.workbench.segments import APART, CLOSE, Segments

__all__ = ["ResponseView"]

_log = logging.getLogger(__name__)

ERROR, TEXT, JSON, CHUNKS, HEX, LOGS = "Error", "Text", "JSON", "Chunks", "Hex", "Logs"
_VIEWS = (ERROR, TEXT, JSON, CHUNKS, HEX, LOGS)
# what one frame may spend on putting text into a view
_BUDGET = 0.008


class _Inset(QStyledItemDelegate):
    """Keeps the preview away from the figure at its left."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        inset = QStyleOptionViewItem(option)
        inset.rect = option.rect.adjusted(10, 0, 0, 0)
        super().paint(painter, inset, index)


class ResponseView(QWidget):
    """Shows one `Run` at a time; `refresh` takes in what is new and says whether it needs another frame."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._run: Run | None = None
        self._picked = False
        self._feeds: dict[str, Feed] = {}
        self._logged: list[str] = []
        self._build()
        self._choose(TEXT)

    # --- parts

    def _build(self) -> None:
        theme = self._context.theme
        mono = mono_font()
        self._title = QLabel("Response", self)
        self._title.setProperty("role", "heading")
        self.segments = Segments(_VIEWS, self)
        self.segments.offer(ERROR, False)
        self.segments.chosen.connect(self.choose_view)
        self.actions_row = ResponseActions(self._context, self)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self._title, 1)
        head.addWidget(self.segments)
        # where there is no room for the title, the buttons still stand at the right
        head.addStretch(0)
        head.addWidget(self.actions_row)

        self.failure = FailureView(self)
        self.text = LiveText(theme, self)
        self.json = LiveText(theme, self)
        self.logs = LiveText(theme, self)
        for view, name in ((self.text, "Response as text"), (self.json, "Response as JSON"), (self.logs, "Log lines")):
            view.setFont(mono)
            view.setAccessibleName(name)
            view.document().setDocumentMargin(0)
            # as in a terminal: a REPORT line has tabs between its figures
            view.setTabStopDistance(8 * view.fontMetrics().horizontalAdvance(" "))
        self.text.setObjectName("response_text")
        self.logs.setObjectName("response_logs")
        self.json.setObjectName("response_json")
        self.hex = HexView(theme, mono, self)
        self.hex.setAccessibleName("Response in hexadecimal")
        self.model = ChunkModel(mono, self)
        self.table = self._table()
        self._stack = QStackedWidget(self)
        self._pages: dict[str, QWidget] = {
            ERROR: self.failure,
            TEXT: self.text,
            JSON: self.json,
            CHUNKS: self.table,
            HEX: self.hex,
            LOGS: self.logs,
        }
        for page in self._pages.values():
            self._stack.addWidget(page)
        self.notice = QLabel(self)
        self.notice.setObjectName("response_notice")
        self.notice.setProperty("role", "small")
        self.notice.setWordWrap(True)
        self.notice.hide()
        self.strip = ChunkStrip(theme, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 10, 14, 12)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self.notice)
        layout.addWidget(self.strip)

    def _table(self) -> QTableView:
        table = QTableView(self)
        table.setObjectName("chunks")
        table.setAccessibleName("Chunks of the response")
        table.setModel(self.model)
        table.setFrameShape(QTableView.Shape.NoFrame)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setTabKeyNavigation(False)
        table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        rows = table.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(24)
        columns = table.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setStretchLastSection(True)
        advance = QFontMetrics(mono_font()).horizontalAdvance("0")
        for column, width in enumerate((7, 11, 8, 8, 8)):
            table.setColumnWidth(column, advance * width + 6)
        table.setItemDelegateForColumn(ChunkModel.PREVIEW, _Inset(table))
        return table

    def minimumSizeHint(self) -> QSize:
        # as narrow as the row of all views allows: an error that comes must not push at what is around
        least = self.segments.width_of_all(CLOSE) + NARROW + 28 + 8
        return QSize(least, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_buttons()

    def _fit_buttons(self) -> None:
        narrow = self.width() < self.segments.width_of_all(APART) + NARROW + 56
        self.segments.set_narrow(narrow)
        words = self.segments.sizeHint().width()
        one_button = self.width() < words + self.actions_row.wide + 56
        self.actions_row.set_narrow(one_button)
        buttons = NARROW if one_button else self.actions_row.wide
        title = self._title.fontMetrics().horizontalAdvance(self._title.text())
        # whole, or not at all
        self._title.setVisible(self.width() >= title + words + buttons + 56)

    # --- what is shown

    @property
    def view(self) -> str:
        """The chosen view's word."""
        return self.segments.current

    def show_run(self, run: Run | None) -> None:
        """Show another run, from its beginning."""
        self._run = run
        self._feeds.clear()
        self._logged = []
        for view in (self.text, self.json, self.logs):
            view.start_over()
            view.set_live(False)
            view.setPlaceholderText("")
        self.model.show_response(run.response if run is not None else None)
        self.hex.show_data(run.response.head if run is not None else b"")
        self.segments.offer(ERROR, False)
        self._fit_buttons()
        if not self._picked or self.view == ERROR:
            self._choose(TEXT)
        self.notice.hide()
        if run is not None:
            self._feeds[TEXT] = TextFeed(run.response)
        self.refresh()

    def refresh(self) -> bool:
        """Take in what is new, within a frame's time. True if something is left for the next frame."""
        run = self._run
        self.strip.show_run(run)
        self.actions_row.show_run(run)
        if run is None:
            return False
        if run.over:
            self._show_failure(run)
        if not self._picked and self.view == TEXT and run.response.size and run.response.binary(over=run.over):
            self._choose(HEX)
        self._show_notice(run)
        match self.view:
            case "Text":
                return self._refresh_text(run)
            case "JSON":
                return self._refresh_json(run)
            case "Chunks":
                self._refresh_chunks(run)
            case "Hex":
                self.hex.refresh()
            case "Logs":
                self._refresh_logs(run)
        return False

    def _refresh_text(self, run: Run) -> bool:
        self.text.set_live(not run.over and run.state is not RunState.QUEUED)
        feed = self._feeds[TEXT]
        assert isinstance(feed, TextFeed)
        more = self._pour(feed, self.text)
        if not more and run.over:
            rest = feed.end()
            if rest:
                self.text.append(rest)
            if not run.response.size and run.state in {RunState.SUCCEEDED, RunState.CANCELLED}:
                self.text.setPlaceholderText(
                    "The response is empty."
                    if run.state is RunState.SUCCEEDED
                    else "Cancelled before anything arrived."
                )
        return more

    def _refresh_json(self, run: Run) -> bool:
        if not run.over:
            self.json.setPlaceholderText("JSON is laid out when the response is whole.")
            return False
        feed = self._feeds.get(JSON)
        if feed is None:
            feed = self._feeds[JSON] = JsonFeed(run.response)
            self.json.setPlaceholderText(feed.problem)
        return self._pour(feed, self.json, follow=False)

    def _refresh_chunks(self, run: Run) -> None:
        bar = self.table.verticalScrollBar()
        # one that is opened after the end begins at its top
        follows = bar.value() >= bar.maximum() and not (run.over and not self.model.rowCount())
        self.model.sync(run.base)
        if follows:
            self.table.scrollToBottom()

    def _refresh_logs(self, run: Run) -> None:
        if run.result is not None and run.result.log_tail:
            lines = run.result.log_tail.rstrip("\n").split("\n")
        else:
            lines = list(run.log)
        if lines == self._logged:
            if not lines:
                self.logs.setPlaceholderText(
                    "This invocation wrote no log lines." if run.over else "No log lines so far."
                )
            return
        if lines[: len(self._logged)] == self._logged:
            new = lines[len(self._logged) :]
        else:
            self.logs.start_over()
            new = lines
        self.logs.append(("\n" if self.logs.document().characterCount() > 1 else "") + "\n".join(new))
        self._logged = lines

    def _pour(self, feed: Feed, view: LiveText, *, follow: bool = True) -> bool:
        start = time.monotonic()
        first = view.document().isEmpty()
        while not view.full:
            piece = feed.take()
            if not piece:
                return False
            view.append(piece)
            if first and not follow:
                view.verticalScrollBar().setValue(0)
                first = False
            if time.monotonic() - start > _BUDGET:
                return True
        return False

    def _show_failure(self, run: Run) -> None:
        if run.state not in {RunState.FAILED, RunState.FUNCTION_ERROR} or self.segments.offered(ERROR):
            return
        if run.error is not None:
            self.failure.show_failure(own_failure(run.error))
        elif run.result is not None:
            self.failure.show_failure(function_failure(run.result))
        self.segments.offer(ERROR, True)
        self._fit_buttons()
        self._choose(ERROR)

    def _show_notice(self, run: Run) -> None:
        response = run.response
        words = ""
        if self.view in {TEXT, HEX} and response.size > len(response.head):
            words = f"The first {format_bytes(len(response.head))} of {format_bytes(response.size)} are shown. "
            if response.spool.lost is None:
                words += "Save as… has all of it."
            else:
                words += f"No more could be kept ({response.spool.lost}), so Save as… has only these too."
        elif self.view == TEXT and self.text.full:
            words = f"The first {format_count(self.text.blockCount())} lines are shown. Save as… has all of them."
        elif self.view == CHUNKS and response.chunks > response.listed:
            words = f"The first {format_count(LISTED)} of {format_count(response.chunks)} chunks are listed."
        if words != self.notice.text():
            self.notice.setText(words)
        self.notice.setVisible(bool(words))

    def choose_view(self, name: str) -> None:
        """Show the response as `name`, and stay with it."""
        self._picked = True
        self._choose(name)
        run = self._run
        if run is not None and self.refresh():
            run.touch()

    def _choose(self, name: str) -> None:
        self.segments.choose(name)
        self._stack.setCurrentWidget(self._pages[name])

    def leave(self) -> None:
        """The tab goes."""
        self.actions_row.leave()

    def row(self, index: int) -> list[str]:
        """The cells of one chunk, as they are shown."""
        columns = range(self.model.columnCount(QModelIndex()))
        return [str(self.model.data(self.model.index(index, column))) for column in columns]
