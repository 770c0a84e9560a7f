"""A Stoker in a process of its own, for tests that kill it or run beside it.

Usage: python -m tests.engines.stoker_to_kill HOME FOLDER BACKEND COUNT [POINT]. Prints one JSON line when its instances
are up, then waits for a line on standard input to close properly. With a POINT it kills itself there: `row` when the
journal knows of an instance and the engine does not, `create` when the container is made and Stoker does not know
yet, `start` when it has been started.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from core.backends.container.instance import ContainerInstance
from core.backends.container.specification import Specification
from core.runtime import LambdaRuntime
from tests.engines.trouble import contained, online


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(point: str) -> None:
    """Real deaths, at moments that nobody outside could hit."""
    if point == "row":
        Specification.create = _die  # type: ignore[method-assign, assignment]
    elif point == "create":
        create = Specification.create

        def created(self: Specification, client: Any) -> str:
            container = create(self, client)
            _die()
            return container

        Specification.create = created  # type: ignore[method-assign]
    elif point == "start":
        start = ContainerInstance._start

        def started(self: ContainerInstance, client: Any) -> tuple[str, int]:
            address = start(self, client)
            _die()
            return address

        ContainerInstance._start = started  # type: ignore[method-assign]


async def main(home: Path, folder: Path, backend: str, count: int, point: str) -> None:
    """Bring them up, and wait."""
    _die_at(point)
    async with LambdaRuntime.open(home=home, default_backend=backend, max_instances=60) as runtime:
        await online(runtime, backend)
        secret = {"PASSWORD": "correct-horse-battery"}
        await runtime.add_function(contained(folder, timeout=600, max_instances=60, environment=secret))
        print(json.dumps({"owner": runtime.owner_id}), flush=True)
        instances = await runtime.launch("scripted", count)
        print(json.dumps([each.handle.id for each in instances if each.handle]), flush=True)  # type: ignore[attr-defined]
        done = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), done.set)
        await done.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), (*sys.argv[5:], "")[0]))
