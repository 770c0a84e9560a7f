"""One image on its way: how far it is and a button to give it up, or why it did not come and one to try again."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QWidget

from core.images import ImagePull, PullState
from gui.formatting import format_share, one_line
from gui.theme import mono_font
from gui.tokens import Tokens, ink
from gui.widgets.dot import Dot
from gui.widgets.eliding_label import ElidingLabel

__all__ = ["PullRow", "progress_of"]

_BAR = 160
_STEPS = 1000


def progress_of(pull: ImagePull) -> float | None:
    """How far it is, from 0 to 1; None where nothing is known yet.

    Bytes where the engine tells them, else layers.
    """
    if pull.total > 0:
        return min(1.0, pull.received / pull.total)
    return min(1.0, pull.layers_done / pull.layers) if pull.layers > 0 and pull.layers_done else None


class PullRow(QWidget):
    """`cancelled`, `retried` and `dismissed` are the person's wishes; nothing changes by itself."""

    cancelled = Signal()
    retried = Signal()
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("pull_row")
        self._tokens: Tokens | None = None
        self._tone = "starting"
        self._dot = Dot()
        self.word = QLabel()
        self.word.setObjectName("pull_state")
        self.image = ElidingLabel(mode=Qt.TextElideMode.ElideMiddle)
        self.image.setObjectName("pull_image_name")
        self.image.setFont(mono_font())
        self.detail = ElidingLabel()
        self.detail.setObjectName("pull_detail")
        self.detail.setProperty("role", "dim")
        self.bar = QProgressBar()
        self.bar.setObjectName("pull_bar")
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(_BAR)
        self.layers = QLabel()
        self.layers.setObjectName("pull_layers")
        self.bytes = QLabel()
        self.bytes.setObjectName("pull_bytes")
        # rows stand under one another
        self.word.setMinimumWidth(self.word.fontMetrics().horizontalAdvance("pull failed") + 2)
        for label in (self.image, self.detail):
            label.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        for figure, widest in ((self.layers, "layers 00 of 00"), (self.bytes, "0000 of 0000 MB")):
            figure.setFont(mono_font())
            # figures do not push what is beside them
            figure.setMinimumWidth(figure.fontMetrics().horizontalAdvance(widest))
            figure.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.cancel = _button("pull_cancel", "Cancel", "Give this pull up")
        self.retry = _button("pull_retry", "Retry", "Fetch the image once more")
        self.dismiss = _button("pull_dismiss", "Dismiss", "Put this remark away")
        self.cancel.clicked.connect(self.cancelled)
        self.retry.clicked.connect(self.retried)
        self.dismiss.clicked.connect(self.dismissed)
        self.dismiss.setProperty("flat", True)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 3, 14, 3)
        row.setSpacing(8)
        row.addWidget(self._dot, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.word)
        row.addWidget(self.image)
        row.addWidget(self.detail)
        row.addStretch(1)
        row.addWidget(self.bar, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addSpacing(4)
        row.addWidget(self.layers)
        row.addWidget(self.bytes)
        row.addSpacing(4)
        for button in (self.cancel, self.retry, self.dismiss):
            row.addWidget(button)

    def set_tokens(self, tokens: Tokens) -> None:
        """Take the theme's colours."""
        self._tokens = tokens
        self._dot.set_colour(getattr(tokens, self._tone))
        self.word.setStyleSheet(f"QLabel {{ color: {ink(tokens, self._tone)}; }}")

    def show_pull(self, pull: ImagePull, wanted_by: str, *, can_retry: bool) -> None:
        """`wanted_by` names the functions that run on it."""
        failed = pull.state is PullState.FAILED
        self._tone = "error" if failed else "starting"
        self.word.setText("pull failed" if failed else "pulling")
        self.image.setText(pull.image)
        where = f"on {pull.backend}"
        if failed:
            self.detail.setText(one_line(f"{where}: {pull.detail or 'the engine does not say why'}", 400))
        else:
            self.detail.setText(f"{where}, for {wanted_by}" if wanted_by else where)
        for figure in (self.bar, self.layers, self.bytes, self.cancel):
            figure.setVisible(not failed)
        self.retry.setVisible(failed and can_retry)
        self.dismiss.setVisible(failed)
        self.layers.setText(f"layers {pull.layers_done} of {pull.layers}" if pull.layers else "")
        self.bytes.setText(format_share(pull.received, pull.total))
        done = progress_of(pull)
        self.bar.setRange(0, 0 if done is None else _STEPS)
        self.bar.setValue(0 if done is None else round(done * _STEPS))
        told = ", ".join(filter(None, (self.layers.text(), self.bytes.text())))
        self.setAccessibleName(f"{self.word.text()} {pull.image}, {pull.detail if failed else told}")
        self.cancel.setAccessibleName(f"Cancel the pull of {pull.image}")
        self.retry.setAccessibleName(f"Pull {pull.image} once more")
        if self._tokens is not None:
            self.set_tokens(self._tokens)


def _button(name: str, words: str, tip: str) -> QPushButton:
    made = QPushButton(words)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return made
