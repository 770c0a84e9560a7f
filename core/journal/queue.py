"""What waits to be written to the journal, within bounds. No I/O and no clock: decisions only."""

from __future__ import annotations

from collections import deque

from core.journal.rows import Batch, EndingRow, EventDraft, InstanceRow, InvocationDraft

__all__ = ["PendingRows"]

_BATCH_ROWS = 500
_BATCH_BYTES = 4 * 1024 * 1024


class PendingRows:
    """Rows of a journal whose disk is slower than what happens.

    Beyond the bounds the oldest events go first, then the oldest invocations; what says which
    instances exist stays longest. What went is counted.
    """

    def __init__(self, max_rows: int = 20_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._instances: deque[InstanceRow] = deque()
        self._endings: deque[EndingRow] = deque()
        self._invocations: deque[InvocationDraft] = deque()
        self._events: deque[EventDraft] = deque()
        self._rows = 0
        self._bytes = 0
        self._dropped_events = 0
        self._dropped_others = 0

    def __len__(self) -> int:
        return self._rows

    @property
    def full_batch(self) -> bool:
        """Whether it is not worth waiting for more rows."""
        return self._rows >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES

    @property
    def batches(self) -> int:
        """At most how many batches it takes until all that is here now is written."""
        return 2 * (len(self) // _BATCH_ROWS + self._bytes // _BATCH_BYTES + 1)

    def add_instance(self, row: InstanceRow) -> None:
        """An instance whose row could not be written when it should have been."""
        self._instances.append(row)
        self._added(0)

    def add_ending(self, row: EndingRow) -> None:
        """An instance's end."""
        self._endings.append(row)
        self._added(0)

    def add_invocation(self, draft: InvocationDraft) -> None:
        """An invocation that has ended."""
        self._invocations.append(draft)
        self._added(draft[0])

    def add_event(self, draft: EventDraft) -> None:
        """An event."""
        self._events.append(draft)
        self._added(draft[0])

    def _added(self, weight: int) -> None:
        # several times for every invocation, on the loop: no count of four queues unless it is close
        self._rows += 1
        self._bytes += weight
        if self._rows > self._max_rows or self._bytes > self._max_bytes:
            self._trim()

    def take(self) -> Batch:
        """The oldest rows, as many as make one transaction; they are no longer here."""
        batch = Batch()
        taken = 0
        while self._instances and batch.rows < _BATCH_ROWS:
            batch.instances.append(self._instances.popleft())
        while self._endings and not self._instances and batch.rows < _BATCH_ROWS:
            batch.endings.append(self._endings.popleft())
        # taken in turns, so that neither waits for the end of the other
        while (self._invocations or self._events) and batch.rows < _BATCH_ROWS and taken < _BATCH_BYTES:
            if self._invocations:
                invocation = self._invocations.popleft()
                batch.invocations.append(invocation)
                taken += invocation[0]
            for _ in range(min(10, len(self._events), _BATCH_ROWS - batch.rows)):
                event = self._events.popleft()
                batch.events.append(event)
                taken += event[0]
        self._rows -= batch.rows
        self._bytes -= taken
        return batch

    def put_back(self, batch: Batch) -> None:
        """A batch that could not be written waits again, ahead of all others."""
        self._instances.extendleft(reversed(batch.instances))
        self._endings.extendleft(reversed(batch.endings))
        self._invocations.extendleft(reversed(batch.invocations))
        self._events.extendleft(reversed(batch.events))
        self._rows += batch.rows
        self._bytes += batch.weight
        self._trim()

    def clear(self) -> None:
        """Nothing waits any more."""
        for rows in (self._instances, self._endings, self._invocations, self._events):
            rows.clear()
        self._rows = self._bytes = 0

    @property
    def dropped(self) -> int:
        """How many rows went without being written since `take_dropped`."""
        return self._dropped_events + self._dropped_others

    def count_refused(self, rows: int) -> None:
        """Rows that no database would take are missing too."""
        self._dropped_others += rows

    def take_dropped(self) -> tuple[int, int]:
        """How many events, and how many other rows, went since this was last asked."""
        dropped = self._dropped_events, self._dropped_others
        self._dropped_events = self._dropped_others = 0
        return dropped

    def _trim(self) -> None:
        while self._events and (self._rows > self._max_rows or self._bytes > self._max_bytes):
            self._rows -= 1
            self._bytes -= self._events.popleft()[0]
            self._dropped_events += 1
        while self._invocations and (self._rows > self._max_rows or self._bytes > self._max_bytes):
            self._rows -= 1
            self._bytes -= self._invocations.popleft()[0]
            self._dropped_others += 1
        # small rows, of which a machine makes few: only a bound, so that nothing here has none
        for rows in (self._endings, self._instances):
            while len(rows) > self._max_rows:
                rows.popleft()
                self._rows -= 1
                self._dropped_others += 1
