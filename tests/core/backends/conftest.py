"""A real process backend, and the proof that it leaves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.archives import Archive
from core.backends.base import launching
from core.backends.process import ProcessBackend
from core.emulator.runtime_api import RuntimeApi
from core.functions import LambdaFunction
from core.instances import ProcessHandle, WarmInstance
from core.local_emulators import LocalEmulators
from tests.core.backends.support import Recorder, archive, with_environment

OWNER = "owner-under-test"


@dataclass
class Started:
    """One launched instance with everything a test asks of it."""

    warm: WarmInstance
    api: RuntimeApi
    recorder: Recorder

    @property
    def handle(self) -> ProcessHandle:
        assert isinstance(self.warm.handle, ProcessHandle)
        return self.warm.handle


class Bench:
    """A backend in a home of its own, and short ways to launch functions on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.local = LocalEmulators()
        self.backend = ProcessBackend(self.home, OWNER, local=self.local)
        self.tokens: list[str] = []
        self._count = 0

    def archive(self, files: Mapping[str, str | bytes]) -> Archive:
        self._count += 1
        return archive(self.root / f"code-{self._count}", files)

    async def launch(
        self,
        files: Mapping[str, str | bytes] | Archive,
        *,
        layers: Sequence[Archive] = (),
        recorder: Recorder | None = None,
        init_timeout: float = 10.0,
        **fields: Any,
    ) -> Started:
        code = files if isinstance(files, Archive) else self.archive(files)
        fields = {"function_name": "f", "runtime": "python3.11", "handler": "app.handler", "timeout": 30, **fields}
        recorder = recorder or Recorder()
        launch = recorder.launch(OWNER, init_timeout)
        with launching(launch):
            warm = await self.backend.launch(LambdaFunction(**fields), code, layers, "deploy")
        api = self.local.get(warm.endpoint.partition("://")[2])
        assert isinstance(api, RuntimeApi)
        started = Started(warm, api, recorder)
        self.tokens.append(started.handle.token)
        return started

    def directories(self) -> list[Path]:
        return [path for path in (self.home / "instances").glob("*/*") if path.is_dir()]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    await bench.backend.start()
    yield bench
    await bench.backend.aclose()
    assert [pid for token in bench.tokens for pid in with_environment(token)] == []
    assert bench.directories() == []
    assert len(bench.local) == 0
    assert bench.backend.guarded() == []
