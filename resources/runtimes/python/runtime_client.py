"""The module through which awslambdaric talks to the Runtime API, in plain Python.

awslambdaric's own `runtime_client` is native code and fits one interpreter; this one has the same
four functions and fits all. It keeps one connection open and uses `_socket` directly, because
`import socket` would cost a cold start some milliseconds.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import _socket
import os

__all__ = ["initialize_client", "next", "post_error", "post_invocation_result"]

_HEADERS = {
    b"lambda-runtime-aws-request-id": "Lambda-Runtime-Aws-Request-Id",
    b"lambda-runtime-trace-id": "Lambda-Runtime-Trace-Id",
    b"lambda-runtime-invoked-function-arn": "Lambda-Runtime-Invoked-Function-Arn",
    b"lambda-runtime-deadline-ms": "Lambda-Runtime-Deadline-Ms",
    b"lambda-runtime-client-context": "Lambda-Runtime-Client-Context",
    b"lambda-runtime-cognito-identity": "Lambda-Runtime-Cognito-Identity",
    b"lambda-runtime-aws-tenant-id": "Lambda-Runtime-Aws-Tenant-Id",
    b"lambda-runtime-invocation-id": "Lambda-Runtime-Invocation-Id",
    b"content-type": "Content-Type",
}
_NOTHING = dict.fromkeys(_HEADERS.values())
_JOIN_BELOW = 64 * 1024
_NEXT = "invocation/next"
# tells Stoker that it may answer together with what follows
_ASKED_AHEAD = "Stoker-Asked-Ahead: next\r\n"


class _Connection:
    """One kept-alive connection to the Runtime API."""

    def __init__(self):
        address = os.environ["AWS_LAMBDA_RUNTIME_API"]
        host, _, port = address.rpartition(":")
        self.host = address
        self.where = (host.strip("[]"), int(port))
        self.user_agent = "aws-lambda-python"
        self.socket = None
        self.buffer = b""
        self.asked_ahead = False
        self.question = b""
        self.taken = b""
        self.reads = 0

    def connect(self):
        family = _socket.AF_INET6 if ":" in self.where[0] else _socket.AF_INET
        self.socket = _socket.socket(family, _socket.SOCK_STREAM)
        self.socket.connect(self.where)
        self.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def head(self, method, path, headers="", body=None):
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        return (
            f"{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: {self.host}\r\n"
            f"User-Agent: {self.user_agent}\r\n{headers}{length}\r\n"
        ).encode("latin-1", "replace")

    def post_and_ask(self, path, headers, body):
        """Post, and ask for the next event behind it; `next` reads both answers."""
        post = self.head("POST", path, headers + _ASKED_AHEAD, body)
        if self.socket is None:
            self.connect()
        self.asked_ahead = True
        if not self.question:
            self.question = self.head("GET", _NEXT)
        self.socket.sendall(b"".join((post, body, self.question)))

    def next(self):
        """The answer to the question, after that to the result with which it went, if it did."""
        if self.asked_ahead:
            self.asked_ahead = False
            self._read_posted()
            if self.socket is not None:
                try:
                    return self._read()
                except ConnectionError:
                    self.close()
        return self.exchange("GET", _NEXT)

    def _read_posted(self):
        if not self.buffer:
            self.buffer = self._more()
        # the same words each time
        if self.taken and self.buffer.startswith(self.taken):
            self.buffer = self.buffer[len(self.taken) :]
            return
        before, reads = self.buffer, self.reads
        _check_posted(self._read())
        if reads == self.reads:
            self.taken = before[: len(before) - len(self.buffer)]

    def exchange(self, method, path, headers="", body=None):
        """Send one request and return status, headers and body of its response."""
        head = self.head(method, path, headers, body)
        fresh = self.socket is None
        if fresh:
            self.connect()
        try:
            return self._send_and_read(head, body)
        except ConnectionError:
            self.close()
            # a kept connection may have been closed while idle; only a GET is safe to repeat
            if fresh or method != "GET":
                raise
        self.connect()
        return self._send_and_read(head, body)

    def _send_and_read(self, head, body):
        if body and len(body) < _JOIN_BELOW:
            self.socket.sendall(head + body)
        else:
            self.socket.sendall(head)
            if body:
                self.socket.sendall(body)
        return self._read()

    def _read(self):
        status, headers = self._read_head()
        while 100 <= status < 200:
            status, headers = self._read_head()
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            content = self._read_chunks()
        else:
            content = self._read_exactly(int(headers.get(b"content-length", b"0")))
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return status, headers, content

    def _more(self):
        self.reads += 1
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionResetError("the Runtime API closed the connection")
        return data

    def _read_head(self):
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            self.buffer += self._more()
        lines = self.buffer[:end].split(b"\r\n")
        self.buffer = self.buffer[end + 4 :]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        return int(lines[0].split(b" ", 2)[1]), headers

    def _read_exactly(self, size):
        parts = [self.buffer]
        have = len(self.buffer)
        while have < size:
            data = self._more()
            parts.append(data)
            have += len(data)
        whole = b"".join(parts) if len(parts) > 1 else parts[0]
        self.buffer = whole[size:]
        return whole[:size] if len(whole) != size else whole

    def _read_line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            self.buffer += self._more()
        line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
        return line

    def _read_chunks(self):
        parts = []
        while size := int(self._read_line().split(b";", 1)[0], 16):
            parts.append(self._read_exactly(size))
            self._read_line()
        while self._read_line():
            pass
        return b"".join(parts)


_connection = None


def initialize_client(user_agent):
    """Remember how to introduce the runtime; the connection is made when it is needed."""
    global _connection  # noqa: PLW0603 - what awslambdaric calls are functions of a module
    _connection = _Connection()
    _connection.user_agent = user_agent


def next():
    """Wait for the next event; returns its body and the invocation's headers."""
    status, headers, body = _connection.next()
    if status != 200:
        raise RuntimeError(f"Failed to get next invocation, error code: {status}")
    found = _NOTHING.copy()
    for name, value in headers.items():
        key = _HEADERS.get(name)
        if key is not None:
            found[key] = value.decode("utf-8", "replace")
    deadline = found["Lambda-Runtime-Deadline-Ms"]
    found["Lambda-Runtime-Deadline-Ms"] = int(deadline) if deadline else 0
    for name in ("Lambda-Runtime-Client-Context", "Lambda-Runtime-Cognito-Identity"):
        found[name] = found[name] or None
    return body, found


def _plain(value):
    return "".join(c if " " <= c <= "~" else "?" for c in value)


def _invocation_header(invocation_id):
    return f"Lambda-Runtime-Invocation-Id: {_plain(invocation_id)}\r\n" if invocation_id else ""


def _bytes(data):
    return data if isinstance(data, bytes) else data.encode("utf-8")


def post_invocation_result(invoke_id, result_data, content_type="application/json", invocation_id=None):
    """Post the handler's result. Whether a small one was taken is known by `next`, which must follow."""
    headers = f"Content-Type: {_plain(content_type or 'application/json')}\r\n{_invocation_header(invocation_id)}"
    path, body = f"invocation/{invoke_id}/response", _bytes(result_data)
    if len(body) < _JOIN_BELOW:
        _connection.post_and_ask(path, headers, body)
    else:
        # a large one may be refused, which is to be known before anything else is asked
        _check_posted(_connection.exchange("POST", path, headers, body))


def _check_posted(answer):
    status, _, _ = answer
    if status // 100 != 2:
        raise RuntimeError(f"Failed to post invocation response, error code: {status}")


def post_error(invoke_id, error_response_data, xray_fault, invocation_id=None):
    """Post the handler's error (Lambda's error JSON) and its X-Ray cause."""
    import json

    try:
        error_type = str(json.loads(error_response_data)["errorType"])
    except (ValueError, KeyError, TypeError):
        error_type = "Unhandled"
    headers = (
        f"Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: {_plain(error_type)}\r\n"
        f"{_invocation_header(invocation_id)}"
    )
    if xray_fault and len(xray_fault) < 8192:
        headers += f"Lambda-Runtime-Function-XRay-Error-Cause: {_plain(xray_fault)}\r\n"
    body = _bytes(error_response_data)
    status, _, _ = _connection.exchange("POST", f"invocation/{invoke_id}/error", headers, body)
    if status // 100 != 2:
        raise RuntimeError(f"Failed to post invocation error, error code: {status}")
