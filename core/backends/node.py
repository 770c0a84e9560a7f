"""Finding Node: the `node` on PATH, or where its usual installers put it."""

from __future__ import annotations

import asyncio
import os
import shutil
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from core.backends.programs import ProgramFacts

__all__ = ["OLDEST_NODE", "NodeFinder", "NodeProgram", "node_on_path"]

OLDEST_NODE = 18
_ELSEWHERE = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")
_QUESTION = ("-p", "process.versions.node + ' ' + process.execPath")


@dataclass(frozen=True, slots=True)
class NodeProgram:
    """A Node that runs functions. `path` is the program itself, never a version manager's shim."""

    path: Path
    version: tuple[int, ...]

    @property
    def text(self) -> str:
        """As people write it: "20.11.1"."""
        return ".".join(str(part) for part in self.version)


def node_on_path() -> Path | None:
    """Where `node` is, without running it; None if it is not installed."""
    search = os.pathsep.join(
        [part for part in os.environ.get("PATH", "").split(os.pathsep) if part.startswith("/")] + list(_ELSEWHERE)
    )
    found = shutil.which("node", path=search)
    return Path(found) if found is not None else None


class NodeFinder:
    """Asks `node` for its version once for each file it turns out to be."""

    def __init__(self, facts: ProgramFacts, executor: Executor) -> None:
        self._facts = facts
        self._executor = executor
        self._known: dict[Path, NodeProgram] = {}

    async def find(self) -> NodeProgram | None:
        """The Node of this machine, or None where there is none or it does not answer."""
        path = node_on_path()
        if path is None:
            return None
        if (known := self._known.get(path)) is not None and known.path.exists():
            return known
        answer = await asyncio.get_running_loop().run_in_executor(self._executor, self._ask, path)
        if answer is None:
            return None
        number, _, program = answer.partition(" ")
        try:
            version = tuple(int(part) for part in number.split("-")[0].split("."))
        except ValueError:
            return None
        self._known[path] = NodeProgram(Path(program or path), version)
        return self._known[path]

    def _ask(self, path: Path) -> str | None:
        answer = self._facts.answer(path, _QUESTION)
        self._facts.save()
        return answer
