"""The backends that every home has, whatever engines this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.backends.container.backend import ContainerBackend
from core.backends.container.engines import places
from core.backends.container.transport import Way
from core.backends.process import ProcessBackend

if TYPE_CHECKING:
    from core.backends.base import LambdaBackend
    from core.home import Home
    from core.local_emulators import LocalEmulators

__all__ = ["builtin_backends"]


def builtin_backends(home: Home, local: LocalEmulators) -> list[LambdaBackend]:
    """Local processes first, as the default; then each engine that there may be."""
    found: list[LambdaBackend] = [ProcessBackend(home.path, home.owner_id, local=local)]
    known = places()
    transport = home.settings.container_transport
    for name in ("docker", "podman"):
        found.append(
            ContainerBackend(
                name,
                [place for place in known if place.name == name],
                owner_id=home.owner_id,
                local=local,
                archives=home.archives,
                owner=home.owner,
                way=None if transport == "auto" else Way(transport),
                image_rules=home.settings.image_rules,
            )
        )
    return found
