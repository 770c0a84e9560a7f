"""How a container of Stoker's is told from all others, and whose it is. No secret is ever in a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DEPLOY", "FUNCTION", "INSTANCE", "OWNER", "Labels", "container_name"]

OWNER = "stoker.owner"
INSTANCE = "stoker.instance"
FUNCTION = "stoker.function"
DEPLOY = "stoker.deploy"


@dataclass(frozen=True, slots=True)
class Labels:
    """What a container's labels say; set when it is created, before anything else can go wrong."""

    owner: str
    instance: str
    function: str
    deploy: str

    def as_dict(self) -> dict[str, str]:
        """As the engine takes them."""
        return {OWNER: self.owner, INSTANCE: self.instance, FUNCTION: self.function, DEPLOY: self.deploy}

    @classmethod
    def read(cls, labels: Mapping[str, str] | None) -> Labels | None:
        """What an engine tells of a container; None for one that is not Stoker's."""
        found = labels or {}
        if not found.get(OWNER) or not found.get(INSTANCE):
            return None
        return cls(found[OWNER], found[INSTANCE], found.get(FUNCTION, ""), found.get(DEPLOY, ""))


def container_name(labels: Labels) -> str:
    """A name that a person recognises, and that two Stokers never share."""
    function = labels.function.replace(":", ".")
    return f"stoker-{function}-{labels.instance}-{labels.owner[:8]}"
