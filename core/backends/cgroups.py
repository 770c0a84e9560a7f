"""Memory limits by cgroup v2, where a writable parent with the memory controller was delegated.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cgroup", "delegated_parent"]

_MOUNTINFO = Path("/proc/self/mountinfo")
_OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The control group of one instance."""

    path: Path

    @classmethod
    def create(cls, parent: Path, name: str, memory_bytes: int) -> Cgroup:
        """Make it with its limit: no swap, and the whole group ends when it runs out. Raises OSError."""
        group = cls(parent / name)
        group.path.mkdir()
        try:
            group._write("memory.max", str(memory_bytes))
            for name_, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                # absent on kernels without swap accounting, or old ones
                with contextlib.suppress(OSError):
                    group._write(name_, value)
        except OSError:
            group.remove()
            raise
        return group

    def add(self, pid: int) -> None:
        """Move a process into the group; what it starts from then on is in it too. Raises OSError."""
        self._write("cgroup.procs", str(pid))

    def current(self) -> int:
        """Memory in use now, in bytes; 0 if the group is gone."""
        return self._number("memory.current")

    def peak(self) -> int:
        """The most memory ever in use, in bytes; the present use where the kernel does not keep it."""
        return self._number("memory.peak") or self.current()

    def ran_out(self) -> bool:
        """Whether the kernel killed the group for its memory."""
        with contextlib.suppress(OSError, ValueError):
            for line in (self.path / "memory.events").read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and int(count) > 0:
                    return True
        return False

    def kill(self) -> bool:
        """Kill all of it at once; False where the kernel (before 5.14) cannot."""
        try:
            self._write("cgroup.kill", "1")
        except OSError:
            return False
        return True

    def remove(self) -> bool:
        """Remove the group once its processes are gone; False while some are left."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _number(self, name: str) -> int:
        try:
            return int((self.path / name).read_text())
        except (OSError, ValueError):
            return 0

    def _write(self, name: str, value: str) -> None:
        descriptor = os.open(self.path / name, os.O_WRONLY)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)


def delegated_parent(own: Path | None = None, top: Path | None = None) -> Path | None:
    """A group in which groups with a memory limit can be made, or None.

    Starts beside Stoker's own group and goes upwards: a process can be moved only within what was
    delegated. `own` and `top` (the mount) are found from /proc unless given.
    """
    if own is None or top is None:
        top = _mount()
        relative = _own_path()
        if top is None or relative is None:
            return None
        own = top / relative.lstrip("/")
    places = [own.parent] if own != top else [own]
    places += [place for place in own.parents if place != own.parent and (place == top or top in place.parents)]
    return next((place for place in places if (place == top or top in place.parents) and _works(place)), None)


def _works(parent: Path) -> bool:
    try:
        if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            return False
    except OSError:
        return False
    # both are needed: to make a group below it, and to move a process across it
    if not (os.access(parent, os.W_OK | os.X_OK) and os.access(parent / "cgroup.procs", os.W_OK)):
        return False
    probe = parent / f"stoker-probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        return (probe / "memory.max").exists()
    finally:
        with contextlib.suppress(OSError):
            probe.rmdir()


def _mount() -> Path | None:
    with contextlib.suppress(OSError):
        for line in _MOUNTINFO.read_text().splitlines():
            left, _, right = line.partition(" - ")
            if right.startswith("cgroup2 "):
                return Path(left.split()[4])
    return None


def _own_path() -> str | None:
    with contextlib.suppress(OSError):
        for line in _OWN.read_text().splitlines():
            if line.startswith("0::"):
                return line[3:]
    return None
