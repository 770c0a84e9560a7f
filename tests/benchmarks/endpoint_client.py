"""A client as lean as one can be: HTTP/1.1 on one blocking socket, kept open for as long as the server allows."""

from __future__ import annotations

import socket
import time
from types import TracebackType

__all__ = ["Client"]

_TIMEOUT = 60.0


class Client:
    """Posts one event again and again. Where the server closes, the next call connects anew, within its time."""

    def __init__(self, address: str, function: str, event: bytes) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._request = (
            f"POST /2015-03-31/functions/{function}/invocations HTTP/1.1\r\nHost: {address}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(event)}\r\n\r\n"
        ).encode() + event
        self._socket: socket.socket | None = None
        self._received = b""
        self.connections = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def invoke(self) -> tuple[float, bytes]:
        """Milliseconds from sending to the last byte of the reply, and the reply. Raises ConnectionError, ValueError.

        ValueError is any status but 200, or a function error.
        """
        started = time.perf_counter()
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=_TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._received = b""
            self.connections += 1
        self._socket.sendall(self._request)
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._receive()
        head = self._received[:end].decode("latin-1")
        self._received = self._received[end + 4 :]
        status, _, lines = head.partition("\r\n")
        headers = {}
        for line in lines.split("\r\n"):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._chunked() if "transfer-encoding" in headers else self._exactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close" or status.startswith("HTTP/1.0"):
            self.close()
        took = (time.perf_counter() - started) * 1000
        if status.split(" ")[1] != "200" or "x-amz-function-error" in headers:
            raise ValueError(f"{status}: {body[:200].decode(errors='replace')}")
        return took, body

    def _chunked(self) -> bytes:
        body = b""
        while True:
            while (end := self._received.find(b"\r\n")) < 0:
                self._receive()
            size = int(self._received[:end].partition(b";")[0], 16)
            self._received = self._received[end + 2 :]
            body += self._exactly(size + 2)[:-2]
            if size == 0:
                return body

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        part, self._received = self._received[:size], self._received[size:]
        return part

    def _receive(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection in the middle of a reply")
        self._received += data
