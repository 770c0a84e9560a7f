"""An engine that tests use, and a client of their own to look at what is on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.backends.container.engines import places
from core.backends.container.labels import INSTANCE, OWNER
from tests.engines.base_image import RUNTIMES, image_names

__all__ = ["ENGINES", "EngineUnderTest", "Unavailable", "find_engine"]

ENGINES = ("docker", "podman")


@dataclass(frozen=True)
class Unavailable:
    """Why there is no such engine for tests."""

    reason: str


class EngineUnderTest:
    """`client` is docker-py's low-level client; it blocks."""

    def __init__(self, name: str, url: str, client: Any) -> None:
        self.name = name
        self.url = url
        self.client = client

    def containers(self, owner: str | None = None) -> set[str]:
        """The ids of all of Stoker's containers, or of one owner's, in whatever state."""
        label = OWNER if owner is None else f"{OWNER}={owner}"
        listed: list[dict[str, Any]] = self.client.containers(all=True, filters={"label": [label, INSTANCE]})
        return {each["Id"] for each in listed}

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        found: dict[str, Any] = self.client.inspect_container(container)
        return found

    def close(self) -> None:
        """Let its connections go."""
        self.client.close()


def find_engine(name: str) -> EngineUnderTest | Unavailable:
    """The engine of that name which answers and has all base images that tests need."""
    from docker import APIClient
    from docker.errors import DockerException, ImageNotFound

    reason = f"needs {name}: no engine was found"
    for place in places():
        if place.name != name or place.vacant:
            continue
        client: Any = APIClient(base_url=place.url, version="1.41", timeout=60)
        try:
            client.ping()
            for runtime in RUNTIMES:
                client.inspect_image(image_names(runtime)[0])
        except ImageNotFound as error:
            reason = f"needs base images on {name}: python -m tests.engines.base_image {name} ({error.explanation})"
        except (DockerException, OSError) as error:
            reason = f"needs {name}: {place.url} does not answer ({error})"
        else:
            return EngineUnderTest(name, place.url, client)
        client.close()
    return Unavailable(reason)
