"""What Lambda keeps of functions beside their code: versions, aliases, layers, concurrency, URLs."""

from core.registry.entries import (
    Alias,
    Details,
    EventInvoke,
    LayerVersion,
    Provisioned,
    Reserved,
    UrlConfig,
)
from core.registry.registry import Registry
from core.registry.shelf import Shelf

__all__ = [
    "Alias",
    "Details",
    "EventInvoke",
    "LayerVersion",
    "Provisioned",
    "Registry",
    "Reserved",
    "Shelf",
    "UrlConfig",
]
