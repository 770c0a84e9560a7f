"""Which engines there may be on this machine: by environment, by Docker's contexts, and by the usual sockets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "places"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine may be asked. `name` is the backend's; `found_by` says how it was found."""

    name: str
    url: str
    found_by: str
    usual: bool = False
    """Whether engines of this name usually listen there, and nothing says that this one does."""

    @property
    def vacant(self) -> bool:
        """Whether certainly nobody is there: it is a socket's path, and nothing has that path."""
        return self.url.startswith("unix://") and not Path(self.url.removeprefix("unix://")).exists()


def places(environment: Mapping[str, str] | None = None, home: Path | None = None) -> list[Place]:
    """Every place where an engine may be, the likeliest of each name first. Reads files, asks nobody."""
    env = os.environ if environment is None else environment
    folder = Path(env.get("HOME", "/")) if home is None else home
    seen: set[str] = set()
    found = []
    for place in _candidates(env, folder):
        if place.url not in seen:
            seen.add(place.url)
            found.append(place)
    return found


def _candidates(env: Mapping[str, str], home: Path) -> Iterator[Place]:
    if host := env.get("DOCKER_HOST"):
        yield Place("podman" if "podman" in host else "docker", host, "DOCKER_HOST")
    if context := _context(env, home):
        yield context
    if host := env.get("CONTAINER_HOST"):
        yield Place("podman", host, "CONTAINER_HOST")
    run = Path(env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    for name, path in (
        ("docker", Path("/var/run/docker.sock")),
        ("docker", run / "docker.sock"),
        ("docker", home / ".docker" / "run" / "docker.sock"),
        ("docker", home / ".docker" / "desktop" / "docker.sock"),
        ("docker", home / ".colima" / "default" / "docker.sock"),
        ("docker", home / ".orbstack" / "run" / "docker.sock"),
        ("podman", run / "podman" / "podman.sock"),
        ("podman", Path("/run/podman/podman.sock")),
        ("podman", home / ".local/share/containers/podman/machine/podman.sock"),
    ):
        yield Place(name, f"unix://{path}", "its usual socket", usual=True)


def _context(env: Mapping[str, str], home: Path) -> Place | None:
    """Docker's current context. Source: https://docs.docker.com/engine/manage-resources/contexts/"""
    folder = Path(env.get("DOCKER_CONFIG") or home / ".docker")
    wanted = env.get("DOCKER_CONTEXT") or _member(folder / "config.json", "currentContext")
    if not isinstance(wanted, str) or wanted in {"", "default"}:
        return None
    for path in sorted((folder / "contexts" / "meta").glob("*/meta.json")):
        if _member(path, "Name") == wanted:
            endpoints = _member(path, "Endpoints")
            docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
            host = docker.get("Host") if isinstance(docker, dict) else None
            if isinstance(host, str) and host:
                return Place("podman" if "podman" in host else "docker", host, f"Docker's context {wanted}")
    return None


def _member(path: Path, name: str) -> object:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None
