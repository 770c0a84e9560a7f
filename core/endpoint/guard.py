"""Who may ask the endpoint: loopback names only, no browser's page, and a token where it is not loopback.

A page on the web can make a browser send requests to this machine. What tells them apart is the
`Origin` header, and for a name that was rebound to 127.0.0.1 the `Host` header.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection

from core.emulator.http_server import Exchange
from core.endpoint.errors import ApiError

__all__ = ["Guard", "is_loopback"]

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")


def is_loopback(host: str) -> bool:
    """Whether a name or address always means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Decides by a request's headers. `hosts` are names besides loopback's under which it may be asked."""

    def __init__(self, token: str | None = None, hosts: Collection[str] = ()) -> None:
        self._token = token.encode() if token is not None else None
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, exchange: Exchange) -> None:
        """Raises ApiError, 403, for a request that may not be answered."""
        url_path = exchange.path == "/_url" or exchange.path.startswith("/_url/")
        host = _host(exchange.header("host") or "")
        if not (is_loopback(host) or host in self._hosts or (self._token is not None and _is_address(host))):
            raise ApiError(403, "AccessDeniedException", f"this endpoint does not answer under the name {host!r}")
        if exchange.header("origin") is not None and not url_path:
            raise ApiError(403, "AccessDeniedException", "this endpoint does not answer pages in a browser")
        if self._token is not None and not self._has_token(exchange):
            raise ApiError(
                403,
                "AccessDeniedException",
                "this endpoint wants its token: as X-Stoker-Token, as a bearer token, or as the access key id",
            )

    def _has_token(self, exchange: Exchange) -> bool:
        authorization = exchange.header("authorization") or ""
        credential = _CREDENTIAL.search(authorization)
        given = (
            exchange.header("x-stoker-token"),
            authorization[7:] if authorization[:7].lower() == "bearer " else None,
            credential[1] if credential else None,
        )
        wanted = self._token or b""
        return any(hmac.compare_digest(each.encode("utf-8", "replace"), wanted) for each in given if each)


def _host(value: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0]


def _is_address(host: str) -> bool:
    # a rebound name is never an address
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
