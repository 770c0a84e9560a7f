"""One container with its Runtime API and its output, from its creation to its certain end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.backends.container.attached import AttachedOutput
from core.backends.container.copying import copy_into, sees
from core.backends.container.engine import EngineError
from core.backends.container.images import image_name
from core.backends.container.owed import remove_container
from core.backends.container.rie import RIE_PORT, RieRuntime
from core.backends.memory import TreeMemory
from core.emulator.runtime_api import FunctionFacts, RuntimeApi
from core.instances import InstanceExit
from core.names import function_arn

if TYPE_CHECKING:
    from core.backends.base import Launch
    from core.backends.container.ended import Ended
    from core.backends.container.engine import Engine
    from core.backends.container.specification import Mounted, Specification
    from core.backends.memory import MemoryWatch
    from core.functions import LambdaFunction

__all__ = ["ContainerInstance"]

_log = logging.getLogger(__name__)

_TAIL_LINES = 50
_LAST_OUTPUT = 2.0  # seconds in which an engine must have passed on what a container wrote before it ended


class ContainerInstance:
    """Made before the container is; `remove` leaves nothing of it, however far it came.

    `buffered` ones are served by the emulator inside their image, since they cannot reach this machine.
    `output_lag` is by how many seconds the engine passes output on late. `reached` is set once the
    container has connected to its Runtime API.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        function: LambdaFunction,
        launch: Launch,
        ended: Callable[[ContainerInstance], None],
        let_go: Callable[[ContainerInstance], Awaitable[None]],
        owe: Callable[[str], None],
        watch: MemoryWatch,
        buffered: bool = False,
        output_lag: float = 0.002,
    ) -> None:
        self.engine = engine
        self.function = function
        self.token = secrets.token_hex(16)
        self.id = ""
        self.image = ""  # which one its name meant, once it was started
        self.specification: Specification | None = None  # once it was asked for
        self.layers: str | None = None  # the digest of what is mounted at /opt
        self.ran_out = False  # the engine has said so
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.memory: TreeMemory | None = None  # where its processes are this machine's too
        self.memory_limit = function.memory_size * 1024 * 1024
        self._watch = watch
        self._busy = False
        self._output_lag = output_lag
        self._launch = launch
        self._ended = ended
        self._let_go = let_go
        self._owe = owe
        self._name = ""
        self._address: str | None = None  # the container's own, once the engine has told it
        self._output: AttachedOutput | None = None
        self._creating: asyncio.Future[str] | None = None
        self._mounts: Sequence[Mounted] = ()
        self._removing: asyncio.Task[None] | None = None
        self._over: Ended | None = None
        self._launched = False
        self._asked = False
        self.reached = asyncio.Event()
        self.api: RuntimeApi | RieRuntime = (
            RieRuntime(function, log=self._log_lines) if buffered else self._runtime_api(function)
        )

    def _runtime_api(self, function: LambdaFunction) -> RuntimeApi:
        return RuntimeApi(
            FunctionFacts(
                name=function.name,
                version=function.version,
                arn=function_arn(function.function_name),
                handler=function.handler or "",
                timeout=float(function.timeout),
                memory_size=function.memory_size,
            ),
            log=self._log_lines,
            drain_output=self._drain,
            output_settled=self._output_settled,
            allow=self._allow,
            peak_memory=self._peak_memory,
            reset_memory=self._began,
        )

    # --- coming up

    async def create(self, specification: Specification) -> None:
        """Create the container, put into it what is not mounted, and listen to what it will write.

        Raises EngineError.
        """
        engine = self.engine
        self.specification = specification
        self._name = specification.name
        self._creating = asyncio.ensure_future(engine.call("create a container", specification.create))
        # the engine goes on with it whatever becomes of this task: `remove` waits for it
        self.id = await asyncio.shield(self._creating)
        if specification.copied and specification.mounts:
            self._launch.phase("copy")
            await engine.call(
                "copy code into a container", lambda client: copy_into(client, self.id, specification.mounts)
            )
        self._mounts = specification.mounts
        await self.listen()

    async def listen(self) -> None:
        """Hear what it writes from now on, unless that is heard already. Raises EngineError."""
        if self._output is None or self._output.over:
            stream = await self.engine.call("attach to a container", self._attach)
            if self._output is not None:
                self._output.close()
            self._output = AttachedOutput(stream, self.api.output)
            if self._removing is not None:
                self._output.close()

    async def sees_files(self) -> bool | None:
        """Whether the container has what was mounted into it; see `copying.sees`. Raises EngineError."""
        return await self.engine.call("look into a container", lambda client: sees(client, self.id, self._mounts))

    async def uncreate(self) -> None:
        """Take the container back that was created, before it is started. Raises EngineError."""
        if self._output is not None:
            self._output.close()
            self._output = None
        container = self.id
        await self.engine.call("remove a container", lambda client: remove_container(client, container))
        self.id = ""
        self.image = ""  # which one its name meant, once it was started

    async def start(self) -> None:
        """Start it and learn its address, so that only it may talk to its Runtime API. Raises EngineError."""
        if isinstance(self.api, RuntimeApi):
            self.api.init_started()
        self._address, port = await self.engine.call("start a container", self._start)
        if isinstance(self.api, RuntimeApi):
            self.api.recheck()
        else:
            self.api.listens_at(port)

    async def ready(self, timeout: float) -> None:
        """Wait for the runtime's first `next`. Raises the Runtime API's InitError."""
        await self.api.ready(timeout)
        self._launched = True
        if self.memory is not None:
            self.memory.open()
        if self._over is not None:
            # it asked for its first event and died: to be told once the launch has returned
            asyncio.get_running_loop().call_soon(self._tell_exit)

    @property
    def address(self) -> str:
        """The container's own; empty until the engine has told it."""
        return self._address or ""

    def _attach(self, client: Any) -> Any:
        return client.attach_socket(self.id, params={"stdout": 1, "stderr": 1, "stream": 1, "logs": 0})

    def _start(self, client: Any) -> tuple[str, int]:
        client.start(self.id)
        found = client.inspect_container(self.id)
        self.image = image_name(str(found.get("Image", "")))
        settings = found.get("NetworkSettings") or {}
        networks = settings.get("Networks") or {}
        self.memory = _seen_from_here(self.id, int((found.get("State") or {}).get("Pid") or 0))
        address = next((str(n["IPAddress"]) for n in networks.values() if n.get("IPAddress")), "")
        published = (settings.get("Ports") or {}).get(f"{RIE_PORT}/tcp") or []
        return address, next((int(each["HostPort"]) for each in published), 0)

    def _allow(self, peer: str) -> bool | None:
        if self._address is None:
            return None
        if peer == self._address:
            self.reached.set()
            return True
        return False

    # --- while it lives

    @property
    def launched(self) -> bool:
        """Whether it has come up and nobody has asked it to end."""
        return self._launched and not self._asked

    @property
    def busy(self) -> bool:
        """Whether it is in its init or serves an invocation, as far as memory is concerned."""
        return self._busy and self._over is None

    def out_of_memory(self) -> None:
        """End it, as it uses more than the function has: the engine's own limit leaves room for a full `/tmp`."""
        self.ran_out = True
        _hold(asyncio.get_running_loop().create_task(self._kill(), name=f"kill {self.id[:12]}"))

    async def _kill(self) -> None:
        with self._whatever_happens("its memory"):
            await self.engine.call("kill a container", lambda client: client.kill(self.id))

    def _began(self) -> None:
        self._busy = True
        if self.memory is not None:
            self._watch.watch(self)

    def _peak_memory(self) -> int | None:
        # asked for when an invocation's report is written: it is over
        self._busy = False
        if self.memory is None:
            return None
        if self._over is None:
            self.memory.sample(thorough=False)
        return self.memory.peak or None

    def _drain(self) -> None:
        if self._output is not None:
            self._output.drain()

    def _output_settled(self, then: Callable[[], None]) -> None:
        """What a container writes passes through its engine: it may come after a response that was sent later."""
        if self._output is None:
            then()
        else:
            self._output.settled(then, self._output_lag)

    def tell(self, line: str) -> None:
        """Write a line about it to its log."""
        self._log_lines([line])

    def _log_lines(self, lines: Sequence[str]) -> None:
        self.tail.extend(lines)
        self._launch.log(lines)

    # --- its end

    def exited(self, ended: Ended) -> None:
        """The engine says that it has ended."""
        if self._over is None:
            self._over = ended
            _hold(asyncio.get_running_loop().create_task(self._after_exit(ended), name=f"exit {self.id[:12]}"))

    async def _after_exit(self, ended: Ended) -> None:
        """First what it wrote last, then its end: the order in which they happened."""
        if self._output is not None and not ended.stands_still:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_OUTPUT):
                    await self._output.ended()
        self.api.runtime_exited(ended.reason)
        if self._launched:
            self._tell_exit()

    def _tell_exit(self) -> None:
        ended = self._over
        if self._asked or self._removing is not None or ended is None:
            return
        self.remove()
        self._launch.exited(
            InstanceExit(
                code=ended.code,
                signal=ended.signal,
                reason="used more memory than the function has" if ended.out_of_memory else ended.reason,
                log_tail=tuple(self.tail),
                out_of_memory=ended.out_of_memory,
            )
        )

    def remove(self) -> asyncio.Task[None]:
        """Begin to end it, or join what has begun; the task is done when nothing is left of it."""
        self._asked = True
        if self._removing is None:
            self._removing = asyncio.get_running_loop().create_task(self._remove(), name=f"remove {self.id[:12]}")
        return self._removing

    async def _remove(self) -> None:
        left = self.id
        if self._creating is not None and not self.id:
            try:
                left = self.id = await self._creating
            except (EngineError, asyncio.CancelledError) as error:
                # an engine that did not answer may have made it all the same
                left = "" if isinstance(error, EngineError) and not error.unreachable else self._name
        if left:
            try:
                await self.engine.call("remove a container", lambda client: remove_container(client, left))
            except EngineError as error:
                # as text: whoever keeps what is logged would keep the failed call's socket with it
                name = self.function.function_name
                _log.warning("%s of %s: %s; it will be tried again", left[:12], name, str(error))
                self._owe(left)
        self._watch.forget(self)
        if self._output is not None:
            self._output.close()
        with self._whatever_happens("its Runtime API"):
            await self.api.aclose()
        if self.memory is not None:
            self.memory.close()
        with self._whatever_happens("its relays"):
            await self._let_go(self)
        self._ended(self)

    @contextlib.contextmanager
    def _whatever_happens(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            _log.warning("ending %s of %s: %s: %s", self.id[:12], self.function.function_name, what, error)


def _seen_from_here(container: str, pid: int) -> TreeMemory | None:
    """The memory of a container's processes; None where they are not among those that are seen from here."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return None
    return TreeMemory(pid) if container in text else None


_held: set[asyncio.Task[None]] = set()


def _hold(task: asyncio.Task[None]) -> None:
    _held.add(task)
    task.add_done_callback(_held.discard)
