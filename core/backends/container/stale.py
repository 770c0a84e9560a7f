"""What Stokers that are gone left in an engine: found by labels, told apart by owner, and removed."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from core.backends.base import StaleCandidate
from core.backends.container.labels import INSTANCE, OWNER, Labels
from core.owners import OwnerState, owner_state

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


def reap(
    client: Any, backend: str, own_owner: str, *, dry_run: bool, only: Collection[str] | None
) -> list[StaleCandidate]:
    """Every container of another owner, with what would become of it; see `LambdaBackend.reap_stale`. Blocks."""
    candidates = []
    for each in client.containers(all=True, filters={"label": [OWNER, INSTANCE]}):
        labels = Labels.read(each.get("Labels"))
        if labels is None or labels.owner == own_owner:
            continue
        state = owner_state(labels.owner)
        candidate = StaleCandidate(
            id=f"{backend}:{each['Id']}",
            backend=backend,
            kind="container",
            what=f"the container {_name(each)} ({each.get('State', 'in an unknown state')})",
            owner=labels.owner,
            function_name=labels.function,
            age=max(0.0, time.time() - float(each.get("Created") or time.time())),
            reap=state is OwnerState.DEAD,
            reason=_REASONS[state],
        )
        candidates.append(candidate)
        chosen = candidate.reap if only is None else candidate.id in only
        if chosen and not dry_run and state is not OwnerState.ALIVE:
            _remove(client, each["Id"])
    return candidates


def _remove(client: Any, container: str) -> None:
    from docker.errors import NotFound

    with suppress(NotFound):
        client.remove_container(container, v=True, force=True)


def _name(container: dict[str, Any]) -> str:
    names = container.get("Names") or []
    return str(names[0]).lstrip("/") if names else str(container["Id"])[:12]
