"""The endpoint: listens, finds the operation, lets it answer, and tells the bus who called."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from typing import TYPE_CHECKING

from core.emulator.http_server import Exchange, HttpServer, Limits, in_tasks
from core.endpoint.call import Call
from core.endpoint.errors import ApiError, as_api_error
from core.endpoint.guard import Guard, is_loopback
from core.endpoint.operations import URL_OPERATION, all_routes, answer_url
from core.endpoint.routes import Routes
from core.errors import EndpointUnusableError
from core.events import CallEnded, CallStarted, EndpointChanged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.runtime import LambdaRuntime

__all__ = ["Endpoint"]

_log = logging.getLogger(__name__)

_LIMITS = Limits(head_size=64 * 1024, head_timeout=10.0, idle_timeout=120.0)
_CONNECTIONS = 512
_NO_BODY = ("HEAD",)


class Endpoint:
    """One listener in front of one runtime. It may be opened and closed again and again.

    Without a `token` it listens on loopback only.
    """

    def __init__(self, runtime: LambdaRuntime, *, token: str | None = None) -> None:
        self._runtime = runtime
        self._token = token
        self._routes = Routes(all_routes())
        self._guard = Guard(token)
        self._server: HttpServer | None = None
        self._answering: in_tasks | None = None
        self._lingering: list[in_tasks] = []
        self.address: str | None = None

    @property
    def url(self) -> str:
        """As a client takes it, http://127.0.0.1:9001; empty while it is closed."""
        return f"http://{self.address}" if self.address else ""

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; returns "host:port" as bound (port 0: any free one).

        Raises EndpointUnusableError where that cannot be, or must not.
        """
        if self._server is not None:
            raise RuntimeError(f"the endpoint is open already, on {self.address}")
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self._token is None and not is_loopback(host):
            raise EndpointUnusableError(shown, "an address that others can reach needs a token")
        self._guard = Guard(self._token, () if is_loopback(host) else (host,))
        answering = in_tasks(self._answer)
        server = HttpServer(answering, limits=_LIMITS, max_connections=_CONNECTIONS)
        try:
            address = await server.start("127.0.0.1" if host == "localhost" else host, port)
        except (OSError, OverflowError) as error:
            raise EndpointUnusableError(shown, _why(error)) from error
        self._server, self._answering, self.address = server, answering, address
        self._runtime.events.publish(EndpointChanged(address=address))
        return address

    async def close(self, *, drain: bool = False) -> None:
        """Listen no more; with `drain` answer what was asked before, else cut all connections. Idempotent.

        A function that runs for a client that is cut off goes on to its end, as for any that goes away.
        """
        server, answering = self._server, self._answering
        if server is None or answering is None:
            return
        server.stop_listening()
        if drain:
            await answering.settled()
        if self._server is server:
            self._server = self._answering = self.address = None
            self._lingering.append(answering)
            self._runtime.events.publish(EndpointChanged(address=None))
        await server.aclose()

    async def aclose(self) -> None:
        """Close it for good, once the runtime is closed: what is still being answered is given up."""
        await self.close()
        for answering in self._lingering:
            await answering.aclose()
        self._lingering.clear()

    async def _answer(self, exchange: Exchange) -> None:
        call, answer = self._find(exchange)
        started = time.monotonic()
        try:
            self._guard.check(exchange)
            self._publish_start(call)
            await answer(call)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._fail(call, error)
        finally:
            if call.status != 403 or call.error != "AccessDeniedException":
                self._publish_end(call, time.monotonic() - started)

    def _find(self, exchange: Exchange) -> tuple[Call, Callable[[Call], Awaitable[None]]]:
        if exchange.path.startswith("/_url/"):
            return self._call(exchange, URL_OPERATION, {}), answer_url
        route, parameters, allowed = self._routes.find(exchange.method, exchange.path)
        if route is not None:
            return self._call(exchange, route.operation, parameters), route.answer

        async def unknown(call: Call) -> None:
            if allowed:
                headers = (("allow", ", ".join(sorted(allowed))),)
                raise ApiError(405, "MethodNotAllowedException", f"{exchange.method} is not for here", headers=headers)
            raise ApiError(404, "UnknownOperationException", f"there is no {exchange.method} {exchange.path} here")

        return self._call(exchange, f"{exchange.method} {exchange.path[:80]}", {}), unknown

    def _call(self, exchange: Exchange, operation: str, parameters: dict[str, str] | object) -> Call:
        return Call(
            exchange,
            self._runtime,
            url=self.url,
            operation=operation,
            parameters=parameters if isinstance(parameters, dict) else {},
        )

    def _fail(self, call: Call, error: Exception) -> None:
        known = as_api_error(error)
        if known is None:
            _log.exception("%s could not be answered", call.operation, exc_info=error)
            known = ApiError(500, "ServiceException", f"{type(error).__name__}; Stoker's log has the details")
        if call.exchange.started:
            call.error = known.code
            call.exchange.abort()
        else:
            call.refuse(known)

    def _publish_start(self, call: Call) -> None:
        self._runtime.events.publish(
            CallStarted(
                call_id=call.id,
                caller=call.caller,
                peer=call.exchange.peer,
                operation=call.operation,
                function_name=call.parameters.get("FunctionName"),
            )
        )

    def _publish_end(self, call: Call, seconds: float) -> None:
        self._runtime.events.publish(
            CallEnded(
                call_id=call.id,
                caller=call.caller,
                peer=call.exchange.peer,
                operation=call.operation,
                function_name=call.function_name or call.parameters.get("FunctionName"),
                status=call.status,
                error=call.error,
                seconds=seconds,
                gone=call.exchange.gone,
            )
        )


def _why(error: OSError | OverflowError) -> str:
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return "another program listens there already; choose another port"
        case errno.EACCES:
            return "this user may not listen there; choose a port above 1023"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case _:
            return getattr(error, "strerror", None) or str(error)
