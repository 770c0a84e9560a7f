"""Instances behind a socket: an emulator or RIE elsewhere. The only module that imports httpx."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from dataclasses import replace

import httpx

from core.emulator.runtime_api import InvokeOutcome
from core.replies import EndpointError, Reply

__all__ = ["HttpClient"]

INVOKE_PATH = "/2015-03-31/functions/function/invocations"
_ERROR_BODY_LIMIT = 262_144


class HttpClient:
    """POSTs events to endpoints. Connections are kept per endpoint; nothing is read from the environment."""

    def __init__(self) -> None:
        transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=30), retries=0
        )
        self._client = httpx.AsyncClient(
            transport=transport,
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
    ) -> Reply:
        """POST the event and return when the head of the reply is there. Never tried again here.

        Raises EndpointError.
        """
        headers = {"X-Amzn-RequestId": request_id, "Content-Type": "application/json"}
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
        return _WireReply(response)

    async def ask(self, endpoint: str, request_id: str, payload: bytes) -> tuple[int, bytes]:
        """POST the event and wait for the whole reply: its status and body. Raises EndpointError."""
        headers = {"X-Amzn-RequestId": request_id, "Content-Type": "application/json"}
        try:
            response = await self._client.post(endpoint + INVOKE_PATH, content=payload, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise EndpointError(f"{endpoint} did not answer: {error or type(error).__name__}", sent=True) from error
        return response.status_code, response.content

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


class _WireReply:
    """The reply of an emulator or RIE behind a socket."""

    whole: bytes | None = None

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
        error_type, message = _error_facts(body)
        return replace(outcome, error_type=error_type, error_message=message, error_payload=body)

    def close(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)

    async def aclose(self) -> None:
        self.close()
        await self._response.aclose()


def _error_facts(body: bytes) -> tuple[str | None, str | None]:
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
