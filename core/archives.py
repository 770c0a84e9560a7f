"""(contract sketch) Zips and layers: a content-addressed store, safe extraction, `deploy_id`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.functions import LambdaFunction

__all__ = ["Archive", "ArchiveStore", "deploy_id"]


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip in the store and its one unpacked, read-only directory."""

    digest: str
    path: Path
    directory: Path
    size: int
    unpacked_size: int

    def open(self) -> BinaryIO:
        """The zip's bytes, for backends that must ship them."""
        return self.path.open("rb")


class ArchiveStore:
    """All archives of one home, under `root`. Blocking work runs on `executor`."""

    def __init__(self, root: Path, executor: Executor) -> None: ...

    async def add(self, source: Path | bytes) -> Archive:
        """Take a zip file, a zip's bytes or a folder; check and unpack it once. Raises ZipExtractionFailedError."""
        raise NotImplementedError

    async def get(self, digest: str) -> Archive:
        """An archive that was added before (unpacks again if the directory went). Raises KeyError."""
        raise NotImplementedError

    async def collect(self, used: Collection[str]) -> int:
        """Remove every archive whose digest is not in `used`; returns bytes freed."""
        raise NotImplementedError


def deploy_id(function: LambdaFunction, code: Archive | None, layers: Sequence[Archive]) -> str:
    """Hex digest of code, layers in order and the whole launch configuration."""
    raise NotImplementedError
