"""Cold starts in containers: Stoker's, engine and runtime by themselves, and SAM CLI's, turn by turn in one run.

Podman sets a container up at the first attach, which is in Stoker's phase "create"; without one it does so in "start".
Only the sum of the two compares there.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.endpoint.endpoint import Endpoint
from core.functions import LambdaFunction
from core.runtime import LambdaRuntime
from tests.benchmarks.bare_container import BareContainer
from tests.benchmarks.endpoint_client import Client
from tests.benchmarks.endpoint_rivals import SAM_RUNTIME, SkippedError, sam_cli
from tests.benchmarks.functions import echo
from tests.benchmarks.report import Figure, percentile
from tests.core.waiting import until
from tests.engines.engine import ENGINES, EngineUnderTest, Unavailable, find_engine

__all__ = ["figures"]

_ROUNDS = 15
_WARM_UP = 2  # rounds that fill caches
_BUDGET = 40.0  # ms above the engine's own create and start and the runtime's init
_EVENT = b'{"key1": "value1", "key2": "value2"}'
_SAM_ENGINE = "docker"  # the only one that SAM CLI drives without being told otherwise
_PHASES = ("create", "start", "init")


@dataclass(slots=True)
class _Round:
    """One cold start of each, in milliseconds. What Stoker does in no phase is its phase "rest"."""

    stoker: dict[str, float]
    bare: dict[str, float]
    through_endpoint: float
    sam: float | None

    def above(self, phase: str) -> float:
        """By how much Stoker took longer, in this round."""
        return self.stoker[phase] - self.bare[phase]


def figures() -> list[Figure]:
    """From nothing to the first answer, in milliseconds: medians of interleaved rounds, on each engine."""
    found: list[Figure] = []
    for name in ENGINES:
        engine = find_engine(name)
        if isinstance(engine, Unavailable):
            print(f"  skipped {name}: {engine.reason}", file=sys.stderr, flush=True)
            found.append(Figure(f"container cold start, {name}", None, "ms", note=f"skipped: {engine.reason}"))
            continue
        with contextlib.closing(engine):
            found += _on(engine)
    return found


def _on(engine: EngineUnderTest) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        (root / "sam").mkdir()
        sam: tuple[str, str] | None = None
        skipped = f"skipped: SAM CLI is measured on {_SAM_ENGINE}"
        if engine.name == _SAM_ENGINE:
            print("  starting SAM CLI ...", file=sys.stderr, flush=True)
            try:
                sam = stack.enter_context(sam_cli(root / "sam", warm=False))
            except SkippedError as reason:
                skipped = f"skipped: {reason}"
                print(f"  {skipped}", file=sys.stderr, flush=True)
        print(f"  measuring on {engine.name} ...", file=sys.stderr, flush=True)
        rounds = asyncio.run(_measure(engine, root, sam[1] if sam is not None else None))
    yield from _overhead(engine.name, rounds)
    if engine.name == _SAM_ENGINE:
        yield from _compared(rounds, sam[0] if sam is not None else "", skipped)


def _overhead(engine: str, rounds: Sequence[_Round]) -> Iterator[Figure]:
    through = [each.stoker["total"] for each in rounds]
    note = f"p95 {percentile(through, 0.95):.0f}"
    yield Figure(f"container cold start to first answer, {engine}, p50", statistics.median(through), "ms", note=note)
    bare = statistics.median(each.bare["total"] for each in rounds)
    yield Figure(f"create, start and the runtime's init by themselves, {engine}, p50", bare, "ms", note="docker SDK")
    above = statistics.median(each.above("total") for each in rounds)
    yield Figure(
        f"container cold start above them, {engine}", above, "ms", at_most=_BUDGET, note="median of the rounds"
    )
    for phase in (*_PHASES, "rest"):
        stoker, by_itself = (
            statistics.median(each.stoker[phase] for each in rounds),
            statistics.median(each.bare[phase] for each in rounds),
        )
        yield Figure(
            f"  of it {phase}, {engine}",
            statistics.median(each.above(phase) for each in rounds),
            "ms",
            note=f"{stoker:.1f} against {by_itself:.1f}",
        )


def _compared(rounds: Sequence[_Round], version: str, skipped: str) -> Iterator[Figure]:
    sams = [each.sam for each in rounds if each.sam is not None]
    if not sams:
        yield Figure("container cold start, SAM CLI, docker", None, "ms", note=skipped)
        return
    mine, theirs = statistics.median(each.through_endpoint for each in rounds), statistics.median(sams)
    yield Figure("container cold start through Stoker's endpoint, docker, p50", mine, "ms", at_most=theirs)
    yield Figure("container cold start, SAM CLI, docker, p50", theirs, "ms", note=f"{version}, local start-lambda")
    yield Figure("SAM CLI's cold start in Stoker's", theirs / mine, "times")


async def _measure(engine: EngineUnderTest, root: Path, sam: str | None) -> list[_Round]:
    function = echo(root).replace(runtime=SAM_RUNTIME, backend=engine.name)
    rounds: list[_Round] = []
    async with LambdaRuntime.open(home=root / "home") as runtime, _open(runtime) as address:
        await until(runtime, lambda: runtime.backends()[engine.name].online)
        await runtime.add_function(function)
        bare = BareContainer(engine.client, runtime.deploy("echo"))
        for number in range(_WARM_UP + _ROUNDS):
            one = _Round(
                stoker=await _stoker(runtime, function),
                bare=await bare.cold_start(_EVENT),
                through_endpoint=await _over_http(address),
                sam=None,
            )
            await runtime.evict("echo", force=True)
            if sam is not None:
                one.sam = await _over_http(sam)
            if number >= _WARM_UP:
                rounds.append(one)
    return rounds


@contextlib.asynccontextmanager
async def _open(runtime: LambdaRuntime) -> AsyncIterator[str]:
    endpoint = Endpoint(runtime)
    try:
        yield await endpoint.open()
    finally:
        await endpoint.aclose()


async def _stoker(runtime: LambdaRuntime, function: LambdaFunction) -> dict[str, float]:
    """One cold start through the facade; its instance is gone afterwards."""
    started = time.perf_counter()
    result = await runtime.invoke(function.function_name, _EVENT)
    total = (time.perf_counter() - started) * 1000
    if not result.cold_start or result.function_error is not None:
        raise RuntimeError(f"no cold start that went well: {result}")
    (instance,) = runtime.instances(function.function_name)
    took = {phase.name: (phase.seconds or 0.0) * 1000 for phase in instance.phases}
    await runtime.evict(function.function_name, force=True)
    found = {phase: took[phase] for phase in _PHASES}
    return found | {"total": total, "rest": total - sum(found.values())}


async def _over_http(address: str) -> float:
    """One cold start through an endpoint, on a connection of its own."""
    with Client(address, "echo", _EVENT) as client:
        took, _ = await asyncio.to_thread(client.invoke)
        return took
