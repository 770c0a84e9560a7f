"""How the facade reaches an instance: the only module that imports httpx.

An endpoint is `http://HOST:PORT` for an emulator or RIE behind a socket, or `emulator://NAME` for an
emulator in this process, to which the request is handed over without a socket. The caller cannot
tell the two apart.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import httpx

from core.emulator.runtime_api import InvokeOutcome, InvokeReply, InvokeRequest, RuntimeGoneError

if TYPE_CHECKING:
    from core.local_emulators import LocalEmulators

__all__ = ["EndpointError", "InvokeClient", "Reply"]

INVOKE_PATH = "/2015-03-31/functions/function/invocations"
_REPLY = "stoker_reply"
_ERROR_BODY_LIMIT = 262_144


class EndpointError(Exception):
    """The instance could not be asked, or its reply broke off, for a reason that is not the function's.

    `sent` is False where not a byte of the event had gone out, so that another instance may be asked.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Reply(Protocol):
    """An instance's reply from its head on. After `next_chunk` gave None, `outcome` is set."""

    @property
    def content_type(self) -> str:
        """Of the body."""
        ...

    @property
    def streaming(self) -> bool:
        """Whether the body comes while the function still writes it."""
        ...

    @property
    def outcome(self) -> InvokeOutcome | None:
        """How the invocation ended; set with the last chunk."""
        ...

    async def next_chunk(self) -> bytes | None:
        """The next piece of the body, None at its end. Raises EndpointError."""
        ...

    async def aclose(self) -> None:
        """Stop reading; wakes a pending `next_chunk`, which then gives None."""
        ...


class InvokeClient:
    """Sends events to instances. Connections are kept per endpoint; nothing is read from the environment."""

    def __init__(self, local: LocalEmulators) -> None:
        transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=30), retries=0
        )
        self._client = httpx.AsyncClient(
            transport=transport,
            mounts={"emulator://": _EmulatorTransport(local)},
            timeout=None,  # the deadline is the function's, and the emulator keeps it
            trust_env=False,
            follow_redirects=False,
        )

    async def invoke(
        self,
        endpoint: str,
        request_id: str,
        payload: bytes,
        *,
        client_context: str | None = None,
        trace_id: str | None = None,
        timeout: float,
    ) -> Reply:
        """POST the event and return when the head of the reply is there. Never tried again here.

        Raises EndpointError.
        """
        headers = {
            "X-Amzn-RequestId": request_id,
            "Content-Type": "application/json",
            "X-Stoker-Timeout": f"{timeout:g}",
        }
        if client_context is not None:
            headers["X-Amz-Client-Context"] = _as_header(client_context)
        if trace_id is not None:
            headers["X-Amzn-Trace-Id"] = trace_id
        request = self._client.build_request("POST", endpoint + INVOKE_PATH, content=payload, headers=headers)
        try:
            response = await self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EndpointError(f"{endpoint} cannot be reached: {error}", sent=False) from error
        except (httpx.HTTPError, OSError) as error:
            raise EndpointError(f"{endpoint} did not answer: {error or type(error).__name__}", sent=True) from error
        local = response.extensions.get(_REPLY)
        if isinstance(local, InvokeReply):
            return _LocalReply(local)
        return _WireReply(response)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


class _EmulatorTransport(httpx.AsyncBaseTransport):
    """Hands a request over to an emulator in this process."""

    def __init__(self, local: LocalEmulators) -> None:
        self._local = local

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        api = self._local.get(name)
        if api is None:
            raise httpx.ConnectError(f"instance {name} has gone")
        headers = request.headers
        timeout = headers.get("x-stoker-timeout")
        try:
            reply = await api.invoke(
                InvokeRequest(
                    request_id=headers["x-amzn-requestid"],
                    payload=await request.aread(),
                    client_context=_client_context(headers.get("x-amz-client-context")),
                    trace_id=headers.get("x-amzn-trace-id"),
                    timeout=float(timeout) if timeout else None,
                )
            )
        except RuntimeGoneError as error:
            raise httpx.ConnectError(str(error)) from error
        except RuntimeError as error:
            raise httpx.ReadError(str(error)) from error
        return httpx.Response(reply.status, headers=list(reply.headers), stream=_NoStream(), extensions={_REPLY: reply})


class _NoStream(httpx.AsyncByteStream):
    """The body is read from the reply itself: httpx's layers would only slow it down."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""


class _LocalReply:
    """The reply of an emulator in this process."""

    __slots__ = ("_reply", "content_type", "next_chunk")

    def __init__(self, reply: InvokeReply) -> None:
        self._reply = reply
        self.next_chunk = reply.next_chunk
        self.content_type = _header(reply.headers, "content-type", "application/json")

    @property
    def streaming(self) -> bool:
        return self._reply.streaming

    @property
    def outcome(self) -> InvokeOutcome | None:
        return self._reply.outcome

    async def aclose(self) -> None:
        await self._reply.aclose()


class _WireReply:
    """The reply of an emulator or RIE behind a socket."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._body = response.aiter_raw()
        self._error_body = bytearray()
        self._closed = asyncio.get_running_loop().create_future()
        self.outcome: InvokeOutcome | None = None
        self.content_type: str = response.headers.get("content-type", "application/json")
        self.streaming = response.headers.get(
            "lambda-runtime-function-response-mode"
        ) == "streaming" or "chunked" in response.headers.get("transfer-encoding", "")
        self._function_error: str | None = response.headers.get("x-amz-function-error")
        if self._function_error is None and response.status_code >= 400:
            self._function_error = "Unhandled"

    async def next_chunk(self) -> bytes | None:
        if self.outcome is not None or self._closed.done():
            return None
        reading = asyncio.ensure_future(anext(self._body, None))
        try:
            await asyncio.wait({reading, self._closed}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            reading.cancel()
            raise
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
            return None
        try:
            chunk = reading.result()
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise EndpointError(f"the reply broke off: {error or type(error).__name__}", sent=True) from error
        if chunk is None:
            await self._response.aclose()
            self.outcome = self._judge()
            return None
        if self._function_error is not None and len(self._error_body) < _ERROR_BODY_LIMIT:
            self._error_body += chunk
        return chunk

    def _judge(self) -> InvokeOutcome:
        headers = self._response.headers
        log = headers.get("x-amz-log-result", "")
        try:
            log_tail = base64.b64decode(log).decode("utf-8", "replace")
        except binascii.Error:
            log_tail = ""
        outcome = InvokeOutcome(
            function_error=self._function_error,
            error_type=None,
            error_message=None,
            error_payload=None,
            duration_ms=0.0,
            init_ms=None,
            max_memory_mb=None,
            log_tail=log_tail,
            reusable=self._response.status_code < 500,
        )
        if self._function_error is None:
            return outcome
        body = bytes(self._error_body)
        error_type, message = error_facts(body)
        return replace(outcome, error_type=error_type, error_message=message, error_payload=body)

    async def aclose(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        await self._response.aclose()


def error_facts(body: bytes) -> tuple[str | None, str | None]:
    """`errorType` and `errorMessage` of Lambda's error JSON; None where it has none."""
    try:
        document = json.loads(body)
    except ValueError:
        return None, None
    if not isinstance(document, dict):
        return None, None
    error_type, message = document.get("errorType"), document.get("errorMessage")
    return (
        error_type if isinstance(error_type, str) else None,
        message if isinstance(message, str) else None,
    )


def _as_header(client_context: str) -> str:
    """Bare JSON as a header can carry it; what the API takes is base64 already."""
    if client_context.isascii() and client_context.isprintable():
        return client_context
    return base64.b64encode(client_context.encode("utf-8", "replace")).decode()


def _client_context(header: str | None) -> str | None:
    """The API takes the client context as base64; the runtime gets the JSON itself."""
    if header is None:
        return None
    try:
        return base64.b64decode(header, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return header


def _header(headers: object, name: str, default: str) -> str:
    for key, value in headers:  # type: ignore[attr-defined]
        if key.lower() == name:
            return str(value)
    return default
