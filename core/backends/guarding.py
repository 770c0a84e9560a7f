"""Stoker's side of the guard: starts it, tells it every tree, and starts another if it dies."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from core.backends import guard
from core.backends.exits import watch_exit
from core.backends.guard import Target

__all__ = ["Guard"]

_log = logging.getLogger(__name__)
_RESTARTS = 20


class Guard:
    """The one guard process of a Stoker. Every method must be called on the loop."""

    def __init__(self) -> None:
        self._targets: dict[str, Target] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._unwatch: Callable[[], None] | None = None
        self._closed = False
        self._restarts = 0

    @property
    def pid(self) -> int | None:
        """The guard's process, while there is one."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the guard unless it runs; raises OSError where no process can be started."""
        if self._process is not None:
            return
        self._closed = False
        # both ends are close-on-exec: no other child may hold the write end, or it would never close
        read_end, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(guard.__file__))],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                start_new_session=True,
            )
        except OSError:
            os.close(self._pipe)
            self._pipe = -1
            raise
        finally:
            os.close(read_end)
        self._unwatch = watch_exit(self._process, self._died)
        for target in tuple(self._targets.values()):
            self._send_entry(target)

    def add(self, target: Target) -> None:
        """Have the tree killed when Stoker ends without having done so."""
        self._targets[target.token] = target
        if self._process is not None:
            self._send_entry(target)
        elif not self._closed:
            self.start()

    def remove(self, token: str) -> None:
        """The tree is over, or was never begun. Harmless for one that is not known."""
        if self._targets.pop(token, None) is not None:
            self._send(f"- {token}\n")

    def targets(self) -> list[Target]:
        """What is guarded now."""
        return list(self._targets.values())

    def close(self) -> None:
        """Close the pipe: the guard kills what is still entered, and ends. Idempotent."""
        self._closed = True
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._close_pipe()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)

    def _send_entry(self, target: Target) -> None:
        self._send(f"+ {target.pid} {target.started or '-'} {target.token}\n")

    def _send(self, line: str) -> None:
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, line.encode("ascii"))
        except OSError as error:
            # dead, or stuck with a full pipe: either way another one takes over
            _log.warning("the guard does not listen (%s); starting another", error)
            self._replace()

    def _died(self) -> None:
        code = self._process.poll() if self._process is not None else None
        _log.warning("the guard ended (exit status %s); starting another", code)
        self._replace()

    def _replace(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            # before its pipe closes, or it would kill what it guards
            process.kill()
            process.wait()
        self._close_pipe()
        self._restarts += 1
        if self._closed or self._restarts > _RESTARTS:
            return
        try:
            self.start()
        except OSError:
            _log.exception("no guard could be started: a killed Stoker would leave its instances running")

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
