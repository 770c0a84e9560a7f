"""Which idle instances to end: after how long, and how many that would be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from core.instances import InstanceSnapshot
from gui.dialogs.base import StokerDialog
from gui.dialogs.fields import whole_number
from gui.formatting import plural

__all__ = ["ReapIdleDialog"]

Candidates = Callable[[float], Sequence[InstanceSnapshot]]


class ReapIdleDialog(StokerDialog):
    """Asks for the idle time in seconds and counts, while it is open, what a reap would take.

    Pinned instances and each function's minimum warm are never among the candidates. `recount` is
    called when the pool has changed.
    """

    def __init__(self, parent: QWidget | None, name: str | None, candidates: Candidates) -> None:
        super().__init__(
            parent, f"Reap idle instances of {name}" if name else "Reap idle instances", "reap_idle_dialog"
        )
        self._candidates = candidates
        self.setMinimumWidth(440)
        self.ttl = whole_number("reap_idle_ttl", "Idle for at least, in seconds", (0, 31_536_000), suffix=" s")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(QLabel("Idle for at least"))
        row.addWidget(self.ttl)
        row.addStretch(1)
        self.body.addLayout(row)
        self._count = self.say("")
        self._count.setObjectName("reap_idle_count")
        self._which = self.say("", "small")
        self.say("Pinned instances and each function's minimum warm stay.", "small")
        self.foot.addStretch(1)
        self.button("Cancel", "no").clicked.connect(self.reject)
        self._reap = self.button("Reap", "yes", primary=True, default=True)
        self._reap.clicked.connect(self.accept)
        self.ttl.valueChanged.connect(self.recount)
        self.recount()
        self.ttl.selectAll()
        self.ttl.setFocus()

    def recount(self, *_: object) -> None:
        """Ask again what would go."""
        found = self._candidates(float(self.ttl.value()))
        by_function: dict[str, int] = {}
        for instance in found:
            by_function[instance.function_name] = by_function.get(instance.function_name, 0) + 1
        self._count.setText(
            f"This ends {plural(len(found), 'instance')}." if found else "Nothing is idle for that long."
        )
        shown = [f"{name} {count}" for name, count in sorted(by_function.items())[:8]]
        more = len(by_function) - len(shown)
        self._which.setText(" · ".join(shown) + (f" · and {more} more functions" if more > 0 else ""))
        self._reap.setEnabled(bool(found))
        self._reap.setText(f"Reap {len(found)}" if found else "Reap")
