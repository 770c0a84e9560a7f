"""SQLite: functions, invocation history, events, saved events and who owned what."""

from core.journal.journal import Journal
from core.journal.records import (
    InvocationRecord,
    QueuedEvent,
    QueuedHead,
    SavedEvent,
    StoredEvent,
    StoredFunction,
    StoredInstance,
    StoredOwner,
    StoredResource,
)

__all__ = [
    "InvocationRecord",
    "Journal",
    "QueuedEvent",
    "QueuedHead",
    "SavedEvent",
    "StoredEvent",
    "StoredFunction",
    "StoredInstance",
    "StoredOwner",
    "StoredResource",
]
