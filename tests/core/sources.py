"""Functions that tests write to disk: a Python handler, or a custom runtime driven by its event."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

from core.functions import LambdaFunction

__all__ = ["Gate", "python_function", "scripted_function"]

# A runtime that does what its event says, step by step. A step is one of
#   ["chunk", text]         write one chunk of a streamed response
#   ["flood", count, size]  write `count` chunks of `size` bytes, numbered
#   ["gate", fifo]          wait until the test opens the gate
#   ["ask", variable, path] wait until the service answers whose URL is in that variable
#   ["later", path, code]   end the process once the service in GATE_URL has answered, whatever runs then
#   ["say", text]           print a line
#   ["exit", code]          end the process
#   ["fail", type, message] end the stream with an error trailer
#   ["sleep", seconds]
#   ["cut"]                 close the connection in the middle of a chunk
#   ["kill"]                kill itself in the middle of a chunk
#   ["spawn"]               leave a child behind that sleeps for long
_SCRIPTED = """\
import base64, json, os, signal, socket, subprocess, sys, threading, time

host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].rsplit(":", 1)
ROOT = "/2018-06-01/runtime/invocation/"


def connect():
    return socket.create_connection((host, int(port)))


def head(file):
    headers = {}
    status = int(file.readline().split()[1])
    while True:
        line = file.readline().strip()
        if not line:
            return status, headers
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()


def next_event():
    with connect() as sock, sock.makefile("rb") as file:
        sock.sendall(b"GET " + ROOT.encode() + b"next HTTP/1.1\\r\\nHost: api\\r\\n\\r\\n")
        _, headers = head(file)
        body = file.read(int(headers["content-length"]))
    return headers["lambda-runtime-aws-request-id"], json.loads(body)


def chunk(sock, data):
    sock.sendall(b"%x\\r\\n" % len(data) + data + b"\\r\\n")


def ask(variable, path):
    where, _, at = os.environ[variable].partition("//")[2].rpartition(":")
    with socket.create_connection((where, int(at))) as service:
        service.sendall(f"GET /{path} HTTP/1.0\\r\\n\\r\\n".encode())
        while service.recv(4096):
            pass


def later(path, code):
    ask("GATE_URL", path)
    os._exit(code)


def respond(request, steps):
    sock = connect()
    sock.sendall(
        f"POST {ROOT}{request}/response HTTP/1.1\\r\\nHost: api\\r\\n"
        "Content-Type: text/plain\\r\\nLambda-Runtime-Function-Response-Mode: streaming\\r\\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\\r\\n"
        "Transfer-Encoding: chunked\\r\\n\\r\\n".encode()
    )
    trailers = b""
    for name, *args in steps:
        if name == "chunk":
            chunk(sock, args[0].encode())
        elif name == "flood":
            count, size = args
            for number in range(count):
                chunk(sock, b"%08d" % number + b"x" * (size - 8))
        elif name == "gate":
            with open(args[0], "rb", buffering=0) as gate:
                gate.read(2)
        elif name == "ask":
            ask(*args)
        elif name == "later":
            threading.Thread(target=later, args=args, daemon=True).start()
        elif name == "say":
            print(args[0], flush=True)
        elif name == "exit":
            os._exit(args[0])
        elif name == "fail":
            body = json.dumps({"errorType": args[0], "errorMessage": args[1]}).encode()
            trailers = (
                b"Lambda-Runtime-Function-Error-Type: " + args[0].encode() + b"\\r\\n"
                b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(body) + b"\\r\\n"
            )
        elif name == "sleep":
            time.sleep(args[0])
        elif name == "cut":
            sock.sendall(b"100\\r\\nhalf a chunk")
            sock.close()
            return
        elif name == "kill":
            sock.sendall(b"100\\r\\nhalf a chunk")
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == "spawn":
            subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    sock.sendall(b"0\\r\\n" + trailers + b"\\r\\n")
    with sock.makefile("rb") as file:
        head(file)
    sock.close()


signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("IGNORE_TERM") else signal.SIG_DFL)
while True:
    request, event = next_event()
    respond(request, event if isinstance(event, list) else [["chunk", json.dumps(event)]])
"""


def scripted_function(
    folder: Path, name: str = "scripted", *, python: str | None = None, **fields: Any
) -> LambdaFunction:
    """A custom runtime that carries out the steps its event lists, under this interpreter or the tests' own."""
    code = folder / f"{name}-code"
    code.mkdir(parents=True)
    bootstrap = code / "bootstrap"
    # the base interpreter: a function must not see what Stoker's own environment has
    python = python or f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    bootstrap.write_text(f"#!{python} -IS\n{_SCRIPTED}")
    bootstrap.chmod(0o755)
    settings: dict[str, Any] = {"timeout": 20, "memory_size": 256, **fields}
    return LambdaFunction(function_name=name, runtime="provided.al2023", handler="bootstrap", code=code, **settings)


def python_function(folder: Path, source: str, name: str = "python", **fields: Any) -> LambdaFunction:
    """A Python function whose module is `source`, with a handler named `handler`."""
    code = folder / f"{name}-code"
    code.mkdir(parents=True)
    (code / "app.py").write_text(textwrap.dedent(source))
    own = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    settings: dict[str, Any] = {"runtime": own, "timeout": 20, "memory_size": 256, **fields}
    return LambdaFunction(function_name=name, handler="app.handler", code=code, **settings)


class Gate:
    """A named pipe that a function waits at until the test opens it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # open for both directions: neither side blocks in open(), and what is written stays until it is read
        self._fd = os.open(path, os.O_RDWR)

    @property
    def step(self) -> list[str]:
        """The step that waits here."""
        return ["gate", str(self.path)]

    def open(self) -> None:
        """Let one waiting function go on."""
        os.write(self._fd, b"go")

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
