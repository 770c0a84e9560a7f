"""The Runtime APIs that live in this process, by name, so that no socket need be crossed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from core.emulator.runtime_api import InvokeOutcome, InvokeRequest

__all__ = ["SCHEME", "Asked", "Invokable", "LocalEmulators"]

SCHEME = "emulator"


class Asked(Protocol):
    """What an invocation gives back; see `core.emulator.reply.InvokeReply`."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Those that concern the reply, with lower-case names."""
        ...

    @property
    def streaming(self) -> bool:
        """Whether the body comes while the function still writes it."""
        ...

    @property
    def whole(self) -> bytes | None:
        """The whole body, where it is there and no error; None else. It can still be read."""
        ...

    @property
    def outcome(self) -> InvokeOutcome | None:
        """Set with the last chunk."""
        ...

    async def next_chunk(self) -> bytes | None:
        """The next piece, None at the end."""
        ...

    def close(self) -> None:
        """Read no more."""
        ...

    async def aclose(self) -> None:
        """Read no more."""
        ...


class Invokable(Protocol):
    """What can be asked in this process: a Runtime API, or what stands for one."""

    async def invoke(self, request: InvokeRequest) -> Asked:
        """See `RuntimeApi.invoke`."""
        ...


class LocalEmulators:
    """A registry from a name to the Runtime API of one instance.

    A backend registers what it brings up; the HTTP client's transport looks the host of an
    `emulator://NAME` URL up here and hands the invocation over directly.
    """

    def __init__(self) -> None:
        self._apis: dict[str, Invokable] = {}

    def register(self, name: str, api: Invokable) -> str:
        """Make `api` known; returns its endpoint. Raises ValueError for a name that is taken."""
        key = name.lower()
        if key in self._apis:
            raise ValueError(f"an emulator named {name!r} is registered already")
        self._apis[key] = api
        return f"{SCHEME}://{key}"

    def get(self, name: str) -> Invokable | None:
        """The Runtime API of this name (a URL's host, in any case), or None if it has gone."""
        return self._apis.get(name.lower())

    def remove(self, name: str) -> None:
        """Forget it. Harmless for a name that is not known."""
        self._apis.pop(name.lower(), None)

    def __len__(self) -> int:
        return len(self._apis)
