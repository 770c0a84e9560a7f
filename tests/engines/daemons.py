"""Starts a Docker and a Podman for tests: `python -m tests.engines.daemons DIR`.

Both are this run's alone (see `private_docker` and `private_podman`), whatever else runs on the machine. When both
answer it prints where, as variables that the tests and Stoker read, and stays until SIGINT or SIGTERM. Then both end,
with their containers; only files are left in the folder. The images are made by `python -m tests.engines.base_image`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from tests.engines.private_docker import DockerDaemon, private_docker
from tests.engines.private_podman import PodmanService, private_podman
from tests.engines.programs import DaemonError

__all__ = ["DaemonError", "DockerDaemon", "PodmanService", "private_docker", "private_podman"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Start both, say so, and end them when asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines.daemons", description=__doc__)
    parser.add_argument("directory", type=Path, help="where they work and keep their images; a short path")
    directory = parser.parse_args().directory
    for number in _ENDING:
        signal.signal(number, _end)
    try:
        with ExitStack() as started:
            docker = started.enter_context(private_docker(directory / "d"))
            podman = started.enter_context(private_podman(directory / "p"))
            print(f"DOCKER_HOST={docker.url}\nCONTAINER_HOST={podman.url}", flush=True)
            threading.Event().wait()
    except DaemonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _end(_number: int, _frame: object) -> None:
    """Leave, once: nothing may break into the cleaning up."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
