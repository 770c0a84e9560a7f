"""The container backend: an instance is a container of one local engine, Docker or Podman."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from core.backends.base import BackendHealth, LambdaBackend, StaleCandidate, current_launch
from core.backends.container import stale
from core.backends.container.connection import Connected, Connection
from core.backends.container.copying import cannot_see
from core.backends.container.engine import Engine, EngineError
from core.backends.container.images import Images, PullFailedError
from core.backends.container.instance import ContainerInstance, Ended, how_it_ended
from core.backends.container.labels import INSTANCE, Labels
from core.backends.container.owed import Owed
from core.backends.container.relays import Relays
from core.backends.container.rie import RIE_PORT
from core.backends.container.shell import shell_command
from core.backends.container.specification import (
    Specification,
    command_of,
    environment_of,
    image_of,
    local_ports,
    mounts_of,
    platform_of,
)
from core.backends.container.transport import BUFFERED, HostUnreachableError, Way, ready_or_unreachable
from core.backends.container.usage import UsageStreams
from core.backends.memory import MemoryWatch
from core.emulator.runtime_api import InitError, RuntimeApi
from core.errors import (
    BackendUnavailableError,
    ContainerStartFailedError,
    ImagePullError,
    InitFailedError,
    NoCodeZipError,
    UnsupportedRuntimeError,
)
from core.image_rules import ImageRules
from core.instances import BackendHandle, ContainerHandle, MemoryUsage, WarmInstance

if TYPE_CHECKING:
    from core.archives import Archive, ArchiveStore
    from core.backends.container.engines import Place
    from core.functions import LambdaFunction
    from core.images import ImagePull
    from core.local_emulators import LocalEmulators
    from core.owners import Owner

__all__ = ["ContainerBackend"]

_log = logging.getLogger(__name__)

# seconds; of 300 lines each, Docker passed nine on later than the response, by 0.4 ms at most, and
# Podman 28, by 5 ms in the 99th percentile
_DOCKER_LAG = 0.001
_PODMAN_LAG = 0.005
_PAUSED = "somebody paused its container"

_RESPONSES = {
    Way.HOST: "stream through this machine",
    Way.IMAGE: BUFFERED,
    None: "to be seen with the first instance",
}


class ContainerBackend(LambdaBackend):
    """Runs functions in containers of the first engine that answers at one of `places`.

    It connects by itself when an engine appears, says why it is offline when there is none, and sees
    after what ran meanwhile when one is back. `way` forces how events reach a container; None lets the
    first one try.
    """

    def __init__(
        self,
        name: str,
        places: Sequence[Place],
        *,
        owner_id: str,
        local: LocalEmulators,
        archives: ArchiveStore,
        way: Way | None = None,
        image_rules: Sequence[str] = (),
        owner: Owner | None = None,
    ) -> None:
        self.name = name
        self._rules = ImageRules(image_rules)
        self._images = Images(name, self._pull_changed)
        self._forced = way
        self._way = way
        self._owner_id = owner_id
        self._owner = owner
        self._local = local
        self._archives = archives
        self._connection = Connection(
            name,
            places,
            owner_id,
            changed=self._changed,
            arrived=self._reconcile,
            happened=self._happened,
        )
        self._instances: dict[str, ContainerInstance] = {}  # by their containers' ids
        self._names: dict[ContainerInstance, str] = {}
        self._relays = Relays()
        self._usage = UsageStreams()
        self._sampling = ThreadPoolExecutor(1, thread_name_prefix=f"stoker-{name}-memory")
        self._memory = MemoryWatch(self._sampling)
        self._sees_files: bool | None = None  # found out by the first container
        self._owed = Owed(self._engine)
        self._closed = False

    async def start(self) -> None:
        """Begin to look for the engine; does not wait for it."""
        self._connection.start()

    async def aclose(self) -> None:
        """End every instance, and let the engine go."""
        if self._closed:
            return
        self._closed = True
        await self._images.aclose()
        await self._usage.aclose()
        await asyncio.gather(*(instance.remove() for instance in tuple(self._names)), return_exceptions=True)
        await self._owed.aclose()
        if self._owed and self._owner is not None:
            _log.warning(
                "%s: %d containers could not be removed; the next Stoker offers them", self.name, len(self._owed)
            )
            self._owner.keep()
        await self._memory.aclose()
        self._sampling.shutdown(wait=False)
        await self._connection.aclose()

    def health(self) -> BackendHealth:
        """The engine's version, or why there is none."""
        return self._connection.health

    def facts(self) -> Mapping[str, str]:
        """Where the engine was found, and whether responses stream."""
        told = self._connection.told()
        if self._connection.now is not None:
            told["responses"] = _RESPONSES[self._way]
        return told

    def unsupported(self, function: LambdaFunction) -> str | None:
        """Why no container can ever run it, or None."""
        try:
            image_of(function)
        except ValueError as error:
            return str(error)
        return None

    def held_archives(self) -> frozenset[str]:
        """What living containers run from beside their functions' own archives."""
        return frozenset(instance.layers for instance in self._names if instance.layers is not None)

    def _engine(self) -> Engine | None:
        return self._connection.now.engine if self._connection.now is not None else None

    def _changed(self) -> None:
        if self._connection.now is None:
            # another engine may come
            self._way = self._forced
            self._sees_files = None
        else:
            if self._owner is not None:
                self._owner.uses(self.name)
            self._owed.pay()
        self.changed()

    # --- images

    def image_of(self, function: LambdaFunction) -> str | None:
        """What the function runs on, as this engine is asked for it."""
        try:
            return self._rules.apply(image_of(function))
        except ValueError:
            return None

    async def prepull_image(self, image: str, architecture: str | None = None) -> None:
        """Fetch it, unless the engine has it. Raises BackendUnavailableError, ImagePullError."""
        await self._connection.asked()
        now = self._connection.now
        if now is None or self._closed:
            raise BackendUnavailableError(self.name, self.health().detail)
        try:
            await self._images.ensure(now.engine, image, platform_of(architecture or now.facts.architecture))
        except PullFailedError as error:
            raise ImagePullError(image, self.name, error.reason) from error
        except EngineError as error:
            raise BackendUnavailableError(self.name, str(error)) from error

    def _pull_changed(self, pull: ImagePull) -> None:
        self.pulling(pull)

    def pulls(self) -> list[ImagePull]:
        """The pulls under way on this engine."""
        return self._images.pulls()

    def cancel_pull(self, pull_id: str) -> bool:
        """Give one up."""
        return self._images.cancel(pull_id)

    # --- instances

    async def launch(
        self,
        function: LambdaFunction,
        code_zip: Archive | None,
        layers: Sequence[Archive],
        deploy_id: str,
    ) -> WarmInstance:
        """Create and start a container, and wait for its runtime's first `next`."""
        launch = current_launch()
        if (reason := self.unsupported(function)) is not None:
            raise UnsupportedRuntimeError(function.runtime or "an image", self.name, reason)
        if function.image_uri is None and code_zip is None:
            raise NoCodeZipError(function.function_name, "it has no code to run")
        await self._connection.asked()
        engine = self._connection.now
        if engine is None or self._closed:
            raise BackendUnavailableError(self.name, self.health().detail)
        way = self._way
        if way is not Way.IMAGE:
            try:
                return await self._launch(function, engine, (code_zip, layers, deploy_id), way)
            except HostUnreachableError as error:
                if self._forced is Way.HOST:
                    raise ContainerStartFailedError(function.function_name, error.reason) from error
                _log.warning("%s: %s; responses are %s", self.name, error.reason, BUFFERED)
                self._way = Way.IMAGE
                launch.note("transport", f"{BUFFERED}: {error.reason}")
        return await self._launch(function, engine, (code_zip, layers, deploy_id), Way.IMAGE)

    async def _launch(
        self,
        function: LambdaFunction,
        engine: Connected,
        parts: tuple[Archive | None, Sequence[Archive], str],
        way: Way | None,
    ) -> WarmInstance:
        """One attempt by one way; None tries whether the host can be reached. Raises HostUnreachableError then."""
        launch = current_launch()
        code_zip, layers, deploy_id = parts
        buffered = way is Way.IMAGE
        instance = ContainerInstance(
            engine=engine.engine,
            function=function,
            launch=launch,
            ended=self._forget,
            let_go=self._relays.release,
            owe=self._owed.add,
            watch=self._memory,
            buffered=buffered,
            output_lag=_PODMAN_LAG if engine.facts.podman else _DOCKER_LAG,
        )
        name = launch.instance_id if self._local.get(launch.instance_id) is None else f"i-{instance.token[:12]}"
        endpoint = self._local.register(name, instance.api)
        self._names[instance] = name
        try:
            launch.phase("create")
            whole = await self._one_layer(instance, layers)
            labels = Labels(self._owner_id, name, function.function_name, deploy_id)
            address = await self._create(instance, engine, labels, (code_zip, whole))
            launch.phase("start")
            await self._start(instance)
            launch.phase("init")
            await self._wait_ready(instance, address, launch.init_timeout, trial=way is None)
        except BaseException:
            await asyncio.shield(instance.remove())
            raise
        if way is None:
            self._way = Way.HOST
        details = {"container": instance.id[:12]}
        if buffered:
            details["transport"] = BUFFERED
        return WarmInstance(endpoint, ContainerHandle(instance.id), details)

    async def _one_layer(self, instance: ContainerInstance, layers: Sequence[Archive]) -> Archive | None:
        """All layers as one: a directory can be mounted at `/opt` only once."""
        if not layers:
            return None
        whole = layers[0] if len(layers) == 1 else await self._archives.merge(layers)
        instance.layers = whole.digest
        return whole

    async def _create(
        self,
        instance: ContainerInstance,
        engine: Connected,
        labels: Labels,
        archives: tuple[Archive | None, Archive | None],
    ) -> str | None:
        """Create the container; returns its Runtime API's address, None where its image serves it."""
        function = instance.function
        address: str | None = None
        if isinstance(instance.api, RuntimeApi):
            try:
                address = await instance.api.start(engine.host, ahead=True)
            except OSError as error:
                reason = f"its Runtime API cannot listen on {engine.host}: {error}"
                raise HostUnreachableError(reason) from error
        if ports := local_ports(function):
            for trouble in await self._relays.acquire(instance, engine.host, ports):
                current_launch().note("services", trouble)
        entrypoint, command, directory = command_of(function)
        specification = Specification(
            labels=labels,
            image=self._rules.apply(image_of(function)),
            platform=platform_of(function.architecture),
            command=command,
            entrypoint=entrypoint,
            working_directory=directory,
            environment=environment_of(function, instance.token, address),
            mounts=mounts_of(function, *(each.directory if each else None for each in archives)),
            memory_mb=function.memory_size,
            tmp_mb=function.ephemeral_storage,
            host="host-gateway" if engine.host.startswith("127.") else engine.host,
            publish_port=RIE_PORT if address is None else None,
        )
        await self._create_with_image(instance, engine, specification)
        self._instances[instance.id] = instance
        return address

    async def _create_with_image(
        self, instance: ContainerInstance, engine: Connected, specification: Specification
    ) -> None:
        """Create the container. Its image is fetched, and code copied, only once the engine says that it must be."""
        launch, name = current_launch(), instance.function.function_name
        pulled = False
        try:
            while True:
                specification = replace(specification, copied=self._sees_files is False)
                try:
                    await instance.create(specification)
                except EngineError as error:
                    if cannot_see(error) and not specification.copied:
                        self._copies(error.reason)
                    elif error.missing and "image" in error.reason.lower() and not pulled:
                        launch.phase("pull")
                        await self._images.fetch(engine.engine, specification.image, specification.platform)
                        pulled = True
                    else:
                        raise
                else:
                    if not engine.facts.podman or self._sees_files is not None or await self._looked(instance):
                        return
                    await instance.uncreate()
                launch.phase("create")
        except EngineError as error:
            raise ContainerStartFailedError(name, str(error)) from error
        except PullFailedError as error:
            reason = str(ImagePullError(specification.image, self.name, error.reason))
            raise ContainerStartFailedError(name, reason) from error

    async def _looked(self, instance: ContainerInstance) -> bool:
        """Find out whether this engine mounts what is on this machine; True where it may."""
        self._sees_files = await instance.sees_files()
        if self._sees_files is False:
            self._copies("it mounts an empty directory")
        return self._sees_files is not False

    def _copies(self, why: str) -> None:
        _log.info("%s does not see this machine's files: code is copied (%s)", self.name, why)
        self._sees_files = False

    async def _start(self, instance: ContainerInstance) -> None:
        try:
            await instance.start()
        except EngineError as error:
            name = instance.function.function_name
            raise ContainerStartFailedError(name, str(error), tuple(instance.tail)) from error
        self._relays.let_in(instance, instance.address)

    async def _wait_ready(
        self, instance: ContainerInstance, address: str | None, timeout: float, *, trial: bool
    ) -> None:
        try:
            if trial and address is not None:
                await ready_or_unreachable(instance, address, timeout)
            else:
                await instance.ready(timeout)
        except InitError as error:
            raise InitFailedError(
                instance.function.function_name,
                error.error_type,
                error.payload,
                reason=str(error),
                log_tail=tuple(instance.tail),
                timed_out=error.timed_out,
            ) from error

    def _forget(self, instance: ContainerInstance) -> None:
        name = self._names.pop(instance, None)
        if name is not None:
            self._local.remove(name)
        self._instances.pop(instance.id, None)
        self._usage.forget(instance.id)

    async def terminate(self, handle: BackendHandle) -> None:
        """Remove the container, as Lambda ends an environment that has no extensions: without asking it.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown
        """
        instance = self._instances.get(handle.id) if isinstance(handle, ContainerHandle) else None
        if instance is not None:
            await asyncio.shield(instance.remove())

    def usage(self, handle: BackendHandle) -> MemoryUsage | None:
        """What the engine tells of it; asking keeps the engine telling. None while that is on its way."""
        now = self._connection.now
        if not isinstance(handle, ContainerHandle) or handle.id not in self._instances or now is None:
            return None
        return self._usage.ask(now.engine, handle.id)

    def shell_command(self, handle: BackendHandle) -> str | None:
        """As the engine's own program takes it, with the socket where that is not its usual one."""
        now = self._connection.now
        if not isinstance(handle, ContainerHandle) or handle.id not in self._instances or now is None:
            return None
        return shell_command(now.engine.url, handle.id[:12], podman=now.facts.podman)

    async def reap_stale(self, *, dry_run: bool = False, only: Collection[str] | None = None) -> list[StaleCandidate]:
        """What earlier Stokers left on this engine. Raises BackendUnavailableError where it does not tell."""
        await self._connection.asked()
        now = self._connection.now
        if now is None:
            raise BackendUnavailableError(self.name, self.health().detail)
        try:
            return await stale.reap(now.engine, self.name, self._owner_id, dry_run=dry_run, only=only)
        except EngineError as error:
            raise BackendUnavailableError(self.name, str(error)) from error

    # --- what the engine tells

    def _happened(self, action: str, container: str, attributes: dict[str, str]) -> None:
        instance = self._instances.get(container)
        if instance is None:
            if action == "create" and attributes.get(INSTANCE) not in self._names.values():
                # the engine answered so late that nobody waits for it any more
                self._owed.add(container)
            return
        if action == "oom":
            instance.ran_out = True
        elif action == "pause":
            instance.exited(Ended(None, False, _PAUSED, stands_still=True))
        elif action in {"die", "died"}:
            text = attributes.get("exitCode") or attributes.get("containerExitCode") or ""
            code = int(text) if text.lstrip("-").isdecimal() else None
            instance.exited(Ended(code, instance.ran_out, how_it_ended(code)))

    async def _reconcile(self, engine: Engine) -> None:
        """See what became of the containers while the engine was away, or its events were."""
        found = await engine.call("list containers", lambda client: stale.containers_of(client, self._owner_id))
        states = {each["Id"]: str(each.get("State", "")) for each in found}
        for each in found:
            labels = Labels.read(each.get("Labels"))
            if labels is not None and labels.instance not in self._names.values():
                self._owed.add(each["Id"])
        for container, instance in tuple(self._instances.items()):
            instance.engine = engine
            if states.get(container) == "running":
                await instance.listen()
            elif states.get(container) == "paused":
                instance.exited(Ended(None, False, _PAUSED, stands_still=True))
            elif container not in states:
                instance.exited(Ended(None, False, f"its container had gone when {self.name} was back"))
            elif instance.launched:
                instance.exited(await self._end_of(engine, container))

    async def _end_of(self, engine: Engine, container: str) -> Ended:
        """How a container ended while nobody told."""
        try:
            found = await engine.call("inspect a container", lambda client: client.inspect_container(container))
        except EngineError as error:
            if not error.missing:
                raise
            return Ended(None, False, f"its container had gone when {self.name} was back")
        state = found.get("State") or {}
        code = state.get("ExitCode")
        return Ended(code, bool(state.get("OOMKilled")), f"{how_it_ended(code)}, while {self.name} was away")
