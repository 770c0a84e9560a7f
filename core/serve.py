"""`stoker serve`: the runtime and its endpoint without a window, on plain asyncio, for CI and servers.

It needs nothing of Qt. One line on standard output says when it is ready; whatever is wrong at the start is one line
on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from core.backends.base import NOT_ASKED
from core.endpoint.endpoint import Endpoint
from core.endpoint.guard import check_token, is_loopback
from core.errors import LambdaRuntimeError
from core.events import BackendChanged, CallEnded, Event, InstanceExited, Trouble
from core.home import home_path
from core.runtime import LambdaRuntime

__all__ = ["main"]

_log = logging.getLogger("stoker")

_BAD_START = 2
_TOKEN_VARIABLE = "STOKER_TOKEN"
_LOCAL = "127.0.0.1"
_LEVELS = ("debug", "info", "warning", "error")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns 0, or 2 with one line on standard error where that cannot begin."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        level=options.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # one line for each request to an instance, of which the endpoint's own lines tell already
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        token = _token(options)
    except OSError as error:
        return _refuse(f"the token cannot be read from {options.token_file}: {error.strerror}")
    except ValueError as error:
        # what was found is not shown: it may be a token all the same
        return _refuse(f"the token cannot be used: {error}")
    if token is None and not is_loopback(options.bind):
        return _refuse(
            f"--bind {options.bind} can be reached by others, which needs a token: "
            f"give one by --token-file or {_TOKEN_VARIABLE}"
        )
    try:
        return asyncio.run(_Session(options, token).run())
    except KeyboardInterrupt:
        # before the signals were ours
        return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_START, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="stoker serve",
        description="Serve the functions of a home through the local Lambda endpoint, without a window.",
        epilog="It ends on SIGINT or SIGTERM, once what runs has ended; a second signal does not wait.",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="where to listen (0: any free port); default: 9001")
    parser.add_argument("--home", metavar="DIR", help="where functions, history and settings are kept")
    parser.add_argument("--backend", metavar="NAME", help="runs functions that do not choose a backend themselves")
    parser.add_argument("--bind", metavar="ADDRESS", default=_LOCAL, help="listen there; needs a token")
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--token-file", metavar="FILE", help=f"the first line of FILE is the token; or {_TOKEN_VARIABLE}"
    )
    token.add_argument(
        "--token", metavar="TOKEN", help="the token itself, which others may see in the list of processes"
    )
    parser.add_argument("--log-level", choices=_LEVELS, default="warning", help="default: warning")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text[:6]) > 65_535:
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return int(text)


def _token(options: argparse.Namespace) -> str | None:
    """The token that clients must show, if any. Raises OSError and ValueError."""
    # not for the programs that are started from here
    token: str | None = os.environ.pop(_TOKEN_VARIABLE, None)
    if options.token_file is not None:
        # anything that is not ASCII is refused with the rest
        with Path(options.token_file).expanduser().open("r", encoding="ascii", errors="replace") as file:
            token = file.readline(1024).strip()
    elif options.token is not None:
        print(
            "stoker serve: other users may read a token on the command line; "
            f"--token-file and {_TOKEN_VARIABLE} keep it to yourself",
            file=sys.stderr,
        )
        token = options.token
        options.token = None
    if token is not None:
        check_token(token)
    return token


def _refuse(problem: object) -> int:
    print(f"stoker serve: {' '.join(str(problem).split())}", file=sys.stderr)
    return _BAD_START


class _UnknownBackendError(Exception):
    """There is no backend of the name that was asked for."""


class _Session:
    """From the opened home to the closed one."""

    def __init__(self, options: argparse.Namespace, token: str | None) -> None:
        self._options = options
        self._token = token
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """Serve; returns the exit code."""
        self._listen_to_signals()
        chosen = {"default_backend": self._options.backend} if self._options.backend is not None else {}
        async with AsyncExitStack() as stack:
            try:
                runtime = await stack.enter_async_context(LambdaRuntime.open(home_path(self._options.home), **chosen))
                endpoint = await self._open(runtime)
            except (LambdaRuntimeError, _UnknownBackendError, OSError) as error:
                return _refuse(error)
            try:
                await self._serve(runtime, endpoint)
            finally:
                await endpoint.close()
                await runtime.close()
                await endpoint.aclose()
        return 0

    async def _open(self, runtime: LambdaRuntime) -> Endpoint:
        wanted, known = self._options.backend, runtime.backends()
        if wanted is not None and wanted not in known:
            raise _UnknownBackendError(f"there is no backend {wanted!r}; there are {', '.join(known)}")
        endpoint = Endpoint(runtime, token=self._token)
        port = self._options.port if self._options.port is not None else runtime.settings.endpoint_port
        await endpoint.open(self._options.bind, port)
        return endpoint

    async def _serve(self, runtime: LambdaRuntime, endpoint: Endpoint) -> None:
        for news in runtime.news:
            _log.warning("%s", news)
        default = runtime.default_backend()
        runtime.events.subscribe(partial(_tell, default), Trouble, BackendChanged, InstanceExited, CallEnded)
        health = runtime.backends()[default]
        if not health.online and health.detail != NOT_ASKED:
            # it was seen before anybody could be told
            _tell(default, BackendChanged(backend=default, online=False, detail=health.detail))
        _say(f"Stoker serves {endpoint.url} from {runtime.home}")
        looking = asyncio.create_task(_tell_of_stale(runtime), name="look for what was left behind")
        try:
            await self._stop.wait()
            if runtime.running() and not self._hurry.is_set():
                print("Stoker ends once what runs has ended; a second signal does not wait.", file=sys.stderr)
            await self._close(runtime, endpoint)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _close(self, runtime: LambdaRuntime, endpoint: Endpoint) -> None:
        """Answer and finish what runs, unless a second signal comes first."""
        draining = asyncio.create_task(_drain(runtime, endpoint), name="drain")
        hurry = asyncio.create_task(self._hurry.wait(), name="hurry")
        try:
            await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
            if draining.done():
                draining.result()
        finally:
            draining.cancel()
            hurry.cancel()
            await asyncio.gather(draining, hurry, return_exceptions=True)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # whoever started us by nohup wants us to outlive the terminal
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            # not in the main thread (a test): then signals are somebody else's
            with suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()


async def _drain(runtime: LambdaRuntime, endpoint: Endpoint) -> None:
    await endpoint.close(drain=True)
    await runtime.close(drain=True)


async def _tell_of_stale(runtime: LambdaRuntime) -> None:
    count = sum(candidate.reap for candidate in await runtime.reap_stale(dry_run=True))
    if count:
        _log.warning("an earlier Stoker left %d things behind; POST /_stoker/reap-stale removes them", count)


def _tell(default: str, event: Event) -> None:
    """What of the bus goes into the log: troubles always, who calls at level info.

    That there is no engine is a trouble only where the `default` backend needs it.
    """
    match event:
        case Trouble(about=about, message=message):
            _log.warning("%s: %s", about, message)
        case BackendChanged(backend=backend, online=False, detail=detail):
            level = logging.WARNING if backend == default else logging.INFO
            _log.log(level, "backend %s is offline: %s", backend, detail)
        case BackendChanged(backend=backend, detail=detail):
            _log.info("backend %s is online: %s", backend, detail)
        case InstanceExited(instance_id=instance_id, function_name=name, exit=exit_):
            _log.info("%s of %s ended by itself: %s", instance_id, name, exit_.reason)
        case CallEnded():
            _log.info(
                "%s %s %s%s %.1f ms, %s",
                event.operation,
                event.function_name or "-",
                event.status or "unanswered",
                f" {event.error}" if event.error else "",
                event.seconds * 1000,
                event.caller,
            )


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:
        # whoever started us does not listen; the interpreter must not stumble over that at its end
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
