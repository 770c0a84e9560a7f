"""What a zip or folder most likely is: its runtime and handler, read from the names of its files. No Qt here."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.runtimes import RuntimeFamily, known_runtimes

__all__ = ["Guess", "guess", "name_for"]

_MOST_ENTRIES = 2000
_MOST_BYTES = 200_000
_PYTHON = re.compile(r"^(?:async )?def (\w*handler)\(", re.MULTILINE)
_NODE = re.compile(r"(?:exports\.|export (?:const|let|async function|function) )(\w*[hH]andler)\b")
_PREFERRED_PYTHON = ("lambda_function.py", "app.py", "main.py", "handler.py", "index.py")
_PREFERRED_NODE = ("index.mjs", "index.js", "index.cjs", "app.mjs", "app.js", "handler.mjs", "handler.js")


@dataclass(frozen=True, slots=True)
class Guess:
    """A runtime's identifier and a handler, and the file that told."""

    runtime: str
    handler: str
    because: str


def guess(code: Path) -> Guess | None:
    """Look at the top level of a zip or folder; None where nothing there says what it is. Blocks on the disk."""
    try:
        code = code.expanduser()
        if code.is_dir():
            names = [entry.name for entry, _ in zip(code.iterdir(), range(_MOST_ENTRIES), strict=False)]
            return _from_names(names, lambda name: _head((code / name).read_bytes()))
        with zipfile.ZipFile(code) as archive:
            names = [name for name in archive.namelist()[:_MOST_ENTRIES] if "/" not in name]
            return _from_names(names, lambda name: _zip_head(archive, name))
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        # what is wrong with it is said when it is added
        return None


def name_for(code: Path) -> str:
    """A function name made from that of a zip or folder."""
    stem = code.stem if code.suffix.lower() == ".zip" else code.name
    return re.sub(r"[^a-zA-Z0-9_-]+", "-", stem).strip("-")[:64]


def _from_names(names: Sequence[str], read: Callable[[str], str]) -> Guess | None:
    if "bootstrap" in names:
        return Guess("provided.al2023", "bootstrap", "bootstrap")
    for name in _ordered(names, ".py", _PREFERRED_PYTHON):
        if found := _PYTHON.search(read(name)):
            return Guess(_newest(RuntimeFamily.PYTHON), f"{name[:-3]}.{found[1]}", name)
    for suffix in (".mjs", ".js", ".cjs"):
        for name in _ordered(names, suffix, _PREFERRED_NODE):
            if found := _NODE.search(read(name)):
                return Guess(_newest(RuntimeFamily.NODEJS), f"{name.removesuffix(suffix)}.{found[1]}", name)
    return None


def _ordered(names: Sequence[str], suffix: str, preferred: Sequence[str]) -> list[str]:
    found = [name for name in names if name.endswith(suffix)]
    return sorted(found, key=lambda name: (preferred.index(name) if name in preferred else len(preferred), name))[:20]


def _newest(family: RuntimeFamily) -> str:
    """The runtime that most likely runs here: this Python's own, else the newest whose support has a known end."""
    known = [each for each in known_runtimes() if each.family == family]
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if family is RuntimeFamily.PYTHON and any(each.identifier == own for each in known):
        return own
    settled = [each for each in known if each.deprecated_on is not None and not each.deprecated]
    return (settled or known)[0].identifier


def _head(content: bytes) -> str:
    return content[:_MOST_BYTES].decode("utf-8", "replace")


def _zip_head(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as entry:
        return _head(entry.read(_MOST_BYTES))
