"""The functions that the benchmarks run, written into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from core.functions import LambdaFunction

__all__ = ["PYTHON", "echo", "writer", "writer_program"]

PYTHON = f"python3.{sys.version_info[1]}"

_WRITER = Path(__file__).parent / "stream_writer.py"


def echo(folder: Path) -> LambdaFunction:
    """A Python function that returns its event."""
    code = folder / "echo"
    code.mkdir(exist_ok=True)
    (code / "app.py").write_text("def handler(event, context):\n    return event\n")
    return LambdaFunction(function_name="echo", runtime=PYTHON, handler="app.handler", code=code, timeout=30)


def writer(folder: Path) -> LambdaFunction:
    """A custom runtime that writes as many chunks, of the size, as the event asks for."""
    code = folder / "writer"
    code.mkdir(exist_ok=True)
    (code / "bootstrap").write_text('#!/bin/sh\nexec "$PYTHON" "$LAMBDA_TASK_ROOT/writer.py"\n')
    (code / "bootstrap").chmod(0o755)
    (code / "writer.py").write_text(_WRITER.read_text("utf-8"))
    return LambdaFunction(
        function_name="writer",
        runtime="provided.al2023",
        handler="bootstrap",
        code=code,
        timeout=120,
        memory_size=512,
        environment={"PYTHON": sys.executable},
    )


def writer_program() -> Path:
    """The writer by itself, for measuring it against a bare socket."""
    return _WRITER
