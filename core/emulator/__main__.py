"""`python -m core.emulator [options] [--] COMMAND...`: AWS's RIE, but responses stream.

The command is a runtime, for instance `python -m awslambdaric app.handler`. Without one the usual
bootstraps are looked for, as RIE does.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .rie import Emulator, Settings

_BOOTSTRAPS = ("/var/task/bootstrap", "/opt/bootstrap", "/var/runtime/bootstrap")
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    0 after a signal, 1 where an address cannot be used, 2 for wrong options, 126 or 127 for a command
    that cannot be run.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=_LEVELS[options.log_level], format="%(asctime)s %(levelname)s %(message)s"
    )
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        command = [path for path in _BOOTSTRAPS if Path(path).is_file()][:1]
    if not command:
        parser.error(f"no command, and none of {', '.join(_BOOTSTRAPS)} is there")
    settings = Settings(
        command, options.runtime_interface_emulator_address, options.runtime_api_address, dict(os.environ)
    )
    try:
        settings.facts()
    except ValueError as error:
        parser.error(str(error))
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    emulator = Emulator(settings)
    try:
        address = await emulator.start()
    except FileNotFoundError as error:
        logging.error("%s was not found: %s", settings.command[0], error)
        return 127
    except PermissionError as error:
        logging.error("not allowed to run %s, or to listen there: %s", settings.command[0], error)
        return 126
    except OSError as error:
        logging.error("cannot start: %s", error)
        return 1
    try:
        logging.info("invoke at http://%s/2015-03-31/functions/function/invocations", address)
        await stop.wait()
        return 0
    finally:
        await emulator.aclose()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core.emulator", description=__doc__)
    parser.add_argument(
        "--runtime-api-address",
        type=_address,
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="where the runtime asks for events (a free port on loopback unless given)",
    )
    parser.add_argument(
        "--runtime-interface-emulator-address",
        type=_address,
        default=("127.0.0.1", 8080),
        metavar="HOST:PORT",
        help="where invocations are taken (127.0.0.1:8080 unless given)",
    )
    parser.add_argument(
        "--log-level",
        type=str.lower,
        choices=sorted(_LEVELS),
        default=_default_level(),
        help="how much is said on stderr; also by LOG_LEVEL",
    )
    parser.add_argument("--enable-init-caching", action="store_true", help="accepted for RIE's sake; changes nothing")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND...", help="the runtime to start")
    return parser


def _default_level() -> str:
    level = os.environ.get("LOG_LEVEL", "info").lower()
    return level if level in _LEVELS else "info"


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    host = host.removeprefix("[").removesuffix("]")
    return {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host), int(port)  # ":8080" is all of them


if __name__ == "__main__":
    sys.exit(main())
