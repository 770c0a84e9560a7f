"""Events that were accepted to be delivered later: InvocationType Event."""

from core.event_queue.entries import PendingEvent
from core.event_queue.queue import MAX_EVENT, MAX_QUEUED, MAX_QUEUED_BYTES, EventQueue

__all__ = ["MAX_EVENT", "MAX_QUEUED", "MAX_QUEUED_BYTES", "EventQueue", "PendingEvent"]
