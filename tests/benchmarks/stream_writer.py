"""A custom runtime that does nothing but write: one `send` a chunk, straight to the socket.

Needs only the standard library; it runs as a function's runtime and, for comparison, against a bare socket.
"""

import json
import os
import socket
from collections.abc import Iterator
from typing import BinaryIO

_HEAD = (
    "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {host}\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: application/octet-stream\r\n"
    "Transfer-Encoding: chunked\r\n\r\n"
)


def _lines(stream: BinaryIO) -> Iterator[str]:
    while (line := stream.readline().decode("latin-1").rstrip("\r\n")) != "":
        yield line


def main() -> None:
    """Serve events until the Runtime API goes away."""
    address = os.environ["AWS_LAMBDA_RUNTIME_API"]
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answers = connection.makefile("rb")
    while True:
        connection.sendall(f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        headers = {}
        for line in _lines(answers):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if not headers:
            return
        event = json.loads(answers.read(int(headers["content-length"])))
        size, count = event["size"], event["count"]
        chunk = b"%x\r\n" % size + b"x" * size + b"\r\n"
        send = connection.sendall
        send(_HEAD.format(id=headers["lambda-runtime-aws-request-id"], host=address).encode())
        for _ in range(count):
            send(chunk)
        send(b"0\r\n\r\n")
        length = 0
        for line in _lines(answers):
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        answers.read(length)


if __name__ == "__main__":
    main()
