"""The `stoker` command: options, checks before Qt, the loop, and the session from open to closed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from core.errors import LambdaRuntimeError
    from core.runtime import LambdaRuntime
    from gui.main_window import MainWindow
    from gui.theme import Theme

__all__ = ["main"]

_BAD_START = 2
_FIRST_SHOWN = "sample-words"
_PICTURE = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window and return when it has closed: 0, or 2 with one line on stderr where it cannot open.

    `stoker serve ...` goes without a window, and without Qt.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["serve"]:
        from core.serve import main as serve

        return serve(arguments[1:])
    options = _options(arguments)
    if options.version:
        from gui.version import version

        print(f"stoker {version()}")
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # nothing of Qt, and little of Stoker, is imported above this line: what is wrong is told at once
    from gui.platform_check import platform_problem

    if (problem := platform_problem()) is not None:
        return _refuse(problem)
    home = _home(options.home)
    if _raised(home):
        return _not_here(home, options)
    return _run(home, options)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="stoker", description="A desktop control room for a warm pool of AWS-Lambda-style functions."
    )
    parser.add_argument("--home", metavar="DIR", help="where functions, history and settings are kept")
    parser.add_argument(
        "--port", type=_port, metavar="N", help="turn the local endpoint on at this port of 127.0.0.1 (0: any free one)"
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    scheme = parser.add_mutually_exclusive_group()
    scheme.add_argument("--light", action="store_true", help="light colours, whatever the system says")
    scheme.add_argument("--dark", action="store_true", help="dark colours, whatever the system says")
    return parser.parse_args(argv)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text[:6]) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: it must be 0 to 65535")
    return int(text)


def _home(chosen: str | None) -> Path:
    import platformdirs

    path = Path(chosen).expanduser() if chosen else platformdirs.user_data_path("stoker")
    return path.absolute()


def _refuse(problem: object) -> int:
    print(f"stoker: {problem}", file=sys.stderr)
    return _BAD_START


def _raised(home: Path) -> bool:
    from gui.single_instance import raise_first

    return raise_first(home)


def _not_here(home: Path, options: argparse.Namespace) -> int:
    """Another window works in this home, and was raised: enough, unless an endpoint was asked for too."""
    raised = f"Stoker is open already in {home}: its window was raised"
    if options.port is None:
        print(f"{raised}.")
        return 0
    return _refuse(f"{raised}, but --port {options.port} was not carried out; turn the endpoint on in that window")


def _run(home: Path, options: argparse.Namespace) -> int:
    from PySide6.QtWidgets import QApplication

    from gui.garbage import Garbage
    from gui.loop import make_loop

    app = QApplication(["stoker"])
    app.setApplicationName("stoker")
    app.setApplicationDisplayName("Stoker")
    app.setDesktopFileName("stoker")
    # the session ends when the closing is done, not when Qt sees no window
    app.setQuitOnLastWindowClosed(False)
    garbage = Garbage()
    with asyncio.Runner(loop_factory=lambda: make_loop(app)) as runner:
        # before the runtime's threads exist
        garbage.start()
        try:
            return runner.run(_session(app, home, options))
        finally:
            garbage.stop()


async def _session(app: QApplication, home: Path, options: argparse.Namespace) -> int:
    from core.errors import HomeInUseError, LambdaRuntimeError
    from core.runtime import LambdaRuntime
    from gui.errors import Problems
    from gui.main_window import open_window

    problems = Problems()
    problems.install(asyncio.get_running_loop())
    theme = _theme(app, options)
    async with AsyncExitStack() as stack:
        stack.callback(problems.uninstall)
        try:
            runtime = await stack.enter_async_context(LambdaRuntime.open(home))
        except HomeInUseError as error:
            # it had no window yet when it was asked first
            return _not_here(home, options) if _raised(home) else _refuse(error)
        except (LambdaRuntimeError, OSError) as error:
            return _refuse(error)
        if (problem := await _port_problem(runtime, options.port)) is not None:
            return _refuse(problem)
        window = await open_window(runtime, theme=theme, problems=problems)
        stack.push_async_callback(window.dispose)
        return await _serve(window, stack, options.port)


async def _port_problem(runtime: LambdaRuntime, port: int | None) -> LambdaRuntimeError | None:
    """Why the endpoint cannot have this port; asked before there is a window to be seen."""
    from gui.endpoint import HOST, is_free

    if port is None or is_free(port):
        return None
    from core.endpoint.endpoint import Endpoint
    from core.errors import EndpointUnusableError

    endpoint = Endpoint(runtime)
    try:
        await endpoint.open(HOST, port)
    except EndpointUnusableError as error:
        return error
    # free again in this very moment
    await endpoint.aclose()
    return None


def _theme(app: QApplication, options: argparse.Namespace) -> Theme:
    from gui.theme import Theme
    from gui.tokens import DARK, LIGHT

    theme = Theme(app)
    if options.dark or options.light:
        theme.force(DARK if options.dark else LIGHT)
    return theme


async def _serve(window: MainWindow, stack: AsyncExitStack, port: int | None) -> int:
    """Everything between the window's first picture and its end."""
    from gui.single_instance import WindowSocket

    _listen_to_signals(window, stack)
    listener = WindowSocket(window.context.runtime.home, window.raise_window)
    await listener.open()
    stack.push_async_callback(listener.close)
    window.tasks.start("Install the samples", _install_samples(window))
    window.tasks.start("Look for what was left behind", window.commands.tell_of_stale())
    problem = await _open_endpoint(window, port)
    await window.shutdown.closed.wait()
    return 0 if problem is None else _refuse(problem)


async def _open_endpoint(window: MainWindow, port: int | None) -> LambdaRuntimeError | None:
    """Turn the endpoint on, if it was asked for or was on when the window was closed."""
    from core.errors import EndpointUnusableError
    from gui.shutdown import Answer

    if port is None and not window.context.runtime.settings.endpoint_on:
        return None
    # reading it in takes time that the first picture needs; a window that nobody sees has none
    with suppress(TimeoutError):
        async with asyncio.timeout(_PICTURE):
            await window.painted.wait()
    if port is None:
        window.endpoint_commands.restore()
        return None
    try:
        await window.endpoint.open(port)
    except EndpointUnusableError as error:
        window.shutdown.request(Answer.CANCEL)
        return error
    return None


async def _install_samples(window: MainWindow) -> None:
    from gui.samples import install_samples

    added = await install_samples(window.context.runtime)
    window.coalescer.flush()
    # the first start begins with the function that shows what Stoker is about
    if added and window.functions.selected() is None:
        window.functions.select(_FIRST_SHOWN if _FIRST_SHOWN in added else added[0])
        window.functions.focus_list()


def _listen_to_signals(window: MainWindow, stack: AsyncExitStack) -> None:
    """The first Ctrl+C waits for what runs, the next hurries; SIGTERM does not wait."""
    from gui.shutdown import Answer

    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        running = window.context.runtime.running()
        if running:
            print("Stoker closes once what runs has ended; Ctrl+C again does not wait.", file=sys.stderr)
        window.shutdown.request(Answer.WAIT)

    handlers = {
        signal.SIGINT: interrupted,
        signal.SIGTERM: lambda: window.shutdown.request(Answer.CANCEL),
        signal.SIGHUP: lambda: window.shutdown.request(Answer.CANCEL),
    }
    for number, handler in handlers.items():
        # not in the main thread (a test): then signals are somebody else's
        with suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, handler)
            stack.callback(loop.remove_signal_handler, number)
