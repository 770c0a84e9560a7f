"""What Stokers that are gone left in an engine: found by labels, told apart by owner, and removed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.backends.base import StaleCandidate
from core.backends.container.engine import EngineError
from core.backends.container.labels import INSTANCE, OWNER, Labels
from core.backends.container.owed import remove_container
from core.owners import OwnerState, owner_state

if TYPE_CHECKING:
    from core.backends.container.engine import Engine

__all__ = ["containers_of", "reap"]

_REASONS = {
    OwnerState.ALIVE: "belongs to a running Stoker",
    OwnerState.DEAD: "its Stoker has ended",
    OwnerState.UNKNOWN: "owner unknown",
}


def containers_of(client: Any, owner: str) -> list[dict[str, Any]]:
    """All containers of one owner, in whatever state. Blocks."""
    found: list[dict[str, Any]] = client.containers(all=True, filters={"label": [f"{OWNER}={owner}"]})
    return found


async def reap(
    engine: Engine, backend: str, own_owner: str, *, dry_run: bool, only: Collection[str] | None
) -> list[StaleCandidate]:
    """Every container of another owner, with what would become of it; see `LambdaBackend.reap_stale`.

    One that cannot be removed keeps no other from it; its reason says so. Raises EngineError where the engine
    does not tell what there is.
    """
    listed = await engine.call("list containers", _containers)
    looked_at = [(each["Id"], candidate) for each in listed if (candidate := _candidate(each, backend, own_owner))]
    if dry_run:
        return [candidate for _, candidate in looked_at]

    async def one(container: str, candidate: StaleCandidate) -> StaleCandidate:
        chosen = candidate.reap if only is None else candidate.id in only
        # asked again: whoever chose may have looked at it long ago
        if not chosen or owner_state(candidate.owner) is OwnerState.ALIVE:
            return candidate
        try:
            await engine.call("remove a container", lambda client: remove_container(client, container))
        except EngineError as error:
            return replace(candidate, reason=f"{candidate.reason}; it is still there: {error.reason}")
        return candidate

    return list(await asyncio.gather(*(one(*each) for each in looked_at)))


def _containers(client: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.containers(all=True, filters={"label": [OWNER, INSTANCE]})
    return found


def _candidate(container: dict[str, Any], backend: str, own_owner: str) -> StaleCandidate | None:
    labels = Labels.read(container.get("Labels"))
    if labels is None or labels.owner == own_owner:
        return None
    state = owner_state(labels.owner)
    return StaleCandidate(
        id=f"{backend}:{container['Id']}",
        backend=backend,
        kind="container",
        what=f"the container {_name(container)} ({container.get('State') or 'in an unknown state'})",
        owner=labels.owner,
        function_name=labels.function,
        age=max(0.0, time.time() - float(container.get("Created") or time.time())),
        reap=state is OwnerState.DEAD,
        reason=_REASONS[state],
    )


def _name(container: dict[str, Any]) -> str:
    names = container.get("Names") or []
    return str(names[0]).lstrip("/") if names else str(container["Id"])[:12]
