"""(contract sketch) Who owns what: one random owner id a running Stoker, one lock file each.

All homes of one user share the directory of lock files, so that one Stoker can tell whether
another's owner is alive without ever trusting a PID.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

__all__ = ["HomeLock", "Owner", "OwnerState", "owner_state", "owners_directory"]


class OwnerState(StrEnum):
    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


def owners_directory() -> Path:
    """The per-user runtime directory (0700); the environment's STOKER_RUNTIME_DIR replaces it."""
    raise NotImplementedError


def owner_state(owner_id: str) -> OwnerState:
    """ALIVE if its lock is held, DEAD if its file is there and not held, UNKNOWN without a file."""
    raise NotImplementedError


class Owner:
    """This process's own owner id and the lock that proves it lives."""

    id: str

    @classmethod
    def acquire(cls) -> Owner:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError


class HomeLock:
    """One Stoker per home. Raises HomeInUseError."""

    def __init__(self, home: Path) -> None: ...
    def acquire(self) -> None: ...
    def release(self) -> None: ...
