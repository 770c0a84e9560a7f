"""One container engine: its API through the docker SDK, on threads of its own, with typed failures.

Docker's API: https://docs.docker.com/reference/api/engine/ ; Podman serves the same under its own socket.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from docker import APIClient

__all__ = ["OLDEST_API", "Engine", "EngineError", "EngineFacts"]

_T = TypeVar("_T")

_THREADS = 8
_TIMEOUT = 60  # seconds in which an engine must have answered a call
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

    version: str
    api_version: str
    architecture: str
    podman: bool


class Engine:
    """Calls to one engine at `url`. Every call runs on one of a few threads that only this engine uses."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.tls: ssl.SSLContext | None = None
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"stoker-{name}")
        self._clients: list[APIClient] = []
        self._local = threading.local()
        self._mutex = threading.Lock()

    async def facts(self) -> EngineFacts:
        """Ask the engine who it is. Raises EngineError where nobody answers."""
        version: dict[str, Any] = await self.call("tell its version", lambda client: client.version(api_version=False))
        components = [str(part.get("Name", "")) for part in version.get("Components") or []]
        return EngineFacts(
            version=str(version.get("Version", "")),
            api_version=str(version.get("ApiVersion", OLDEST_API)),
            architecture="arm64" if version.get("Arch") in {"arm64", "aarch64"} else "x86_64",
            podman=any("podman" in name.lower() for name in components),
        )

    async def call(self, what: str, work: Callable[[APIClient], _T]) -> _T:
        """Run `work` with a client of the calling thread. Raises EngineError, which says `what` could not be done.

        Cancelling the call does not stop the engine: whoever creates something must look after it.
        """
        return await asyncio.wrap_future(self._executor.submit(self._guarded, what, work))

    def client(self) -> APIClient:
        """A client of the calling thread's own. Blocks for nothing."""
        found: APIClient | None = getattr(self._local, "client", None)
        if found is None:
            # imported here: it costs the start 0.15 s, and no thread but the engine's needs it
            from docker import APIClient

            found = APIClient(base_url=self.url, version=OLDEST_API, timeout=_TIMEOUT)
            # the API may be asked through proxies only where somebody says so for this engine
            found.trust_env = False
            self._local.client = found
            with self._mutex:
                self._clients.append(found)
        return found

    def close(self) -> None:
        """Let the threads end once they have done what they are at, and close the connections."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._mutex:
            clients, self._clients = self._clients, []
        for client in clients:
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
        try:
            return work(self.client())
        except Exception as error:
            failure = self.failure(what, error)
            if failure is None:
                raise
            raise failure from error


def _why(error: BaseException) -> str:
    """The innermost reason: the SDK wraps an OSError four times."""
    seen: set[int] = set()
    inner: BaseException = error
    while id(inner) not in seen:
        seen.add(id(inner))
        following = next((a for a in inner.args if isinstance(a, BaseException)), None) or inner.__context__
        if following is None:
            break
        inner = following
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    return str(inner) or type(inner).__name__
