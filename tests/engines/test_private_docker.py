"""What tests of trouble rely on: a Docker that can be stopped, killed and started, and of which nothing stays."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.engines.base_image import import_image
from tests.engines.private_docker import DockerDaemon, private_docker
from tests.engines.programs import DaemonError

pytestmark = pytest.mark.usefixtures("may_start_daemons")

_SERVE = ("--entrypoint", "python3")
_SERVING = "import http.server, signal, sys; signal.signal(15, lambda *_: sys.exit()); http.server.test(port=80)"


@pytest.fixture
def daemon(short_path: Path) -> Iterator[DockerDaemon]:
    with private_docker(short_path / "d") as started:
        yield started


def _docker(daemon: DockerDaemon, *arguments: str) -> str:
    done = subprocess.run([*daemon.command, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _run(daemon: DockerDaemon) -> psutil.Process:
    """The process of a container that publishes a port, as seen from outside."""
    image = import_image(daemon.command, "provided.al2023")[0]
    _docker(daemon, "run", "-d", "--name", "serving", "-p", "127.0.0.1::80", *_SERVE, image, "-c", _SERVING)
    return psutil.Process(int(_docker(daemon, "inspect", "-f", "{{.State.Pid}}", "serving")))


def _stop(daemon: DockerDaemon) -> None:
    daemon.stop()


def _kill(daemon: DockerDaemon) -> None:
    daemon.kill()


@pytest.mark.parametrize(("end", "goes_on"), [(_stop, False), (_kill, True)])
def test_the_daemon_ends_and_starts_anew_with_what_it_knew(
    daemon: DockerDaemon, end: Callable[[DockerDaemon], None], goes_on: bool
) -> None:
    process, before = _run(daemon), daemon.pid
    end(daemon)
    assert not daemon.running
    assert not psutil.pid_exists(before)
    assert process.is_running() is goes_on
    daemon.start()
    assert daemon.pid != before
    assert json.loads(_docker(daemon, "inspect", "serving"))[0]["State"]["Running"] is False


def test_nothing_stays_even_of_one_that_was_killed(short_path: Path) -> None:
    directory = short_path / "d"
    with private_docker(directory) as daemon:
        process = _run(daemon)
        assert Path("/sys/class/net", daemon.bridge).exists()
        assert _mounted(directory)
        daemon.kill()
    assert not process.is_running()
    assert not Path("/sys/class/net", daemon.bridge).exists()
    assert not _mounted(directory)
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(directory) in str(each.info["cmdline"])]
    assert not list(Path("/sys/fs/cgroup").glob(f"**/*{daemon.bridge}*"))


def test_one_that_cannot_start_says_why_and_leaves_nothing(short_path: Path) -> None:
    daemon = DockerDaemon(short_path / "d", options=["--storage-driver=no-such-driver"])
    with pytest.raises(DaemonError, match=r"dockerd ended with 1: .*no-such-driver"):
        daemon.start()
    assert Path("/sys/class/net", daemon.bridge).exists()
    daemon.close()
    assert not Path("/sys/class/net", daemon.bridge).exists()
    assert not _mounted(short_path)


def _mounted(directory: Path) -> bool:
    return f"{directory}/" in Path("/proc/self/mounts").read_text()
