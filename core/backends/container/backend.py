"""The container backend: an instance is a container of one local engine, Docker or Podman."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from core.backends.base import BackendHealth, LambdaBackend, StaleCandidate
from core.backends.container import stale
from core.backends.container.connection import Connected, Connection
from core.backends.container.ended import Ended, how_it_ended
from core.backends.container.engine import Engine, EngineError
from core.backends.container.images import Images, PullFailedError
from core.backends.container.labels import INSTANCE, Labels
from core.backends.container.owed import Owed
from core.backends.container.roster import Roster
from core.backends.container.shell import shell_command
from core.backends.container.specification import (
    image_of,
    platform_of,
)
from core.backends.container.transport import BUFFERED, Way
from core.backends.container.usage import UsageStreams
from core.backends.memory import MemoryWatch
from core.errors import (
    BackendUnavailableError,
    ImagePullError,
    NoCodeZipError,
    UnsupportedRuntimeError,
)
from core.image_rules import ImageRules
from core.instances import BackendHandle, ContainerHandle, MemoryUsage, WarmInstance

if TYPE_CHECKING:
    from core.archives import Archive, ArchiveStore
    from core.backends.container.bring_up import BringUp
    from core.backends.container.engines import Place
    from core.backends.container.instance import ContainerInstance
    from core.functions import LambdaFunction
    from core.images import ImagePull
    from core.local_emulators import LocalEmulators
    from core.owners import Owner

__all__ = ["ContainerBackend"]

_log = logging.getLogger(__name__)

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
        self._owner_id = owner_id
        self._owner = owner
        self._connection = Connection(
            name,
            places,
            owner_id,
            changed=self._changed,
            arrived=self._reconcile,
            happened=self._happened,
        )
        self._usage = UsageStreams()
        self._sampling = ThreadPoolExecutor(1, thread_name_prefix=f"stoker-{name}-memory")
        self._memory = MemoryWatch(self._sampling)
        self._owed = Owed(self._engine)
        self._roster = Roster(local)
        self._archives = archives
        self._way = way
        self._bringing: BringUp | None = None
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
        await asyncio.gather(*(instance.remove() for instance in self._roster.all()), return_exceptions=True)
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
            told["responses"] = _RESPONSES[self._bringing.way if self._bringing is not None else self._way]
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
        return frozenset(instance.layers for instance in self._roster.all() if instance.layers is not None)

    def _engine(self) -> Engine | None:
        return self._connection.now.engine if self._connection.now is not None else None

    def _changed(self) -> None:
        if self._connection.now is None:
            # another engine may come
            if self._bringing is not None:
                self._bringing.forget()
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
        now = await self._connected()
        try:
            await self._images.ensure(now.engine, image, platform_of(architecture or now.facts.architecture))
        except PullFailedError as error:
            raise ImagePullError(image, self.name, error.reason) from error
        except EngineError as error:
            raise BackendUnavailableError(self.name, str(error)) from error

    async def renew_image(self, image: str, architecture: str | None = None) -> str | None:
        """Which image the name means now; fetched again first, unless it was made here."""
        now = await self._connected()
        try:
            return await self._images.renew(now.engine, image, platform_of(architecture or now.facts.architecture))
        except EngineError as error:
            raise BackendUnavailableError(self.name, str(error)) from error

    async def _connected(self) -> Connected:
        """The engine, once it was looked for. Raises BackendUnavailableError."""
        await self._connection.asked()
        now = self._connection.now
        if now is None or self._closed:
            raise BackendUnavailableError(self.name, self.health().detail)
        return now

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
        if (reason := self.unsupported(function)) is not None:
            raise UnsupportedRuntimeError(function.runtime or "an image", self.name, reason)
        if function.image_uri is None and code_zip is None:
            raise NoCodeZipError(function.function_name, "it has no code to run")
        return await self._bring_up().launch(await self._connected(), function, code_zip, layers, deploy_id)

    def _bring_up(self) -> BringUp:
        """What launches instances, read in when one is wanted: the first picture of the window need not wait."""
        from core.backends.container.bring_up import BringUp, Surroundings

        if self._bringing is None:
            around = Surroundings(
                backend=self.name,
                owner_id=self._owner_id,
                roster=self._roster,
                archives=self._archives,
                images=self._images,
                rules=self._rules,
                memory=self._memory,
                ended=self._forget,
                owe=self._owed.add,
            )
            self._bringing = BringUp(around, self._way)
        return self._bringing

    def _forget(self, instance: ContainerInstance) -> None:
        self._roster.forget(instance)
        self._usage.forget(instance.id)

    async def terminate(self, handle: BackendHandle) -> None:
        """Remove the container, as Lambda ends an environment that has no extensions: without asking it.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown
        """
        instance = self._roster.of(handle.id) if isinstance(handle, ContainerHandle) else None
        if instance is not None:
            await asyncio.shield(instance.remove())

    def usage(self, handle: BackendHandle) -> MemoryUsage | None:
        """What the engine tells of it; asking keeps the engine telling. None while that is on its way."""
        now = self._connection.now
        if not isinstance(handle, ContainerHandle) or self._roster.of(handle.id) is None or now is None:
            return None
        return self._usage.ask(now.engine, handle.id)

    def shell_command(self, handle: BackendHandle) -> str | None:
        """As the engine's own program takes it, with the socket where that is not its usual one."""
        now = self._connection.now
        if not isinstance(handle, ContainerHandle) or self._roster.of(handle.id) is None or now is None:
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
        instance = self._roster.of(container)
        if instance is None:
            if action == "create" and attributes.get(INSTANCE) not in self._roster.names():
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
            if labels is not None and labels.instance not in self._roster.names():
                self._owed.add(each["Id"])
        for container, instance in self._roster.created():
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
