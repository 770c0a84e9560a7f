"""The registry of one home: every shelf, and which version a qualifier stands for."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import FunctionNotFoundError
from core.names import LATEST, Target, key_of
from core.registry.entries import (
    Alias,
    Details,
    EventInvoke,
    LayerVersion,
    Provisioned,
    Reserved,
    UrlConfig,
)
from core.registry.shelf import Shelf

if TYPE_CHECKING:
    from core.journal import Journal

__all__ = ["Registry"]

_REVISIONS = uuid.UUID("7d4f6dd2-2a1c-4f0a-9c57-6f5a0f1c6a51")


class Registry:
    """What hangs on functions. Only data: what the pool must do about it is the facade's to say."""

    def __init__(self, journal: Journal) -> None:
        self.details = Shelf("details", Details, journal)
        self.aliases = Shelf("alias", Alias, journal)
        self.reserved = Shelf("reserved", Reserved, journal)
        self.provisioned = Shelf("provisioned", Provisioned, journal)
        self.event_invokes = Shelf("event_invoke", EventInvoke, journal)
        self.urls = Shelf("url", UrlConfig, journal)
        self.layers = Shelf("layer", LayerVersion, journal)
        self._journal = journal
        self._unreadable: set[tuple[str, str, str]] = set()

    @property
    def _on_functions(self) -> tuple[Shelf[Any], ...]:
        return (self.details, self.aliases, self.reserved, self.provisioned, self.event_invokes, self.urls)

    async def restore(self, unreadable: Callable[[str, str], None]) -> None:
        """Read what the home holds; `unreadable` is told what could not be read, and why."""
        shelves = {shelf.kind: shelf for shelf in (*self._on_functions, self.layers)}
        for stored in await self._journal.resources():
            shelf = shelves.get(stored.kind)
            if shelf is None:
                continue  # a newer Stoker's
            try:
                shelf.take(stored)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self._unreadable.add((stored.kind, stored.name, stored.qualifier))
                unreadable(f"{stored.kind} {stored.name} {stored.qualifier}".strip(), str(error))

    def resolve(self, target: Target) -> str:
        """The key of the version that a request means; an alias with weights draws one.

        Whether that version exists is not looked at. Raises FunctionNotFoundError for an unknown alias.
        """
        qualifier = target.qualifier
        if qualifier is None or qualifier == LATEST:
            return target.name
        if qualifier.isdecimal():
            return key_of(target.name, qualifier)
        alias = self.aliases.get(target.name, qualifier)
        if alias is None:
            raise FunctionNotFoundError(f"{target.name}:{qualifier}")
        drawn = random.random()
        for version, share in alias.weights.items():
            drawn -= share
            if drawn < 0:
                return key_of(target.name, version)
        return key_of(target.name, alias.function_version)

    def aliases_of(self, name: str, version: str) -> list[Alias]:
        """The aliases that send invocations to a version."""
        return [a for a in self.aliases.of(name) if a.function_version == version or version in a.weights]

    def warm(self, name: str, version: str) -> int:
        """How many instances of a version its provisioned concurrency keeps warm."""
        return self.provisioned_versions(name).get(version, 0)

    def most_at_once(self, name: str) -> int | None:
        """A function's reserved concurrency, or None."""
        reserved = self.reserved.get(name)
        return None if reserved is None else reserved.count

    def provisioned_versions(self, name: str) -> dict[str, int]:
        """How many instances of each version of a function are kept warm for it, where there are any."""
        found: Counter[str] = Counter()
        for each in self.provisioned.of(name):
            alias = self.aliases.get(name, each.qualifier)
            found[each.qualifier if alias is None else alias.function_version] += each.count
        return dict(found)

    def spoken_for(self) -> int:
        """What functions have reserved of the account's concurrency; where nothing is, what is provisioned."""
        reserved = {each.name: each.count for each in self.reserved}
        beside = sum(each.count for each in self.provisioned if each.name not in reserved)
        return sum(reserved.values()) + beside

    def revision(self, name: str, version: str, modified: float) -> str:
        """The revision of a function's version that was last changed at `modified`: another one after each change."""
        details = self.details.get(name, "" if version == LATEST else version)
        return str(uuid.uuid5(_REVISIONS, f"{key_of(name, version)} {modified} {details.modified if details else 0}"))

    def keys_of_function(self, name: str) -> list[tuple[str, str, str]]:
        """All that hangs on a function, as the journal knows it."""
        return [key for shelf in self._on_functions for key in shelf.keys_of(name)]

    def keys_of_version(self, name: str, version: str) -> list[tuple[str, str, str]]:
        """All that hangs on one published version."""
        return [key for key in self.keys_of_function(name) if key[2] == version]

    def drop(self, keys: list[tuple[str, str, str]]) -> None:
        """Forget what the journal has forgotten."""
        for shelf in self._on_functions:
            for kind, name, qualifier in keys:
                if kind == shelf.kind:
                    shelf.drop(name, qualifier)

    def next_layer_version(self, name: str) -> int:
        """The number that a layer's next version gets: one that none ever had, deleted ones included."""
        given = {layer.qualifier for layer in self.layers.of(name)}
        given |= {key[2] for key in self._unreadable if key[:2] == (self.layers.kind, name)}
        return max((int(number) for number in given if number.isdecimal()), default=0) + 1

    @property
    def layers_unreadable(self) -> bool:
        """Whether there are layers whose archives nobody here can name, so that none may be collected."""
        return any(key[0] == self.layers.kind for key in self._unreadable)

    def layer_digests(self) -> set[str]:
        """The archives of all published layers."""
        return {layer.digest for layer in self.layers if not layer.deleted}
