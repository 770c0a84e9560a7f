"""Something that an earlier Stoker left behind: `python -m tests.scenes.left_behind HOME` is the one to be killed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["kill_one_in"]


async def kill_one_in(home: Path) -> None:
    """Have another Stoker work in `home`, kill it, and make one directory's owner unknown."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.scenes.left_behind", home],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        if other.stdout.readline() != b"up\n":
            raise RuntimeError("the Stoker that was to be killed did not come up")
        other.kill()
    for owner in (home / "instances").iterdir():
        first = next(owner.iterdir())
        stranger = home / "instances" / "0123456789abcdef"
        stranger.mkdir()
        shutil.copytree(first, stranger / first.name)
        break


async def _leave_behind(home: Path) -> None:
    from core.runtime import LambdaRuntime
    from gui.samples import install_samples

    async with LambdaRuntime.open(home) as runtime:
        await install_samples(runtime)
        await runtime.launch("sample-words", 2)
        await runtime.launch("sample-echo", 2)
        print("up", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_leave_behind(Path(sys.argv[1])))
