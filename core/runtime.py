"""(contract sketch: being written; the signatures are final) The facade over functions and the pool."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from core.backends.base import BackendHealth, LambdaBackend, StaleCandidate
from core.events import EventBus
from core.functions import LambdaFunction
from core.instances import InstanceSnapshot, MemoryUsage
from core.invocation import InvocationResult, StreamingInvocation
from core.journal import InvocationRecord, Journal, SavedEvent
from core.settings import Settings

__all__ = ["LambdaRuntime"]


class LambdaRuntime:
    """What gui, endpoint and tests call."""

    home: Path
    owner_id: str
    events: EventBus
    settings: Settings
    journal: Journal

    @classmethod
    def open(
        cls,
        home: Path | str | None = None,
        *,
        backends: Sequence[LambdaBackend] | None = None,
        settings: Settings | None = None,
        **overrides: object,
    ) -> AbstractAsyncContextManager[LambdaRuntime]:
        """Open a home: lock, journal, settings, backends. `overrides` are fields of Settings.

        Raises HomeInUseError, JournalTooNewError, InvalidSettingError.
        """
        raise NotImplementedError

    # --- functions
    def functions(self) -> list[LambdaFunction]: ...
    def function(self, name: str) -> LambdaFunction: ...
    async def add_function(self, function: LambdaFunction) -> LambdaFunction:
        """Add a function, or replace the one of that name (a deploy change: idle instances go, busy ones drain)."""
    async def refresh_code(self, name: str) -> bool:
        """Read the function's code again from where it came; True if it had changed."""
    async def remove_function(self, name: str) -> None:
        """Forget it; its instances go (busy ones drain)."""

    # --- invocations
    async def invoke(
        self, name: str, payload: bytes = b"{}", *, request_id: str | None = None,
        client_context: str | None = None, source: str = "api",
    ) -> InvocationResult: ...
    async def invoke_streaming(
        self, name: str, payload: bytes = b"{}", *, request_id: str | None = None,
        client_context: str | None = None, source: str = "api",
    ) -> StreamingInvocation:
        """Returns when the head of the reply is there. Cancelling the awaiting task leaves the queue, or ends the instance."""
    def waiting(self, name: str | None = None) -> int:
        """How many invocations wait, of one function or of all."""
    def running(self) -> int:
        """How many invocations are under way or waiting."""

    # --- the pool
    async def launch(self, name: str, count: int = 1) -> list[InstanceSnapshot]: ...
    async def terminate(self, instance_id: str, force: bool = False) -> None:
        """Graceful: a busy instance finishes first (drains). `force` kills."""
    async def evict(self, name: str, force: bool = False) -> int: ...
    async def reap_idle(self, ttl: float | None = None, name: str | None = None) -> list[InstanceSnapshot]:
        """Terminate instances idle for at least `ttl` seconds (None: each one's own); returns what went."""
    def idle_candidates(self, ttl: float | None = None, name: str | None = None) -> list[InstanceSnapshot]:
        """What `reap_idle` would take."""
    async def reap_stale(self, dry_run: bool = False, only: Collection[str] | None = None) -> list[StaleCandidate]: ...
    async def prepull(self, name: str) -> None: ...
    async def stop_all(self, force: bool = False) -> int:
        """Terminate every instance; busy ones drain unless `force`. Waits until they are gone."""
    def pin(self, instance_id: str, pinned: bool = True) -> None: ...
    def instances(self, name: str | None = None) -> list[InstanceSnapshot]: ...
    def instance(self, instance_id: str) -> InstanceSnapshot: ...
    def log_lines(self, instance_id: str) -> list[str]:
        """The last lines of an instance (kept for a while after it has gone)."""
    def memory(self, instance_id: str) -> MemoryUsage | None: ...
    def backends(self) -> dict[str, BackendHealth]: ...
    def default_backend(self) -> str: ...

    # --- history and saved events
    async def history(self, name: str | None = None, limit: int = 200) -> list[InvocationRecord]: ...
    async def saved_events(self, name: str) -> list[SavedEvent]: ...
    async def save_event(self, name: str, title: str, payload: str) -> None: ...
    async def delete_event(self, name: str, title: str) -> None: ...

    # --- closing, in stages; leaving the context manager calls close(drain=False)
    async def close(self, *, drain: bool = False) -> None:
        """Take no more work; drain or cancel what runs; terminate all; flush. Safe to call twice; a second
        call with drain=False while a drain is going on forces it."""
