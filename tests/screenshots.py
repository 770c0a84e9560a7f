"""`python -m tests.screenshots --out DIR`: the real window in each of its states, dark and light, as pictures.

Runs off screen, with a real `LambdaRuntime` in a temporary home and the samples as functions; nothing
on the pictures is made up. `--readme` writes the two of the README instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import LambdaRuntimeError
from tests.container_scenes import NEEDS_DOCKER, SCENES, Studio, engines_that_refuse

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from core.runtime import LambdaRuntime
    from gui.main_window import MainWindow

__all__ = ["main"]

_SIZE = (1440, 900)
_CROWD = 240
_README = Path(__file__).resolve().parent.parent / "resources" / "screenshots"
_SCENES = (
    "empty", "idle", "streaming", "failed", "reap-stale", "crowd",
    "endpoint-off", "calls", "calls-crowd", "port-in-use", *SCENES,
)  # fmt: skip
_CALLS = 400


def main(argv: Sequence[str] | None = None) -> int:
    """Take the pictures; 0, or an exception that says which state was not reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="write every state, dark and light, into DIR")
    where.add_argument("--readme", action="store_true", help=f"write dark.png and light.png into {_README.name}/")
    where.add_argument("--leave-behind", type=Path, metavar="HOME", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=_SCENES, action="append", help="only this state; may be repeated")
    options = parser.parse_args(argv)
    if options.leave_behind:
        asyncio.run(_leave_behind(options.leave_behind))
        return 0
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


def _take(folder: Path, out: Path, scenes: Sequence[str], *, plain_names: bool) -> None:
    from PySide6.QtWidgets import QApplication

    from gui.loop import make_loop

    app = QApplication(["stoker"])
    app.setQuitOnLastWindowClosed(False)

    async def all_of_them() -> None:
        for scene in scenes:
            home = folder / scene
            camera = _Camera(out, "" if plain_names else f"{scene}-")
            if scene == "reap-stale":
                await _kill_one_in(home)
            if scene in NEEDS_DOCKER and (reason := _no_docker()):
                print(f"{scene}: left out, {reason}", flush=True)
                continue
            crowded = scene == "crowd"
            with engines_that_refuse() if scene == "offline" else nullcontext():
                async with _window(home, samples=scene != "empty", crowded=crowded) as window:
                    if scene in SCENES:
                        await SCENES[scene](window, _studio(camera, home.with_name(f"{scene}-files")))
                    else:
                        await _STATES[scene](window, camera)

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


def _studio(camera: _Camera, folder: Path) -> Studio:
    folder.mkdir()

    async def take(window: MainWindow, over: QWidget | None) -> None:
        await _settled(window)
        await camera.take(window, over)

    return Studio(take, _until, folder)


@asynccontextmanager
async def _window(home: Path, *, samples: bool, crowded: bool) -> AsyncIterator[MainWindow]:
    """The window as `stoker` opens it, closed again in stages."""
    from core.runtime import LambdaRuntime
    from core.settings import Settings
    from gui.main_window import open_window
    from gui.samples import install_samples
    from gui.shutdown import Answer

    settings = Settings(max_instances=_CROWD, instance_budget=2 * _CROWD) if crowded else Settings()
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


class _Camera:
    """Takes the window, and a dialog over it, in both schemes."""

    def __init__(self, out: Path, prefix: str) -> None:
        self._out = out
        self._prefix = prefix

    async def take(self, window: MainWindow, over: QWidget | None = None) -> None:
        from PySide6.QtGui import QColor, QPainter

        from gui.tokens import DARK, LIGHT

        for scheme, tokens in (("dark", DARK), ("light", LIGHT)):
            window.theme.force(tokens)
            window.coalescer.flush()
            # a turn of the loop for what the new colours set off; never `processEvents`, which would enter it twice
            await asyncio.sleep(0.02)
            picture = window.grab()
            if over is not None:
                corner = window.rect().center() - over.rect().center()
                with QPainter(picture) as painter:
                    painter.fillRect(window.rect(), QColor(0, 0, 0, 90))
                    painter.drawPixmap(corner, over.grab())
            path = self._out / f"{self._prefix}{scheme}.png"
            if not picture.save(str(path)):
                raise OSError(f"{path} could not be written")
            print(f"{path} ({path.stat().st_size / 1000:.0f} kB)", flush=True)


# --- the states


async def _empty(window: MainWindow, camera: _Camera) -> None:
    await _settled(window)
    await camera.take(window)


async def _idle(window: MainWindow, camera: _Camera) -> None:
    runtime = window.context.runtime
    await _warm_up(runtime)
    window.functions.select("sample-echo")
    await _invoke(window)
    await _until(window, lambda: window.workbench.running() == 0, "the echo's end")
    window.functions.select(None)
    await _settled(window)
    await camera.take(window)


async def _streaming(window: MainWindow, camera: _Camera) -> None:
    runtime = window.context.runtime
    await _warm_up(runtime)
    if shutil.which("node"):
        window.functions.select("sample-sse")
        await _invoke(window)
    window.functions.select("sample-words")
    await _invoke(window)
    await _until(window, lambda: _chunks(window) >= 14, "chunk 14 of the words")
    window.tasks.start("Launch sample-slow-init", _until_closed(runtime.launch("sample-slow-init")))
    await _until(window, lambda: _chunks(window) >= 24, "chunk 24 of the words")
    window.functions.select(None)
    await _settled(window)
    if not window.workbench.current_running():
        raise RuntimeError("the stream was over before its picture was taken")
    await camera.take(window)


async def _failed(window: MainWindow, camera: _Camera) -> None:
    await _warm_up(window.context.runtime)
    window.functions.select("sample-fails")
    await _invoke(window)
    await _until(window, lambda: window.workbench.running() == 0, "the failure")
    await _settled(window)
    await camera.take(window)


async def _reap_stale(window: MainWindow, camera: _Camera) -> None:
    from gui.dialogs.reap_stale import ReapStaleDialog

    await _warm_up(window.context.runtime)
    window.actions_.reap_stale.trigger()

    def filled() -> bool:
        dialogs = window.findChildren(ReapStaleDialog)
        return bool(dialogs) and dialogs[0].table.rowCount() > 0

    await _until(window, filled, "the candidates")
    (dialog,) = window.findChildren(ReapStaleDialog)
    await _settled(window)
    await camera.take(window, dialog)
    dialog.reject()


async def _crowd(window: MainWindow, camera: _Camera) -> None:
    runtime = window.context.runtime
    await asyncio.gather(runtime.launch("sample-words", _CROWD - 40), runtime.launch("sample-echo", 40))
    window.functions.select("sample-words")
    for _ in range(3):
        await _invoke(window)
    window.functions.select(None)
    await _until(window, lambda: _chunks(window) >= 10, "chunk 10 of the words")
    await camera.take(window)


async def _endpoint_off(window: MainWindow, camera: _Camera) -> None:
    runtime = window.context.runtime
    await _warm_up(runtime)
    await _publish(runtime)
    window.actions_.calls.setChecked(True)
    await _settled(window)
    await camera.take(window)


async def _calls(window: MainWindow, camera: _Camera) -> None:
    runtime = window.context.runtime
    await _warm_up(runtime)
    await _publish(runtime)
    window.actions_.calls.setChecked(True)
    client = await _turn_on(window)
    for work in (
        client.list_functions,
        lambda: client.get_function(FunctionName="sample-echo"),
        lambda: client.invoke(FunctionName="sample-echo", Payload=b'{"message": "hello"}'),
        lambda: client.invoke(FunctionName="sample-echo:1", Payload=b'{"message": "hello"}'),
        lambda: client.invoke(FunctionName="sample-fails", Payload=b"{}"),
        lambda: client.invoke(FunctionName="no-such-function", Payload=b"{}"),
        lambda: client.create_alias(FunctionName="sample-echo", Name="live", FunctionVersion="2"),
        lambda: client.invoke(FunctionName="sample-echo:live", Payload=b'{"message": "hello"}'),
    ):
        await asyncio.to_thread(_whatever, work)
    text = " ".join(["The pilot light never goes out."] * 12)
    payload = json.dumps({"text": text, "delay_ms": 70}).encode()
    words = asyncio.ensure_future(
        asyncio.to_thread(
            _whatever,
            lambda: _read_all(client.invoke_with_response_stream(FunctionName="sample-words", Payload=payload)),
        )
    )
    await _until(window, lambda: any("streaming" in text for text in _column(window, "status")), "the stream")
    window.functions.select("sample-echo")
    window.functions.select(None)
    await asyncio.sleep(1.2)
    await _settled(window)
    await camera.take(window)
    await words


async def _calls_crowd(window: MainWindow, camera: _Camera) -> None:
    await _warm_up(window.context.runtime)
    window.actions_.calls.setChecked(True)
    window.centre.setSizes([260, 240, 360])
    client = await _turn_on(window)
    names = ("sample-echo", "sample-echo", "sample-fails", "sample-echo", "no-such-function")

    def many(first: int) -> None:
        for number in range(first, _CALLS, 4):
            _whatever(lambda name=names[number % 5]: client.invoke(FunctionName=name, Payload=b"{}"))  # type: ignore[misc]

    await asyncio.gather(*(asyncio.to_thread(many, first) for first in range(4)))
    await _until(window, lambda: window.calls.model.rowCount() >= _CALLS, "all calls")
    window.calls.table.select_keys(window.calls.model.keys()[-6:-5])
    await _settled(window)
    await camera.take(window)


async def _port_in_use(window: MainWindow, camera: _Camera) -> None:
    from gui.dialogs.endpoint import EndpointDialog

    await _warm_up(window.context.runtime)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        window.endpoint.port = other.getsockname()[1]
        window.actions_.endpoint.trigger()
        await _until(window, lambda: bool(window.findChildren(EndpointDialog)), "the dialog")
        (dialog,) = window.findChildren(EndpointDialog)
        await _settled(window)
        await camera.take(window, dialog)
        dialog.reject()


_STATES = {
    "empty": _empty,
    "idle": _idle,
    "streaming": _streaming,
    "failed": _failed,
    "reap-stale": _reap_stale,
    "crowd": _crowd,
    "endpoint-off": _endpoint_off,
    "calls": _calls,
    "calls-crowd": _calls_crowd,
    "port-in-use": _port_in_use,
}


# --- getting there


async def _warm_up(runtime: LambdaRuntime) -> None:
    """Some warm instances that have served, one of them pinned."""
    await runtime.launch("sample-echo", 3)
    for together in (3, 3, 2, 1):
        await asyncio.gather(*(runtime.invoke("sample-echo", b'{"message": "warm"}') for _ in range(together)))
    runtime.pin(runtime.instances("sample-echo")[0].id)
    await runtime.launch("sample-words")


async def _publish(runtime: LambdaRuntime) -> None:
    """Two published versions of the echo, one of them warm."""
    await runtime.publish_version("sample-echo", "the first")
    await runtime.add_function(runtime.function("sample-echo").replace(timeout=7))
    await runtime.publish_version("sample-echo", "the second")
    await runtime.launch("sample-echo:1")


async def _turn_on(window: MainWindow) -> Any:
    """As a person does; returns a client of it."""
    import boto3
    from botocore.config import Config

    from gui.endpoint import is_free

    window.endpoint.port = 9001 if is_free(9001) else 0
    window.actions_.endpoint.trigger()
    await _until(window, lambda: window.endpoint.on, "the endpoint")
    return boto3.client(
        "lambda",
        endpoint_url=window.endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}),
    )


def _whatever(work: Callable[[], object]) -> None:
    """An error that the client is told belongs to the picture."""
    from botocore.exceptions import ClientError

    with suppress(ClientError):
        work()


def _read_all(answer: dict[str, Any]) -> None:
    for _ in answer["EventStream"]:
        pass


def _column(window: MainWindow, title: str) -> list[str]:
    from gui.models.call_row import TITLES

    model, column = window.calls.model, TITLES.index(title)
    return [str(model.index(row, column).data()) for row in range(model.rowCount())]


async def _invoke(window: MainWindow) -> None:
    """As a person does: the action behind Invoke, once it is offered."""
    await _until(window, window.actions_.invoke.isEnabled, "Invoke to be offered")
    await _settled(window)
    window.actions_.invoke.trigger()


def _chunks(window: MainWindow) -> int:
    tab = window.workbench.current
    return tab.run.response.chunks if tab is not None and tab.run is not None else 0


async def _until_closed(work: Awaitable[object]) -> None:
    """A launch that is still under way when the window closes is no failure here."""
    with suppress(LambdaRuntimeError):
        await work


async def _settled(window: MainWindow) -> None:
    """A few frames, so that what has happened is on the screen."""
    for _ in range(8):
        await asyncio.sleep(0.04)
        window.coalescer.flush()


async def _until(window: MainWindow, reached: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Look again at every frame until `reached`. Raises TimeoutError naming `what`."""
    try:
        async with asyncio.timeout(seconds):
            while not reached():
                await asyncio.sleep(0.02)
                window.coalescer.flush()
    except TimeoutError:
        raise TimeoutError(f"waited {seconds:g} s in vain for {what}") from None


# --- something left behind


async def _kill_one_in(home: Path) -> None:
    """Have another Stoker work in `home`, kill it, and make one directory's owner unknown."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.screenshots", "--leave-behind", home],
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
    sys.exit(main())
