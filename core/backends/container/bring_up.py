"""Brings one instance up on an engine: image, code, container, start, and the runtime's first `next`.

Some things about an engine are found out by trying, with the first container, and kept for as long as it is
connected: whether its containers reach this machine, and whether it sees this machine's files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.backends.base import current_launch
from core.backends.container.copying import cannot_see
from core.backends.container.engine import EngineError
from core.backends.container.images import PullFailedError
from core.backends.container.instance import ContainerInstance
from core.backends.container.labels import Labels
from core.backends.container.relays import Relays, Service
from core.backends.container.rie import RIE_PORT
from core.backends.container.specification import (
    Specification,
    command_of,
    environment_of,
    image_of,
    local_services,
    mounts_of,
    platform_of,
)
from core.backends.container.transport import BUFFERED, HostUnreachableError, Way, ready_or_unreachable
from core.emulator.runtime_api import InitError, RuntimeApi
from core.errors import ContainerStartFailedError, ImagePullError, InitFailedError
from core.instances import ContainerHandle, WarmInstance

if TYPE_CHECKING:
    from core.archives import Archive, ArchiveStore
    from core.backends.container.connection import Connected
    from core.backends.container.images import Images
    from core.backends.container.roster import Roster
    from core.backends.memory import MemoryWatch
    from core.functions import LambdaFunction
    from core.image_rules import ImageRules

__all__ = ["BringUp", "Surroundings"]

_log = logging.getLogger(__name__)

# seconds; of 300 lines each, Docker passed nine on later than the response, by 0.4 ms at most, and
# Podman 28, by 5 ms in the 99th percentile
_DOCKER_LAG = 0.001
_PODMAN_LAG = 0.005


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of its backend an instance comes to live in. `ended` and `owe` are as in `ContainerInstance`."""

    backend: str
    owner_id: str
    roster: Roster
    archives: ArchiveStore
    images: Images
    rules: ImageRules
    memory: MemoryWatch
    ended: Callable[[ContainerInstance], None]
    owe: Callable[[str], None]


class BringUp:
    """`way` is how events reach containers; None until the first one has tried. `forced` allows no other."""

    def __init__(self, around: Surroundings, forced: Way | None) -> None:
        self.way = forced
        self._forced = forced
        self._proven = False  # whether a container of this engine has reached this machine
        self._around = around
        self._relays = Relays()
        self._sees_files: bool | None = None

    def forget(self) -> None:
        """Another engine may come: nothing is known of it."""
        self.way, self._proven = self._forced, False
        self._sees_files = None

    async def launch(
        self,
        engine: Connected,
        function: LambdaFunction,
        code_zip: Archive | None,
        layers: Sequence[Archive],
        deploy_id: str,
    ) -> WarmInstance:
        """See `LambdaBackend.launch`; the backend has found an engine and checked that it can run the function."""
        parts = (code_zip, layers, deploy_id)
        way = self.way
        if way is not Way.IMAGE:
            try:
                return await self._launch(function, engine, parts, way)
            except HostUnreachableError as error:
                if self._forced is Way.HOST:
                    raise ContainerStartFailedError(function.function_name, error.reason) from error
                return await self._fall_back(function, engine, parts, error)
        return await self._launch(function, engine, parts, Way.IMAGE)

    async def _fall_back(
        self,
        function: LambdaFunction,
        engine: Connected,
        parts: tuple[Archive | None, Sequence[Archive], str],
        unreachable: HostUnreachableError,
    ) -> WarmInstance:
        """By the image's own emulator. Only what has worked is remembered, for all functions of the engine."""
        try:
            warm = await self._launch(function, engine, parts, Way.IMAGE)
        except (ContainerStartFailedError, InitFailedError) as error:
            if unreachable.slow is not None:
                # neither way: it was the runtime that was slow
                raise _init_failed(function, unreachable.slow, ()) from error
            raise
        if not self._proven:
            self.way = Way.IMAGE
            _log.warning("%s: %s; responses are %s", self._around.backend, unreachable.reason, BUFFERED)
        current_launch().note("transport", f"{BUFFERED}: {unreachable.reason}")
        return warm

    async def _launch(
        self,
        function: LambdaFunction,
        engine: Connected,
        parts: tuple[Archive | None, Sequence[Archive], str],
        way: Way | None,
    ) -> WarmInstance:
        """One attempt by one way. Raises HostUnreachableError where no container has reached this machine yet."""
        launch, around = current_launch(), self._around
        code_zip, layers, deploy_id = parts
        buffered = way is Way.IMAGE
        instance = ContainerInstance(
            engine=engine.engine,
            function=function,
            launch=launch,
            ended=around.ended,
            let_go=self._relays.release,
            owe=around.owe,
            watch=around.memory,
            buffered=buffered,
            output_lag=_PODMAN_LAG if engine.facts.podman else _DOCKER_LAG,
        )
        name, endpoint = around.roster.enter(instance, launch.instance_id)
        try:
            launch.phase("create")
            whole = await self._one_layer(instance, layers)
            labels = Labels(around.owner_id, name, function.function_name, deploy_id)
            address = await self._create(instance, engine, labels, (code_zip, whole))
            launch.phase("start")
            await self._start(instance)
            launch.phase("init")
            await self._wait_ready(instance, address, launch.init_timeout, trial=not self._proven)
        except BaseException:
            await asyncio.shield(instance.remove())
            raise
        if not buffered:
            self.way, self._proven = Way.HOST, True
        details = {"container": instance.id[:12], "image": instance.image}
        if buffered:
            details["transport"] = BUFFERED
        return WarmInstance(endpoint, ContainerHandle(instance.id), details)

    async def _one_layer(self, instance: ContainerInstance, layers: Sequence[Archive]) -> Archive | None:
        """All layers as one: a directory can be mounted at `/opt` only once."""
        if not layers:
            return None
        whole = layers[0] if len(layers) == 1 else await self._around.archives.merge(layers)
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
        relayed = await self._relay(instance, engine.host)
        entrypoint, command, directory = command_of(function)
        specification = Specification(
            labels=labels,
            image=self._around.rules.apply(image_of(function)),
            platform=platform_of(function.architecture),
            command=command,
            entrypoint=entrypoint,
            working_directory=directory,
            environment=environment_of(function, instance.token, address, relayed),
            mounts=mounts_of(function, *(each.directory if each else None for each in archives)),
            memory_mb=function.memory_size,
            tmp_mb=function.ephemeral_storage,
            host="host-gateway" if engine.host.startswith("127.") else engine.host,
            publish_port=RIE_PORT if address is None else None,
        )
        await self._create_with_image(instance, engine, specification)
        self._around.roster.has_container(instance)
        return address

    async def _relay(self, instance: ContainerInstance, host: str) -> Mapping[Service, int]:
        """Have the services relayed that the function's URLs name; returns the ports at which containers find them."""
        services = local_services(instance.function)
        if not services or host.startswith("127."):
            # no address of this machine is known to be a container's way to it: what leads here leads to loopback
            return {}
        ports, troubles = await self._relays.acquire(instance, host, services)
        for trouble in troubles:
            current_launch().note("services", trouble)
        return ports

    async def _create_with_image(
        self, instance: ContainerInstance, engine: Connected, specification: Specification
    ) -> None:
        """Create the container. Its image is fetched, and code copied, only once the engine says that it must be."""
        launch, function = current_launch(), instance.function
        name, images = function.function_name, self._around.images
        pulled = False
        try:
            if function.architecture != engine.facts.architecture:
                # an engine may run another architecture's image without a word
                launch.phase("pull")
                await images.ensure(engine.engine, specification.image, specification.platform)
                launch.phase("create")
            while True:
                specification = replace(specification, copied=self._sees_files is False)
                try:
                    await instance.create(specification)
                except EngineError as error:
                    if cannot_see(error) and not specification.copied:
                        self._copies(error.reason)
                    elif error.missing and "image" in error.reason.lower() and not pulled:
                        launch.phase("pull")
                        await images.fetch(engine.engine, specification.image, specification.platform)
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
            reason = str(ImagePullError(specification.image, self._around.backend, error.reason))
            raise ContainerStartFailedError(name, reason) from error

    async def _looked(self, instance: ContainerInstance) -> bool:
        """Find out whether this engine mounts what is on this machine; True where it may."""
        self._sees_files = await instance.sees_files()
        if self._sees_files is False:
            self._copies("it mounts an empty directory")
        return self._sees_files is not False

    def _copies(self, why: str) -> None:
        _log.info("%s does not see this machine's files: code is copied (%s)", self._around.backend, why)
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
            raise _init_failed(instance.function, error, tuple(instance.tail)) from error


def _init_failed(function: LambdaFunction, error: InitError, tail: tuple[str, ...]) -> InitFailedError:
    return InitFailedError(
        function.function_name,
        error.error_type,
        error.payload,
        reason=str(error),
        log_tail=tail,
        timed_out=error.timed_out,
    )
