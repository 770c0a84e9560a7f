"""A Stoker in a process of its own for tests that kill it: warm instances, some of them busy.

Usage: python -m tests.core.stoker_to_kill HOME FUNCTIONS_DIR IDLE BUSY. Prints one JSON line (pids, instance
ids, owner) when all are up, then waits to be killed, or for a line on standard input to close properly.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from core.runtime import LambdaRuntime
from tests.core.sources import scripted_function


async def main(home: Path, folder: Path, idle: int, busy: int) -> None:
    async with LambdaRuntime.open(home=home, max_instances=50) as runtime:
        await runtime.add_function(
            scripted_function(folder, timeout=600, environment={"IGNORE_TERM": "1"}, max_instances=50)
        )
        streams = []
        for _ in range(busy):
            stream = await runtime.invoke_streaming(
                "scripted", json.dumps([["spawn"], ["chunk", "busy"], ["sleep", 500]]).encode()
            )
            assert await stream.next_chunk() == b"busy"
            streams.append(stream)
        await runtime.launch("scripted", idle)
        instances = runtime.instances()
        facts = {"owner": runtime.owner_id, "pids": [i.pid for i in instances], "ids": [i.id for i in instances]}
        print(json.dumps(facts), flush=True)
        done = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), done.set)
        await done.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
