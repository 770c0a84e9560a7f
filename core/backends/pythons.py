"""Finding Python interpreters: the exact minor version a runtime asks for, or the nearest."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from core.backends.programs import ProgramFacts

__all__ = ["Interpreter", "Pythons", "nearest"]

OLDEST = (3, 9)
_NAME = re.compile(r"python3(\.\d+)?$")
# of a virtual environment it is the interpreter below that counts: its own packages must not be seen
_QUESTION = (
    "-I",
    "-S",
    "-c",
    "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.implementation.name,"
    " getattr(sys, '_base_executable', sys.executable))",
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that runs functions; `path` is never a virtual environment's or a shim."""

    path: Path
    version: tuple[int, int, int]

    @property
    def minor(self) -> str:
        """As in a runtime's name: "3.13"."""
        return f"{self.version[0]}.{self.version[1]}"


class Pythons:
    """All interpreters of this machine, looked for once and only when Stoker's own does not fit."""

    def __init__(self, facts: ProgramFacts, executor: Executor) -> None:
        self._facts = facts
        self._executor = executor
        self._found: asyncio.Task[list[Interpreter]] | None = None
        base = Path(getattr(sys, "_base_executable", None) or sys.executable)
        self._own = Interpreter(base, sys.version_info[:3])

    async def find(self, minor: str) -> Interpreter:
        """The interpreter for `minor` ("3.13"), exact if there is one, else the nearest.

        Stoker's own interpreter serves without a search where it fits.
        """
        if self._own.minor == minor and sys.implementation.name == "cpython":
            return self._own
        if self._found is None or (self._found.done() and not self._succeeded(self._found)):
            self._found = asyncio.get_running_loop().create_task(self._search(), name="stoker-find-pythons")
        found = await asyncio.shield(self._found)
        wanted = int(minor.partition(".")[2] or 0)
        return nearest([self._own, *found], wanted)

    async def aclose(self) -> None:
        """Stop a search that is going on."""
        if self._found is not None and not self._found.done():
            self._found.cancel()
            await asyncio.gather(self._found, return_exceptions=True)

    @staticmethod
    def _succeeded(task: asyncio.Task[list[Interpreter]]) -> bool:
        return not task.cancelled() and task.exception() is None

    async def _search(self) -> list[Interpreter]:
        loop = asyncio.get_running_loop()
        programs = await loop.run_in_executor(self._executor, _programs)
        answers = await asyncio.gather(
            *(loop.run_in_executor(self._executor, self._facts.answer, path, _QUESTION) for path in programs)
        )
        found = [each for answer in answers if (each := _interpreter(answer)) is not None]
        await loop.run_in_executor(self._executor, self._facts.save)
        return found


def nearest(interpreters: Sequence[Interpreter], minor: int) -> Interpreter:
    """The one whose minor version is `minor`, or the closest to it; of two as close the newer.

    Among equals the first counts, so that Stoker's own and then PATH's order hold.
    """
    return min(interpreters, key=lambda each: (abs(each.version[1] - minor), -each.version[1]))


def _interpreter(answer: str | None) -> Interpreter | None:
    if answer is None:
        return None
    try:
        number, implementation, path = answer.split(" ", 2)
        major, minor, micro = (int(part) for part in number.split("."))
    except ValueError:
        return None
    usable = implementation == "cpython" and (major, minor) >= OLDEST and os.access(path, os.X_OK)
    return Interpreter(Path(path), (major, minor, micro)) if usable else None


def _programs() -> list[Path]:
    """Every `python3` and `python3.N`, each real file once."""
    found: dict[Path, Path] = {}
    for directory in _directories():
        try:
            names = sorted((entry.name for entry in os.scandir(directory) if _NAME.match(entry.name)), key=len)
        except OSError:
            continue
        for name in reversed(names):
            path = directory / name
            if os.access(path, os.X_OK):
                found.setdefault(path.resolve(), path)
    return list(found.values())


def _directories() -> Iterable[Path]:
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    versions = [
        *sorted(pyenv.glob("versions/3.*/bin"), key=_by_version, reverse=True),
        *sorted((home / ".local/share/uv/python").glob("cpython-3.*/bin"), key=_by_version, reverse=True),
    ]
    skip = {pyenv / "shims"} if versions else set()
    on_path = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    others = [Path(part) for part in ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")]
    frameworks = sorted(
        Path("/Library/Frameworks/Python.framework/Versions").glob("3.*/bin"), key=_by_version, reverse=True
    )
    return dict.fromkeys(
        directory for directory in (*on_path, *versions, *others, *frameworks) if directory not in skip
    )


def _by_version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parent.name)[:3])
