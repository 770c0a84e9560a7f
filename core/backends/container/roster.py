"""All instances that a backend has in hand, from before their containers are created until nothing of them is left."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.backends.container.instance import ContainerInstance
    from core.local_emulators import LocalEmulators

__all__ = ["Roster"]


class Roster:
    """Knows each by its name, and once its container is created by that container's id."""

    def __init__(self, local: LocalEmulators) -> None:
        self._local = local
        self._names: dict[ContainerInstance, str] = {}
        self._containers: dict[str, ContainerInstance] = {}

    def enter(self, instance: ContainerInstance, wanted: str) -> tuple[str, str]:
        """Take it in; returns its name, which is `wanted` unless that is taken, and its endpoint."""
        name = wanted if self._local.get(wanted) is None else f"i-{instance.token[:12]}"
        endpoint = self._local.register(name, instance.api)
        self._names[instance] = name
        return name, endpoint

    def has_container(self, instance: ContainerInstance) -> None:
        """Its container is created."""
        self._containers[instance.id] = instance

    def forget(self, instance: ContainerInstance) -> None:
        """Nothing of it is left."""
        name = self._names.pop(instance, None)
        if name is not None:
            self._local.remove(name)
        self._containers.pop(instance.id, None)

    def all(self) -> tuple[ContainerInstance, ...]:
        """Also those that have no container yet."""
        return tuple(self._names)

    def names(self) -> Collection[str]:
        """Of all."""
        return self._names.values()

    def of(self, container: str) -> ContainerInstance | None:
        """Whose container this is."""
        return self._containers.get(container)

    def created(self) -> tuple[tuple[str, ContainerInstance], ...]:
        """Those that have a container, by its id."""
        return tuple(self._containers.items())
