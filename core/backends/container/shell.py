"""The command line that opens a shell in a container, to be copied into a terminal."""

from __future__ import annotations

import os
import shlex

__all__ = ["shell_command"]

_USUAL_DOCKER = "unix:///var/run/docker.sock"


def shell_command(url: str, container: str, *, podman: bool) -> str:
    """For `docker`, or for `podman` where the engine is one; quoted for a POSIX shell."""
    # the images of small custom runtimes have no bash
    inside = ["exec", "-it", container, "/bin/sh"]
    if podman:
        local = {f"unix://{os.environ.get('XDG_RUNTIME_DIR', '')}/podman/podman.sock", "unix:///run/podman/podman.sock"}
        return shlex.join(["podman", *([] if url in local else ["--url", url]), *inside])
    return shlex.join(["docker", *([] if url == _USUAL_DOCKER else ["-H", url]), *inside])
