"""A Podman of a test's own, beside any other on the machine: `with private_podman(directory) as service`.

Its store, locks, network and bridge are its own; its containers reach this machine and nothing beyond. It takes images
without TLS from 127.0.0.1. Only the firewall's general chains for published ports (`CNI-HOSTPORT-*`), which all
Podmans of a machine share, stay behind, empty. Needs root, and Debian's `podman` and `iptables`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.bridge import Bridge
from tests.engines.hybrid_cgroups import HeldControllers
from tests.engines.programs import DaemonError, Program, answers, socket_in, sweep

__all__ = ["PodmanService", "private_podman"]

_SECONDS = 60.0
_LONGEST_RUNROOT = 50  # Podman's own rule


class PodmanService:
    """`stop`, `kill` and `start` are of the service alone: Podman's containers do not depend on it."""

    def __init__(self, directory: Path) -> None:
        """The folder's path must be short. Raises DaemonError."""
        self.directory = directory.resolve()
        self.socket = socket_in(self.directory, "podman.sock")
        self._runroot = self.directory / "r"
        if len(str(self._runroot)) > _LONGEST_RUNROOT:
            raise DaemonError(f"{self.directory} is too long: Podman takes no more than {_LONGEST_RUNROOT} letters")
        self._service: Program | None = None
        # made by Podman with the first container, as anywhere
        self._bridge = Bridge(self.directory)
        self._controllers = HeldControllers(self.directory / "controllers")

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"unix://{self.socket}"

    @property
    def bridge(self) -> str:
        """The name of its network interface."""
        return self._bridge.name

    @property
    def pid(self) -> int:
        """The service's process, or that of the one that ran last."""
        assert self._service is not None
        return self._service.pid

    @property
    def running(self) -> bool:
        """Whether the service's process is there."""
        return self._service is not None and self._service.running

    def start(self) -> None:
        """Start it, and wait until it answers. Raises DaemonError."""
        if self.running:
            return
        if self._service is None:
            self._configure()
            self._controllers.hold()
        self.socket.unlink(missing_ok=True)
        command = [*self._command(), "system", "service", "--time=0", self.url]
        self._service = Program(command, self.directory / "podman.log", self._environment())
        self._service.wait_until(lambda: answers(self.url), _SECONDS)

    def stop(self) -> None:
        """End it as the system does."""
        if self._service is not None and self._service.running:
            self._service.terminate(_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._service is not None:
            self._service.kill()

    def close(self) -> None:
        """End all, containers too, and leave nothing but files. Raises DaemonError."""
        try:
            self.stop()
            if self._service is not None:
                # by itself, because it alone knows their namespaces and rules of the firewall
                remove = [*self._command(), "rm", "--all", "--force", "--time", "0"]
                subprocess.run(remove, env=self._environment(), capture_output=True, timeout=_SECONDS, check=False)
        finally:
            sweep(self.directory)
            self._bridge.remove()
            self._controllers.let_go()

    def _command(self) -> list[str]:
        return ["podman", "--root", str(self.directory / "podman"), "--runroot", str(self._runroot)]

    def _environment(self) -> dict[str, str]:
        own = {
            "CONTAINERS_CONF": str(self.directory / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.directory / "registries.conf"),
        }
        # with it, the program would ask that engine instead of being one
        return {**{name: value for name, value in os.environ.items() if name != "CONTAINER_HOST"}, **own}

    def _configure(self) -> None:
        networks = self.directory / "networks"
        networks.mkdir(parents=True, exist_ok=True)
        self._bridge.note()
        (networks / "87-podman.conflist").write_text(json.dumps(self._network()))
        (self.directory / "containers.conf").write_text(f"""\
[network]
network_backend = "cni"
network_config_dir = "{networks}"
[engine]
# those in shared memory would be all Podmans' of the machine
lock_type = "file"
tmp_dir = "{self.directory / "tmp"}"
cgroup_manager = "cgroupfs"
events_logger = "file"
""")
        (self.directory / "registries.conf").write_text("""\
[[registry]]
location = "127.0.0.1"
insecure = true
""")

    def _network(self) -> dict[str, object]:
        """The default network, which has that name on every Podman."""
        network = self._bridge.network
        bridge = {
            "type": "bridge",
            "bridge": self._bridge.name,
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.directory / "addresses"),
                "routes": [{"dst": "0.0.0.0/0"}],
                "ranges": [[{"subnet": str(network), "gateway": self._bridge.address}]],
            },
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": "podman", "plugins": [bridge, ports]}


@contextmanager
def private_podman(directory: Path) -> Iterator[PodmanService]:
    """A service that answers, without images; at the end nothing of it is left but files in the folder."""
    service = PodmanService(directory)
    try:
        service.start()
        yield service
    finally:
        service.close()
