"""The facade over functions, pool, backends and journal: what gui, endpoint and tests call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.archives import Archive
from core.backends.base import BackendHealth, LambdaBackend, StaleCandidate
from core.catalogue import Catalogue, Deploy
from core.deployer import Deployer
from core.event_queue import EventQueue
from core.functions import LambdaFunction
from core.home import Home, home_path, open_home
from core.home_backends import HomeBackends, start_backend
from core.images import ImagePull
from core.instance_client import InstanceClient
from core.instances import InstanceSnapshot, MemoryUsage
from core.invocation import InvocationResult, StreamingInvocation
from core.invoke_options import InvokeOptions
from core.invoker import Invoker
from core.journal import InvocationRecord, SavedEvent
from core.launcher import Launcher
from core.left_behind import LeftBehind
from core.local_emulators import LocalEmulators
from core.logbook import LogBook
from core.pool import PoolLimits, WarmPool
from core.pool_by_hand import PoolByHand
from core.registry import Details, LayerVersion, Registry
from core.scribe import Scribe
from core.settings import Settings

__all__ = ["LambdaRuntime"]


class LambdaRuntime:
    """One open home: its functions, its pool and its history. Made by `open`."""

    def __init__(self, home: Home, backends: Sequence[LambdaBackend], client: InstanceClient) -> None:
        settings, journal, events = home.settings, home.journal, home.events
        self.home = home.path
        self.settings = settings
        self.owner_id = home.owner_id
        self.journal = journal
        self.events = events
        self._deploys = Catalogue(home.archives, journal)
        self._backends = HomeBackends(backends, home, self._deploys, self._default_changed)
        self._left_behind = LeftBehind(self._backends.by_name, journal, events)
        self.registry = Registry(journal)
        self._logs = LogBook()
        self.news = [*journal.news]
        """What opening the home had to tell, before anyone could subscribe to `events`."""
        self._launcher = Launcher(home, self._backends.by_name, self._deploys, self._logs)
        limits = PoolLimits(
            instances=settings.instance_budget,
            memory_mb=settings.memory_budget_mb,
            starts=settings.start_limit,
            queue=settings.queue_limit,
        )
        self._pool = WarmPool(limits, events.publish, self._launcher.carry_out)
        self._launcher.attach(self._pool)
        self._by_hand = PoolByHand(self._pool)
        self._deployer = Deployer(home, self._backends, self._deploys, self.registry, self._pool)
        self._scribe = Scribe(journal, events, settings)
        self._invoker = Invoker(home, self._pool, client, self._scribe, limits=self.registry)
        self.event_queue = EventQueue(self)
        self._closing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Path | str | None = None,
        *,
        backends: Sequence[LambdaBackend] | None = None,
        settings: Settings | None = None,
        **overrides: Any,
    ) -> AsyncIterator[LambdaRuntime]:
        """Open a home, and close everything again at the end.

        `home` defaults to the user's data directory. `backends` replaces the built-in ones, of which
        the first is the default. `overrides` are fields of `Settings`.
        Raises HomeInUseError, HomeUnusableError, JournalTooNewError, InvalidSettingError.
        """
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(open_home(home_path(home), settings, overrides))
            local = LocalEmulators()
            client = InstanceClient(local)
            stack.push_async_callback(client.aclose)
            if backends is None:
                from core.backends.builtin import builtin_backends

                backends = builtin_backends(opened, local)
            for backend in backends:
                stack.push_async_callback(backend.aclose)
                await start_backend(backend, opened.path)
            runtime = cls(opened, backends, client)
            await runtime._deployer.restore(runtime.news.append)
            runtime._backends.listen(online=runtime._pool.start_anew)
            try:
                await runtime.event_queue.start()
                yield runtime
            finally:
                await runtime.close()

    # --- functions

    def functions(self) -> list[LambdaFunction]:
        """All functions, by name."""
        return self._deploys.functions()

    def function(self, name: str) -> LambdaFunction:
        """Raises FunctionNotFoundError."""
        return self._deploys.get(name).function

    def deploy(self, name: str) -> Deploy:
        """A function with its archives and the time of its last change. Raises FunctionNotFoundError."""
        return self._deploys.get(name)

    async def add_function(
        self,
        function: LambdaFunction,
        zipped: bytes | None = None,
        *,
        check: Callable[[], None] | None = None,
        details: Details | None = None,
    ) -> LambdaFunction:
        """Add a function, or replace the one of that name; returns it as it is kept.

        `zipped` is its code as a zip's bytes, in place of `function.code`. Replacing is a deploy
        change where code or launch configuration differ: idle instances of the old deploy go at once,
        busy ones drain. `check` is called when nothing can change in between any more, and may raise.
        `details`, where given, are kept with it.
        Raises ZipExtractionFailedError, NoCodeZipError, InvalidFunctionError, HomeUnusableError.
        """
        return await self._deployer.add(function, zipped, check, details)

    async def change_function(
        self,
        name: str,
        change: Callable[[LambdaFunction, Details], tuple[LambdaFunction, Details | None]],
        zipped: bytes | None = None,
        *,
        keep: bool = True,
    ) -> Deploy:
        """Replace a function by what `change` makes of it as it is now; returns the new deploy.

        `change` is called when nothing can change in between any more, and may raise. Code and layers
        that stay where they were are not read again. `zipped` is as in `add_function`; without `keep`
        all is checked and nothing kept. Raises FunctionNotFoundError, and what `add_function` raises.
        """
        return await self._deployer.change(name, change, zipped, keep)

    def versions(self, name: str) -> list[LambdaFunction]:
        """A function's published versions, by number. Raises FunctionNotFoundError."""
        self._deploys.get(name)
        return [deploy.function for deploy in self._deploys.versions(name)]

    async def publish_version(
        self, name: str, description: str | None = None, *, check: Callable[[], None] | None = None
    ) -> LambdaFunction:
        """Freeze a function's code and configuration as its next version, with a pool of its own.

        Where neither has changed since the last one was published, that one is returned. `check` is
        as in `add_function`. Raises FunctionNotFoundError, NoCodeZipError, HomeUnusableError.
        Source: https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
        """
        return await self._deployer.publish(name, description, check)

    async def add_layer(self, zipped: bytes, entry: Callable[[Archive, int], LayerVersion], name: str) -> LayerVersion:
        """Keep a layer's zip and publish it as the layer's next version, which `entry` makes of it.

        Raises ZipExtractionFailedError, HomeUnusableError.
        """
        return await self._deployer.add_layer(name, zipped, entry)

    async def remove_layer(self, name: str, version: int) -> bool:
        """Take back a layer's published version; False where there was none.

        Functions that have it keep it, and its number is not given again. Raises HomeUnusableError.
        """
        return await self._deployer.remove_layer(name, version)

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncIterator[None]:
        """Keep a function from being changed or removed while something is hung on it in `registry`.

        Nothing in this block may change a function itself. Raises FunctionNotFoundError.
        """
        async with self._deployer.holding(name):
            yield

    async def archive(self, digest: str) -> Archive:
        """An archive of the home's store. Raises KeyError where it has gone."""
        return await self._deploys.archive(digest)

    def limits_changed(self, name: str) -> None:
        """A function's reserved or provisioned concurrency, or one of its aliases, is another now."""
        self._deployer.limits_changed(name)

    async def refresh_code(self, name: str) -> bool:
        """Read the function's code and layers again from where they came; True if they had changed.

        Of an image function, the image is asked for again where it came from a registry; instances on another
        one than its name means now go, busy ones once they are done, and that there were such is the answer.
        Raises FunctionNotFoundError, BackendUnavailableError, and what `add_function` raises.
        """
        if self.function(name).image_uri is None:
            return await self._deployer.refresh(name)
        image = await self._backends.renew_image(name)
        return image is not None and await self._by_hand.keep_image(name, image) > 0

    async def remove_function(self, name: str) -> None:
        """Forget it with all its versions, or one version. Its instances go; busy ones finish first.

        Raises FunctionNotFoundError, and ConflictError for a version that an alias stands for.
        """
        await self._deployer.remove(name)

    def unsupported(self, name: str) -> str | None:
        """Why the function's backend cannot run it, or None where it can."""
        return self._backends.unsupported(name)

    # --- invocations

    async def invoke(
        self,
        name: str,
        payload: bytes | str = b"{}",
        *,
        request_id: str | None = None,
        client_context: str | None = None,
        source: str = "api",
        invoked_arn: str | None = None,
        trace_id: str | None = None,
    ) -> InvocationResult:
        """Invoke and gather the whole reply into `payload`.

        Raises what `invoke_streaming` raises.
        """
        options = InvokeOptions(request_id, client_context, source, invoked_arn, trace_id)
        async with await self._invoker.invoke(self.function(name), _bytes(payload), options) as invocation:
            body = bytearray()
            while (chunk := await invocation.next_chunk()) is not None:
                body += chunk
        result = invocation.result
        assert result is not None, "a stream that ended has a result"
        return replace(result, payload=bytes(body) or result.error_payload or b"")

    async def invoke_streaming(
        self,
        name: str,
        payload: bytes | str = b"{}",
        *,
        request_id: str | None = None,
        client_context: str | None = None,
        source: str = "api",
        invoked_arn: str | None = None,
        trace_id: str | None = None,
    ) -> StreamingInvocation:
        """Invoke, and return when the head of the reply is there.

        `name` is a function's, or NAME:NUMBER for a published version. `invoked_arn` is what the
        function is told it was called by, where that was an alias. Waits for an instance in the
        function's queue. Cancelling the call leaves the queue, or ends the instance that already serves it.
        Raises FunctionNotFoundError, InvalidRequestError, RequestTooLargeError, TooManyRequestsError,
        RuntimeClosedError, ContainerStartFailedError, InvocationFailedError.
        """
        options = InvokeOptions(request_id, client_context, source, invoked_arn, trace_id)
        return await self._invoker.invoke(self.function(name), _bytes(payload), options)

    def at_once(self, function: LambdaFunction) -> bool:
        """Whether `begin` may be called for a function: an instance waits for just such an invocation."""
        return self._invoker.at_once(function)

    def begin(
        self,
        function: LambdaFunction,
        payload: bytes,
        answered: Callable[[StreamingInvocation | Coroutine[Any, Any, StreamingInvocation]], None],
        *,
        request_id: str,
        client_context: str | None = None,
        source: str = "api",
        invoked_arn: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        """As `invoke_streaming`, without waiting: straight after `at_once` has said yes.

        `answered` is called once: with the invocation when the head of its reply is there, or, where
        the instance turned out to be gone, with what is to be awaited for it.
        Raises InvalidRequestError and RequestTooLargeError.
        """
        options = InvokeOptions(request_id, client_context, source, invoked_arn, trace_id)
        self._invoker.begin(function, payload, options, answered)

    def waiting(self, name: str | None = None) -> int:
        """How many invocations wait, of one function or of all."""
        return self._pool.waiting(name)

    def position(self, request_id: str) -> int:
        """An invocation's place in its function's queue, counted from 1; 0 once it is served."""
        return self._invoker.position(request_id)

    def running_of(self, name: str) -> int:
        """How many invocations of a function are under way, all its versions together."""
        return self._invoker.running_of(name)

    def running(self) -> int:
        """How many invocations are under way, those that wait included."""
        return len(self._invoker)

    # --- the pool

    async def launch(self, name: str, count: int = 1) -> list[InstanceSnapshot]:
        """Pre-warm `count` instances; returns them once all are up.

        Raises the first failure (ContainerStartFailedError, TooManyRequestsError, ...) when all have
        ended; those that came up stay. Cancelling the call ends those that are not up yet.
        """
        self._deploys.get(name)
        return await self._by_hand.launch(name, count)

    async def terminate(self, instance_id: str, force: bool = False) -> None:
        """End an instance. A busy one finishes its invocation first (it drains), unless `force`.

        Returns when it has gone, or at once for one that drains. Raises InstanceNotFoundError.
        """
        await self._by_hand.terminate(instance_id, force)

    async def evict(self, name: str, force: bool = False) -> int:
        """End all instances of a function; busy ones drain unless `force`. Returns how many."""
        self._deploys.get(name)
        return await self._by_hand.evict(name, force)

    async def stop_all(self, force: bool = False) -> int:
        """End every instance; busy ones drain unless `force`. Returns how many."""
        return await self._by_hand.stop_all(force)

    def idle_candidates(self, ttl: float | None = None, name: str | None = None) -> list[InstanceSnapshot]:
        """What `reap_idle` would take."""
        return [instance.snapshot() for instance in self._pool.idle_candidates(ttl, name)]

    async def reap_idle(self, ttl: float | None = None, name: str | None = None) -> list[InstanceSnapshot]:
        """End instances that were idle for at least `ttl` seconds (None: each one's own).

        Pinned ones and each function's minimum warm stay. Returns those that went, once they have.
        """
        return await self._by_hand.reap_idle(ttl, name)

    async def reap_stale(self, dry_run: bool = False, only: Collection[str] | None = None) -> list[StaleCandidate]:
        """Find what earlier Stokers left behind, with the reason why each would go or stay.

        Unless `dry_run`, what belongs to owners known to be dead is removed, or exactly the
        candidates whose ids are in `only` (never a living owner's).
        """
        return await self._left_behind.reap(dry_run, only)

    async def prepull(self, name: str) -> None:
        """Fetch the image that a function runs on, unless it is there; where it needs none, nothing.

        Raises FunctionNotFoundError, BackendUnavailableError, ImagePullError.
        """
        await self._backends.prepull(name)

    def image_of(self, name: str) -> str | None:
        """The image that a function's instances run on, as its engine is asked for it; None where there is none.

        Raises FunctionNotFoundError.
        """
        return self._backends.image_of(name)

    def pulls(self) -> list[ImagePull]:
        """The images that are being fetched, of all backends."""
        return self._backends.pulls()

    def cancel_pull(self, pull_id: str) -> bool:
        """Give a pull up; False where none of that id is under way."""
        return self._backends.cancel_pull(pull_id)

    def pin(self, instance_id: str, pinned: bool = True) -> None:
        """Exempt an instance from idle reaping. Raises InstanceNotFoundError."""
        self._pool.pin(instance_id, pinned)

    def instances(self, name: str | None = None) -> list[InstanceSnapshot]:
        """All instances, or a function's, oldest first."""
        return self._pool.instances(name)

    def start_trouble(self, name: str) -> str | None:
        """Why the function's last start failed, or its instances fall over unused; None once one came up."""
        return self._pool.trouble(name)

    def instance(self, instance_id: str) -> InstanceSnapshot:
        """Raises InstanceNotFoundError."""
        return self._pool.instance(instance_id).snapshot()

    def log_lines(self, instance_id: str) -> list[str]:
        """The last lines of an instance, kept for a while after it has gone."""
        return self._logs.lines(instance_id)

    def memory(self, instance_id: str) -> MemoryUsage | None:
        """Memory of an instance now; None where it cannot be told. Raises InstanceNotFoundError."""
        return self._backends.usage(self._pool.instance(instance_id))

    def shell_command(self, instance_id: str) -> str | None:
        """A command line that opens a shell inside an instance; None where it has no inside, or is not up yet.

        Raises InstanceNotFoundError.
        """
        return self._backends.shell_command(self._pool.instance(instance_id))

    def backends(self) -> dict[str, BackendHealth]:
        """Each backend's health, as last known."""
        return self._backends.health()

    def default_backend(self) -> str:
        """The backend of functions that name none."""
        return self._backends.default()

    def backend_facts(self, name: str) -> Mapping[str, str]:
        """What a backend tells of itself beside its health, for people. Raises BackendUnavailableError."""
        return self._backends.facts(name)

    async def set_default_backend(self, name: str) -> None:
        """Let functions that name no backend start on this one, now and after the next start.

        Instances that run stay where they are. Raises BackendUnavailableError where there is none of
        that name, HomeUnusableError, InvalidSettingError.
        """
        await self._backends.set_default(name)

    def _default_changed(self, name: str) -> None:
        self.settings = self.settings.with_overrides(default_backend=name)
        self._deployer.backend_changed()

    # --- history and saved events

    async def history(self, name: str | None = None, limit: int = 200) -> list[InvocationRecord]:
        """The last invocations, newest first."""
        return await self.journal.invocations(name, limit)

    async def saved_events(self, name: str) -> list[SavedEvent]:
        """A function's saved payloads."""
        return await self.journal.saved_events(name)

    async def save_event(self, name: str, title: str, payload: str) -> None:
        """Keep a payload under a title, replacing the one of that title."""
        await self.journal.save_event(name, title, payload)

    async def delete_event(self, name: str, title: str) -> None:
        """Forget a saved payload."""
        await self.journal.delete_event(name, title)

    # --- closing

    async def close(self, *, drain: bool = False) -> None:
        """Take no more work; drain or cancel what runs; end every instance.

        Safe to call again: a call with `drain` False while another drains makes it hurry.
        """
        self.event_queue.stop()
        await self._backends.stop_prepulls()
        self._invoker.stop_accepting()
        if not drain:
            self._hurry.set()
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        hurry = asyncio.ensure_future(self._hurry.wait())
        idle = asyncio.ensure_future(self._invoker.idle())
        await asyncio.wait({hurry, idle}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        idle.cancel()
        self._pool.close()
        await self._invoker.cancel_all()
        await self._by_hand.close()
        await self._launcher.settled()
        await self.event_queue.close()
        await self._deployer.settled()
        self._scribe.close()
        await self.journal.flush()


def _bytes(payload: bytes | str) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload
