"""The emulator as a program of its own: invocations over HTTP, as AWS's RIE takes them, but streamed.

One runtime, one invocation at a time; further ones wait for their turn. A runtime that exited, timed
out or broke the protocol is replaced for the next invocation.
Source of the interface: https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from .child import Child, describe_exit
from .failures import InitError, RuntimeGoneError
from .http_body import BodyError, BodyTooLargeError
from .http_exchange import Exchange
from .http_server import HttpServer, Limits, in_tasks
from .limits import MAX_REQUEST
from .reply import InvokeReply
from .requests import FunctionFacts, InvokeRequest
from .runtime_api import RuntimeApi

__all__ = ["Emulator", "Settings"]

_log = logging.getLogger(__name__)

_STALLED = 60  # seconds
_PREFIX = "/2015-03-31/functions/"
_TRAILERS = (
    "X-Amz-Function-Error, X-Amz-Log-Result, Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the program was started with. Addresses are (host, port)."""

    command: Sequence[str]
    invoke_address: tuple[str, int]
    runtime_api_address: tuple[str, int]
    environment: Mapping[str, str]

    def facts(self) -> FunctionFacts:
        """The function as RIE's environment variables describe it. Raises ValueError."""
        env = self.environment
        name = env.get("AWS_LAMBDA_FUNCTION_NAME") or "test_function"
        handler = env.get("AWS_LAMBDA_FUNCTION_HANDLER") or env.get("_HANDLER") or ""
        if not handler and len(self.command) > 1:
            handler = self.command[-1]
        return FunctionFacts(
            name=name,
            version=env.get("AWS_LAMBDA_FUNCTION_VERSION") or "$LATEST",
            arn=f"arn:aws:lambda:{env.get('AWS_REGION') or 'us-east-1'}:012345678912:function:{name}",
            handler=handler,
            timeout=_positive(env, "AWS_LAMBDA_FUNCTION_TIMEOUT", 300),
            memory_size=int(_positive(env, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 3008)),
        )


def _positive(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise ValueError(f"{name} = {text!r}: a number greater than 0 is expected")
    return value


class _Life:
    """One runtime: its Runtime API and its process."""

    def __init__(self, settings: Settings, facts: FunctionFacts) -> None:
        self._settings = settings
        self._facts = facts
        self._child: Child | None = None
        self.api = RuntimeApi(
            facts,
            log=_print,
            peak_memory=lambda: self._child.peak_memory() if self._child else None,
            reset_memory=lambda: self._child.reset_memory() if self._child else None,
            drain_output=lambda: self._child.drain() if self._child else None,
        )

    async def start(self) -> None:
        """Listen and start the command. Raises OSError, and then nothing is left."""
        try:
            address = await self.api.start(*self._settings.runtime_api_address)
            self._child = Child(
                self._settings.command,
                self._environment(address),
                output=self.api.output,
                exited=lambda code: self.api.runtime_exited(describe_exit(code)),
            )
        except BaseException:
            await self.api.aclose()
            raise

    def _environment(self, address: str) -> dict[str, str]:
        facts = self._facts
        return {
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/Functions",
            "AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST",
            "AWS_LAMBDA_FUNCTION_NAME": facts.name,
            "AWS_LAMBDA_FUNCTION_VERSION": facts.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(facts.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": os.getcwd(),  # noqa: PTH109 - a plain text for an environment
            **self._settings.environment,
            "AWS_LAMBDA_RUNTIME_API": address,
            "_HANDLER": facts.handler,
        }

    async def aclose(self) -> None:
        """End the process and the Runtime API."""
        try:
            if self._child is not None:
                await self._child.stop()
        finally:
            await self.api.aclose()


class Emulator:
    """Takes invocations and hands them to the runtime, which it starts, restarts and ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._facts = settings.facts()
        self._life: _Life | None = None
        self._turn = asyncio.Lock()
        self._answers = in_tasks(self._serve)
        self._server = HttpServer(self._answers, limits=Limits(head_size=256 * 1024))
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen for invocations and start the runtime; returns "host:port". Raises OSError."""
        address = await self._server.start(*self._settings.invoke_address)
        try:
            async with self._turn:
                await self._begin()
        except BaseException:
            await self._server.aclose()
            raise
        self._warming = asyncio.get_running_loop().create_task(self._warm())
        return address

    async def aclose(self) -> None:
        """Take no more, end the runtime and everything it started."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await self._answers.aclose()
        await self._drop()
        await self._server.aclose()

    async def _begin(self) -> _Life:
        life = _Life(self._settings, self._facts)
        await life.start()
        self._life = life
        return life

    async def _warm(self) -> None:
        """Say so early when the runtime's init fails; an invocation would try again."""
        async with self._turn:
            if self._life is None:
                return
            try:
                await self._life.api.ready(self._facts.timeout)
                _log.info("the runtime is ready")
            except InitError as error:
                _log.error("the runtime's init failed: %s", error)
                await self._drop()

    async def _drop(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            await life.aclose()

    # requests

    async def _serve(self, exchange: Exchange) -> None:
        path = exchange.path
        if not (path.startswith(_PREFIX) and path.endswith("/invocations") and path.count("/") == 4):
            _refuse(
                exchange, 404, "ResourceNotFoundException", f"there is no {path}; POST {_PREFIX}function/invocations"
            )
            return
        if exchange.method != "POST":
            _refuse(exchange, 405, "MethodNotAllowedException", f"{path} takes POST")
            return
        request_id = str(uuid.uuid4())
        try:
            request = InvokeRequest(
                request_id,
                await exchange.body.read(MAX_REQUEST) or b"{}",
                client_context=_client_context(exchange.header("x-amz-client-context")),
                trace_id=exchange.header("x-amzn-trace-id"),
            )
        except BodyTooLargeError:
            text = f"Request must be smaller than {MAX_REQUEST} bytes for the InvokeFunction operation"
            _refuse(exchange, 413, "RequestTooLargeException", text)
            return
        except (BodyError, ValueError) as error:
            _refuse(exchange, 400, "InvalidRequestContentException", str(error))
            return
        async with self._turn:
            if not exchange.gone:
                await self._invoke(exchange, request)

    async def _invoke(self, exchange: Exchange, request: InvokeRequest) -> None:
        tail = (exchange.header("x-amz-log-type") or "").lower() == "tail"
        headers = [("x-amzn-requestid", request.request_id), ("x-amz-executed-version", self._facts.version)]
        try:
            reply = await self._reply(request)
        except InitError as error:
            await self._drop()
            headers += [("content-type", "application/json"), ("x-amz-function-error", "Unhandled")]
            exchange.respond(200, error.payload, headers)
            return
        except OSError as error:
            _refuse(
                exchange, 502, "Runtime.InvalidEntrypoint", f"{self._settings.command[0]} cannot be started: {error}"
            )
            return
        try:
            headers.append(("content-type", _content_type(reply)))
            if reply.streaming:
                await _stream(exchange, reply, headers, tail)
            else:
                await _whole(exchange, reply, headers, tail)
        finally:
            await reply.aclose()
            if reply.outcome is None or not reply.outcome.reusable:
                await self._drop()

    async def _reply(self, request: InvokeRequest) -> InvokeReply:
        """The reply of a runtime that is alive. Raises InitError, OSError."""
        life = self._life
        if life is not None:
            await life.api.ready(self._facts.timeout)
            with suppress(RuntimeGoneError):  # it went away while it was idle, and has not seen the event
                return await life.api.invoke(request)
            await self._drop()
        life = await self._begin()
        await life.api.ready(self._facts.timeout)
        return await life.api.invoke(request)


async def _stream(exchange: Exchange, reply: InvokeReply, headers: list[tuple[str, str]], tail: bool) -> None:
    exchange.start(200, [*headers, ("trailer", _TRAILERS)])
    try:
        while (chunk := await reply.next_chunk()) is not None:
            async with asyncio.timeout(_STALLED):
                await exchange.write(chunk)
    except TimeoutError:
        _log.warning("a client that took nothing for %d s was cut off", _STALLED)
        exchange.abort()
    # one that has gone does not stop the function either, as on Lambda
    await reply.discard()
    outcome = reply.outcome
    trailers = []
    if outcome is not None and outcome.function_error is not None:
        trailers.append(("x-amz-function-error", outcome.function_error))
        trailers.append(("lambda-runtime-function-error-type", outcome.error_type or "Unhandled"))
        trailers.append(("lambda-runtime-function-error-body", _base64(outcome.error_payload or b"")))
    if outcome is not None and tail:
        trailers.append(("x-amz-log-result", _base64(outcome.log_tail.encode())))
    exchange.end(trailers)


async def _whole(exchange: Exchange, reply: InvokeReply, headers: list[tuple[str, str]], tail: bool) -> None:
    payload = await reply.next_chunk() or b""
    if reply.function_error is not None:
        headers.append(("x-amz-function-error", reply.function_error))
    if reply.outcome is not None and tail:
        headers.append(("x-amz-log-result", _base64(reply.outcome.log_tail.encode())))
    exchange.respond(200, payload, headers)


def _content_type(reply: InvokeReply) -> str:
    default = "application/octet-stream" if reply.streaming else "application/json"
    return next((value for name, value in reply.headers if name == "content-type"), default)


def _client_context(header: str | None) -> str | None:
    if header is None:
        return None
    try:
        return base64.b64decode(header, validate=True).decode()
    except (binascii.Error, ValueError):
        raise ValueError("X-Amz-Client-Context is not base64 of a text") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _refuse(exchange: Exchange, status: int, kind: str, message: str) -> None:
    body = json.dumps({"Type": "User", "message": message}).encode()
    exchange.respond(status, body, [("content-type", "application/json"), ("x-amzn-errortype", kind)])


def _print(lines: Sequence[str]) -> None:
    with suppress(OSError, ValueError):  # nobody reads it any more
        sys.stdout.write("".join(line + "\n" for line in lines))
        sys.stdout.flush()
