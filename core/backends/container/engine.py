"""One container engine: its API through the docker SDK, on threads of its own, with typed failures.

Docker's API: https://docs.docker.com/reference/api/engine/ ; Podman serves the same under its own socket.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from docker import APIClient

    from core.backends.container.tls import Tls

__all__ = ["OLDEST_API", "Engine", "EngineError", "EngineFacts"]

_T = TypeVar("_T")

_THREADS = 8
_TIMEOUT = 60  # seconds in which an engine must have answered a call
_LATE = 10.0  # seconds without an answer after which somebody may see whether the engine answers at all
_CLOSED = "Stoker has let it go"
OLDEST_API = "1.41"


class EngineError(Exception):
    """The engine refused a call, or did not answer. `status` is HTTP's, None where there was no answer."""

    def __init__(self, engine: str, what: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"{engine} could not {what}: {reason}")
        self.engine = engine
        self.what = what
        self.reason = reason
        self.status = status

    @property
    def unreachable(self) -> bool:
        """Whether nobody answered."""
        return self.status is None

    @property
    def missing(self) -> bool:
        """Whether what it was about does not exist."""
        return self.status == 404


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself; `architecture` in Lambda's words."""

    product: str
    version: str
    api_version: str
    architecture: str
    podman: bool

    def __str__(self) -> str:
        return f"{self.product} {self.version}, {self.architecture}"


class Engine:
    """Calls to one engine at `url`. Every call runs on one of a few threads that only this engine uses.

    `silent(reason)` is called on the loop when a call got no answer: the engine may be gone, or hang.
    `late` is called there for as long as one waits for its answer, every ten seconds.
    """

    def __init__(
        self,
        name: str,
        url: str,
        tls: Tls | None = None,
        *,
        threads: int = _THREADS,
        timeout: float = _TIMEOUT,
        silent: Callable[[str], None] | None = None,
        late: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.tls = tls
        self._timeout = timeout
        self._silent = silent
        self._late = late
        self._closed = False
        self._away: str | None = None
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"stoker-{name}")
        self._clients: list[APIClient] = []
        self._local = threading.local()
        self._mutex = threading.Lock()

    async def facts(self) -> EngineFacts:
        """Ask the engine who it is. Raises EngineError where nobody answers."""
        version: Any = await self.call("tell its version", lambda client: client.version(api_version=False))
        if not isinstance(version, dict) or not version.get("Version"):
            raise EngineError(self.name, "tell its version", "what answers there is no container engine")
        components = version.get("Components") or []
        podman = any(isinstance(part, dict) and "podman" in str(part.get("Name")).lower() for part in components)
        return EngineFacts(
            product="Podman" if podman else "Docker",
            version=str(version["Version"]),
            api_version=str(version.get("ApiVersion", OLDEST_API)),
            architecture="arm64" if version.get("Arch") in {"arm64", "aarch64"} else "x86_64",
            podman=podman,
        )

    async def call(self, what: str, work: Callable[[APIClient], _T]) -> _T:
        """Run `work` with a client of the calling thread. Raises EngineError, which says `what` could not be done.

        Cancelling the call does not stop the engine: whoever creates something must look after it.
        """
        self._refuse(what)
        running = self._executor.submit(self._guarded, what, work)
        waiting = _Waiting(self._late) if self._late is not None else nullcontext()
        try:
            with waiting:
                return await asyncio.wrap_future(running)
        except EngineError as error:
            if error.unreachable and not self._closed and self._silent is not None:
                self._silent(error.reason)
            raise
        except asyncio.CancelledError:
            if self._closed and running.cancelled() and not _is_cancelled():
                # it was still waiting for a thread
                raise EngineError(self.name, what, _CLOSED) from None
            raise

    def give_up(self, reason: str) -> None:
        """It does not answer: nobody need wait any longer for what it was asked, nor ask. Until `again`."""
        self._away = reason
        with self._mutex:
            clients = tuple(self._clients)
        if clients:
            from core.backends.container.client import interrupt

            for client in clients:
                interrupt(client)

    def again(self) -> None:
        """It answers."""
        self._away = None

    def _refuse(self, what: str) -> None:
        if self._closed:
            raise EngineError(self.name, what, _CLOSED)
        if self._away is not None:
            raise EngineError(self.name, what, self._away)

    def client(self) -> APIClient:
        """A client of the calling thread's own. Blocks for nothing."""
        found: APIClient | None = getattr(self._local, "client", None)
        if found is None:
            # imported here: it costs the start 0.15 s, and no thread but the engine's needs it
            from core.backends.container.client import make_client

            found = make_client(self.url, self.tls, version=OLDEST_API, timeout=self._timeout)
            self._local.client = found
            with self._mutex:
                self._clients.append(found)
        return found

    def ssl_context(self) -> ssl.SSLContext | None:
        """For a connection beside the SDK's. Raises OSError for files that are none."""
        return self.tls.context() if self.tls is not None else None

    def close(self) -> None:
        """End what is under way, the threads and the connections. Idempotent, and waits for nothing."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._mutex:
            clients, self._clients = self._clients, []
        if clients:
            from core.backends.container.client import sever

            for client in clients:
                sever(client)
                client.close()

    def failure(self, what: str, error: Exception) -> EngineError | None:
        """The typed failure of what the SDK raised; None for what is not the engine's."""
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        match error:
            case APIError():
                reason = str(error.explanation or error).strip()
                return EngineError(self.name, what, reason, error.status_code)
            case RequestException() | DockerException() | OSError():
                return EngineError(self.name, what, _why(error))
            case _:
                return None

    def _guarded(self, what: str, work: Callable[[APIClient], _T]) -> _T:
        self._refuse(what)
        try:
            return work(self.client())
        except Exception as error:
            failure = self.failure(what, error)
            if failure is None:
                raise
        # outside of the handler: whoever keeps the failure would keep the SDK's frames, and their sockets, with it
        raise failure


class _Waiting:
    """While it is entered, `late` is called every ten seconds."""

    def __init__(self, late: Callable[[], None]) -> None:
        self._late = late
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LATE, self._again)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        self.__enter__()
        self._late()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _why(error: BaseException) -> str:
    """The innermost reason: the SDK wraps an OSError four times."""
    from docker.errors import DockerException

    seen: set[int] = set()
    inner: BaseException = error
    while id(inner) not in seen:
        seen.add(id(inner))
        following = next((a for a in inner.args if isinstance(a, BaseException)), None) or inner.__context__
        if following is None:
            break
        inner = following
    if isinstance(inner, TimeoutError) or "timed out" in str(error):
        return "it does not answer"
    if isinstance(inner, ssl.SSLError):
        return f"TLS: {inner.reason or inner}"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    if isinstance(inner, http.client.RemoteDisconnected):
        return "it hung up without an answer"
    if isinstance(inner, http.client.IncompleteRead):
        return "its answer broke off"
    if isinstance(error, DockerException):
        return str(error)
    if isinstance(inner, http.client.HTTPException | ValueError):
        return "what answers there is no container engine"
    return str(inner) or type(inner).__name__
