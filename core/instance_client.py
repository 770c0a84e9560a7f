"""How the facade reaches an instance: handed over in this process, or by HTTP.

An endpoint is `emulator://NAME` for an emulator in this process, or `http://HOST:PORT` for one behind
a socket. The caller cannot tell the two apart.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.emulator.runtime_api import InvokeOutcome, InvokeReply, InvokeRequest, RuntimeApi, RuntimeGoneError
from core.local_emulators import SCHEME
from core.replies import EndpointError, Reply

if TYPE_CHECKING:
    from core.http_client import HttpClient
    from core.invoke_options import InvokeOptions
    from core.local_emulators import Asked, LocalEmulators

__all__ = ["InstanceClient"]

_PREFIX = f"{SCHEME}://"


class InstanceClient:
    """Sends events to instances, over whichever way their endpoint asks for."""

    def __init__(self, local: LocalEmulators) -> None:
        self._local = local
        self._http: HttpClient | None = None

    async def invoke(
        self, endpoint: str, request_id: str, payload: bytes, options: InvokeOptions, *, timeout: float
    ) -> Reply:
        """Send the event and return when the head of the reply is there. Never tried again here.

        `timeout` is the function's, in seconds; behind a socket the other end keeps its own, and names
        the function by its own ARN instead of by the one in `options`.
        Raises EndpointError.
        """
        if endpoint.startswith(_PREFIX):
            request = _request(request_id, payload, options, timeout)
            return await self._hand_over(endpoint.removeprefix(_PREFIX), request)
        if self._http is None:
            # imported here: httpx costs a tenth of the window's start, and local processes need none of it
            from core.http_client import HttpClient

            self._http = HttpClient()
        return await self._http.invoke(
            endpoint, request_id, payload, client_context=options.client_context, trace_id=options.trace_id
        )

    def near(self, endpoint: str) -> RuntimeApi | None:
        """The Runtime API that is in this process, for `begin`; None where there is none, or something else."""
        api = self._local.get(endpoint.removeprefix(_PREFIX)) if endpoint.startswith(_PREFIX) else None
        return api if isinstance(api, RuntimeApi) else None

    def begin(
        self,
        api: RuntimeApi,
        request_id: str,
        payload: bytes,
        options: InvokeOptions,
        answered: Callable[[Reply | EndpointError], None],
        *,
        timeout: float,
    ) -> None:
        """As `invoke`, without waiting: `answered` is called once, perhaps at once, with the reply or the error."""

        def told(found: InvokeReply | RuntimeGoneError) -> None:
            answered(_LocalReply(found) if isinstance(found, InvokeReply) else EndpointError(str(found), sent=False))

        try:
            api.begin(_request(request_id, payload, options, timeout), told)
        except RuntimeError as error:
            answered(EndpointError(str(error), sent=not isinstance(error, RuntimeGoneError)))

    async def aclose(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.aclose()

    async def _hand_over(self, name: str, request: InvokeRequest) -> Reply:
        api = self._local.get(name)
        if api is None:
            raise EndpointError(f"instance {name} has gone", sent=False)
        try:
            return _LocalReply(await api.invoke(request))
        except RuntimeGoneError as error:
            raise EndpointError(str(error), sent=False) from error
        except RuntimeError as error:
            raise EndpointError(str(error), sent=True) from error


class _LocalReply:
    """The reply of an emulator in this process."""

    __slots__ = ("_reply", "content_type", "next_chunk")

    def __init__(self, reply: Asked) -> None:
        self._reply = reply
        self.next_chunk = reply.next_chunk
        self.content_type = next(
            (value for name, value in reply.headers if name.lower() == "content-type"), "application/json"
        )

    @property
    def streaming(self) -> bool:
        return self._reply.streaming

    @property
    def whole(self) -> bytes | None:
        return self._reply.whole

    @property
    def outcome(self) -> InvokeOutcome | None:
        return self._reply.outcome

    def close(self) -> None:
        self._reply.close()

    async def aclose(self) -> None:
        await self._reply.aclose()


def _request(request_id: str, payload: bytes, options: InvokeOptions, timeout: float) -> InvokeRequest:
    context = _decoded(options.client_context)
    return InvokeRequest(request_id, payload, context, options.trace_id, None, options.invoked_arn, timeout)


def _decoded(client_context: str | None) -> str | None:
    """The API takes the client context as base64; the runtime gets the JSON itself.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestSyntax
    """
    if client_context is None:
        return None
    try:
        return base64.b64decode(client_context, validate=True).decode()
    except (binascii.Error, ValueError):
        return client_context
