"""A Stoker whose files an engine cannot see: `unshare --mount python -m tests.engines.hidden_stoker DIR ENGINE`.

In a mount namespace of its own it puts a file system over DIR, works there, and prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.functions import LambdaFunction, Layer
from core.runtime import LambdaRuntime
from tests.core.waiting import until

_CODE = """\
import os, sys
import layered

def write(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
    return "written"

def handler(event, context):
    return {
        "code": sorted(os.listdir("/var/task")), "data": open("/var/task/inner/data").read(), "layer": layered.VALUE,
        "opt": sorted(os.listdir("/opt/python")), "into code": write("/var/task/new"),
        "over code": write("/var/task/app.py"), "into layer": write("/opt/new"), "link": os.readlink("/var/task/link"),
    }
"""


async def work(directory: Path, engine: str) -> dict[str, Any]:
    """Invoke one function twice, on two instances."""
    code, layer = directory / "code", directory / "layer"
    (code / "inner").mkdir(parents=True)
    (code / "app.py").write_text(_CODE)
    (code / "inner" / "data").write_text("within")
    (code / "link").symlink_to("inner/data")
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "layered.py").write_text("VALUE = 'layered'\n")
    async with LambdaRuntime.open(home=directory / "home", default_backend=engine) as runtime:
        await until(runtime, lambda: runtime.backends()[engine].online)
        await runtime.add_function(
            LambdaFunction(
                function_name="copied",
                runtime="python3.11",
                handler="app.handler",
                code=code,
                layers=[Layer("one", layer)],
                timeout=10,
                memory_size=256,
            )
        )
        first = await runtime.invoke("copied")
        await runtime.evict("copied")
        second = await runtime.invoke("copied")
        return {
            "payloads": [json.loads(first.payload), json.loads(second.payload)],
            "phases": [list(first.phases), list(second.phases)],
        }


def main() -> None:
    """Hide, work, tell."""
    directory, engine = Path(sys.argv[1]), sys.argv[2]
    subprocess.run(["mount", "-t", "tmpfs", "hidden", str(directory)], check=True)
    print(json.dumps(asyncio.run(work(directory, engine))))


if __name__ == "__main__":
    main()
