"""A disk that is full: the engine's, and the one that functions' code lies on."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from docker import APIClient

from core.errors import ContainerStartFailedError, LambdaRuntimeError
from core.runtime import LambdaRuntime
from tests.engines.base_image import import_image
from tests.engines.engine import EngineUnderTest
from tests.engines.private_docker import private_docker
from tests.engines.trouble import contained, nothing_left, online, serves

pytestmark = pytest.mark.usefixtures("may_start_daemons")

_MIB = 1024 * 1024


@contextmanager
def small_disk(at: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size."""
    at.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "stoker-test", str(at)], check=True)
    try:
        yield at
    finally:
        # a daemon that worked on it has taken it away already
        subprocess.run(["umount", "--lazy", str(at)], check=False, capture_output=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Nothing more can be written to it meanwhile."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (_MIB, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    assert shutil.disk_usage(disk).free == 0
    try:
        yield
    finally:
        filler.unlink()


async def test_the_engines_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="stk-", ignore_cleanup_errors=True) as folder,
        small_disk(Path(folder) / "d" / "docker", 400) as disk,
        private_docker(Path(folder) / "d") as daemon,
    ):
        import_image(daemon.command, "provided.al2023")
        monkeypatch.setenv("DOCKER_HOST", daemon.url)
        engine = EngineUnderTest("docker", daemon.url, APIClient(base_url=daemon.url, version="1.41"))
        async with nothing_left(engine):
            async with LambdaRuntime.open(home=tmp_path / "home", default_backend="docker") as runtime:
                await online(runtime, "docker")
                await runtime.add_function(contained(tmp_path))
                warm = await serves(runtime)
                with full(disk):
                    with pytest.raises(ContainerStartFailedError, match=r"scripted did not start: .*no space left"):
                        await runtime.launch("scripted")
                    assert await serves(runtime) == warm, "what is up goes on"
                await runtime.evict("scripted")
                with full(disk), pytest.raises(ContainerStartFailedError, match="no space left"):
                    await runtime.invoke("scripted", b"{}")
                await serves(runtime)
            assert engine.containers() == set()
        engine.close()


async def test_the_disk_with_the_functions_code_is_full(engine: EngineUnderTest, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40) as disk:
        async with (
            nothing_left(engine),
            LambdaRuntime.open(home=disk / "home", default_backend=engine.name) as runtime,
        ):
            await online(runtime, engine.name)
            await runtime.add_function(contained(tmp_path))
            warm = await serves(runtime)
            large = contained(tmp_path, "large")
            (tmp_path / "large" / "large-code" / "data").write_bytes(os.urandom(16 * _MIB))
            with full(disk), pytest.raises(LambdaRuntimeError, match=r"(?i)no (room|space) left"):
                await runtime.add_function(large)
            assert await serves(runtime) == warm
            await runtime.add_function(large)
            await serves(runtime, "large")
