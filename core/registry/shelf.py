"""All entries of one kind: read from memory, written through to the journal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from core.registry.entries import Entry

if TYPE_CHECKING:
    from core.journal import Journal, StoredResource

__all__ = ["Shelf"]

E = TypeVar("E", bound=Entry)


class Shelf(Generic[E]):
    """Entries of type `entry`, by name and qualifier; kept in the journal as documents of kind `kind`."""

    def __init__(self, kind: str, entry: type[E], journal: Journal) -> None:
        self.kind = kind
        self._entry = entry
        self._journal = journal
        self._found: dict[tuple[str, str], E] = {}

    def get(self, name: str, qualifier: str = "") -> E | None:
        """The entry, or None."""
        return self._found.get((name, qualifier))

    def of(self, name: str) -> list[E]:
        """All entries of a name, by qualifier."""
        return sorted((e for e in self._found.values() if e.name == name), key=lambda e: e.qualifier)

    def __iter__(self) -> Iterator[E]:
        return iter(tuple(self._found.values()))

    async def put(self, entry: E) -> E:
        """Keep an entry in place of the one of that name and qualifier; returns it with its time.

        Survives a power cut once this returns. Raises HomeUnusableError.
        """
        document = {
            each.name: _plain(getattr(entry, each.name))
            for each in dataclasses.fields(entry)
            if each.name not in {"name", "qualifier", "modified"}
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        wall = await self._journal.put_resource(self.kind, entry.name, entry.qualifier, text)
        kept = dataclasses.replace(entry, modified=wall)
        self._found[kept.name, kept.qualifier] = kept
        return kept

    async def remove(self, name: str, qualifier: str = "") -> bool:
        """Forget an entry; False where there was none. Raises HomeUnusableError."""
        if (name, qualifier) not in self._found:
            return False
        await self._journal.remove_resources([(self.kind, name, qualifier)])
        self._found.pop((name, qualifier), None)
        return True

    def keys_of(self, name: str) -> list[tuple[str, str, str]]:
        """What the journal knows the entries of a name by."""
        return [(self.kind, *key) for key in self._found if key[0] == name]

    def drop(self, name: str, qualifier: str) -> None:
        """Forget what the journal has forgotten already."""
        self._found.pop((name, qualifier), None)

    def take(self, stored: StoredResource) -> None:
        """Read what an earlier start kept. Raises ValueError, KeyError or TypeError where that cannot be."""
        document = json.loads(stored.document)
        if not isinstance(document, dict):
            raise TypeError("not an object")
        known = {each.name for each in dataclasses.fields(self._entry)}
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items() if key in known
        }
        given |= {"name": stored.name, "qualifier": stored.qualifier, "modified": stored.updated_wall}
        self._found[stored.name, stored.qualifier] = self._entry(**given)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
