"""The same echo in Python and in Node, for every server that is compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from core.functions import LambdaFunction
from tests.benchmarks.functions import echo

__all__ = ["FUNCTIONS", "NODE_RUNTIME", "has_node", "node_code"]

NODE_RUNTIME = "nodejs20.x"


def has_node() -> bool:
    """Whether the machine has a Node to run the other echo."""
    return shutil.which("node") is not None


def node_code(folder: Path) -> Path:
    """A folder with a Node handler that returns its event."""
    code = folder / "echo-node"
    code.mkdir(exist_ok=True)
    (code / "index.js").write_text("exports.handler = async (event) => event;\n")
    return code


def _node(folder: Path) -> LambdaFunction:
    return LambdaFunction(
        function_name="echo-node", runtime=NODE_RUNTIME, handler="index.handler", code=node_code(folder), timeout=30
    )


FUNCTIONS: dict[str, Callable[[Path], LambdaFunction]] = {"echo": echo, "echo-node": _node}
