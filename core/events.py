"""Every transition as a frozen dataclass, on one bus.

`at` is `time.monotonic()` in seconds; `wall` is `time.time()`. Subscribers are called in the order
of subscription, on the loop, and must return quickly; what they raise is logged and goes no further.
An invocation publishes eight events, so whoever wants few kinds of them says which.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from core.instances import InstanceExit, InstanceSnapshot, InstanceState, Phase

if TYPE_CHECKING:
    from core.functions import LambdaFunction
    from core.images import ImagePull
    from core.invocation import InvocationResult

__all__ = [
    "BackendChanged",
    "CallEnded",
    "CallStarted",
    "DefaultBackendChanged",
    "EndpointChanged",
    "Event",
    "EventBus",
    "EventQueued",
    "EventReturned",
    "EventSettled",
    "FunctionAdded",
    "FunctionChanged",
    "FunctionRemoved",
    "ImagePullChanged",
    "InstanceChanged",
    "InstanceExited",
    "InstanceLogged",
    "InstancePhaseChanged",
    "InstanceUpdated",
    "InvocationEnded",
    "InvocationQueued",
    "InvocationStarted",
    "InvocationStreaming",
    "InvocationThrottled",
    "QueueChanged",
    "Trouble",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    at: float = field(default_factory=time.monotonic)
    wall: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionAdded(Event):
    """A function is known from now on."""

    function: LambdaFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionChanged(Event):
    """A function's definition or code changed; `deploy_changed` if instances of it become old."""

    function: LambdaFunction
    deploy_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRemoved(Event):
    """A function is gone."""

    function_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChanged(Event):
    """An instance went from `old` to `new`; `old` is None for one that was just reserved."""

    instance: InstanceSnapshot
    old: InstanceState | None
    new: InstanceState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceUpdated(Event):
    """Something other than the state changed: pin, countdown, deploy mark, a note."""

    instance: InstanceSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePhaseChanged(Event):
    """A phase of a cold start began (`phase.seconds` is None) or ended."""

    instance_id: str
    function_name: str
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceLogged(Event):
    """An instance (or the Runtime API on its behalf) wrote these lines."""

    instance_id: str
    function_name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceExited(Event):
    """An instance ended by itself."""

    instance_id: str
    function_name: str
    exit: InstanceExit


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationQueued(Event):
    """An invocation waits; `position` counts from 1."""

    request_id: str
    function_name: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationStarted(Event):
    """An instance took the invocation."""

    request_id: str
    function_name: str
    instance_id: str
    cold_start: bool
    waited: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationStreaming(Event):
    """The head of a streamed response is there; chunks follow as the function writes them."""

    request_id: str
    function_name: str
    instance_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationEnded(Event):
    """An invocation is over. `error` is Stoker's own failure, if it was one."""

    request_id: str
    function_name: str
    instance_id: str | None
    result: InvocationResult | None
    error: str | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationThrottled(Event):
    """An invocation was refused with 429; `reason` says which limit it met."""

    function_name: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChanged(Event):
    """How many invocations of a function wait, and in all."""

    function_name: str
    waiting: int
    waiting_all: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQueued(Event):
    """An event was accepted to be delivered later, to `qualifier` of a function as it was asked for."""

    request_id: str
    function_name: str
    qualifier: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReturned(Event):
    """A delivery came to nothing: the event is tried again in `due_in` s. `attempts` reached the function so far."""

    request_id: str
    function_name: str
    qualifier: str | None
    attempts: int
    due_in: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettled(Event):
    """A queued event needs nothing more.

    `outcome` is Lambda's own word for it ("Success", "RetriesExhausted", "EventAgeExceeded",
    "ZeroReservedConcurrency"), or "Dropped" where its function has gone or a person took it out.
    """

    request_id: str
    function_name: str
    qualifier: str | None
    outcome: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChanged(Event):
    """The local endpoint listens at `address` ("host:port") from now on, or no more (None)."""

    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(Event):
    """A client asks the local endpoint for something.

    `call_id` is the request id that the client is told; an Invoke's is the invocation's own. `caller`
    is the client's program as it names itself ("Boto3/1.44.5"), `peer` its address, `operation` the
    API's name for what it wants ("Invoke"), `function_name` whom it is about, if anyone.
    """

    call_id: str
    caller: str
    peer: str
    operation: str
    function_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Event):
    """The endpoint has answered, or the client went away first (`gone`).

    `status` is HTTP's (0 where nothing was answered), `error` the API's error code ("ResourceNotFoundException").
    """

    call_id: str
    caller: str
    peer: str
    operation: str
    function_name: str | None
    status: int
    error: str | None
    seconds: float
    gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendChanged(Event):
    """A backend went on or off line; `detail` is its version, or why it is offline."""

    backend: str
    online: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePullChanged(Event):
    """An image's pull began, went on (ten times a second at most) or ended."""

    pull: ImagePull


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultBackendChanged(Event):
    """Functions that choose no backend start on this one from now on."""

    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(Event):
    """Something failed behind the scenes that a person should hear of once."""

    about: str
    message: str


Subscriber = Callable[[Event], None]
E = TypeVar("E", bound=Event)


class EventBus:
    """Hands every event to every subscriber that wants its kind, synchronously and in order."""

    def __init__(self) -> None:
        self._subscriptions: list[tuple[Subscriber, tuple[type[Event], ...]]] = []
        self._by_kind: dict[type[Event], tuple[Subscriber, ...]] = {}  # found when the first of a kind is published
        self._held: list[Event] | None = None

    def publish(self, event: Event) -> None:
        """Call every subscriber with `event`. Never raises what a subscriber raises."""
        if self._held is not None:
            self._held.append(event)
        else:
            self._deliver(event)

    def hold(self) -> None:
        """Keep what is published until `let_go`, which must follow in the same step of the loop."""
        if self._held is None:
            self._held = []

    def let_go(self) -> None:
        """Call the subscribers with what was kept, in its order."""
        held, self._held = self._held, None
        for event in held or ():
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        for subscriber in self._of_kind(type(event)):
            try:
                subscriber(event)
            except Exception:
                _log.exception("a subscriber failed on %s", type(event).__name__)

    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody would be called with such an event: one that costs to make need not be made else."""
        return bool(self._of_kind(kind))

    def subscribe(self, subscriber: Callable[[E], None], *kinds: type[E]) -> Callable[[], None]:
        """Add a subscriber to events of these kinds, or of all; returns the function that removes it.

        That is harmless when called again.
        """
        subscription = (cast(Subscriber, subscriber), kinds or (Event,))
        self._subscriptions.append(subscription)
        self._by_kind.clear()

        def unsubscribe() -> None:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                self._by_kind.clear()

        return unsubscribe

    def _of_kind(self, kind: type[Event]) -> tuple[Subscriber, ...]:
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(subscriber for subscriber, kinds in self._subscriptions if issubclass(kind, kinds))
            self._by_kind[kind] = found
        return found

    async def stream(self, limit: int = 10_000) -> AsyncIterator[Event]:
        """All events from now on. A reader that falls `limit` behind loses the oldest."""
        queue: asyncio.Queue[Event] = asyncio.Queue(limit)

        def put(event: Event) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

        unsubscribe = self.subscribe(put)
        try:
            while True:
                yield await queue.get()
        finally:
            unsubscribe()
