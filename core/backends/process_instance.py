"""One local process as an execution environment: its start, its end, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.backends.cgroups import Cgroup
from core.backends.commands import Command
from core.backends.environment import lambda_environment
from core.backends.exits import how_it_ended, watch_exit
from core.backends.guard import Target, kill_group, started_at
from core.backends.guarding import Guard
from core.backends.killing import TreeKiller
from core.backends.memory import MemoryWatch, TreeMemory
from core.backends.output import OutputPipe
from core.backends.scratch import InstanceDirectory
from core.emulator.runtime_api import FunctionFacts, RuntimeApi
from core.instances import InstanceExit, MemoryUsage
from core.names import function_arn

if TYPE_CHECKING:
    from core.backends.base import Launch
    from core.functions import LambdaFunction

__all__ = ["ProcessInstance", "Services"]

_log = logging.getLogger(__name__)

# Waits until Stoker has entered the process with the guard; a Stoker that dies first closes the pipe.
# `nofile` is Lambda's: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_GATE = 'ulimit -n 1024 2>/dev/null; read -r go || exit 125; exec "$@" </dev/null'
_TAIL_LINES = 50
_CERTAIN_END = 10.0
_BRIEF = 0.002  # seconds of an invocation after which memory is read that was read within the last _OFTEN
_OFTEN = 0.05


@dataclass(frozen=True, slots=True)
class Services:
    """What all instances of one backend share."""

    guard: Guard
    killer: TreeKiller
    memory: MemoryWatch
    executor: Executor


class ProcessInstance:
    """A process tree with its Runtime API, output, memory limit and directory.

    `start` brings it up to a running process; `stop` ends it, however far it came, and leaves
    nothing. `ended` is called once everything is gone.
    """

    def __init__(
        self,
        *,
        function: LambdaFunction,
        launch: Launch,
        directory: InstanceDirectory,
        services: Services,
        ended: Callable[[ProcessInstance], None],
    ) -> None:
        self.function = function
        self.name = directory.record.instance
        self.token = directory.record.token
        self.memory_limit = function.memory_size * 1024 * 1024
        self.memory = TreeMemory(0)
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.pid = 0
        self._launch = launch
        self._directory = directory
        self._services = services
        self._ended = ended
        self._grace = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._target = Target(0, "", self.token)
        self._cgroup: Cgroup | None = None
        self._output: OutputPipe | None = None
        self._unwatch: Callable[[], None] = lambda: None
        self._stopping: asyncio.Task[None] | None = None
        self._proceed = asyncio.Event()
        self._exited = asyncio.Event()
        self._hurry = False
        self._asked = False
        self._launched = False
        self._idle = asyncio.Event()
        self._ran_out = False
        self._handed = 0.0  # when it was given an event, and when its memory was read last
        self._measured = 0.0
        self.api = RuntimeApi(
            FunctionFacts(
                name=function.name,
                version=function.version,
                arn=function_arn(function.function_name),
                handler=function.handler or "",
                timeout=float(function.timeout),
                memory_size=function.memory_size,
            ),
            log=self._log_lines,
            peak_memory=self._peak_memory,
            drain_output=self.drain,
            reset_memory=self._began,
        )

    # --- coming up

    async def start(self, command: Command, task_root: Path, cgroup_parent: Path | None) -> None:
        """Start the process, entered everywhere before its first instruction. Raises OSError."""
        self._directory.create()
        runtime_api = await self.api.start()
        if self._stopping is not None:
            await self.api.aclose()
            raise OSError(errno.ECANCELED, "it was ended before it began")
        environment = lambda_environment(
            self.function,
            runtime_api=runtime_api,
            token=self.token,
            task_root=task_root,
            runtime_directory=command.runtime_directory,
            tmp=self._directory.tmp,
            paths=command.paths,
        )
        self._grace = command.grace
        if cgroup_parent is not None:
            name = f"stoker-{self._directory.record.owner}-{self._directory.record.instance}"
            with contextlib.suppress(OSError):
                self._cgroup = Cgroup.create(cgroup_parent, name, self.memory_limit)
        self._output = OutputPipe(self.api.output)
        try:
            self._spawn(command.argv, task_root, environment, self._output.write_end)
        finally:
            self._output.opened()

    def _spawn(self, argv: Sequence[str], task_root: Path, environment: Mapping[str, str], output: int) -> None:
        """Start the process at its gate, and open that once everybody knows the process."""
        gate, opener = os.pipe()
        try:
            # blocks until the shell runs, about 1 ms: asyncio's own would cost a thread or a child watcher
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, "sh", *argv],
                stdin=gate,
                stdout=output,
                stderr=output,
                cwd=task_root,
                env=environment,
                start_new_session=True,
            )
            self._entered(self._process)
            with contextlib.suppress(BrokenPipeError):
                # broken if the process was killed at its gate: its exit tells
                os.write(opener, b"\n")
        finally:
            os.close(gate)
            os.close(opener)

    def _entered(self, process: subprocess.Popen[bytes]) -> None:
        """Tell everybody who must be able to end this process."""
        self.pid = process.pid
        self._target = Target(process.pid, started_at(process.pid), self.token)
        self._services.guard.add(self._target)
        self._unwatch = watch_exit(process, self._on_exit)
        if self._cgroup is not None:
            try:
                self._cgroup.add(process.pid)
            except OSError as error:
                _log.warning("no control group for %s (%s): its memory is sampled", self.pid, error)
                self._cgroup.remove()
                self._cgroup = None
        cgroup = str(self._cgroup.path) if self._cgroup is not None else ""
        self._directory.update(pid=process.pid, started=self._target.started, cgroup=cgroup)
        self.memory = TreeMemory(process.pid)
        self._began()

    async def ready(self, timeout: float) -> None:
        """Wait for the runtime's first `next`. Raises the Runtime API's InitError."""
        await self.api.ready(timeout)
        self._launched = True
        self._idle.set()
        self._services.memory.forget(self)
        if self._cgroup is None and not self._exited.is_set():
            # tells how much its init took, too
            self.memory.open()
        if self._exited.is_set():
            # it asked for its first event and died: to be told once the launch has returned
            asyncio.get_running_loop().call_soon(self._tell_exit)

    @property
    def launched(self) -> bool:
        """Whether the instance has come up and nobody has asked it to end."""
        return self._launched and not self._asked

    # --- while it lives

    @property
    def busy(self) -> bool:
        """Whether it is in its init or serves an invocation, as far as memory is concerned."""
        return not self._idle.is_set() and not self._exited.is_set()

    @property
    def memory_source(self) -> str:
        """How its memory is measured and limited."""
        return "cgroup" if self._cgroup is not None else "sampled"

    def usage(self) -> MemoryUsage | None:
        """Memory of the tree now; None once it has ended."""
        if self._exited.is_set() or self._process is None:
            return None
        if self._cgroup is not None:
            return MemoryUsage(self._cgroup.current(), self._cgroup.peak(), "cgroup")
        current = self.memory.sample()
        return MemoryUsage(current, self.memory.peak, "sampled")

    def out_of_memory(self) -> None:
        """End it as the kernel would a Lambda sandbox that uses more than its memory."""
        self._ran_out = True
        kill_group(self._target)

    def _began(self) -> None:
        self._handed = time.monotonic()
        self._idle.clear()
        if self._cgroup is None:
            self._services.memory.watch(self)

    def _peak_memory(self) -> int | None:
        """The peak so far, in bytes; asked for when an invocation's report is written.

        After one that was very short it may be that of some ms ago: no program fills much memory in that time.
        """
        self._idle.set()
        if self._cgroup is not None:
            return self._cgroup.peak() or None
        now = time.monotonic()
        if not self._exited.is_set() and (now - self._handed > _BRIEF or now - self._measured > _OFTEN):
            self._measured = now
            # the watch finds what other threads have started
            self.memory.sample(thorough=False)
        return self.memory.peak or None

    def drain(self) -> None:
        """Take in what the process has written so far."""
        if self._output is not None:
            self._output.drain()

    def _log_lines(self, lines: Sequence[str]) -> None:
        self.tail.extend(lines)
        self._launch.log(lines)

    # --- its end

    def stop(self, *, politely: bool) -> asyncio.Task[None]:
        """Begin to end it, or join what has begun; the task is done when nothing is left.

        Politely is SIGTERM and some grace first. A second call that is not polite ends the grace.
        """
        self._asked = True
        if not politely:
            self._hurry = True
            self._proceed.set()
            # whoever still reads a dead runtime's response reads no further
            self._idle.set()
        return self._begin(self._stop())

    def _begin(self, stopping: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(stopping, name=f"stoker-stop-{self.pid}")
        else:
            stopping.close()
        return self._stopping

    async def _stop(self) -> None:
        if self._process is not None and not self._exited.is_set() and not self._hurry:
            # what it has started is remembered: once it has ended, descent tells nothing
            self.memory.sample()
            kill_group(self._target, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._proceed.wait(), self._grace)
        await self._finish()

    def _on_exit(self) -> None:
        """The leader has ended; it is still a zombie, so that its group and session are certain."""
        process = self._process
        if process is None or self._exited.is_set():
            return
        self._exited.set()
        self._proceed.set()
        kill_group(self._target)
        self.drain()
        self._ran_out = self._ran_out or (self._cgroup is not None and self._cgroup.ran_out())
        self.api.runtime_exited(how_it_ended(process).description)
        if self._launched:
            self._tell_exit()

    def _tell_exit(self) -> None:
        if self._asked or self._stopping is not None or self._process is None:
            return
        ending = how_it_ended(self._process)
        reason = "used more memory than the function has" if self._ran_out else ending.description
        self._begin(self._outlive())
        self._launch.exited(
            InstanceExit(
                code=ending.code,
                signal=ending.signal,
                reason=reason,
                log_tail=tuple(self.tail),
                out_of_memory=self._ran_out,
            )
        )

    async def _outlive(self) -> None:
        """End what is left of a process that ended by itself, but let its last response be read first."""
        with self._whatever_happens("its processes"):
            await self._services.killer.kill(self._target._replace(known=self.memory.processes()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self.function.timeout + _CERTAIN_END)
        await self._finish()

    async def _finish(self) -> None:
        """Kill whatever is left and let everything go; each step is tried whatever the others did."""
        services = self._services
        services.memory.forget(self)
        if self._process is not None:
            if self._cgroup is not None:
                self._cgroup.kill()
            with self._whatever_happens("its processes"):
                await services.killer.kill(self._target._replace(known=self.memory.processes()))
            with self._whatever_happens("its exit"):
                await asyncio.wait_for(self._exited.wait(), _CERTAIN_END)
            self._process.poll()
        self._unwatch()
        with self._whatever_happens("its output"):
            if self._output is not None:
                self._output.close()
        with self._whatever_happens("its Runtime API"):
            await self.api.aclose()
        self.memory.close()
        if self._process is not None:
            services.guard.remove(self.token)
        if self._cgroup is not None:
            self._cgroup.remove()
        with self._whatever_happens("its directory"):
            if not self._directory.remove_quickly():
                await asyncio.get_running_loop().run_in_executor(services.executor, self._directory.remove)
        self._ended(self)

    @contextlib.contextmanager
    def _whatever_happens(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            _log.exception("ending %s of %s: %s", self.pid, self.function.function_name, what)
