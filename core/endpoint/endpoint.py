"""The endpoint: listens, finds the operation, lets it answer, and tells the bus who called."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote

from core.emulator.http_server import Exchange, HttpServer, Limits, in_tasks
from core.endpoint.admission import Admission
from core.endpoint.call import Call
from core.endpoint.errors import ApiError, as_api_error
from core.endpoint.guard import URL_PREFIX, Guard, is_loopback, own_names
from core.endpoint.health import Health
from core.endpoint.metrics import Metrics
from core.endpoint.operations import URL_OPERATION, all_routes, answer_url
from core.endpoint.quick_invoke import QuickInvoke
from core.endpoint.routes import Routes
from core.endpoint.server_sent import EventFeed
from core.endpoint.url_cors import Cors
from core.errors import EndpointUnusableError, InvalidRequestError
from core.events import CallEnded, CallStarted, EndpointChanged
from core.names import LATEST, parse_function

if TYPE_CHECKING:
    from core.runtime import LambdaRuntime

__all__ = ["Endpoint"]

_log = logging.getLogger(__name__)

_LIMITS = Limits(head_size=64 * 1024, head_timeout=10.0, idle_timeout=120.0, unwanted_timeout=10.0)
_CONNECTIONS = 512
_FLUSH = 10.0  # seconds in which clients may read the last answers of an endpoint that closes

_Answer = Callable[[Call], Awaitable[None]]


class Endpoint:
    """One listener in front of one runtime. It may be opened and closed again and again.

    Without a `token` it listens on loopback only.
    """

    def __init__(self, runtime: LambdaRuntime, *, token: str | None = None) -> None:
        self._runtime = runtime
        self._token = token
        self._server: HttpServer | None = None
        self._answering: in_tasks | None = None
        self._lingering: list[in_tasks] = []
        self._draining = False
        self._admission = Admission()
        self._feed = EventFeed(runtime.events)
        self._metrics = Metrics(runtime, self._connections)
        routes = [*all_routes(), *self._feed.routes, *Health(lambda: self._draining, self._connections).routes]
        known = frozenset({*(route.operation for route in routes), URL_OPERATION, "GetMetrics"})
        self._routes = Routes([*routes, *self._metrics.routes(known)])
        self._quick = QuickInvoke(
            call_of=lambda exchange: self._find(exchange)[0],
            opened=self._publish_start,
            failed=self._fail,
            closed=self._publish_end,
        )
        self._guard = Guard(token)
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
        self._guard = Guard(self._token, () if is_loopback(host) else (host, *own_names()), self._url_allows)
        answering = in_tasks(self._answer)

        def handle(exchange: Exchange) -> None:
            if not self._quick.begin(exchange, self._guard, answering):
                answering(exchange)

        server = HttpServer(handle, limits=_LIMITS, max_connections=_CONNECTIONS)
        try:
            address = await server.start("127.0.0.1" if host == "localhost" else host, port)
        except (OSError, OverflowError) as error:
            raise EndpointUnusableError(shown, _why(error)) from error
        self._server, self._answering, self.address = server, answering, address
        self._draining = False
        self._metrics.open()
        self._runtime.events.publish(EndpointChanged(address=address))
        return address

    async def close(self, *, drain: bool = False) -> None:
        """Listen no more; with `drain` answer what was asked before, else cut all connections. Idempotent.

        A function that runs for a client that is cut off goes on to its end, as for any that goes away.
        """
        server, answering = self._server, self._answering
        if server is None or answering is None:
            return
        if drain:
            await self._drain(server, answering)
        if self._server is server:
            self._server = self._answering = self.address = None
            self._lingering = [each for each in self._lingering if len(each)] + [answering]
            self._runtime.events.publish(EndpointChanged(address=None))
        await server.aclose()

    async def aclose(self) -> None:
        """Close it for good, once the runtime is closed: what is still being answered is given up."""
        await self.close()
        for answering in self._lingering:
            await answering.aclose()
        self._lingering.clear()
        self._feed.end()
        self._metrics.close()

    async def _drain(self, server: HttpServer, answering: in_tasks) -> None:
        self._draining = True
        server.stop_listening()
        self._feed.end()
        retiring = asyncio.get_running_loop().create_task(server.retire(), name="retire the endpoint's connections")
        try:
            # a request that is half here may still begin
            while len(answering):
                await answering.settled()
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH):
                    await asyncio.shield(retiring)
        finally:
            retiring.cancel()
            await asyncio.gather(retiring, return_exceptions=True)

    def _connections(self) -> int:
        return self._server.connections if self._server is not None else 0

    # --- one request

    async def _answer(self, exchange: Exchange) -> None:
        call, answer = self._find(exchange)
        started = time.monotonic()
        try:
            self._guard.check(exchange)
        except ApiError as error:
            _log.info("%s from %s was refused: %s", call.operation, exchange.peer, error)
            self._metrics.refused()
            call.refuse(error)
            return
        self._publish_start(call)
        try:
            if self._admission.concerns(call):
                with self._admission.upload() as call.upload:
                    await answer(call)
            else:
                await answer(call)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._fail(call, error)
        finally:
            self._publish_end(call, time.monotonic() - started)

    def _find(self, exchange: Exchange) -> tuple[Call, _Answer]:
        if exchange.path.startswith(URL_PREFIX):
            return self._call(exchange, URL_OPERATION, {}), answer_url
        # whatever can be got can be asked for its head alone: the connection leaves out the body
        method = "GET" if exchange.method == "HEAD" else exchange.method
        route, parameters, allowed = self._routes.find(method, exchange.path)
        if route is not None:
            return self._call(exchange, route.operation, parameters), route.answer

        async def unknown(call: Call) -> None:
            if not allowed:
                raise ApiError(404, "UnknownOperationException", f"there is no {exchange.method} {exchange.path} here")
            methods = {*allowed, "OPTIONS", *(("HEAD",) if "GET" in allowed else ())}
            headers = (("allow", ", ".join(sorted(methods))),)
            if exchange.method == "OPTIONS":
                call.send(204, b"", headers)
                return
            raise ApiError(405, "MethodNotAllowedException", f"{exchange.method} is not for here", headers=headers)

        return self._call(exchange, f"{exchange.method} {exchange.path}"[:80], {}), unknown

    def _call(self, exchange: Exchange, operation: str, parameters: Mapping[str, str]) -> Call:
        return Call(exchange, self._runtime, url=self.url, operation=operation, parameters=parameters)

    def _url_allows(self, path: str, authority: str) -> bool:
        """Whether the `Cors` of the function URL at a path names what it was asked under, as it would an origin."""
        try:
            target = parse_function(unquote(path.removeprefix(URL_PREFIX).partition("/")[0]))
        except InvalidRequestError:
            return False
        qualifier = "" if target.qualifier in (None, LATEST) else target.qualifier
        config = self._runtime.registry.urls.get(target.name, qualifier)
        cors = Cors.of(config.cors) if config is not None else None
        return cors is not None and any(cors.allows(f"{scheme}://{authority}") for scheme in ("http", "https"))

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
        if not self._runtime.events.wants(CallStarted):
            return
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
        if not self._runtime.events.wants(CallEnded):
            return
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
