"""The functions and how each stands, as a Qt list: adapts the core's events, filters at the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from core.errors import FunctionNotFoundError
from core.events import (
    BackendChanged,
    DefaultBackendChanged,
    Event,
    FunctionAdded,
    FunctionChanged,
    FunctionRemoved,
    ImagePullChanged,
    InstanceChanged,
    InvocationEnded,
    QueueChanged,
)
from core.images import PullState
from core.instances import InstanceState
from core.names import LATEST, split_key
from gui.formatting import health_words, plural

if TYPE_CHECKING:
    from core.functions import LambdaFunction
    from core.images import ImagePull
    from core.runtime import LambdaRuntime

__all__ = ["ROW_ROLE", "FunctionRow", "FunctionsModel"]

ROW_ROLE = Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex

_SHOWN_STATES = (
    InstanceState.BUSY,
    InstanceState.IDLE,
    InstanceState.STARTING,
    InstanceState.DRAINING,
    InstanceState.TERMINATING,
)


@dataclass(slots=True)
class FunctionRow:
    """One function, or one of its published versions, as the list shows it.

    `trouble` says why it cannot run here, `failed` what its last invocation ended with, `pulling` which
    image is on its way for it; None where there is nothing to say. `counts` holds instances by state, final
    ones left out.
    """

    name: str
    runtime: str
    backend: str
    trouble: str | None = None
    failed: str | None = None
    waiting: int = 0
    pulling: str | None = None
    counts: Counter[InstanceState] = field(default_factory=Counter)

    @property
    def function(self) -> str:
        """The function's own name, the same for all its versions."""
        return split_key(self.name)[0]

    @property
    def version(self) -> str | None:
        """The number of a published version; None for the function itself."""
        version = split_key(self.name)[1]
        return None if version == LATEST else version

    @property
    def instances(self) -> int:
        """How many instances it has."""
        return sum(self.counts.values())

    @property
    def summary(self) -> str:
        """The row in words, for tooltips and screen readers."""
        parts = [f"{self.counts[state]} {state.value}" for state in _SHOWN_STATES if self.counts[state]]
        lines = [f"{self.name}: {self.runtime} · {self.backend}"]
        if self.version is not None:
            lines.append(f"published version {self.version} of {self.function}")
        lines.append(", ".join(parts) if parts else "cold: no instance")
        if self.pulling:
            lines.append(f"its image is being pulled: {self.pulling}")
        if self.waiting:
            lines.append(plural(self.waiting, "invocation waits", "invocations wait"))
        if self.failed:
            lines.append(f"the last invocation failed: {self.failed}")
        if self.trouble:
            lines.append(f"cannot run here: {self.trouble}")
        return "\n".join(lines)

    def matches(self, terms: Sequence[str]) -> bool:
        """Whether every term is in the name, the runtime or the backend."""
        hay = f"{self.name} {self.runtime} {self.backend}".casefold()
        return all(term in hay for term in terms)


class FunctionsModel(QAbstractListModel):
    """Rows by name, each function's published versions below it.

    `take` is given the events of a frame; `changed` follows when a figure moved.
    """

    changed = Signal()

    def __init__(self, runtime: LambdaRuntime, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runtime = runtime
        self._rows: dict[str, FunctionRow] = {}
        self._shown: list[str] = []
        self._terms: list[str] = []
        # where each living instance stands: counts are moved, never counted anew
        self._instances: dict[str, tuple[str, InstanceState]] = {}
        self._waiting_all = runtime.waiting()
        for function in runtime.functions():
            self._rows[function.function_name] = self._row(function)
        for instance in runtime.instances():
            self._stands(instance.id, instance.function_name, instance.state)
        self._shown = self._wanted()

    # --- what others ask

    def row(self, name: str) -> FunctionRow | None:
        """A function's row, shown or not."""
        return self._rows.get(name)

    def names(self) -> list[str]:
        """All functions, by name, each with its versions after it."""
        return sorted(self._rows, key=_order)

    def functions(self) -> list[str]:
        """All functions without their versions, by name."""
        return sorted(name for name, row in self._rows.items() if row.version is None)

    def versions(self, name: str) -> list[str]:
        """The published versions of a function, by number."""
        return [each for each in self.names() if each != name and split_key(each)[0] == name]

    @property
    def shown(self) -> list[str]:
        """The names that pass the filter, in order."""
        return list(self._shown)

    @property
    def waiting_all(self) -> int:
        """How many invocations wait, of all functions."""
        return self._waiting_all

    def instances(self) -> Counter[InstanceState]:
        """All instances by state, final ones left out; also those of functions that were removed."""
        return Counter(state for _, state in self._instances.values())

    def total(self) -> int:
        """How many instances there are."""
        return len(self._instances)

    def place_of(self, name: str) -> QModelIndex:
        """The index of a function's row; invalid where the filter hides it."""
        try:
            return self.index(self._shown.index(name))
        except ValueError:
            return QModelIndex()

    def name_at(self, index: Index) -> str | None:
        """The function of a row."""
        return self._shown[index.row()] if index.isValid() and index.row() < len(self._shown) else None

    def set_filter(self, text: str) -> None:
        """Show only functions in whose name, runtime or backend every word of `text` occurs."""
        self._terms = text.casefold().split()
        self._refilter()

    # --- Qt's side

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        name = self.name_at(index)
        if name is None:
            return None
        row = self._rows[name]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return row.name
            case Qt.ItemDataRole.ToolTipRole | Qt.ItemDataRole.AccessibleTextRole:
                return row.summary
            case _ if role == ROW_ROLE:
                return row
        return None

    # --- the core's side

    def take(self, events: Sequence[Event]) -> None:
        """Apply the events of one frame, and tell the views once."""
        touched: set[str] = set()
        refilter = False
        moved = False
        for event in events:
            match event:
                case InstanceChanged(instance=instance, new=new):
                    self._stands(instance.id, instance.function_name, new)
                    touched.add(instance.function_name)
                case QueueChanged(function_name=name, waiting=waiting, waiting_all=waiting_all):
                    self._waiting_all = waiting_all
                    if (row := self._rows.get(name)) is not None:
                        row.waiting = waiting
                    touched.add(name)
                case InvocationEnded(function_name=name):
                    if (row := self._rows.get(name)) is not None and self._judge(row, event):
                        touched.add(name)
                case FunctionAdded(function=function) | FunctionChanged(function=function):
                    self._define(function)
                    touched.add(function.function_name)
                    refilter = True
                case FunctionRemoved(function_name=name):
                    self._drop(name)
                case ImagePullChanged(pull=pull):
                    touched.update(self._pulls(pull))
                case BackendChanged() | DefaultBackendChanged():
                    self._ask_again()
                    touched.update(self._rows)
                    # a filter may be for a backend
                    refilter = True
                case _:
                    continue
            moved = True
        if refilter:
            self._refilter()
        self._announce(touched)
        if moved:
            self.changed.emit()

    def _announce(self, names: set[str]) -> None:
        for place, name in enumerate(self._shown):
            if name in names:
                index = self.index(place)
                self.dataChanged.emit(index, index)

    def _stands(self, instance_id: str, name: str, state: InstanceState) -> None:
        before = self._instances.pop(instance_id, None)
        row = self._rows.get(name)
        if before is not None and row is not None:
            row.counts[before[1]] -= 1
        if state.final:
            return
        self._instances[instance_id] = (name, state)
        if row is not None:
            row.counts[state] += 1

    @staticmethod
    def _judge(row: FunctionRow, event: InvocationEnded) -> bool:
        before = row.failed
        if event.result is None:
            row.failed = event.error or before
        elif not event.result.cancelled:
            failed = event.result.function_error is not None
            row.failed = (event.result.error_type or "failed") if failed else None
        return row.failed != before

    def _define(self, function: LambdaFunction) -> None:
        before = self._rows.get(function.function_name)
        row = self._row(function)
        if before is not None:
            row.failed, row.waiting, row.counts = before.failed, before.waiting, before.counts
            row.pulling = before.pulling if row.backend == before.backend else None
        else:
            # instances may have been there before: a function removed and added again
            row.counts.update(state for name, state in self._instances.values() if name == row.name)
        self._rows[row.name] = row

    def _row(self, function: LambdaFunction) -> FunctionRow:
        name = function.function_name
        return FunctionRow(
            name=name,
            runtime=function.runtime or "image",
            backend=self._backend(function),
            trouble=self._trouble(function),
            waiting=self._runtime.waiting(name),
        )

    def _pulls(self, pull: ImagePull) -> list[str]:
        """Mark the functions that an image is for; returns those that look otherwise now."""
        goes_on = pull.state is PullState.PULLING
        changed = []
        for name, row in self._rows.items():
            if row.backend != pull.backend:
                continue
            if row.pulling == pull.image and not goes_on:
                row.pulling = None
                changed.append(name)
            elif goes_on and row.pulling is None and self._image(name) == pull.image:
                row.pulling = pull.image
                changed.append(name)
        return changed

    def _image(self, name: str) -> str | None:
        try:
            return self._runtime.image_of(name)
        except FunctionNotFoundError:
            # it was removed in this frame: its event is on the way
            return None

    def _backend(self, function: LambdaFunction) -> str:
        return function.backend or self._runtime.default_backend()

    def _trouble(self, function: LambdaFunction) -> str | None:
        backend = self._backend(function)
        health = self._runtime.backends().get(backend)
        if health is not None and not health.online:
            return health_words(backend, health.online, health.detail)
        known = any(each.function_name == function.function_name for each in self._runtime.functions())
        return self._runtime.unsupported(function.function_name) if known else None

    def _ask_again(self) -> None:
        for function in self._runtime.functions():
            if (row := self._rows.get(function.function_name)) is not None:
                row.backend = self._backend(function)
                row.trouble = self._trouble(function)

    def _wanted(self) -> list[str]:
        return [name for name in self.names() if self._rows[name].matches(self._terms)]

    def _refilter(self) -> None:
        wanted = self._wanted()
        keep = set(wanted)
        for name in [name for name in self._shown if name not in keep]:
            self._hide(name)
        for place, name in enumerate(wanted):
            if place >= len(self._shown) or self._shown[place] != name:
                self.beginInsertRows(QModelIndex(), place, place)
                self._shown.insert(place, name)
                self.endInsertRows()

    def _hide(self, name: str) -> None:
        if name in self._shown:
            place = self._shown.index(name)
            self.beginRemoveRows(QModelIndex(), place, place)
            del self._shown[place]
            self.endRemoveRows()

    def _drop(self, name: str) -> None:
        # its data is still asked for until the views know that it goes
        self._hide(name)
        self._rows.pop(name, None)


def _order(name: str) -> tuple[str, int]:
    base, version = split_key(name)
    return base, 0 if version == LATEST else int(version)
