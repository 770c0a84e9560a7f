"""Asking a program what it is: run once with a time limit, remembered on disk by path and mtime."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ProgramFacts", "ask"]

_TIMEOUT = 10.0
_ENVIRONMENT = ("PATH", "HOME", "PYENV_ROOT", "PYENV_VERSION", "NVM_DIR", "ASDF_DIR", "ASDF_DATA_DIR")


class ProgramFacts:
    """Answers of programs, kept in `file`; a program that was changed is asked again. Thread-safe enough:
    two threads that ask the same program at once both run it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, str] = {}
        try:
            stored = json.loads(file.read_text())
            self._known = {str(key): str(answer) for key, answer in stored.items()}
        except (OSError, ValueError, AttributeError):
            self._known = {}

    def answer(self, program: Path, arguments: Sequence[str]) -> str | None:
        """What `program ARGUMENTS` prints, or None where it fails or takes too long. Blocks."""
        try:
            status = program.stat()
        except OSError:
            return None
        key = f"{program}|{status.st_mtime_ns}|{status.st_size}"
        if (known := self._known.get(key)) is not None:
            return known or None
        answer = ask([str(program), *arguments])
        # an empty answer stands for a program that does not work
        self._known[key] = answer or ""
        return answer

    def save(self) -> None:
        """Write what is known. A home that cannot be written only costs time."""
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.new")
        try:
            temporary.write_text(json.dumps(self._known, indent=1))
            temporary.replace(self._file)
        except OSError:
            return


def ask(command: Sequence[str]) -> str | None:
    """Run `command` and return what it prints, stripped; None on any failure. Blocks."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=True,
            cwd="/",
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            text=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None
