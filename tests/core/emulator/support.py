"""A runtime spoken by hand over a raw socket, and the Runtime API it speaks to."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from core.emulator.reply import InvokeReply
from core.emulator.requests import FunctionFacts, InvokeRequest
from core.emulator.runtime_api import RuntimeApi

ARN = "arn:aws:lambda:us-east-1:012345678912:function:words"
PREFIX = "/2018-06-01/runtime"


def facts(timeout: float = 5.0) -> FunctionFacts:
    return FunctionFacts("words", "$LATEST", ARN, "bootstrap", timeout, 128)


def request(request_id: str = "r1", payload: bytes = b"{}", **more: object) -> InvokeRequest:
    return InvokeRequest(request_id, payload, **more)  # type: ignore[arg-type]


@dataclass
class Answer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One raw connection to an HTTP server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: str) -> Self:
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            if name:
                headers[name.lower()] = value.strip()
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), headers, body)

    async def ask_next(self) -> None:
        await self.send(f"GET {PREFIX}/invocation/next HTTP/1.1\r\nHost: anything.example\r\n\r\n".encode())

    async def next(self) -> Answer:
        await self.ask_next()
        return await self.answer()

    async def post(self, path: str, body: bytes = b"", **headers: str) -> Answer:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        await self.send(
            f"POST {PREFIX}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
        )
        return await self.answer()

    async def respond(self, request_id: str, body: bytes = b"{}") -> Answer:
        return await self.post(f"/invocation/{request_id}/response", body, Content_Type="application/json")

    async def begin_stream(self, request_id: str, content_type: str = "text/plain") -> None:
        await self.send(
            f"POST {PREFIX}/invocation/{request_id}/response HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self, *trailers: tuple[str, str]) -> None:
        await self.send(b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n")

    async def closed(self) -> bool:
        """Whether the other side closes, after whatever it still sends."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()


class Bench:
    """A Runtime API with its log, and the clients made to it."""

    def __init__(self, api: RuntimeApi, address: str, lines: list[str]) -> None:
        self.api = api
        self.address = address
        self.lines = lines
        self._clients: list[Client] = []

    async def client(self) -> Client:
        client = await Client.connect(self.address)
        self._clients.append(client)
        return client

    async def invoke(self, request_id: str = "r1", payload: bytes = b"{}", **more: object) -> asyncio.Task[InvokeReply]:
        """An invocation whose event has been taken by nobody yet."""
        return asyncio.ensure_future(self.api.invoke(request(request_id, payload, **more)))

    async def aclose(self) -> None:
        for client in self._clients:
            await client.close()
        await self.api.aclose()


@asynccontextmanager
async def bench(timeout: float = 5.0, **more: object) -> AsyncIterator[Bench]:
    lines: list[str] = []

    def log(new: Sequence[str]) -> None:
        lines.extend(new)

    api = RuntimeApi(facts(timeout), log=log, **more)  # type: ignore[arg-type]
    made = Bench(api, await api.start(), lines)
    try:
        yield made
    finally:
        await made.aclose()


async def read_all(reply: InvokeReply) -> bytes:
    parts = []
    while (chunk := await reply.next_chunk()) is not None:
        parts.append(chunk)
    return b"".join(parts)


def alive(process: psutil.Process, timeout: float = 5.0) -> bool:
    """Whether it still runs after `timeout` seconds; one that nobody has reaped does not."""
    until = time.monotonic() + timeout
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                return True
            time.sleep(0.01)
    return False


class Process:
    """A real runtime as a process; its output and its exit are told to the Runtime API."""

    def __init__(self, command: Sequence[str], bench: Bench, cwd: Path, **environment: str) -> None:
        self._bench = bench
        self._loop = asyncio.get_running_loop()
        self.popen = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "AWS_LAMBDA_RUNTIME_API": bench.address, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.popen.stdout is not None
        self._out = self.popen.stdout.fileno()
        os.set_blocking(self._out, False)
        self._loop.add_reader(self._out, self.read)

    def read(self) -> None:
        try:
            data = os.read(self._out, 65536)
        except (BlockingIOError, ValueError):
            return
        if data:
            self._bench.api.output(data)
            return
        self._loop.remove_reader(self._out)
        code = self.popen.wait()
        self._bench.api.runtime_exited(f"exit status {code}" if code >= 0 else "signal: killed")

    def let_go(self, line: bytes = b"\n") -> None:
        """The runtime reads a line of its stdin where the test holds it back."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line)
        self.popen.stdin.flush()

    def stop(self) -> None:
        self._loop.remove_reader(self._out)
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()


@asynccontextmanager
async def python_runtime(bench: Bench, code: str, handler: str, cwd: Path) -> AsyncIterator[Process]:
    """AWS's own Python client with this handler module (named `fn`)."""
    Path(cwd, "fn.py").write_text(code)
    process = Process([sys.executable, "-m", "awslambdaric", f"fn.{handler}"], bench, cwd)
    try:
        yield process
    finally:
        process.stop()


BOOTSTRAP = '''
"""A custom runtime by raw socket: `respond(write)` of the function streams, and may wait on stdin."""
import base64, json, os, socket, sys

host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
connection = socket.create_connection((host, int(port)))
incoming = connection.makefile("rb")


def answer():
    status = int(incoming.readline().split()[1])
    headers = {}
    while (line := incoming.readline().strip()):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, incoming.read(int(headers.get("content-length", 0)))


def write(data):
    connection.sendall(b"%x\\r\\n%b\\r\\n" % (len(data), data))


def wait():
    sys.stdin.readline()


while True:
    connection.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    status, headers, event = answer()
    request_id = headers["lambda-runtime-aws-request-id"]
    connection.sendall(
        f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\\r\\nHost: localhost\\r\\n"
        "Content-Type: text/plain\\r\\nLambda-Runtime-Function-Response-Mode: streaming\\r\\n"
        "Transfer-Encoding: chunked\\r\\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\\r\\n\\r\\n".encode()
    )
    trailers = b""
    try:
        respond(write, wait, json.loads(event))
    except Exception as error:
        body = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}).encode()
        trailers = (b"Lambda-Runtime-Function-Error-Type: Function.%b\\r\\n" % type(error).__name__.encode()
            + b"Lambda-Runtime-Function-Error-Body: %b\\r\\n" % base64.b64encode(body))
    connection.sendall(b"0\\r\\n" + trailers + b"\\r\\n")
    answer()
'''


@asynccontextmanager
async def custom_runtime(bench: Bench, respond: str, cwd: Path) -> AsyncIterator[Process]:
    """A custom runtime whose function `respond(write, wait, event)` is given as code."""
    Path(cwd, "bootstrap.py").write_text(respond + BOOTSTRAP)
    process = Process([sys.executable, "bootstrap.py"], bench, cwd)
    try:
        yield process
    finally:
        process.stop()
