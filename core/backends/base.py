"""The contract of a backend. It only brings instances up and down.

The pool, the startup rules and the HTTP invocation are the facade's and the same for all backends.
`launch` keeps the four arguments of the contract; what a launch should report while it goes on
travels beside them in `current_launch()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.instances import BackendHandle, InstanceExit, MemoryUsage, WarmInstance

if TYPE_CHECKING:
    from core.archives import Archive
    from core.functions import LambdaFunction
    from core.images import ImagePull

__all__ = [
    "NOT_ASKED",
    "BackendHealth",
    "LambdaBackend",
    "Launch",
    "StaleCandidate",
    "current_launch",
    "launching",
]


NOT_ASKED = "not asked yet"
"""Why a backend is offline of which nobody knows yet whether it is there; BackendChanged follows."""


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """Whether a backend can launch now; `detail` is its version, or why it is offline."""

    online: bool
    detail: str


@dataclass(frozen=True, slots=True)
class StaleCandidate:
    """Something an earlier Stoker may have left, and what a reap would do with it.

    `reap` is the default answer: true only where the owner is known to be dead. `reason` explains
    it to a person. `id` is what `reap_stale(only=...)` takes.
    """

    id: str
    backend: str
    kind: str
    what: str
    owner: str
    function_name: str
    age: float | None
    reap: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Launch:
    """One attempt to bring an instance up: who it is for, and whom to tell about it.

    `init_timeout` is in seconds: past it the launch raises `InitFailedError(timed_out=True)`.
    `phase(name)` ends the running phase and begins the next. `log(lines)` takes what the instance
    writes, for as long as it lives. `exited(...)` is called at most once, when the instance has
    ended without `terminate` having been asked for. `note(key, text)` is a fact for people.
    """

    instance_id: str
    owner_id: str
    init_timeout: float
    phase: Callable[[str], None]
    log: Callable[[Sequence[str]], None]
    exited: Callable[[InstanceExit], None]
    note: Callable[[str, str], None]


_LAUNCH: ContextVar[Launch] = ContextVar("stoker_launch")


def current_launch() -> Launch:
    """The launch that the running task carries out.

    Outside of a facade (a test that calls `launch` by itself) it is one that reports to nobody.
    """
    return _LAUNCH.get(_NOBODY)


@contextmanager
def launching(launch: Launch) -> Iterator[None]:
    """Make `launch` the current one for the calls inside."""
    token = _LAUNCH.set(launch)
    try:
        yield
    finally:
        _LAUNCH.reset(token)


def _ignore(*_: object) -> None:
    return None


_NOBODY = Launch(
    instance_id="i-unowned",
    owner_id="unowned",
    init_timeout=10.0,
    phase=_ignore,
    log=_ignore,
    exited=_ignore,
    note=_ignore,
)


class LambdaBackend(ABC):
    """Brings instances of one kind up and down."""

    name: str
    changed: Callable[[], None] = staticmethod(_ignore)
    """Called on the loop when `health` answers otherwise than before; whoever wants to know sets it."""
    pulling: Callable[[ImagePull], None] = staticmethod(_ignore)
    """Called on the loop when an image's pull begins, goes on or ends; whoever wants to know sets it."""

    async def start(self) -> None:
        """Get ready: find the engine, start helpers. Called once, before any launch."""
        return None

    async def aclose(self) -> None:
        """Let everything go, instances included. Called once, last. Must not raise."""
        return None

    def health(self) -> BackendHealth:
        """Whether a launch could work now, without asking anybody: the last thing known."""
        return BackendHealth(True, "")

    def facts(self) -> Mapping[str, str]:
        """What else there is to know of it, in words for people: where it was found, what it can do."""
        return {}

    def unsupported(self, function: LambdaFunction) -> str | None:
        """Why this backend can never run `function`, or None where it can."""
        return None

    @abstractmethod
    async def launch(
        self,
        function: LambdaFunction,
        code_zip: Archive | None,
        layers: Sequence[Archive],
        deploy_id: str,
    ) -> WarmInstance:
        """Bring one instance up and return once its runtime has asked for its first event.

        `code_zip` is None for image functions; `layers` come in attach order.
        Raises UnsupportedRuntimeError, NoCodeZipError, ContainerStartFailedError, and
        InitFailedError for what the function's own init did wrong. When it raises, or is
        cancelled, nothing of the instance is left.
        """

    def held_archives(self) -> frozenset[str]:
        """Digests of archives that instances run from and that no function names."""
        return frozenset()

    @abstractmethod
    async def terminate(self, handle: BackendHandle) -> None:
        """End the instance, politely at first and then for certain, with all it started.

        Idempotent: an instance that is already gone is success.
        """

    async def kill(self, handle: BackendHandle) -> None:
        """End the instance at once, without asking it."""
        await self.terminate(handle)

    def usage(self, handle: BackendHandle) -> MemoryUsage | None:
        """Memory of the instance now, or None where it cannot be told."""
        return None

    async def reap_stale(self, *, dry_run: bool = False, only: Collection[str] | None = None) -> list[StaleCandidate]:
        """Find, and unless `dry_run` remove, what an earlier Stoker left behind.

        Without `only`, what each candidate's `reap` says is done; with it, exactly those ids that
        are in it (never anything whose owner is alive). Returns all candidates.
        Raises BackendUnavailableError where it cannot be told what there is.
        """
        return []

    def image_of(self, function: LambdaFunction) -> str | None:
        """The image that instances of `function` would run on here; None where no image is needed."""
        return None

    async def prepull_image(self, image: str, architecture: str | None = None) -> None:
        """Fetch an image ahead of the first launch, unless it is there.

        `image` is the name by which `image_of` calls it; without an architecture it is the engine's own.
        Raises BackendUnavailableError, ImagePullError.
        """
        return None

    async def renew_image(self, image: str, architecture: str | None = None) -> str | None:
        """Which image a name means now; one that came from a registry is fetched again first.

        Returns what its instances have as `image` among their details; None where the engine has no such
        image. Raises BackendUnavailableError.
        """
        return None

    def pulls(self) -> list[ImagePull]:
        """The pulls under way."""
        return []

    def cancel_pull(self, pull_id: str) -> bool:
        """Give a pull up; False where this backend has none of that id under way."""
        return False

    def shell_command(self, handle: BackendHandle) -> str | None:
        """A command line that opens a shell inside the instance, or None where there is no inside."""
        return None
