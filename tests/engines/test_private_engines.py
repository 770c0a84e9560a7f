"""What tests of trouble rely on: engines that can be stopped, killed and started, and of which nothing stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest
from docker import APIClient
from docker.types import Ulimit

from tests.engines.private_docker import DockerDaemon, private_docker
from tests.engines.private_podman import PodmanService, private_podman
from tests.engines.programs import DaemonError
from tests.engines.tiny_image import TINY_PORT, import_tiny_image

pytestmark = pytest.mark.usefixtures("may_start_daemons")

_ENGINES: dict[str, Callable[[Path], AbstractContextManager[DockerDaemon | PodmanService]]] = {
    "docker": private_docker,
    "podman": private_podman,
}


@contextmanager
def _asking(url: str) -> Iterator[APIClient]:
    client = APIClient(base_url=url, version="1.41", timeout=60)
    try:
        yield client
    finally:
        client.close()


def _run(url: str) -> psutil.Process:
    """The process of a container that publishes a port, as seen from outside."""
    with _asking(url) as client:
        limits = [Ulimit(name=name, soft=1024, hard=1024) for name in ("nofile", "nproc")]
        config = client.create_host_config(port_bindings={TINY_PORT: ("127.0.0.1", None)}, ulimits=limits)
        client.create_container(import_tiny_image(client), name="serving", ports=[TINY_PORT], host_config=config)
        client.start("serving")
        return psutil.Process(client.inspect_container("serving")["State"]["Pid"])


def _runs(url: str) -> bool:
    with _asking(url) as client:
        return bool(client.inspect_container("serving")["State"]["Running"])


def _stop(daemon: DockerDaemon | PodmanService) -> None:
    daemon.stop()


def _kill(daemon: DockerDaemon | PodmanService) -> None:
    daemon.kill()


@pytest.mark.parametrize(
    ("name", "end", "goes_on"),
    [("docker", _stop, False), ("docker", _kill, True), ("podman", _stop, True), ("podman", _kill, True)],
)
def test_one_ends_and_starts_anew_with_what_it_knew(
    short_path: Path, name: str, end: Callable[[DockerDaemon | PodmanService], None], goes_on: bool
) -> None:
    with _ENGINES[name](short_path / "e") as daemon:
        process, before = _run(daemon.url), daemon.pid
        end(daemon)
        assert not daemon.running
        assert not psutil.pid_exists(before)
        assert process.is_running() is goes_on
        daemon.start()
        assert daemon.pid != before
        # a Docker that starts ends what ran before it
        assert _runs(daemon.url) is (name == "podman")


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_nothing_stays_even_of_one_that_was_killed(short_path: Path, name: str) -> None:
    with _ENGINES[name](short_path / "e") as daemon:
        process = _run(daemon.url)
        assert Path("/sys/class/net", daemon.bridge).exists()
        assert _mounted(short_path)
        daemon.kill()
    assert not process.is_running()
    assert not Path("/sys/class/net", daemon.bridge).exists()
    _assert_nothing_of(short_path)
    assert not list(Path("/sys/fs/cgroup").glob(f"**/*{daemon.bridge}*"))


def test_one_that_cannot_start_says_why_and_leaves_nothing(short_path: Path) -> None:
    daemon = DockerDaemon(short_path / "d", options=["--storage-driver=no-such-driver"])
    with pytest.raises(DaemonError, match=r"dockerd ended with 1: .*no-such-driver"):
        daemon.start()
    assert Path("/sys/class/net", daemon.bridge).exists()
    daemon.close()
    assert not Path("/sys/class/net", daemon.bridge).exists()
    _assert_nothing_of(short_path)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="too long for a socket"):
        DockerDaemon(tmp_path / ("d" * 100))
    with pytest.raises(DaemonError, match="Podman takes no more than 50 letters"):
        PodmanService(Path("/tmp", "p" * 45))


def test_the_program_starts_both_and_a_signal_ends_all_of_it(short_path: Path) -> None:
    command = [sys.executable, "-m", "tests.engines.daemons", str(short_path)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})
    try:
        assert program.stdout is not None
        said = [program.stdout.readline(), program.stdout.readline()]
        found = dict(re.findall(r"(\w+)=(unix://.+)\n", "".join(said)))
        assert list(found) == ["DOCKER_HOST", "CONTAINER_HOST"]
        inside = [_run(url) for url in found.values()]
        assert all(process.is_running() for process in inside)
    finally:
        program.send_signal(signal.SIGTERM)
        rest, _ = program.communicate(timeout=90)
    assert program.returncode == 0
    assert rest == ""
    assert not any(process.is_running() for process in inside)
    _assert_nothing_of(short_path)


def _mounted(directory: Path) -> bool:
    return f"{directory}/" in Path("/proc/self/mounts").read_text()


def _assert_nothing_of(directory: Path) -> None:
    assert not _mounted(directory)
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(directory) in str(each.info["cmdline"])]
