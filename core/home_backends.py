"""The backends of an open home: which there are, how they are, and on which of them a function runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from core.errors import BackendUnavailableError, HomeUnusableError, UnsupportedRuntimeError
from core.events import BackendChanged, DefaultBackendChanged, ImagePullChanged
from core.prepulls import Prepulls
from core.settings import change_settings

if TYPE_CHECKING:
    from pathlib import Path

    from core.backends.base import BackendHealth, LambdaBackend
    from core.catalogue import Catalogue
    from core.functions import LambdaFunction
    from core.home import Home
    from core.images import ImagePull
    from core.instances import Instance, MemoryUsage

__all__ = ["HomeBackends", "start_backend"]


class HomeBackends:
    """All backends by name, the first of which is the default unless the settings name another.

    `default_changed` is called with the name of a new default one before anyone else hears of it.
    See `LambdaRuntime` for what each method does and raises.
    """

    def __init__(
        self,
        backends: Sequence[LambdaBackend],
        home: Home,
        deploys: Catalogue,
        default_changed: Callable[[str], object],
    ) -> None:
        self.by_name: Mapping[str, LambdaBackend] = {backend.name: backend for backend in backends}
        self._default = home.settings.default_backend
        self._settings_file = home.path / "settings.json"
        self._events = home.events
        self._deploys = deploys
        self._default_changed = default_changed
        self._prepulls: Prepulls | None = None

    def listen(self, online: Callable[[str], object]) -> None:
        """Tell of what changes, and fetch the images of functions, from now on.

        `online` is called with the name of each backend that can launch now or again.
        """
        for backend in self.by_name.values():
            backend.changed = partial(self._changed, backend, online)
            backend.pulling = lambda pull: self._events.publish(ImagePullChanged(pull=pull))
            self._changed(backend, online)
        # not before: what the home held was there already
        self._prepulls = Prepulls(self._events, self.prepull, self._can_pull)

    async def stop_prepulls(self) -> None:
        """Fetch no image ahead any more."""
        if self._prepulls is not None:
            await self._prepulls.aclose()

    def health(self) -> dict[str, BackendHealth]:
        """Each one's health, as last known."""
        return {name: backend.health() for name, backend in self.by_name.items()}

    def facts(self, name: str) -> Mapping[str, str]:
        """What one tells of itself beside its health."""
        return self._known(name).facts()

    def held_archives(self) -> set[str]:
        """Digests of archives that instances of any backend run from and that no function names."""
        return {digest for backend in self.by_name.values() for digest in backend.held_archives()}

    # --- the default one

    def default(self) -> str:
        """The backend of functions that name none."""
        return self._default if self._default in self.by_name else next(iter(self.by_name))

    async def set_default(self, name: str) -> None:
        """Let functions that name none start on this one."""
        self._known(name)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stoker-settings")
        try:
            await asyncio.wrap_future(thread.submit(change_settings, self._settings_file, default_backend=name))
        finally:
            thread.shutdown(wait=False)
        if name != self.default():
            self._default = name
            self._default_changed(name)
            self._events.publish(DefaultBackendChanged(backend=name))
            if self._prepulls is not None:
                functions = self._deploys.functions()
                self._prepulls.want(function.function_name for function in functions if function.backend is None)

    # --- a function's

    def name_of(self, function: LambdaFunction) -> str:
        """On which backend a function runs; there may be none of that name."""
        return function.backend or self.default()

    def unsupported(self, name: str) -> str | None:
        """Why a function's backend cannot run it, or None where it can."""
        function = self._deploys.get(name).function
        backend = self.by_name.get(self.name_of(function))
        return backend.unsupported(function) if backend else f"there is no backend {self.name_of(function)}"

    # --- an instance's

    def usage(self, instance: Instance) -> MemoryUsage | None:
        """Memory of an instance now; None where it cannot be told."""
        if instance.warm is None:
            return None
        return self.by_name[instance.backend].usage(instance.warm.handle)

    def shell_command(self, instance: Instance) -> str | None:
        """A command line that opens a shell inside an instance; None where it has no inside, or is not up."""
        if instance.warm is None or instance.state.final:
            return None
        return self.by_name[instance.backend].shell_command(instance.warm.handle)

    # --- images

    def image_of(self, name: str) -> str | None:
        """The image that a function's instances run on, as its engine is asked for it."""
        function = self._deploys.get(name).function
        backend = self.by_name.get(self.name_of(function))
        return backend.image_of(function) if backend else None

    async def prepull(self, name: str) -> None:
        """Fetch the image that a function runs on, unless it is there."""
        function = self._deploys.get(name).function
        backend = self.by_name.get(self.name_of(function))
        if backend is None:
            raise UnsupportedRuntimeError(
                function.runtime or "an image",
                self.name_of(function),
                "there is no backend of this name",
                tuple(self.by_name),
            )
        image = backend.image_of(function)
        if image is not None:
            await backend.prepull_image(image, function.architecture)

    async def renew_image(self, name: str) -> str | None:
        """Which image the name of a function's image means now; None where that cannot be told."""
        function = self._deploys.get(name).function
        backend = self.by_name.get(self.name_of(function))
        image = backend.image_of(function) if backend is not None else None
        return await backend.renew_image(image, function.architecture) if backend is not None and image else None

    def pulls(self) -> list[ImagePull]:
        """The images that are being fetched."""
        return [pull for backend in self.by_name.values() for pull in backend.pulls()]

    def cancel_pull(self, pull_id: str) -> bool:
        """Give a pull up; False where none of that id is under way."""
        return any(backend.cancel_pull(pull_id) for backend in self.by_name.values())

    def _can_pull(self, name: str) -> bool:
        backend = self.by_name.get(self.name_of(self._deploys.get(name).function))
        return backend is not None and backend.health().online

    def _changed(self, backend: LambdaBackend, online: Callable[[str], object]) -> None:
        health = backend.health()
        self._events.publish(BackendChanged(backend=backend.name, online=health.online, detail=health.detail))
        if health.online:
            online(backend.name)

    def _known(self, name: str) -> LambdaBackend:
        if name not in self.by_name:
            raise BackendUnavailableError(name, f"there is none of this name; there are {', '.join(self.by_name)}")
        return self.by_name[name]


async def start_backend(backend: LambdaBackend, home: Path) -> None:
    """Get a backend of a home ready. Raises HomeUnusableError."""
    try:
        await backend.start()
    except OSError as error:
        where = str(error.filename or home)
        raise HomeUnusableError(where, f"the {backend.name} backend needs it ({error.strerror})") from error
