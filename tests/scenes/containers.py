"""The states of the window that have to do with containers."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import LambdaRuntimeError
from core.functions import LambdaFunction
from core.images import PullState
from tests.scenes.studio import Scene, Studio, until

if TYPE_CHECKING:
    from gui.main_window import MainWindow

__all__ = ["NEEDS_DOCKER", "SCENES", "engines_that_refuse"]

NEEDS_DOCKER = frozenset({"containers", "containers-narrow", "pull", "backend-menu", "image-function"})
_MB = 1024 * 1024
_BASE = "public.ecr.aws/lambda/python:3.11"
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_CODE = "import time\n\n\ndef handler(event, context):\n    time.sleep(event.get('seconds', 0))\n    return event\n"


@contextmanager
def engines_that_refuse() -> Iterator[None]:
    """Let both engines be looked for where a socket's name is and nobody listens."""
    with tempfile.TemporaryDirectory(prefix="stk-") as folder:
        path = Path(folder) / "engine.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        before = {name: os.environ.get(name) for name in ("DOCKER_HOST", "CONTAINER_HOST")}
        os.environ.update(dict.fromkeys(before, f"unix://{path}"))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


async def _containers(window: MainWindow, studio: Studio) -> None:
    """Instances of processes, Docker and Podman beside one another, one of them starting."""
    runtime = window.context.runtime
    await _crew(window, studio)
    running = await runtime.invoke_streaming("checkout-api", b'{"seconds": 3}', source="window")
    starting = asyncio.ensure_future(_whatever(runtime.launch("search")))
    await until(window, lambda: _phase(window) in {"create", "start", "init"}, "a container that starts")
    first = next(row.snapshot.id for row in _rows(window) if row.container)
    window.instances.select([first])
    await studio.take(window)
    await running.cancel()
    await starting


async def _containers_narrow(window: MainWindow, studio: Studio) -> None:
    """The same at 1100 px."""
    await _crew(window, studio)
    window.resize(1100, 760)
    await asyncio.sleep(1.2)
    await studio.take(window)


async def _crew(window: MainWindow, studio: Studio) -> None:
    runtime = window.context.runtime
    code = studio.folder / "code"
    code.mkdir()
    (code / "app.py").write_text(_CODE)
    await until(
        window, lambda: all(health.detail != "not asked yet" for health in runtime.backends().values()), "the engines"
    )
    there = [name for name in ("docker", "podman") if runtime.backends()[name].online]
    for name, backend in (("checkout-api", there[0]), ("search", there[-1])):
        await runtime.add_function(
            LambdaFunction(
                function_name=name, runtime="python3.11", handler="app.handler", code=code, backend=backend, timeout=20
            )
        )
    await runtime.launch("sample-echo", 2)
    await runtime.invoke("checkout-api", b'{"cart": 3}')
    await runtime.invoke("search", b'{"for": "ember"}')
    await runtime.launch("checkout-api", 1)
    # two looks at the engine's figures
    await until(window, lambda: window.instances.model.tells_cpu, "figures of containers")


async def _pull(window: MainWindow, studio: Studio) -> None:
    """A pull that goes on, and one that failed."""
    from tests.engines.engine import EngineUnderTest, find_engine
    from tests.engines.held_relay import build_layers, held_relay
    from tests.engines.local_registry import local_registry

    engine = find_engine("docker")
    assert isinstance(engine, EngineUnderTest)
    runtime, tag = window.context.runtime, "stoker-pictures/checkout:3"
    with local_registry(studio.folder / "registry") as registry:
        await asyncio.to_thread(build_layers, engine.client, _BASE, tag, [9 * _MB, 6 * _MB, 14 * _MB, 2 * _MB])
        await asyncio.to_thread(registry.push, engine.client, tag, "team/checkout", "3")
        await asyncio.to_thread(engine.client.remove_image, tag)
        port = int(registry.address.rpartition(":")[2])
        async with held_relay(("127.0.0.1", port), 17 * _MB) as relay:
            await runtime.add_function(_image("search", f"{registry.address}/team/search:9", "docker"))
            await until(window, lambda: _pull_states(window) == ["failed"], "a pull that fails")
            await runtime.add_function(_image("checkout-api", f"127.0.0.1:{relay.port}/team/checkout:3", "docker"))
            async with asyncio.timeout(60):
                await relay.held.wait()
            await until(window, lambda: any(pull.received > _MB for pull in runtime.pulls()), "some megabytes")
            window.functions.select("checkout-api")
            await studio.take(window)
            for pull in runtime.pulls():
                runtime.cancel_pull(pull.id)
            await until(window, lambda: not runtime.pulls(), "the pull's end")
    engine.close()


async def _offline(window: MainWindow, studio: Studio) -> None:
    """Functions of an engine that does not answer, and what an invocation says then."""
    runtime = window.context.runtime
    await until(window, lambda: "refused" in runtime.backends()["docker"].detail, "engines that refuse")
    code = studio.folder / "code"
    code.mkdir()
    (code / "app.py").write_text(_CODE)
    await runtime.add_function(
        LambdaFunction(
            function_name="checkout-api", runtime=_PYTHON, handler="app.handler", code=code, backend="docker"
        )
    )
    await runtime.launch("sample-echo", 2)
    window.coalescer.flush()
    window.functions.select("checkout-api")
    await until(window, window.actions_.invoke.isEnabled, "Invoke to be offered")
    window.actions_.invoke.trigger()
    await until(window, lambda: window.workbench.running() == 0, "the failure")
    await studio.take(window)


async def _backend_menu(window: MainWindow, studio: Studio) -> None:
    """What is known of an engine."""
    from PySide6.QtWidgets import QMenu

    await window.context.runtime.launch("sample-echo", 2)
    await until(window, lambda: window.context.runtime.backends()["docker"].online, "docker")
    window.backend_commands.show_menu("docker")
    (menu,) = window.findChildren(QMenu, "backend_menu")
    await studio.take(window, menu)
    menu.close()


async def _image_function(window: MainWindow, studio: Studio) -> None:
    """The dialog of a function that is an image."""
    from gui.dialogs.function import FunctionDialog

    await until(window, lambda: window.context.runtime.backends()["docker"].online, "docker")
    window.actions_.add.trigger()
    await until(window, lambda: bool(window.findChildren(FunctionDialog)), "the dialog")
    (dialog,) = window.findChildren(FunctionDialog)
    form = dialog.form
    form.name.setText("checkout-api")
    form.package.setCurrentIndex(form.package.findData("Image"))
    form.package.activated.emit(form.package.currentIndex())
    form.image.setText("123456789012.dkr.ecr.eu-west-1.amazonaws.com/checkout:3")
    form.command.setText("app.handler")
    await studio.take(window, dialog)
    dialog.reject()


def _image(name: str, uri: str, backend: str) -> LambdaFunction:
    return LambdaFunction(function_name=name, package_type="Image", image_uri=uri, backend=backend)


def _rows(window: MainWindow) -> list[Any]:
    model = window.instances.model
    return [model.row_at(place) for place in range(model.rowCount())]


def _phase(window: MainWindow) -> str:
    return next((row.phase() for row in _rows(window) if row.phase()), "")


def _pull_states(window: MainWindow) -> list[PullState]:
    return [pull.state for pull in window.pulls.model.all()]


async def _whatever(work: Awaitable[object]) -> None:
    with suppress(LambdaRuntimeError):
        await work


SCENES: dict[str, Scene] = {
    "containers": _containers,
    "containers-narrow": _containers_narrow,
    "pull": _pull,
    "offline": _offline,
    "backend-menu": _backend_menu,
    "image-function": _image_function,
}
