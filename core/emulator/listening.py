"""Sockets that listen."""

from __future__ import annotations

import socket
import sys

__all__ = ["listening_socket"]

_IP_FREEBIND = 15


def listening_socket(host: str, port: int, *, ahead: bool = False, receive_buffer: int | None = None) -> socket.socket:
    """A socket that listens on this address and does not block; port 0 means any free one.

    `ahead` takes an address that this machine is only about to have (Linux). `receive_buffer`, in bytes,
    bounds what the kernel holds of each connection. Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named, or asyncio leaves Nagle's algorithm on: a small piece then waits 40 ms for the one before
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if ahead and sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind((host, port))
        sock.listen(128)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
