"""Images on one engine: whether they are there, and fetching those that are not, with progress.

The engine's answer to a pull: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageCreate
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from core.backends.container.engine import OLDEST_API, EngineError
from core.backends.container.engine_stream import StreamRefusedError, engine_stream
from core.images import ImagePull, PullState

if TYPE_CHECKING:
    from docker import APIClient

    from core.backends.container.engine import Engine

__all__ = ["Images", "PullFailedError", "image_name"]

_BETWEEN = 0.1  # seconds between two tellings of how far a pull is
_numbers = itertools.count(1)


def image_name(digest: str) -> str:
    """An image's id as people read it."""
    return digest.removeprefix("sha256:")[:12]


class PullFailedError(Exception):
    """The image is not on the engine and did not come; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, eq=False)
class _Running:
    pull: ImagePull
    task: asyncio.Task[None]
    waiting: int = 0
    telling: asyncio.TimerHandle | None = None

    def told(self) -> None:
        """How far it is need not be told any more for now."""
        if self.telling is not None:
            self.telling.cancel()
            self.telling = None


class Images:
    """Fetches each image once, however many wait for it. `changed` hears of every pull's progress and end."""

    def __init__(self, backend: str, changed: Callable[[ImagePull], None]) -> None:
        self._backend = backend
        self._changed = changed
        self._running: dict[tuple[str, str], _Running] = {}

    def pulls(self) -> list[ImagePull]:
        """Those under way, oldest first."""
        return [running.pull for running in self._running.values()]

    def cancel(self, pull_id: str) -> bool:
        """Give a pull up; False where none of that id is under way."""
        for running in self._running.values():
            if running.pull.id == pull_id:
                running.task.cancel()
                return True
        return False

    async def ensure(self, engine: Engine, image: str, platform: str) -> None:
        """Fetch the image unless it is there. Raises PullFailedError, EngineError."""
        if not await engine.call(f"look for the image {image}", lambda client: _present(client, image, platform)):
            await self.fetch(engine, image, platform)

    async def renew(self, engine: Engine, image: str, platform: str) -> str | None:
        """Which image the name means, as `image_name` has it, fetched again if it came from a registry.

        A registry that does not answer leaves it as it is. None where there is none. Raises EngineError.
        """
        what = f"look for the image {image}"
        found = await engine.call(what, lambda client: _found(client, image))
        if any(not str(each).startswith("localhost/") for each in found.get("RepoDigests") or ()):
            # one that was built here must not be replaced by a stranger's of the same name
            with suppress(PullFailedError):
                await self.fetch(engine, image, platform)
            found = await engine.call(what, lambda client: _found(client, image))
        return image_name(str(found["Id"])) if found else None

    async def fetch(self, engine: Engine, image: str, platform: str) -> None:
        """Fetch it, or wait for the pull that is under way. Raises PullFailedError.

        A pull for which nobody waits any more is given up.
        """
        key = (image, platform)
        running = self._running.get(key)
        if running is None:
            running = self._begin(engine, image, platform)
        running.waiting += 1
        try:
            await asyncio.wait({running.task})
        finally:
            running.waiting -= 1
            if not running.waiting:
                running.task.cancel()
        match running.pull.state:
            case PullState.FAILED:
                raise PullFailedError(running.pull.detail)
            case PullState.CANCELLED:
                raise PullFailedError("its pull was cancelled")

    async def aclose(self) -> None:
        """Give up every pull."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, engine: Engine, image: str, platform: str) -> _Running:
        pull = ImagePull(
            id=f"p-{next(_numbers)}", backend=self._backend, image=image, state=PullState.PULLING,
            layers=0, layers_done=0, received=0, total=0, detail="", started=time.monotonic(),
        )  # fmt: skip
        task = asyncio.get_running_loop().create_task(self._pull(engine, (image, platform)), name=f"pull {image}")
        running = self._running[image, platform] = _Running(pull, task)
        self._changed(pull)
        # a task that is cancelled before it ran has nobody else to say so
        task.add_done_callback(lambda _: self._ended((image, platform), PullState.CANCELLED, ""))
        return running

    async def _pull(self, engine: Engine, key: tuple[str, str]) -> None:
        image, platform = key
        layers, running = _Layers(), self._running[key]
        loop = asyncio.get_running_loop()
        try:
            headers = await engine.call(f"pull {image}", lambda client: _credentials(client, image))
            target = _target(image, platform)
            async with aclosing(
                engine_stream(engine.url, "POST", target, headers=headers, tls=engine.ssl_context())
            ) as answer:
                async for said in answer:
                    if reason := said.get("error") or (said.get("errorDetail") or {}).get("message"):
                        raise StreamRefusedError(str(reason))
                    layers.heard(said)
                    if running.telling is None:
                        # soon, also where the engine says nothing more for long
                        running.telling = loop.call_later(_BETWEEN, self._tell, running, layers)
            self._tell(running, layers)
            # an engine may end the connection early: only the image itself proves that it came
            if not await engine.call(f"look for the image {image}", lambda client: _present(client, image, platform)):
                raise StreamRefusedError("the engine stopped before it had all of it")
        except (StreamRefusedError, EngineError) as error:
            await self._failed(engine, key, error.reason)
        except OSError as error:
            await self._failed(engine, key, (error.strerror or str(error)).lower())
        else:
            self._ended(key, PullState.DONE, "")

    async def _failed(self, engine: Engine, key: tuple[str, str], reason: str) -> None:
        image, _ = key
        with suppress(EngineError):
            there = await engine.call(f"look for the image {image}", lambda client: _architecture(client, image))
            if there:
                reason = f"{reason}; {self._backend} has it for {there} only"
        self._ended(key, PullState.FAILED, reason)

    def _tell(self, running: _Running, layers: _Layers) -> None:
        running.told()
        running.pull = replace(
            running.pull, layers=layers.count, layers_done=layers.done, received=layers.received, total=layers.total
        )
        self._changed(running.pull)

    def _ended(self, key: tuple[str, str], state: PullState, detail: str) -> None:
        running = self._running.pop(key, None)
        if running is not None:
            running.told()
            running.pull = replace(running.pull, state=state, detail=detail)
            self._changed(running.pull)


class _Layers:
    """What an engine has said of an image's parts."""

    def __init__(self) -> None:
        self._bytes: dict[str, tuple[int, int]] = {}
        self._whole: set[str] = set()

    def heard(self, said: dict[str, Any]) -> None:
        """Take in one of the engine's sentences."""
        layer, status = said.get("id"), str(said.get("status", "")).lower()
        if not isinstance(layer, str) or not layer or status.startswith("pulling from"):
            return
        detail = said.get("progressDetail") or {}
        current, total = detail.get("current"), detail.get("total")
        if status == "downloading" and isinstance(current, int):
            self._bytes[layer] = (current, max(total if isinstance(total, int) else 0, current))
        elif layer not in self._bytes:
            self._bytes[layer] = (0, 0)
        if status in {"download complete", "pull complete", "already exists"}:
            self._whole.add(layer)
            known = self._bytes[layer][1]
            self._bytes[layer] = (known, known)

    @property
    def count(self) -> int:
        return len(self._bytes)

    @property
    def done(self) -> int:
        return len(self._whole)

    @property
    def received(self) -> int:
        return sum(current for current, _ in self._bytes.values())

    @property
    def total(self) -> int:
        return sum(total for _, total in self._bytes.values())


def _present(client: Any, image: str, platform: str) -> bool:
    found = _architecture(client, image)
    return found is not None and (not found or platform.endswith(f"/{found}"))


def _architecture(client: Any, image: str) -> str | None:
    """For what the image of that name is, as an engine names it, where it says so; None where there is none."""
    found = _found(client, image)
    return str(found.get("Architecture") or "") if found else None


def _found(client: Any, image: str) -> dict[str, Any]:
    """What an engine tells of an image; nothing where there is none."""
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = client.inspect_image(image)
    except NotFound:
        return {}
    return found


def _target(image: str, platform: str) -> str:
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(image)
    query = urlencode({"fromImage": repository, "tag": tag or "latest", "platform": platform})
    return f"/v{OLDEST_API}/images/create?{query}"


def _credentials(client: APIClient, image: str) -> dict[str, str]:
    """What the person has stored for the image's registry (`docker login`). Blocks: a helper program may be asked."""
    from docker import auth
    from docker.utils import parse_repository_tag

    registry, _ = auth.resolve_repository_name(parse_repository_tag(image)[0])
    header = auth.get_config_header(client, registry)
    return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header} if header else {}
