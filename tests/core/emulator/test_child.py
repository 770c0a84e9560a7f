"""The process that the emulator starts when it runs by itself."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import psutil
import pytest

from core.emulator.child import Child, describe_exit
from tests.core.emulator.support import alive


class _WithoutPidfd:
    """The module `os` as it is where there is no pidfd."""

    def __getattr__(self, name: str) -> Any:
        if name == "pidfd_open":
            raise AttributeError(name)
        return getattr(os, name)


@pytest.fixture(params=["pidfd", "thread"])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to learn of the exit."""
    if request.param == "thread":
        monkeypatch.setattr("core.emulator.child.os", _WithoutPidfd())
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("macOS has no pidfd")
    return str(request.param)


class _Started:
    def __init__(self, code: str) -> None:
        self.said = b""
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.child = Child(
            [sys.executable, "-c", code],
            os.environ,
            output=self._output,
            exited=self.exit.set_result,
        )

    def _output(self, data: bytes) -> None:
        self.said += data
        if not self.first.done():
            self.first.set_result(data)


@pytest.mark.usefixtures("watched")
async def test_its_output_is_complete_when_its_exit_is_told() -> None:
    before = psutil.Process().num_fds()
    started = _Started("import os; os.write(1, b'x' * 50000); os.write(2, b'end'); os._exit(3)")
    async with asyncio.timeout(10):
        assert await started.exit == 3
    assert started.said == b"x" * 50000 + b"end"
    await started.child.stop()
    assert psutil.Process().num_fds() == before


@pytest.mark.usefixtures("watched")
async def test_stopping_ends_it_and_what_it_started_even_if_it_will_not() -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(other.pid, flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    started = _Started(code)
    async with asyncio.timeout(20):
        other = psutil.Process(int(await started.first))
        await started.child.stop()
        assert await started.exit == -9
        await started.child.stop()
    assert b"asked" in started.said
    assert not psutil.pid_exists(started.child.pid)
    assert not alive(other)


async def test_its_peak_memory_is_that_since_the_reset() -> None:
    code = "import time\nx = b'x' * 60_000_000\ndel x\nprint('done', flush=True)\ntime.sleep(60)"
    started = _Started(code)
    try:
        async with asyncio.timeout(10):
            await started.first
        peak = started.child.peak_memory()
        if peak is None:
            pytest.skip("macOS does not tell it")
        assert peak > 60_000_000
        started.child.reset_memory()
        after = started.child.peak_memory()
        assert after is not None
        assert after < 60_000_000
    finally:
        await started.child.stop()
    assert started.child.peak_memory() is None


async def test_a_command_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/nowhere/to/be/found"], {}, output=print, exited=print)


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit status 0"), (1, "exit status 1"), (-9, "signal: killed"), (-15, "signal: terminated")],
)
def test_an_exit_is_described_as_lambda_does(code: int, words: str) -> None:
    assert describe_exit(code) == words
