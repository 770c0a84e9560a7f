"""Warm invocations over HTTP: Stoker's endpoint, serverless-offline and SAM CLI, turn by turn in one run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.endpoint_client import Client
from tests.benchmarks.endpoint_functions import FUNCTIONS, has_node
from tests.benchmarks.endpoint_rivals import SkippedError, sam_cli, serverless_offline
from tests.benchmarks.report import Figure, percentile

__all__ = ["figures"]

_ROUNDS = 10
_COUNT = 100  # a round, so 1,000 in all
_WARM_UP = 200
_WARM_UP_ROUND = 10
_EVENT = b'{"key1": "value1", "key2": "value2"}'

_OFFLINE = "serverless-offline"
_LANGUAGES = {"echo": "Python", "echo-node": "Node"}


@dataclass(slots=True)
class _Contestant:
    """One function behind one server."""

    server: str
    function: str
    address: str
    note: str
    times: list[float] = field(default_factory=list)
    connections: int = 0

    def run(self, warm_up: int, count: int) -> None:
        with Client(self.address, self.function, _EVENT) as client:
            for number in range(warm_up + count):
                took, body = client.invoke()
                if json.loads(body) != json.loads(_EVENT):
                    raise ValueError(f"{self.server} answered {body[:200]!r}")
                if number == warm_up - 1:
                    client.connections = 0
                elif number >= warm_up:
                    self.times.append(took)
            self.connections += client.connections


def figures() -> list[Figure]:
    """p50 and p99 in milliseconds of one client on one connection, function by function, no server at rest for long."""
    servers: list[tuple[str, tuple[str, ...], Callable[[Path], AbstractContextManager[tuple[str, str]]]]] = [
        ("Stoker on asyncio", ("echo", "echo-node"), lambda folder: _stoker(folder, "asyncio")),
        ("Stoker on the Qt loop", ("echo", "echo-node"), lambda folder: _stoker(folder, "Qt loop")),
        (_OFFLINE, ("echo", "echo-node"), serverless_offline),
        ("SAM CLI", ("echo",), sam_cli),
    ]
    skipped: list[Figure] = []
    contestants: list[_Contestant] = []
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as root, contextlib.ExitStack() as stack:
        for number, (server, functions, start) in enumerate(servers):
            folder = Path(root) / str(number)
            folder.mkdir()
            print(f"  starting {server} ...", file=sys.stderr, flush=True)
            try:
                version, address = stack.enter_context(start(folder))
            except SkippedError as reason:
                print(f"  skipped {server}: {reason}", file=sys.stderr, flush=True)
                skipped.append(Figure(f"endpoint, {server}", None, "ms", note=f"skipped: {reason}"))
                continue
            contestants += [
                _Contestant(server, name, address, version) for name in functions if name == "echo" or has_node()
            ]
        for contestant in contestants:
            contestant.run(_WARM_UP, 0)
        for _ in range(_ROUNDS):
            for contestant in contestants:
                contestant.run(_WARM_UP_ROUND, _COUNT)
    return [figure for name in FUNCTIONS for figure in _of_function(name, contestants)] + skipped


def _of_function(name: str, contestants: list[_Contestant]) -> Iterator[Figure]:
    mine = [one for one in contestants if one.function == name]
    aim = next((percentile(one.times, 0.5) for one in mine if one.server == _OFFLINE), None)
    for one in mine:
        what = f"endpoint, {_LANGUAGES[name]}, {one.server}"
        note = one.note
        if one.connections >= len(one.times):
            note += ", a new connection for each, as it closes them"
        limit = aim if one.server.startswith("Stoker") else None
        yield Figure(f"{what}, p50", percentile(one.times, 0.5), "ms", at_most=limit, note=note)
        yield Figure(f"{what}, p99", percentile(one.times, 0.99), "ms")


@contextlib.contextmanager
def _stoker(folder: Path, loop: str) -> Iterator[tuple[str, str]]:
    """The endpoint in a process of its own, as the others are."""
    functions = [name for name in FUNCTIONS if name == "echo" or has_node()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.endpoint_server", loop, str(folder), *functions],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"the endpoint did not come up, exit {process.wait(20)}")
            yield "process backend", address
            process.stdin.close()
            if process.wait(30) != 0:
                raise RuntimeError(f"the endpoint's process ended with {process.returncode}")
        finally:
            process.kill()
