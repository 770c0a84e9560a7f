"""The facts of one invocation beside its response: status, ids, times, sizes."""

from __future__ import annotations

import re

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics, QGuiApplication
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QScrollArea, QToolButton, QWidget

from gui.formatting import elide_middle, format_bytes, format_count, format_ms, format_rate
from gui.theme import Theme, mono_font
from gui.workbench.labels import CalmLabel, StatusPill
from gui.workbench.run import Run, RunState

__all__ = ["FactsView"]

NOTHING = "–"
# The first are always there; those below appear when there is something to say, and move none above them.
_ALWAYS = ("status", "request", "instance", "first byte", "elapsed", "chunks", "received", "rate")
_SOMETIMES = ("delivery", "waited", "init", "duration", "memory", "error")
_TIPS = {
    "first byte": "From when the instance took the event to the first byte of the response",
    "elapsed": "Since Invoke, as seen from this window",
    "rate": "Bytes received, divided by the time to the last chunk",
    "delivery": "How the response comes, where it does not stream",
    "waited": "Time in the queue, a cold start included",
    "init": "Time the cold start took to initialise the function",
    "duration": "Time the function took, without its cold start",
    "memory": "The most memory the instance used, of what the function may use",
}
_BILLED = re.compile(r"Billed Duration: (\d+) ms")


class FactsView(QScrollArea):
    """One row a fact; the values stay in place while they change."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._request_id = ""
        self.pill = StatusPill(theme)
        self._values: dict[str, CalmLabel] = {}
        self._keys: dict[str, QLabel] = {}
        body = QWidget()
        body.setObjectName("facts")
        grid = QGridLayout(body)
        grid.setContentsMargins(14, 10, 10, 10)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        mono = mono_font()
        for row, name in enumerate((*_ALWAYS, *_SOMETIMES)):
            key = QLabel(name)
            key.setObjectName("fact_name")
            key.setToolTip(_TIPS.get(name, ""))
            self._keys[name] = key
            grid.addWidget(key, row, 0)
            if name == "status":
                grid.addWidget(self.pill, row, 1, 1, 2)
                continue
            value = CalmLabel(elide=Qt.TextElideMode.ElideMiddle if name == "request" else Qt.TextElideMode.ElideRight)
            value.setFont(mono)
            self._values[name] = value
            grid.addWidget(value, row, 1, 1, 1 if name == "request" else 2)
        self._copy = QToolButton()
        self._copy.setObjectName("copy_request")
        self._copy.setText("copy")
        self._copy.setAccessibleName("Copy the request id")
        self._copy.setToolTip("Copy the request id")
        self._copy.clicked.connect(self._copy_request)
        policy = self._copy.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._copy.setSizePolicy(policy)
        grid.addWidget(self._copy, _ALWAYS.index("request"), 2)
        longest = max((*_ALWAYS, *_SOMETIMES), key=len)
        # an instance and how it was started can be read as a whole, beside a scroll bar too
        facts = QFontMetrics(mono).horizontalAdvance("i-00000000 · warm")
        self.setMinimumWidth(body.fontMetrics().horizontalAdvance(longest) + facts + 14 + 12 + 10 + 14)
        grid.setColumnMinimumWidth(0, body.fontMetrics().horizontalAdvance(longest))
        grid.setRowStretch(len(_ALWAYS) + len(_SOMETIMES), 1)
        self.setWidget(body)
        self.show_run(None)

    def value(self, name: str) -> str:
        """What stands beside `name`."""
        return self.pill.word if name == "status" else self._values[name].whole

    def show_run(self, run: Run | None) -> None:
        """Take in how `run` stands."""
        if run is None:
            self._clear()
            return
        self._request_id = run.request_id
        self._copy.show()
        self.pill.show_status(_status(run), run.state.token)
        self._set("request", elide_middle(run.request_id, 9), run.request_id)
        self._set("instance", _instance(run))
        response, result = run.response, run.result
        first = response.first_at
        self._set("first byte", NOTHING if first is None else format_ms(max(0.0, first - run.base) * 1000))
        self.show_elapsed(run)
        self._set("chunks", format_count(response.chunks))
        self._set("received", format_bytes(response.size), f"{format_count(response.size)} bytes")
        last = response.last_at - run.base
        self._set("rate", format_rate(response.size / last) if first is not None and last > 0 else NOTHING)
        self._set("delivery", run.transport.split(": ", 1)[0], run.transport)
        self._set("waited", format_ms(result.queued_ms) if result and result.queued_ms >= 1 else "")
        init = "" if result is None or result.init_ms is None else format_ms(result.init_ms)
        phases = "" if result is None else "\n".join(f"{name}: {format_ms(ms)}" for name, ms in result.phases.items())
        self._set("init", init, phases)
        self._set("duration", *_duration(run))
        memory = result.max_memory_mb if result else None
        self._set("memory", "" if memory is None else f"{format_count(memory)} MB")
        self._set("error", _error(run))

    def show_elapsed(self, run: Run) -> None:
        """Only the clock."""
        elapsed = run.elapsed
        self._set("elapsed", format_ms(elapsed * 1000) if run.over else f"{elapsed:.1f} s")

    def _clear(self) -> None:
        self._request_id = ""
        self._copy.hide()
        self.pill.show_status("not invoked", "dim")
        for name in self._values:
            self._set(name, NOTHING if name in _ALWAYS else "")

    def _set(self, name: str, text: str, tip: str = "") -> None:
        self._values[name].show_text(text, tip)
        if name in _SOMETIMES:
            self._values[name].setVisible(bool(text))
            self._keys[name].setVisible(bool(text))

    def _copy_request(self) -> None:
        QGuiApplication.clipboard().setText(self._request_id)


def _status(run: Run) -> str:
    if run.state is RunState.QUEUED and run.position:
        return f"queued · {run.position}"
    if run.state is RunState.STARTING and run.phase is not None and run.phase.seconds is None:
        return f"starting · {run.phase.name}"
    return str(run.state)


def _instance(run: Run) -> str:
    if run.instance_id is None:
        return NOTHING
    if run.cold_start is None:
        return run.instance_id
    return f"{run.instance_id} · {'cold' if run.cold_start else 'warm'}"


def _duration(run: Run) -> tuple[str, str]:
    result = run.result
    if result is None or not result.duration_ms:
        return "", ""
    billed = _BILLED.search(result.log_tail)
    return format_ms(result.duration_ms), f"Billed by Lambda: {int(billed.group(1)):,} ms" if billed else ""


def _error(run: Run) -> str:
    if run.error is not None:
        return type(run.error).__name__
    if run.result is not None and run.result.function_error is not None:
        return run.result.error_type or run.result.function_error
    return ""
