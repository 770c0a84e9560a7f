"""Controllers of cgroup v2 on a machine with both versions: crun, Podman's runtime, starts nothing while there are any.

A controller leaves version 2 for as long as it is mounted as version 1, wherever that is.
Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#mounting
"""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["HeldControllers"]

_UNIFIED = Path("/sys/fs/cgroup/unified/cgroup.controllers")


class HeldControllers:
    """Holds all controllers of version 2 in mounts below `directory`; on a machine with one version it does nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mounts: list[Path] = []

    def hold(self) -> None:
        """Mount each. Those that another one holds too, which may let go first. Raises CalledProcessError."""
        if not _UNIFIED.exists() or self._mounts:
            return
        for name in sorted({*_UNIFIED.read_text().split(), *_held_elsewhere()}):
            where = self._directory / name
            where.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "cgroup", "-o", name, "none", str(where)], check=True)
            self._mounts.append(where)

    def let_go(self) -> None:
        """Unmount all. Idempotent."""
        while self._mounts:
            subprocess.run(["umount", str(self._mounts.pop())], capture_output=True, check=False)


def _held_elsewhere() -> set[str]:
    """Controllers that are mounted by such as this one."""
    found = set()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        name = where.rpartition("/")[2]
        if kind == "cgroup" and not where.startswith("/sys/fs/cgroup/") and name in options.split(","):
            found.add(name)
    return found
