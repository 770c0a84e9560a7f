"""A Docker of a test's own, beside any other on the machine: `with private_docker(directory) as daemon`.

It has its own containerd, its own bridge and control group, and touches neither the firewall nor the machine's
settings: its containers reach this machine and nothing beyond. Needs root, and Debian's `docker.io` and `iproute2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.engines.bridge import Bridge
from tests.engines.programs import Program, answers, socket_in, sweep

__all__ = ["DockerDaemon", "private_docker"]

_SECONDS = 60.0
_CONTAINERD = """\
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
"""


class DockerDaemon:
    """`stop`, `kill` and `start` are of the daemon alone: its containerd runs until `close`."""

    def __init__(self, directory: Path, *, options: Sequence[str] = ()) -> None:
        """`options` are more arguments for `dockerd`.

        The folder's path must be short, for the sockets in it. Raises DaemonError.
        """
        self.directory = directory.resolve()
        self.socket = socket_in(self.directory, "docker.sock")
        self._options = tuple(options)
        self._containerd: Program | None = None
        self._daemon: Program | None = None
        self._bridge = Bridge(self.directory)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"unix://{self.socket}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that drives it."""
        return ("docker", "--host", self.url)

    @property
    def bridge(self) -> str:
        """The name of its network interface."""
        return self._bridge.name

    @property
    def pid(self) -> int:
        """The daemon's process, or that of the one that ran last."""
        assert self._daemon is not None
        return self._daemon.pid

    @property
    def running(self) -> bool:
        """Whether the daemon's process is there."""
        return self._daemon is not None and self._daemon.running

    def start(self) -> None:
        """Start it, and wait until it answers. Raises DaemonError."""
        if self.running:
            return
        if self._containerd is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._bridge.make()
            self._containerd = self._start_containerd()
        # one that was killed has left them
        for left in (self.socket, self._pid_file):
            left.unlink(missing_ok=True)
        command = ["dockerd", *self._arguments(), *self._options]
        self._daemon = Program(command, self.directory / "dockerd.log")
        self._daemon.wait_until(lambda: answers(self.url), _SECONDS)

    def stop(self) -> None:
        """End it as the system does: its containers end too."""
        if self._daemon is not None and self._daemon.running:
            self._daemon.terminate(_SECONDS)

    def kill(self) -> None:
        """End it as a crash would: its containers go on."""
        if self._daemon is not None:
            self._daemon.kill()

    def close(self) -> None:
        """End all, containers too, and leave nothing but files. Raises DaemonError."""
        try:
            self.stop()
            if self._containerd is not None:
                self._containerd.terminate(_SECONDS)
            sweep(self.directory)
        finally:
            self._containerd = None
            self._bridge.remove()
            self._remove_cgroups()

    @property
    def _pid_file(self) -> Path:
        return self.directory / "dockerd.pid"

    @property
    def _cgroup(self) -> str:
        return f"stoker-{self._bridge.name}"

    def _start_containerd(self) -> Program:
        config = self.directory / "containerd.toml"
        config.write_text(_CONTAINERD)
        address = self.directory / "containerd.sock"
        folders = ["--root", str(self.directory / "containerd"), "--state", str(self.directory / "run")]
        program = Program(
            ["containerd", "--config", str(config), *folders, "--address", str(address)],
            self.directory / "containerd.log",
        )
        program.wait_until(address.exists, _SECONDS)
        return program

    def _arguments(self) -> list[str]:
        config = self.directory / "daemon.json"
        config.write_text("{}")  # not the machine's own
        options = {
            "config-file": config,
            "data-root": self.directory / "docker",
            "exec-root": self.directory / "exec",
            "host": self.url,
            "pidfile": self._pid_file,
            "containerd": self.directory / "containerd.sock",
            "bridge": self._bridge.name,
            "cgroup-parent": f"/{self._cgroup}",
            "iptables": "false",
            "ip-forward": "false",
            "ip-masq": "false",
        }
        return [f"--{name}={value}" for name, value in options.items()]

    def _remove_cgroups(self) -> None:
        """Both versions of control groups keep a group's empty folder."""
        for parent in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")):
            top = parent / self._cgroup
            for group in (*sorted(top.glob("**/"), reverse=True), top):
                with suppress(OSError):
                    group.rmdir()


@contextmanager
def private_docker(directory: Path, *, options: Sequence[str] = ()) -> Iterator[DockerDaemon]:
    """A daemon that answers, without images; at the end nothing of it is left but files in the folder."""
    daemon = DockerDaemon(directory, options=options)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()
