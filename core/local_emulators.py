"""The Runtime APIs that live in this process, by name, so that no socket need be crossed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.emulator.runtime_api import RuntimeApi

__all__ = ["SCHEME", "LocalEmulators"]

SCHEME = "emulator"


class LocalEmulators:
    """A registry from a name to the Runtime API of one instance.

    A backend registers what it brings up; the HTTP client's transport looks the host of an
    `emulator://NAME` URL up here and hands the invocation over directly.
    """

    def __init__(self) -> None:
        self._apis: dict[str, RuntimeApi] = {}

    def register(self, name: str, api: RuntimeApi) -> str:
        """Make `api` known; returns its endpoint. Raises ValueError for a name that is taken."""
        key = name.lower()
        if key in self._apis:
            raise ValueError(f"an emulator named {name!r} is registered already")
        self._apis[key] = api
        return f"{SCHEME}://{key}"

    def get(self, name: str) -> RuntimeApi | None:
        """The Runtime API of this name (a URL's host, in any case), or None if it has gone."""
        return self._apis.get(name.lower())

    def remove(self, name: str) -> None:
        """Forget it. Harmless for a name that is not known."""
        self._apis.pop(name.lower(), None)

    def __len__(self) -> int:
        return len(self._apis)
