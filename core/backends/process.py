"""The process backend: an instance is a process tree of this machine, in a session of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from core.backends.base import BackendHealth, LambdaBackend, StaleCandidate, current_launch
from core.backends.bundle import ClientBundle, make_bundle
from core.backends.cgroups import delegated_parent
from core.backends.commands import Command, Commands, unsupported_reason
from core.backends.guarding import Guard
from core.backends.killing import TreeKiller, to_the_end
from core.backends.memory import MemoryWatch
from core.backends.process_instance import ProcessInstance, Services
from core.backends.scratch import InstanceDirectory, InstanceRecord
from core.backends.stale import reap_stale_processes
from core.emulator.runtime_api import InitError
from core.errors import ContainerStartFailedError, InitFailedError, NoCodeZipError
from core.functions import host_architecture
from core.instances import BackendHandle, MemoryUsage, ProcessHandle, WarmInstance

if TYPE_CHECKING:
    from core.archives import Archive
    from core.backends.base import Launch
    from core.functions import LambdaFunction
    from core.local_emulators import LocalEmulators

__all__ = ["ProcessBackend"]

_THREADS = 4
# what a launch outside of any facade is called
_UNOWNED = "i-unowned"


class ProcessBackend(LambdaBackend):
    """Runs functions as local processes: Python, Node and custom runtimes; no engine is needed.

    `home` holds the instances' directories and what interpreters were found. Instances are entered
    in `local`, and reached there without a socket.
    """

    name = "process"

    def __init__(self, home: Path, owner_id: str, *, local: LocalEmulators) -> None:
        # a process runs in its code's directory: a relative home would mean another place there
        self._home = home.expanduser().absolute()
        self._owner_id = owner_id
        self._local = local
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="stoker-process")
        self._guard = Guard()
        self._services = Services(self._guard, TreeKiller(self._executor), MemoryWatch(self._executor), self._executor)
        self._commands = Commands(self._home, self._executor)
        self._instances: dict[str, ProcessInstance] = {}
        self._starting: asyncio.Task[None] | None = None
        self._bundle: ClientBundle | None = None
        self._cgroup_parent: Path | None = None
        self._trouble = ""
        self._closed = False

    async def start(self) -> None:
        """Start the guard and prepare what functions share. Raises OSError where the home is not usable."""
        failed = self._starting is not None and self._starting.done() and not _succeeded(self._starting)
        if self._starting is None or failed:
            self._starting = asyncio.get_running_loop().create_task(self._prepare(), name="stoker-process-start")
        await asyncio.shield(self._starting)

    async def _prepare(self) -> None:
        loop = asyncio.get_running_loop()
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._guard.start()
        self._cgroup_parent = await loop.run_in_executor(self._executor, delegated_parent)
        try:
            self._bundle = await loop.run_in_executor(self._executor, make_bundle, self._home)
        except LookupError as error:
            self._trouble = f"no Python functions: {error}"

    async def aclose(self) -> None:
        """End every instance at once, and let the guard go."""
        if self._closed:
            return
        self._closed = True
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        ending = [instance.stop(politely=False) for instance in tuple(self._instances.values())]
        await asyncio.gather(*ending, return_exceptions=True)
        await self._services.memory.aclose()
        await self._commands.aclose()
        self._guard.close()
        with suppress(OSError):
            # empty, unless an instance's directory could not be removed: then it tells whose it was
            (self._home / "instances" / self._owner_id).rmdir()
        self._executor.shutdown(wait=False)

    def health(self) -> BackendHealth:
        """Always there; says how memory is limited, and what does not work."""
        limited = "control groups" if self._cgroup_parent is not None else "sampling"
        return BackendHealth(not self._closed, self._trouble or f"memory by {limited}")

    def guarded(self) -> list[int]:
        """The process groups that end with this Stoker, however it ends."""
        return [target.pid for target in self._guard.targets()]

    def unsupported(self, function: LambdaFunction) -> str | None:
        """Why no local process can ever run `function`, or None."""
        return unsupported_reason(function)

    async def launch(
        self,
        function: LambdaFunction,
        code_zip: Archive | None,
        layers: Sequence[Archive],
        deploy_id: str,
    ) -> WarmInstance:
        """Start a process and wait for its runtime's first `next`."""
        launch = current_launch()
        self._refuse_if_closed(function)
        try:
            await self.start()
        except OSError as error:
            raise ContainerStartFailedError(function.function_name, f"{self._home} is not usable: {error}") from error
        self._commands.check(function)
        if code_zip is None:
            raise NoCodeZipError(function.function_name, "it has no code to run")
        launch.phase("spawn")
        try:
            bundle = await self._whole_bundle()
        except OSError as error:
            raise ContainerStartFailedError(function.function_name, f"{self._home} is not usable: {error}") from error
        command = await self._commands.command(function, code_zip, layers, bundle)
        notes = dict(command.notes)
        if function.architecture != host_architecture():
            notes["architecture"] = f"{function.architecture} asked for; runs on {host_architecture()}"
        for key, text in notes.items():
            launch.note(key, text)
        # looking for an interpreter may have taken a while
        self._refuse_if_closed(function)
        instance = self._new_instance(function, launch)
        try:
            endpoint = self._local.register(instance.name, instance.api)
            await self._bring_up(instance, launch, command, code_zip.directory)
        except BaseException:
            await to_the_end(instance.stop(politely=False))
            raise
        return WarmInstance(
            endpoint, ProcessHandle(instance.pid, instance.token), {**notes, "memory": instance.memory_source}
        )

    async def _whole_bundle(self) -> ClientBundle | None:
        """The client bundle, made again if somebody has removed it."""
        bundle = self._bundle
        if bundle is None or all(directory.is_dir() for directory in bundle.directories):
            return bundle
        self._bundle = await asyncio.get_running_loop().run_in_executor(self._executor, make_bundle, self._home)
        return self._bundle

    def _refuse_if_closed(self, function: LambdaFunction) -> None:
        if self._closed:
            raise ContainerStartFailedError(function.function_name, "the process backend is closed")

    def _new_instance(self, function: LambdaFunction, launch: Launch) -> ProcessInstance:
        token = secrets.token_hex(16)
        name = launch.instance_id
        if launch.instance_id == _UNOWNED or self._local.get(name) is not None:
            name = f"i-{token[:12]}"
        record = InstanceRecord(self._owner_id, name, function.function_name, token)
        instance = self._instances[token] = ProcessInstance(
            function=function,
            launch=launch,
            directory=InstanceDirectory(self._home / "instances", record),
            services=self._services,
            ended=self._forget,
        )
        return instance

    async def _bring_up(self, instance: ProcessInstance, launch: Launch, command: Command, task_root: Path) -> None:
        name = instance.function.function_name
        try:
            await instance.start(command, task_root, self._cgroup_parent)
        except OSError as error:
            raise ContainerStartFailedError(name, f"its process could not be started: {error}") from error
        launch.phase("init")
        try:
            await instance.ready(launch.init_timeout)
        except InitError as error:
            instance.drain()
            raise InitFailedError(
                name,
                error.error_type,
                error.payload,
                reason=_reason(error, launch.init_timeout),
                log_tail=tuple(instance.tail),
                timed_out=error.timed_out,
            ) from error

    def _forget(self, instance: ProcessInstance) -> None:
        self._instances.pop(instance.token, None)
        self._local.remove(instance.name)

    async def terminate(self, handle: BackendHandle) -> None:
        """SIGTERM to the process group, some grace, then the certain end of the whole tree."""
        await self._stop(handle, politely=True)

    async def kill(self, handle: BackendHandle) -> None:
        """The certain end of the whole tree, at once."""
        await self._stop(handle, politely=False)

    async def _stop(self, handle: BackendHandle, *, politely: bool) -> None:
        instance = self._find(handle)
        if instance is not None:
            # whoever asked may be cancelled; the instance goes on ending
            await asyncio.shield(instance.stop(politely=politely))

    def usage(self, handle: BackendHandle) -> MemoryUsage | None:
        """Memory of the whole process tree now; None once it has ended."""
        instance = self._find(handle)
        return instance.usage() if instance is not None else None

    def _find(self, handle: BackendHandle) -> ProcessInstance | None:
        return self._instances.get(handle.token) if isinstance(handle, ProcessHandle) else None

    async def reap_stale(self, *, dry_run: bool = False, only: Collection[str] | None = None) -> list[StaleCandidate]:
        """Find, and unless `dry_run` end and remove, instances of other Stokers that worked in this home."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor,
            lambda: reap_stale_processes(self._home / "instances", self._owner_id, dry_run=dry_run, only=only),
        )


def _succeeded(task: asyncio.Task[None]) -> bool:
    return not task.cancelled() and task.exception() is None


def _reason(error: InitError, timeout: float) -> str:
    if error.timed_out:
        return f"its init did not end within {timeout:g} s"
    try:
        message = json.loads(error.payload)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        return error.error_type
    return f"{error.error_type}: {message}"
