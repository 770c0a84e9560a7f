"""What a process itself says of its memory, read again and again from descriptors that stay open."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

__all__ = ["LeaderFiles"]

_STATUS_BYTES = 8192
_CHILDREN_BYTES = 16  # only whether there are any
# of the descriptors Stoker may have; beyond that they are left to sockets and pipes, which it cannot do without
_SHARE = 0.5


class LeaderFiles:
    """Two open files of /proc: a process's memory, and its first thread's children.

    To open a file there takes longer than to read it. A descriptor belongs to this one process: when
    its pid is another's, reading fails.
    """

    __slots__ = ("_children", "_status")

    def __init__(self, status: int, children: int) -> None:
        self._status = status
        self._children = children

    @classmethod
    def open(cls, pid: int) -> LeaderFiles | None:
        """The files of the process `pid`; None where there is no process, or where descriptors are scarce."""
        opened: list[int] = []
        try:
            for name in ("status", f"task/{pid}/children"):
                opened.append(os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            scarce = True
        else:
            # the lowest number that is free tells how many are in use
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            scarce = limit != resource.RLIM_INFINITY and max(opened) >= limit * _SHARE
        if scarce:
            for descriptor in opened:
                os.close(descriptor)
            return None
        return cls(*opened)

    def alone(self) -> tuple[int, int] | None:
        """Its resident memory now and at its highest, in bytes.

        None where that is not all there is to know: its first thread has children, or it has ended.
        """
        try:
            if os.pread(self._children, _CHILDREN_BYTES, 0):
                return None
            text = os.pread(self._status, _STATUS_BYTES, 0)
            # "VmHWM:     9420 kB", and VmRSS in the next line
            highest, now, *_ = text.partition(b"\nVmHWM:")[2].split(b"kB", 2)
            return int(now.partition(b"VmRSS:")[2]) * 1024, int(highest) * 1024
        except (OSError, ValueError):
            # one that has ended has no such lines
            return None

    def close(self) -> None:
        """Close both. Once: the numbers may be another's afterwards."""
        for descriptor in (self._status, self._children):
            with suppress(OSError):
                os.close(descriptor)
