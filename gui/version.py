"""This program's version."""

from __future__ import annotations

from importlib import metadata

__all__ = ["version"]


def version() -> str:
    """The installed distribution's version; "checkout" where it runs from its sources."""
    try:
        return metadata.version("stoker")
    except metadata.PackageNotFoundError:
        return "checkout"
