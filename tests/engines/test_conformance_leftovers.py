"""On every backend: whatever happens to instances, nothing of them is left when Stoker has closed."""

from __future__ import annotations

import asyncio
import gc

from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.conftest import Leftovers
from tests.core.waiting import until
from tests.engines.conformance import BackendUnderTest, steps


async def one_starts(runtime: LambdaRuntime) -> None:
    """Wait until an instance is coming up."""
    await until(runtime, lambda: any(each.state is InstanceState.STARTING for each in runtime.instances()))


async def test_no_process_thread_descriptor_or_task_is_left_of_all_that_can_happen(backend: BackendUnderTest) -> None:
    async with backend.open() as bench:
        # once before the count: helpers that live as long as the process, caches, imports
        await bench.scripted()
        await bench.serves()
    backend.rest()
    left = Leftovers()
    async with backend.open() as bench:
        await bench.scripted(timeout=2)
        await (await bench.started()).cancel()
        abandoned = await bench.started()
        await bench.runtime.launch("scripted", count=2)
        await bench.runtime.invoke("scripted", steps(["exit", 1]))
        await bench.runtime.invoke("scripted", steps(["chunk", "a"], ["cut"]))
        await bench.runtime.invoke("scripted", steps(["spawn"], ["chunk", "left a child"]))
        await bench.runtime.invoke("scripted", steps(["chunk", "too late"], bench.wait_at()))
        del abandoned
        gc.collect()
        (victim,) = await bench.runtime.launch("scripted")
        bench.kill(victim)
        await bench.gone(victim.id)
        await bench.python("import no_such_module_anywhere\n")
        await bench.runtime.invoke("python")
        await bench.serves()
        # Stoker closes while one starts, one is busy and one is idle
        await bench.runtime.launch("scripted")
        await bench.started()
        starting = asyncio.create_task(bench.runtime.launch("scripted", count=4))
        await one_starts(bench.runtime)
        await bench.runtime.close()
        await asyncio.gather(starting, return_exceptions=True)
    del bench, starting
    backend.rest()
    assert await left.settle() == {}
