"""A Stoker in a process of its own with events queued and under way, for a test that kills it.

Usage: python -m tests.core.event_queue_to_kill HOME FOLDER EVENTS GATE. The function may have two
instances, and its events wait at the gate; one more has failed once. Prints the request ids as one
JSON line when two deliveries are under way, then waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from core.names import Target
from core.runtime import LambdaRuntime
from tests.core.event_queue_support import Watch, attempts, noting_function


async def main(home: Path, folder: Path, events: int, gate: str) -> None:
    async with LambdaRuntime.open(home=home, async_retry_delay=1000) as runtime:
        await runtime.add_function(noting_function(folder, max_instances=2))
        await runtime.add_function(noting_function(folder, "failing"))
        watch = Watch(runtime)
        failed = await runtime.event_queue.put(Target("failing"), b'{"fail": 9}')
        await watch.returned()
        payload = json.dumps({"gate": gate}).encode()
        ids = await asyncio.gather(*(runtime.event_queue.put(Target("noting"), payload) for _ in range(events)))
        await watch.until(lambda: len(attempts(folder)) == 2)
        print(json.dumps({"failed": failed, "ids": ids}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
