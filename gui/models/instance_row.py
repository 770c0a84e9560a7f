"""One instance as the table knows it, and how its facts read. No Qt here."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from core.instances import ContainerHandle, InstanceExit, InstanceSnapshot, InstanceState, MemoryUsage, Phase
from gui.formatting import (
    elide_middle,
    format_age,
    format_bytes,
    format_count,
    format_countdown,
    format_ms,
    format_seconds,
    one_line,
)
from gui.models.cold_start import Part, parts_of

__all__ = ["FADE_IN", "LINGER", "LINGER_FAILED", "TITLES", "Column", "InstanceRow"]

# Seconds that an instance stays in the table after its end; longer where its end was a failure.
LINGER = 4.0
LINGER_FAILED = 12.0
FADE_IN = 0.15
_FADE_OUT = 1.0
_GONE_OPACITY = 0.6
_ID_SHOWN = 10
_RUNNING = frozenset({InstanceState.STARTING, InstanceState.BUSY, InstanceState.TERMINATING})


class Column(IntEnum):
    """The table's columns, from left to right."""

    INSTANCE = 0
    STATE = 1
    FUNCTION = 2
    BACKEND = 3
    AGE = 4
    REAPED_IN = 5
    SERVED = 6
    START = 7
    LAST = 8
    MEMORY = 9
    CPU = 10
    REMARK = 11


TITLES = (
    "instance", "state", "function", "backend", "age", "reaped in", "served", "start", "last", "memory", "cpu", "",
)  # fmt: skip

# where an invocation came from, as the core calls it, in words
_SOURCES = {"window": "this window", "api": "a client of the endpoint", "url": "its function URL"}
# Facts that are worth a word in the row; the others are in the tooltip.
_NOTES_SHOWN = ("transport", "services", "runtime", "architecture", "init", "response")


@dataclass(slots=True)
class InstanceRow:
    """The newest snapshot and what came beside it. Times are `time.monotonic()` seconds."""

    snapshot: InstanceSnapshot
    appeared: float
    phases: list[Phase] = field(default_factory=list)
    memory: MemoryUsage | None = None
    exit: InstanceExit | None = None
    gone: float | None = None
    streaming: str | None = None
    first_byte_ms: float | None = None
    asked: tuple[str, str] | None = None
    """The invocation that it took last, and where that came from."""

    # --- what comes in

    def take(self, snapshot: InstanceSnapshot, now: float) -> None:
        """A newer snapshot has come."""
        self.snapshot = snapshot
        for phase in snapshot.phases:
            self.take_phase(phase)
        if snapshot.state.final:
            if self.gone is None:
                self.gone = now
        else:
            self.gone = None

    def take_phase(self, phase: Phase) -> None:
        """A phase of the cold start began, or ended."""
        for place, known in enumerate(self.phases):
            if known.name == phase.name and known.started == phase.started:
                if phase.seconds is not None:
                    self.phases[place] = phase
                return
        self.phases.append(phase)

    # --- what it means

    def lively(self, now: float) -> bool:
        """Whether what it shows changes several times a second."""
        if self.gone is not None:
            return not self.due(now)
        return self.snapshot.state in _RUNNING

    @property
    def container(self) -> str:
        """The whole id of its container; empty where it has none, or not yet."""
        return self.snapshot.handle.id if isinstance(self.snapshot.handle, ContainerHandle) else ""

    @property
    def has_memory(self) -> bool:
        """Whether asking for its memory can have an answer."""
        return not self.snapshot.state.final and self.snapshot.state is not InstanceState.STARTING

    def due(self, now: float) -> bool:
        """Whether it has ended and been shown long enough."""
        return self.gone is not None and now >= self.gone + self._linger

    def opacity(self, now: float) -> float:
        """New rows fade in; those that ended are pale and fade out at last."""
        if self.gone is not None:
            left = self.gone + self._linger - now
            # what went wrong stays as clear as it was, until it leaves
            pale = 1.0 if self.failed else _GONE_OPACITY
            return pale * max(0.3, min(1.0, left / _FADE_OUT))
        return max(0.0, min(1.0, (now - self.appeared) / FADE_IN))

    @property
    def _linger(self) -> float:
        return LINGER_FAILED if self.failed else LINGER

    @property
    def failed(self) -> bool:
        """Whether it ended because something went wrong."""
        if self.snapshot.state is InstanceState.FAILED:
            return True
        exit_ = self.exit
        return exit_ is not None and bool(exit_.code or exit_.signal or exit_.out_of_memory)

    # --- how it reads

    def age(self, now: float) -> str:
        """How old it is, or how old it got."""
        end = self.snapshot.changed if self.snapshot.state.final else now
        return format_age(end - self.snapshot.created)

    def countdown(self, now: float) -> tuple[float, str] | None:
        """What is left until the idle reaper takes it, as a fraction of its time and in words."""
        at = self.snapshot.reap_at
        if at is None or self.snapshot.state is not InstanceState.IDLE:
            return None
        left = max(0.0, at - now)
        total = self.snapshot.idle_ttl
        return (min(1.0, left / total) if total > 0 else 0.0), format_countdown(left)

    def last(self, now: float) -> str:
        """What it does now, or how long its last invocation took."""
        snapshot = self.snapshot
        match snapshot.state:
            case InstanceState.STARTING:
                return f"start {format_seconds(now - snapshot.created)}"
            case InstanceState.BUSY:
                streams = self.streaming is not None and self.streaming == snapshot.request_id
                return f"{'streaming' if streams else 'running'} {format_seconds(now - snapshot.changed)}"
            case InstanceState.DRAINING:
                return "finishing"
            case InstanceState.TERMINATING:
                return f"ending {format_seconds(now - snapshot.changed)}"
            case _:
                return "" if snapshot.last_duration_ms is None else format_ms(snapshot.last_duration_ms)

    def cold_start(self, now: float) -> list[Part]:
        """The parts of its start, in order; none where it has only been reserved."""
        return parts_of(self.phases, self.first_byte_ms, now)

    def start_took(self) -> float | None:
        """Seconds of its whole start, without its first invocation; None until it is up."""
        if not self.phases or any(phase.seconds is None for phase in self.phases):
            return None
        return sum(phase.seconds or 0.0 for phase in self.phases)

    def phase(self) -> str:
        """The part of the start that goes on now; empty where none does."""
        running = self.phases and self.phases[-1].seconds is None and self.gone is None
        return one_line(self.phases[-1].name, 16) if running else ""

    def cpu_shown(self) -> str:
        """Its use of processors in percent of one; empty where that is not told."""
        if self.memory is None or self.memory.cpu is None or not self.has_memory:
            return ""
        return f"{self.memory.cpu:.0f} %"

    def memory_shown(self) -> tuple[float, str] | None:
        """Memory as a fraction of its limit and in words; None where it is not known."""
        if self.memory is None or not self.has_memory:
            return None
        limit = self.snapshot.memory_limit_mb * 1024 * 1024
        return (min(1.0, self.memory.current / limit) if limit > 0 else 0.0), format_bytes(self.memory.current)

    def remark(self) -> str:
        """Why it ended, or what is special about it, in a few words."""
        snapshot = self.snapshot
        if snapshot.state.final:
            return one_line(self.ended())
        words = []
        if snapshot.pinned:
            words.append("pinned")
        if not snapshot.current_deploy:
            words.append("old deploy")
        words += [_outcome(key, snapshot.details[key]) for key in _NOTES_SHOWN if snapshot.details.get(key)]
        return one_line(" · ".join(words))

    def ended(self) -> str:
        """Why it ended: the reason of the pool, with the exit code or signal where there is one."""
        reason = self.snapshot.reason or (self.exit.reason if self.exit else "")
        how = ""
        if self.exit is not None:
            if self.exit.out_of_memory:
                how = "out of memory"
            elif self.exit.signal is not None:
                how = f"signal {self.exit.signal}"
            elif self.exit.code is not None:
                how = f"exit code {self.exit.code}"
        if how and how not in reason:
            return f"{reason}, {how}" if reason else how
        return reason or "ended"

    def tooltip(self, now: float) -> str:
        """Everything known about it, as a small table of rich text."""
        return (
            "<table>"
            + "".join(
                f"<tr><td>{html.escape(name)}&nbsp;&nbsp;</td><td>{html.escape(one_line(value, 400))}</td></tr>"
                for name, value in self._facts(now)
            )
            + "</table>"
        )

    def _facts(self, now: float) -> Iterator[tuple[str, str]]:
        snapshot = self.snapshot
        yield "instance", snapshot.id
        yield "state", f"{snapshot.state.value} for {format_age(now - snapshot.changed)}"
        if snapshot.reason:
            yield "why", self.ended() if snapshot.state.final else snapshot.reason
        yield "function", snapshot.function_name
        yield "runs on", f"{snapshot.backend}, {snapshot.where}" if snapshot.where else snapshot.backend
        if self.container:
            yield "container", self.container
        deploy = elide_middle(snapshot.deploy_id, 24)
        yield "deploy", deploy if snapshot.current_deploy else f"{deploy} (old)"
        if snapshot.request_id:
            yield "request", snapshot.request_id
            if self.asked is not None and self.asked[0] == snapshot.request_id:
                yield "asked by", _SOURCES.get(self.asked[1], self.asked[1])
        yield "served", format_count(snapshot.served)
        if snapshot.last_duration_ms is not None:
            yield "last took", format_ms(snapshot.last_duration_ms)
        if self.memory is not None:
            limit = f" of {snapshot.memory_limit_mb:,} MB" if snapshot.memory_limit_mb else ""
            yield "memory", f"{format_bytes(self.memory.current)}{limit}, {self.memory.source}"
            yield "at most", format_bytes(self.memory.peak)
        if snapshot.pinned:
            yield "reaped", "never: it is pinned"
        if self.cpu_shown():
            yield "processors", f"{self.cpu_shown()} of one"
        for part in self.cold_start(now):
            still = " so far" if part.running else ""
            yield f"start: {part.name}", format_ms(part.seconds * 1000) + still
        # the whole id has been told
        yield from sorted((key, note) for key, note in snapshot.details.items() if key != "container")

    def id_shown(self) -> str:
        """The id, short enough for its column."""
        return elide_middle(self.snapshot.id, _ID_SHOWN)


def _outcome(key: str, note: str) -> str:
    """Of a fact its outcome: of "buffered by RIE: it cannot connect" the first part, of others the last."""
    return note.split(": ", 1)[0] if key == "transport" else note.rsplit("; ", 1)[-1]
