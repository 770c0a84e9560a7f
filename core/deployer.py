"""Takes functions in and lets them go: catalogue, registry, pool and bus in step, one change at a time."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import ConflictError, InvalidFunctionError, LambdaRuntimeError
from core.events import FunctionAdded, FunctionChanged, FunctionRemoved, Trouble
from core.names import LATEST, split_key
from core.pool import PoolFunction, WarmPool
from core.registry import Details, LayerVersion, Registry

if TYPE_CHECKING:
    from core.archives import Archive
    from core.catalogue import Catalogue, Deploy
    from core.functions import LambdaFunction
    from core.home import Home
    from core.home_backends import HomeBackends

__all__ = ["Deployer"]

Check = Callable[[], None]
Change = Callable[["LambdaFunction", Details], "tuple[LambdaFunction, Details | None]"]


class Deployer:
    """The one place where functions change. See `LambdaRuntime` for what each method does and raises."""

    def __init__(
        self, home: Home, backends: HomeBackends, deploys: Catalogue, registry: Registry, pool: WarmPool
    ) -> None:
        self._home = home.path
        self._events = home.events
        self._settings = home.settings
        self._backends = backends
        self._deploys = deploys
        self._registry = registry
        self._pool = pool
        self._changing = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None

    async def add(
        self, function: LambdaFunction, zipped: bytes | None, check: Check | None, details: Details | None
    ) -> LambdaFunction:
        """Take a function in, or its new definition."""
        _no_version(function)
        async with self._changing:
            if check is not None:
                check()
            deploy = await self._deploys.build(function, zipped)
            await self._take_in(deploy, details)
        self.tidy()
        return deploy.function

    async def change(self, name: str, change: Change, zipped: bytes | None, keep: bool) -> Deploy:
        """Replace a function by what `change` makes of it."""
        async with self._changing:
            before = self._deploys.get(name)
            function, details = change(before.function, self._registry.details.get(name) or Details(name=name))
            _no_version(function)
            deploy = await self._deploys.build(function, zipped, before)
            if keep:
                deploy = await self._take_in(deploy, details)
        self.tidy()
        return deploy

    async def refresh(self, name: str) -> bool:
        """Read its code and layers again; True if they had changed."""
        async with self._changing:
            before = self._deploys.get(name)
            if before.function.version != LATEST:
                return False
            deploy = await self._deploys.build(before.function)
            if deploy.deploy_id == before.deploy_id:
                return False
            await self._take_in(deploy)
        self.tidy()
        return True

    async def publish(self, name: str, description: str | None, check: Check | None) -> LambdaFunction:
        """Freeze it as its next version, unless that is what the last one is."""
        async with self._changing:
            latest = self._deploys.get(name)
            if check is not None:
                check()
            details = self._registry.details.get(name) or Details(name=name)
            number = details.next_version
            content = _content(latest, details)
            published = self._deploys.versions(name)
            if published and published[-1].function.version == str(number - 1):
                last = published[-1]
                if not details.content:  # by a Stoker that did not write it down
                    same = self._deploys.freeze(name, number - 1, None).deploy_id == last.deploy_id
                else:
                    same = details.content == content
                if same:
                    return last.function
            deploy = self._deploys.freeze(name, number, description)
            # counted first: a number that was given once is never given again
            details = await self._registry.details.put(replace(details, next_version=number + 1, content=content))
            await self._registry.details.put(replace(details, qualifier=str(number)))
            await self._take_in(deploy)
        return deploy.function

    async def remove(self, name: str) -> None:
        """Forget a function with all its versions, or one version."""
        async with self._changing:
            base, version = split_key(name)
            self._deploys.get(name)
            if version == LATEST:
                keys = [name, *(deploy.function.function_name for deploy in self._deploys.versions(base))]
                resources = self._registry.keys_of_function(base)
            else:
                if aliases := self._registry.aliases_of(base, version):
                    held = ", ".join(alias.qualifier for alias in aliases)
                    raise ConflictError(f"{name} cannot be removed: these aliases stand for it: {held}")
                keys, resources = [name], self._registry.keys_of_version(base, version)
            await self._deploys.remove(keys, resources)
            self._registry.drop(resources)
            for key in keys:
                self._pool.forget(key)
                self._events.publish(FunctionRemoved(function_name=key))
        self.tidy()

    async def add_layer(self, name: str, zipped: bytes, entry: Callable[[Archive, int], LayerVersion]) -> LayerVersion:
        """Keep a layer's zip as its next version."""
        async with self._changing:
            archive = await self._deploys.keep_archive(zipped)
            return await self._registry.layers.put(entry(archive, self._registry.next_layer_version(name)))

    async def remove_layer(self, name: str, version: int) -> bool:
        """Forget a layer's version but for its number; False where there was none."""
        async with self._changing:
            layer = self._registry.layers.get(name, str(version))
            if layer is None or layer.deleted:
                return False
            await self._registry.layers.put(replace(layer, deleted=True))
        self.tidy()
        return True

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncIterator[None]:
        """Let nobody change or remove any function meanwhile."""
        async with self._changing:
            self._deploys.get(name)
            yield

    def limits_changed(self, name: str) -> None:
        """Tell the pool what now holds for a function and its versions."""
        for deploy in (self._deploys.find(name), *self._deploys.versions(name)):
            if deploy is not None:
                self._configure(deploy)

    def backend_changed(self) -> None:
        """Tell the pool where functions start from now on that choose no backend."""
        for function in self._deploys.functions():
            if function.backend is None:
                self._configure(self._deploys.get(function.function_name))

    async def restore(self, news: Callable[[str], None]) -> None:
        """Take in what the home holds; `news` gets a sentence for each thing that could not be read."""

        def unreadable(what: str, why: object) -> None:
            news(f"{what} could not be read and is left out: {why}")

        await self._registry.restore(unreadable)
        for deploy in await self._deploys.restore(unreadable):
            self._configure(deploy)
            self._events.publish(FunctionAdded(function=deploy.function))
        self.tidy()

    # --- archives that nothing uses any more

    def tidy(self) -> None:
        """Collect them behind the scenes, one collection at a time."""
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.get_running_loop().create_task(self._collect(), name="collect archives")

    async def settled(self) -> None:
        """Wait for a collection that is under way."""
        if self._tidying is not None:
            await asyncio.wait([self._tidying])

    async def _collect(self) -> None:
        try:
            while True:
                async with self._changing:
                    # an instance of an older deploy still runs from archives that no function names
                    old = [i for i in self._pool if not self._deploys.has_deploy(i.deploy_id)]
                    if not old:
                        if self._home.is_dir() and not self._registry.layers_unreadable:
                            await self._deploys.collect(self._registry.layer_digests() | self._backends.held_archives())
                        return
                await asyncio.wait([self._pool.wait_gone(instance) for instance in old])
        except (OSError, LambdaRuntimeError) as error:
            self._events.publish(Trouble(about="archives", message=f"unused archives could not be removed: {error}"))

    # --- the pool and the bus

    async def _take_in(self, deploy: Deploy, details: Details | None = None) -> Deploy:
        name = deploy.function.function_name
        # before the function: who hears of that finds all there is to it
        if details is not None and details != self._registry.details.get(name):
            await self._registry.details.put(details)
        before = await self._deploys.put(deploy)
        self._configure(deploy)
        if before is None:
            self._events.publish(FunctionAdded(function=deploy.function))
        else:
            changed = before.deploy_id != deploy.deploy_id
            self._events.publish(FunctionChanged(function=deploy.function, deploy_changed=changed))
        return self._deploys.get(name)

    def _configure(self, deploy: Deploy) -> None:
        function, settings = deploy.function, self._settings
        most = self._registry.most_at_once(function.name) or function.max_instances or settings.max_instances
        held = self._registry.warm(function.name, function.version)
        warm = max(function.min_warm, held)
        self._pool.configure(
            PoolFunction(
                name=function.function_name,
                backend=self._backends.name_of(function),
                deploy_id=deploy.deploy_id,
                memory_mb=function.memory_size,
                max_instances=max(most, warm),
                idle_ttl=settings.idle_ttl if function.idle_ttl is None else function.idle_ttl,
                min_warm=warm,
                held=held,
            )
        )


def _no_version(function: LambdaFunction) -> None:
    if function.version != LATEST:
        raise InvalidFunctionError("function_name", function.function_name, "a version is published, not added")


def _content(latest: Deploy, details: Details) -> str:
    """A digest of what makes one version another than the next; of equal code and settings it is equal."""
    parts = [latest.deploy_id, latest.function.description, details.role, dict(details.settings)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
