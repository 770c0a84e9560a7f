"""What Stokers that are gone left of their local processes: found, told apart, and removed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from core.backends.base import StaleCandidate
from core.backends.cgroups import Cgroup
from core.backends.guard import Target
from core.backends.killing import kill_stale_trees, living
from core.backends.scratch import InstanceRecord, remove_tree, stored_instances
from core.owners import OwnerState, owner_state

__all__ = ["reap_stale_processes"]

_REASONS = {
    OwnerState.ALIVE: "belongs to a running Stoker",
    OwnerState.DEAD: "its Stoker has ended",
    OwnerState.UNKNOWN: "owner unknown",
}


@dataclass(frozen=True, slots=True)
class _Left:
    """One directory of another owner. Without a record no process can be proven to belong to it."""

    path: Path
    record: InstanceRecord | None
    state: OwnerState

    @property
    def id(self) -> str:
        return f"process:{self.path.parent.name}/{self.path.name}"

    @property
    def target(self) -> Target:
        if self.record is None:
            return Target(0, "", "")
        return Target(self.record.pid, self.record.started, self.record.token)


def reap_stale_processes(
    instances: Path, own_owner: str, *, dry_run: bool, only: Collection[str] | None
) -> list[StaleCandidate]:
    """Every instance directory of another owner with what would become of it; see `LambdaBackend.reap_stale`.

    Blocks: for a thread.
    """
    left = [
        _Left(path, record, _state(path, record))
        for path, record in stored_instances(instances)
        if path.parent.name != own_owner and (record is None or record.owner != own_owner)
    ]
    counts = living([each.target for each in left])
    candidates = [_candidate(each, count) for each, count in zip(left, counts, strict=True)]
    if not dry_run:
        chosen = [
            each
            for each, candidate in zip(left, candidates, strict=True)
            if each.state is not OwnerState.ALIVE and (candidate.reap if only is None else candidate.id in only)
        ]
        _remove(chosen)
        _remove_empty_owners(instances, own_owner)
    return candidates


def _state(path: Path, record: InstanceRecord | None) -> OwnerState:
    owner = path.parent.name
    if record is not None and record.owner != owner:
        return OwnerState.UNKNOWN
    return owner_state(owner)


def _candidate(left: _Left, processes: int) -> StaleCandidate:
    record = left.record
    if processes:
        what = f"{processes} process{'es' if processes > 1 else ''} and the directory {left.path}"
    else:
        what = f"the directory {left.path}"
    return StaleCandidate(
        id=left.id,
        backend="process",
        kind="process" if processes else "directory",
        what=what,
        owner=left.path.parent.name,
        function_name=record.function if record is not None else "",
        age=max(0.0, time.time() - record.created) if record is not None else None,
        reap=left.state is OwnerState.DEAD,
        reason=_REASONS[left.state],
    )


def _remove(chosen: list[_Left]) -> None:
    groups = [group for each in chosen if (group := _cgroup(each)) is not None]
    for group in groups:
        group.kill()
    kill_stale_trees([each.target for each in chosen if each.record is not None])
    for each in chosen:
        remove_tree(each.path)
    for group in groups:
        group.remove()


def _cgroup(left: _Left) -> Cgroup | None:
    """The instance's control group, if it is one and bears the instance's name."""
    if left.record is None or not left.record.cgroup:
        return None
    path = Path(left.record.cgroup)
    ours = path.name == f"stoker-{left.path.parent.name}-{left.path.name}" and (path / "cgroup.procs").exists()
    return Cgroup(path) if ours else None


def _remove_empty_owners(instances: Path, own_owner: str) -> None:
    with contextlib.suppress(OSError):
        for directory in list(instances.iterdir()):
            if directory.name != own_owner and owner_state(directory.name) is not OwnerState.ALIVE:
                # only an empty one goes
                with contextlib.suppress(OSError):
                    directory.rmdir()
