"""What earlier Stokers left behind: found through all backends, removed, and their owners forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from core.errors import BackendUnavailableError
from core.events import EventBus, Trouble
from core.owners import OwnerState, forget_owner, owner_facts, owner_state

if TYPE_CHECKING:
    from core.backends.base import LambdaBackend, StaleCandidate
    from core.journal import Journal

__all__ = ["LeftBehind"]


class LeftBehind:
    """Asks every backend; which owner is dead is known from its lock, never from a process id."""

    def __init__(self, backends: Mapping[str, LambdaBackend], journal: Journal, events: EventBus) -> None:
        self._backends = backends
        self._journal = journal
        self._events = events

    async def reap(self, dry_run: bool, only: Collection[str] | None) -> list[StaleCandidate]:
        """See `LambdaRuntime.reap_stale`."""
        candidates, _ = await self._ask(dry_run=dry_run, only=only)
        if not dry_run:
            await self._forget_owners({c.owner for c in candidates})
        return candidates

    async def _ask(
        self, *, dry_run: bool, only: Collection[str] | None = None
    ) -> tuple[list[StaleCandidate], set[str]]:
        """What all backends tell, and those that told nothing: an engine that is away may have more."""
        asked = await asyncio.gather(
            *(backend.reap_stale(dry_run=dry_run, only=only) for backend in self._backends.values()),
            return_exceptions=True,
        )
        candidates: list[StaleCandidate] = []
        silent = set()
        for name, found in zip(self._backends, asked, strict=True):
            if isinstance(found, BackendUnavailableError):
                silent.add(name)
                if self._backends[name].health().online:
                    self._events.publish(Trouble(about=name, message=str(found)))
            elif isinstance(found, BaseException):
                raise found
            else:
                candidates.extend(found)
        return candidates, silent

    async def _forget_owners(self, owners: Collection[str]) -> None:
        """Let go of dead owners that have nothing left."""
        left, silent = await self._ask(dry_run=True)
        for owner in set(owners) - {candidate.owner for candidate in left}:
            used = owner_facts(owner).get("backends", [])
            if owner_state(owner) is OwnerState.DEAD and silent.isdisjoint(used if isinstance(used, list) else []):
                forget_owner(owner)
                await self._journal.end_owner(owner)
