"""SQLite: functions, invocation history, events, saved events and who owned what."""

from core.journal.journal import Journal
from core.journal.records import (
    InvocationRecord,
    SavedEvent,
    StoredEvent,
    StoredFunction,
    StoredInstance,
    StoredOwner,
)

__all__ = [
    "InvocationRecord",
    "Journal",
    "SavedEvent",
    "StoredEvent",
    "StoredFunction",
    "StoredInstance",
    "StoredOwner",
]
