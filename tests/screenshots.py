"""`python -m tests.screenshots --out DIR`: the real window in each of its states, dark and light, as pictures.

Runs off screen, with a real `LambdaRuntime` in a temporary home and the samples as functions; nothing
on the pictures is made up. `--readme` writes the two of the README instead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tests.scenes import containers, endpoint, pool
from tests.scenes.left_behind import kill_one_in
from tests.scenes.studio import Studio

if TYPE_CHECKING:
    from gui.main_window import MainWindow

__all__ = ["main"]

_SIZE = (1440, 900)
_README = Path(__file__).resolve().parent.parent / "resources" / "screenshots"
_SCENES = {**pool.SCENES, **endpoint.SCENES, **containers.SCENES}


def main(argv: Sequence[str] | None = None) -> int:
    """Take the pictures; 0, or an exception that says which state was not reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="write every state, dark and light, into DIR")
    where.add_argument("--readme", action="store_true", help=f"write dark.png and light.png into {_README.name}/")
    parser.add_argument("--only", choices=_SCENES, action="append", help="only this state; may be repeated")
    options = parser.parse_args(argv)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    out = _README if options.readme else options.out
    scenes = ("streaming",) if options.readme else options.only or _SCENES
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stoker-pictures-") as folder:
        os.environ["STOKER_RUNTIME_DIR"] = str(_private(Path(folder) / "run"))
        _take(Path(folder), out, scenes, plain_names=options.readme)
    return 0


def _private(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _take(folder: Path, out: Path, scenes: Iterable[str], *, plain_names: bool) -> None:
    from PySide6.QtWidgets import QApplication

    from gui.loop import make_loop

    app = QApplication(["stoker"])
    app.setQuitOnLastWindowClosed(False)

    async def all_of_them() -> None:
        for scene in scenes:
            home = folder / scene
            if scene == "reap-stale":
                await kill_one_in(home)
            if scene in containers.NEEDS_DOCKER and (reason := _no_docker()):
                print(f"{scene}: left out, {reason}", flush=True)
                continue
            crowded = scene == "crowd"
            with containers.engines_that_refuse() if scene == "offline" else nullcontext():
                async with _window(home, samples=scene != "empty", crowded=crowded) as window:
                    files = home.with_name(f"{scene}-files")
                    files.mkdir()
                    await _SCENES[scene](window, Studio(out, "" if plain_names else f"{scene}-", files))

    with asyncio.Runner(loop_factory=lambda: make_loop(app)) as runner:
        runner.run(all_of_them())


def _no_docker() -> str:
    """Why there is no Docker for pictures; empty where there is one."""
    from tests.engines.engine import Unavailable, find_engine

    found = find_engine("docker")
    if isinstance(found, Unavailable):
        return found.reason
    found.close()
    return ""


@asynccontextmanager
async def _window(home: Path, *, samples: bool, crowded: bool) -> AsyncIterator[MainWindow]:
    """The window as `stoker` opens it, closed again in stages."""
    from core.runtime import LambdaRuntime
    from core.settings import Settings
    from gui.main_window import open_window
    from gui.samples import install_samples
    from gui.shutdown import Answer

    settings = Settings(max_instances=pool.CROWD, instance_budget=2 * pool.CROWD) if crowded else Settings()
    async with LambdaRuntime.open(home, settings=settings) as runtime:
        if samples:
            await install_samples(runtime)
        window = await open_window(runtime)
        window.resize(*_SIZE)
        try:
            yield window
        finally:
            window.shutdown.request(Answer.CANCEL)
            await window.shutdown.closed.wait()
            await window.dispose()


if __name__ == "__main__":
    sys.exit(main())
