"""Function URLs: any HTTP request under `/_url/NAME/` runs the function, whose reply is the response.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html and
https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
"""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from core.emulator.http_body import BodyError
from core.emulator.limits import MAX_REQUEST, MAX_RESPONSE
from core.endpoint.errors import ApiError, as_api_error
from core.endpoint.stalled_readers import write_or_cut
from core.endpoint.url_cors import Cors, is_preflight
from core.endpoint.url_event import UrlRequest, event_bytes, new_trace_id
from core.endpoint.url_reply import MalformedReplyError, ReplyHead, StreamedReply, read_reply
from core.errors import InvalidRequestError, LambdaRuntimeError
from core.names import LATEST, Target, function_arn, parse_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.endpoint.call import Call
    from core.invocation import InvocationResult, StreamingInvocation
    from core.registry import UrlConfig

__all__ = ["answer_url"]

_PREFIX = "/_url/"
_JSON = ("content-type", "application/json")
_SIGNED = re.compile(r"AWS4-[A-Z0-9-]+ .*\bCredential=([^/,\s]+)/[^,\s]+.*\bSignature=[0-9a-fA-F]+")
_TRACE = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}\b")

_Headers = tuple[tuple[str, str], ...]


async def answer_url(call: Call) -> None:
    """Answer a request under `/_url/NAME` or `/_url/NAME:ALIAS`.

    A preflight request is answered by the URL's `Cors`, without the function. A page of another
    origin, which `Cors` does not name, gets 403: here that is more than the browser's to enforce,
    because any page can reach this machine. Without a `Cors` it is left to the function, as on AWS.
    Raises ApiError, BodyError, LambdaRuntimeError.
    """
    target, path = _target(call)
    config = call.runtime.registry.urls.get(target.name, target.qualifier or "")
    if config is None:
        raise ApiError.not_found(f"{_shown(target)} has no function URL; CreateFunctionUrlConfig gives it one")
    exchange = call.exchange
    cors = Cors.of(config.cors)
    if cors is not None and is_preflight(exchange.method, exchange.headers):
        call.send(200, b"", [_JSON, *cors.preflight(exchange.headers)])
        return
    origin = exchange.header("origin")
    extra = tuple(cors.response(origin)) if cors is not None else ()
    if cors is not None and origin is not None and not cors.allows(origin) and not _own(call, origin):
        _forbid(call, extra)
        return
    access_key = None
    if config.auth_type == "AWS_IAM":
        access_key = _access_key(call)
        if access_key is None:
            _forbid(call, extra)
            return
    try:
        await _Answer(call, config, target, extra).run(path, access_key)
    except (ApiError, BodyError, LambdaRuntimeError) as error:
        known = as_api_error(error)
        if known is None:
            raise
        if exchange.started:
            call.error = known.code
            if not exchange.finished:
                exchange.cut()
            return
        headers = (*known.headers, *extra)
        raise ApiError(known.status, known.code, known.message, fields=known.fields, headers=headers) from error


class _Answer:
    """One request whose function runs. `extra` are headers that every response of it gets."""

    def __init__(self, call: Call, config: UrlConfig, target: Target, extra: _Headers) -> None:
        self._call = call
        self._exchange = call.exchange
        self._config = config
        self._target = target
        self._extra = extra

    async def run(self, path: str, access_key: str | None) -> None:
        """Run the function to its end, whether or not the client is there to see it."""
        call, exchange, now = self._call, self._exchange, time.time()
        key = call.runtime.registry.resolve(self._target)
        port = call.url.rpartition(":")[2]
        request = UrlRequest(
            exchange.method,
            path,
            exchange.query,
            exchange.headers,
            await call.body(MAX_REQUEST),
            exchange.peer,
            int(port) if port.isdecimal() else None,
            access_key,
        )
        given = _TRACE.search(exchange.header("x-amzn-trace-id") or "")
        root = given[0] if given else new_trace_id(now)
        trace = f"{root};Parent={secrets.token_hex(8)};Sampled=0"
        event = event_bytes(request, url_id=_shown(self._target), request_id=call.id, now=now, trace_id=root)
        invocation = await call.runtime.invoke_streaming(
            key,
            event,
            request_id=call.id,
            source="url",
            invoked_arn=function_arn(self._target.name, self._target.qualifier),
            trace_id=trace,
        )
        self._extra = (("x-amzn-trace-id", trace), *self._extra)
        async with invocation:
            try:
                if self._config.invoke_mode == "RESPONSE_STREAM" and invocation.streaming:
                    await self._stream(invocation)
                else:
                    await self._whole(invocation)
            except MalformedReplyError as error:
                self._bad_gateway("Function.InvalidResponse", error.reason)
                await invocation.discard()

    async def _stream(self, invocation: StreamingInvocation) -> None:
        """Pass the reply on as the function writes it, no faster than the client takes it."""
        exchange, reply = self._exchange, StreamedReply(invocation.content_type)
        while (chunk := await invocation.next_chunk()) is not None:
            body = reply.feed(chunk)
            if reply.head is None:
                continue
            if not exchange.started:
                self._begin(reply.head)
            if exchange.finished or exchange.gone:
                await invocation.discard()
                return
            if body:
                await write_or_cut(exchange, body, invocation.function_name)
        if self._failed(invocation.result):
            return
        head = reply.finish()
        if not exchange.started:
            self._begin(head)
        if not exchange.finished:
            exchange.end()

    async def _whole(self, invocation: StreamingInvocation) -> None:
        """Answer once the whole reply is there."""
        whole = bytearray()
        while (chunk := await invocation.next_chunk()) is not None:
            whole += chunk
            if len(whole) > MAX_RESPONSE:
                raise MalformedReplyError(f"it is larger than {MAX_RESPONSE:,} bytes")
        if self._failed(invocation.result):
            return
        kind = invocation.content_type.partition(";")[0].strip().lower()
        if self._config.invoke_mode == "RESPONSE_STREAM" or (invocation.streaming and kind != "application/json"):
            reply = StreamedReply(invocation.content_type)
            body = reply.feed(bytes(whole))
            head = reply.finish()
        else:
            head, body = read_reply(bytes(whole))
        self._call.send(head.status, b"" if head.bodiless else body, self._headers(head))

    def _begin(self, head: ReplyHead) -> None:
        if head.bodiless:
            self._call.send(head.status, b"", self._headers(head))
        else:
            self._call.start(head.status, self._headers(head))

    def _headers(self, head: ReplyHead) -> Sequence[tuple[str, str]]:
        # what identifies the request is not the function's to say
        ours = {"x-amzn-requestid", "x-amzn-trace-id"}
        return [*(each for each in head.headers if each[0] not in ours), *self._extra]

    def _failed(self, result: InvocationResult | None) -> bool:
        """Whether the function failed; if so the client has been told, as far as that was still possible.

        A timeout is answered as any other error is: https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html
        """
        if result is not None and result.function_error is None and not result.cancelled:
            return False
        self._bad_gateway((result.error_type if result is not None else None) or "Unhandled", None)
        return True

    def _bad_gateway(self, code: str, reason: str | None) -> None:
        """Lambda's answer to what a function does wrong; a reply that has begun breaks off instead."""
        self._call.error = code
        if self._exchange.started:
            if not self._exchange.finished:
                self._exchange.cut()
            return
        # AWS does not say what is wrong with a reply; who writes the function wants to know
        why = (("x-stoker-reason", reason),) if reason is not None else ()
        plain = ("content-type", "text/plain; charset=utf-8")
        self._call.send(502, b"Internal Server Error", [plain, *why, *self._extra])


def _target(call: Call) -> tuple[Target, str]:
    """Which function a path means, and what is left of the path, as it was written."""
    name, _, path = call.exchange.path.removeprefix(_PREFIX).partition("/")
    try:
        target = parse_function(unquote(name))
    except InvalidRequestError as error:
        raise ApiError.not_found(str(error)) from None
    if target.qualifier == LATEST:
        target = Target(target.name)
    call.function_name = _shown(target)
    return target, f"/{path}"


def _shown(target: Target) -> str:
    return target.name if target.qualifier is None else f"{target.name}:{target.qualifier}"


def _own(call: Call, origin: str) -> bool:
    """Whether the page comes from this endpoint itself."""
    return origin.lower() == f"http://{(call.exchange.header('host') or '').lower()}"


def _access_key(call: Call) -> str | None:
    """Who signed the request. The signature itself cannot be verified: there are no secret keys here.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """
    signed = _SIGNED.fullmatch(call.exchange.header("authorization") or "")
    if signed is not None:
        return signed[1]
    query = parse_qs(call.exchange.query)
    if "X-Amz-Signature" in query and "X-Amz-Credential" in query:
        return query["X-Amz-Credential"][0].partition("/")[0] or None
    return None


def _forbid(call: Call, headers: _Headers) -> None:
    call.error = "Forbidden"
    call.reply({"Message": "Forbidden"}, 403, [("x-amzn-ErrorType", "AccessDeniedException"), *headers])
