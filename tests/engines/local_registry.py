"""A registry of images on loopback, for tests that pull: `with local_registry(directory) as registry`.

It is the program of Debian's package `docker-registry`, without a password and without TLS, which Docker allows on
loopback by itself and Podman where it is told so (`tests.engines.daemons` tells it).
"""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.engines.programs import DaemonError, Program

__all__ = ["PROGRAM", "LocalRegistry", "local_registry"]

PROGRAM = "docker-registry"
_SECONDS = 30.0
_MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
_WANTS_TLS = "HTTP response to HTTPS client"


class LocalRegistry:
    """A registry that runs. `address` is what names of its images begin with."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._program: Program | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """On the port that it had before, or on a free one. Raises DaemonError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "config.json"
        # what it reads is YAML, which JSON is too
        config.write_text(json.dumps(self._configuration()))
        self._program = Program([PROGRAM, "serve", str(config)], self._directory / "registry.log")
        try:
            self._program.wait_until(self._listens, _SECONDS)
        except DaemonError:
            self.stop()
            raise

    def stop(self) -> None:
        """End it; its images stay."""
        if self._program is not None and self._program.running:
            self._program.terminate(_SECONDS)

    def is_trusted_by(self, client: Any) -> bool:
        """Whether an engine, asked through docker-py's low-level client, speaks to it without TLS. Blocks."""
        from docker.errors import APIError

        try:
            for line in client.pull(f"{self.address}/nothing/there", tag="latest", stream=True, decode=True):
                if _WANTS_TLS in str(line):
                    return False
        except APIError as error:
            return _WANTS_TLS not in str(error)
        return True

    def push(self, client: Any, image: str, name: str, tag: str = "latest") -> str:
        """Put an image that an engine has into the registry; returns the name to pull it by.

        `client` is docker-py's low-level client. The engine keeps no trace of that name. Blocks; raises DaemonError.
        """
        repository = f"{self.address}/{name}"
        full = f"{repository}:{tag}"
        client.tag(image, repository, tag)
        try:
            for line in client.push(repository, tag=tag, stream=True, decode=True):
                if "error" in line:
                    raise DaemonError(f"{full} could not be pushed: {line['error']}")
        finally:
            client.remove_image(full)
        return full

    def point(self, name: str, *, at: str) -> None:
        """Let a tag mean the image that another name in the registry means. Blocks."""
        repository, _, tag = name.removeprefix(f"{self.address}/").rpartition(":")
        source, _, source_tag = at.removeprefix(f"{self.address}/").rpartition(":")
        with closing(http.client.HTTPConnection(self.address, timeout=30)) as registry:
            registry.request("GET", f"/v2/{source}/manifests/{source_tag}", headers={"Accept": _MANIFESTS})
            found = registry.getresponse()
            manifest = found.read()
            assert found.status == 200, manifest
            for digest in _digests(manifest) if source != repository else ():
                registry.request("POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={source}")
                assert registry.getresponse().read() is not None
            registry.request(
                "PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": found.headers["Content-Type"]}
            )
            answer = registry.getresponse()
            assert answer.status == 201, answer.read()
            answer.read()

    def _configuration(self) -> dict[str, Any]:
        return {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self._directory / "images")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.address},
        }

    def _listens(self) -> bool:
        """Whether it answers; at its first start, on which port the system has let it listen."""
        assert self._program is not None
        if not self._port:
            for connection in psutil.Process(self._program.pid).net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    self._port = int(connection.laddr.port)
        if not self._port:
            return False
        asking = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            asking.request("GET", "/v2/")
            return asking.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            asking.close()


@contextmanager
def local_registry(directory: Path) -> Iterator[LocalRegistry]:
    """An empty registry; it and its images are gone at the end. Raises DaemonError."""
    registry = LocalRegistry(directory)
    try:
        registry.start()
        yield registry
    finally:
        registry.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _digests(manifest: bytes) -> list[str]:
    """Of all that an image is made of."""
    document = json.loads(manifest)
    return [str(each["digest"]) for each in (document["config"], *document["layers"])]
