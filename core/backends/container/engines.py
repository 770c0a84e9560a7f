"""Which engines there may be on this machine: by environment, by Docker's contexts, and by the usual sockets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.backends.container.tls import Tls, context_tls, environment_tls

__all__ = ["Place", "places"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine may be asked. `name` is the backend's; `found_by` says how it was found.

    `trouble` says why nobody can be asked there, whatever the address.
    """

    name: str
    url: str
    found_by: str
    usual: bool = False
    """Whether engines of this name usually listen there, and nothing says that this one does."""
    tls: Tls | None = None
    trouble: str = ""

    def __post_init__(self) -> None:
        if self.url.startswith("ssh://"):
            object.__setattr__(self, "trouble", "engines behind ssh:// are not supported")

    @property
    def vacant(self) -> bool:
        """Whether certainly nobody is there: it is a socket's path, and nothing has that path."""
        return self.url.startswith("unix://") and not Path(self.url.removeprefix("unix://")).exists()

    @property
    def made(self) -> tuple[int, int] | None:
        """What tells a socket from one that was made anew at its path; None where nothing has that path."""
        try:
            found = Path(self.url.removeprefix("unix://")).stat()
        except (OSError, ValueError):
            return None
        return found.st_ino, found.st_ctime_ns


def places(environment: Mapping[str, str] | None = None, home: Path | None = None) -> list[Place]:
    """Every place where an engine may be, the likeliest of each name first. Reads files, asks nobody.

    Who names an engine (by environment, or by a context) means that one: as with Docker's and Podman's own
    programs, no other is taken in its stead.
    """
    env = os.environ if environment is None else environment
    folder = Path(env.get("HOME", "/")) if home is None else home
    found = list(_chosen(env, folder))
    named = {place.name for place in found}
    seen = {_same(place.url) for place in found}
    for place in _usual(env, folder):
        if place.name not in named and _same(place.url) not in seen:
            seen.add(_same(place.url))
            found.append(place)
    return found


def _same(url: str) -> str:
    """What two addresses of one socket have in common: `/var/run` is mostly a link to `/run`."""
    return f"unix://{os.path.realpath(url.removeprefix('unix://'))}" if url.startswith("unix://") else url


def _name(url: str) -> str:
    """Which engine's an address is: Podman's own `docker.sock` is a link to its socket."""
    return "podman" if "podman" in _same(url) else "docker"


def _chosen(env: Mapping[str, str], home: Path) -> Iterator[Place]:
    folder = Path(env.get("DOCKER_CONFIG") or home / ".docker")
    docker: Place | None
    if host := env.get("DOCKER_HOST"):
        docker = Place(_name(host), host, "DOCKER_HOST", tls=environment_tls(env, folder))
    else:
        docker = _context(env, folder)
    if docker is not None:
        yield docker
    if (host := env.get("CONTAINER_HOST")) and (docker is None or docker.name != "podman"):
        yield Place("podman", host, "CONTAINER_HOST")


def _usual(env: Mapping[str, str], home: Path) -> Iterator[Place]:
    run = Path(env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    temporary = Path(env.get("TMPDIR") or "/tmp")
    for path in (
        Path("/var/run/docker.sock"),
        run / "docker.sock",
        home / ".docker" / "run" / "docker.sock",
        home / ".docker" / "desktop" / "docker.sock",
        home / ".colima" / "default" / "docker.sock",
        home / ".orbstack" / "run" / "docker.sock",
        run / "podman" / "podman.sock",
        Path("/run/podman/podman.sock"),
        # Podman machine, of each age: https://docs.podman.io/en/latest/markdown/podman-machine.1.html
        *sorted((run / "podman").glob("*-api.sock")),
        *sorted((temporary / "podman").glob("*-api.sock")),
        home / ".local/share/containers/podman/machine/podman.sock",
        *sorted((home / ".local/share/containers/podman/machine").glob("*/podman.sock")),
    ):
        yield Place(_name(f"unix://{path}"), f"unix://{path}", "its usual socket", usual=True)


def _context(env: Mapping[str, str], folder: Path) -> Place | None:
    """Docker's current context. Source: https://docs.docker.com/engine/manage-resources/contexts/"""
    wanted = env.get("DOCKER_CONTEXT") or _member(folder / "config.json", "currentContext")
    if not isinstance(wanted, str) or wanted in {"", "default"}:
        return None
    found_by = f"Docker's context {wanted}"
    for path in sorted((folder / "contexts" / "meta").glob("*/meta.json")):
        if _member(path, "Name") == wanted:
            endpoints = _member(path, "Endpoints")
            docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
            host = docker.get("Host") if isinstance(docker, dict) else None
            if isinstance(docker, dict) and isinstance(host, str) and host:
                tls = context_tls(folder, wanted, skip_verify=docker.get("SkipTLSVerify") is True)
                return Place(_name(host), host, found_by, tls=tls)
            return Place("docker", "", found_by, trouble="it names no host")
    return Place("docker", "", found_by, trouble="there is no such context")


def _member(path: Path, name: str) -> object:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None
