"""Stoker's endpoint in a process of its own: `python -m tests.benchmarks.endpoint_server LOOP FOLDER FUNCTION...`.

LOOP is a name in `loops.LOOPS`. Prints the address and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from core.endpoint.endpoint import Endpoint
from core.runtime import LambdaRuntime
from tests.benchmarks.endpoint_functions import FUNCTIONS
from tests.benchmarks.loops import LOOPS


async def _serve(folder: Path, names: list[str]) -> None:
    ended = asyncio.Event()
    async with LambdaRuntime.open(home=folder / "home") as runtime:
        for name in names:
            await runtime.add_function(FUNCTIONS[name](folder))
        endpoint = Endpoint(runtime)
        address = await endpoint.open()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), ended.set)
        try:
            print(address, flush=True)
            await ended.wait()
        finally:
            loop.remove_reader(sys.stdin.fileno())
            await endpoint.close()
    await endpoint.aclose()


def main() -> None:
    """Serve on the loop that was asked for."""
    loop, folder, *names = sys.argv[1:]
    LOOPS[loop](lambda: _serve(Path(folder), names))


if __name__ == "__main__":
    main()
