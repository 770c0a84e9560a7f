"""Code and layers for an engine that does not see this machine's files: they are copied into the container.

The copies keep the modes of the unpacked archives, which are read-only: without capabilities even root
inside cannot write to them.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.backends.container.engine import EngineError
    from core.backends.container.specification import Mounted

__all__ = ["cannot_see", "copy_into"]

_IN_MEMORY = 8 * 1024 * 1024
# what Docker, Docker Desktop and Podman say of a directory to mount that they cannot find
_UNSEEN = ("bind source path does not exist", "mounts denied", "statfs ", "is not shared from the host")


def cannot_see(error: EngineError) -> bool:
    """Whether an engine refused a container as it does not see a directory of this machine."""
    reason = error.reason.lower()
    return not error.unreachable and any(text in reason for text in _UNSEEN)


def sees(client: Any, container: str, mounts: Sequence[Mounted]) -> bool | None:
    """Whether a container has what was mounted into it; None where there is nothing to look for. Blocks.

    Podman makes a directory that it is to mount and cannot find.
    """
    from docker.errors import NotFound

    for each in mounts:
        entry = next(each.source.iterdir(), None)
        if entry is not None:
            try:
                client.get_archive(container, f"{each.target}/{entry.name}")[0].close()
            except NotFound:
                return False
            return True
    return None


def copy_into(client: Any, container: str, mounts: Sequence[Mounted]) -> None:
    """Put each directory where it would have been mounted. Blocks, and raises what the SDK raises, and OSError."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for each in mounts:
                tar.add(each.source, PurePosixPath(each.target).relative_to("/").as_posix(), filter=_roots)
        # without the padding: Podman fails where its reader has gone at the archive's end, before all is sent
        file.truncate(tar.offset)
        file.seek(0)
        client.put_archive(container, "/", file)


def _roots(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, as all that an image holds."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
