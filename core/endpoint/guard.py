"""Who may ask the endpoint: loopback names only, no browser's page, and a token where it is not loopback.

A page on the web can make a browser send requests to this machine. What tells them apart is the
`Origin` header, and for a name that was rebound to 127.0.0.1 the `Host` header.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Callable, Collection

from core.emulator.http_server import Exchange
from core.endpoint.errors import ApiError
from core.names import HOST_ALIAS

__all__ = ["URL_PREFIX", "Guard", "check_token", "host_of", "is_loopback", "own_names"]

URL_PREFIX = "/_url/"
"""Where function URLs are."""

_CREDENTIAL = re.compile(r"(?<=Credential=)[^/,\s]+(?=/)")
_TOKEN = re.compile(r"[!-+.0-~-]{8,256}")
# a name, an address or an address in brackets; nothing that a client may read otherwise than we do
_HOST = re.compile(
    r"(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?(?::[0-9]{0,5})?|\[(?P<v6>[0-9a-f:.]+)\](?::[0-9]{0,5})?"
)
_LOCALHOST = "localhost"
_FROM_CONTAINERS = frozenset({HOST_ALIAS, "host.containers.internal"})
_MOST_KNOWN = 64


def is_loopback(host: str) -> bool:
    """Whether a name or address always means this machine."""
    if host == _LOCALHOST or host.endswith(f".{_LOCALHOST}"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_names() -> tuple[str, str]:
    """This machine's name, and the same without its domain."""
    name = socket.gethostname()
    return name, name.partition(".")[0]


def host_of(authority: str) -> str | None:
    """The name or address that a Host header or a target names, in lower case; None where it is malformed."""
    found = _HOST.fullmatch(authority.strip(" \t").lower())
    return (found["name"] or found["v6"]) if found is not None else None


def check_token(token: str) -> None:
    """Raises ValueError for a token that clients could not send, or that is too easily guessed."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token has 8 to 256 visible ASCII characters without comma and slash")


class Guard:
    """Decides by a request's headers. `hosts` are names besides loopback's under which it may be asked.

    `url_allows(path, authority)` says whether the function URL at that path may be asked under a name
    of another kind.
    """

    def __init__(
        self,
        token: str | None = None,
        hosts: Collection[str] = (),
        url_allows: Callable[[str, str], bool] = lambda _path, _authority: False,
    ) -> None:
        self._token = token.encode() if token is not None else None
        self._hosts = frozenset(host.lower() for host in hosts)
        self._url_allows = url_allows
        self._known: set[str] = set()  # what this endpoint was asked under, and answers

    def check(self, exchange: Exchange) -> None:
        """Raises ApiError for a request that may not be answered. What proves who asks is taken out of its headers."""
        _check_framing(exchange)
        url = exchange.path.startswith(URL_PREFIX)
        self._check_host(exchange, exchange.header("host") or "", url)
        if exchange.authority is not None:
            self._check_host(exchange, exchange.authority, url)
        if not url and (exchange.header("origin") is not None or _from_a_page(exchange)):
            raise _denied("this endpoint does not answer pages in a browser")
        if self._token is not None:
            if not self._has_token(exchange, self._token):
                raise _denied(
                    "this endpoint wants its token: as X-Stoker-Token, as a bearer token, or as the access key id"
                )
            # what follows hands headers on to functions and writes them down
            exchange.headers = _without_token(exchange.headers)

    def _check_host(self, exchange: Exchange, authority: str, url: bool) -> None:
        if authority in self._known:
            return
        host = host_of(authority)
        known = host is not None and (
            is_loopback(host)
            or host in self._hosts
            # as a function in a container calls its own Stoker; nobody's page is served under these names
            or host in _FROM_CONTAINERS
            or (self._token is not None and _is_address(host))
        )
        if known:
            if len(self._known) < _MOST_KNOWN:
                self._known.add(authority)
            return
        if url and host is not None and self._url_allows(exchange.path, authority.strip().lower()):
            return
        raise _denied(f"this endpoint does not answer under the name {authority[:80]!r}")

    @staticmethod
    def _has_token(exchange: Exchange, wanted: bytes) -> bool:
        authorization = exchange.header("authorization") or ""
        credential = _CREDENTIAL.search(authorization)
        given = (
            exchange.header("x-stoker-token"),
            _bearer(authorization),
            credential[0] if credential else None,
        )
        return any(hmac.compare_digest(each.encode("utf-8", "replace"), wanted) for each in given if each)


def _denied(message: str) -> ApiError:
    return ApiError(403, "AccessDeniedException", message)


def _check_framing(exchange: Exchange) -> None:
    """A request that says twice how long it is may be two to someone between it and us.

    Source: https://www.rfc-editor.org/rfc/rfc9112#section-6.1
    """
    if exchange.header("transfer-encoding") is not None and exchange.header("content-length") is not None:
        close = (("connection", "close"),)
        raise ApiError(400, "InvalidRequestContentException", "the request has two lengths", headers=close)


def _from_a_page(exchange: Exchange) -> bool:
    """Whether a browser says that a page asks, and not a person by the address bar.

    Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
    """
    return exchange.header("sec-fetch-site") not in (None, "none")


def _bearer(authorization: str) -> str | None:
    return authorization[7:].strip() if authorization[:7].lower() == "bearer " else None


def _without_token(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = []
    for name, value in headers:
        if name == "x-stoker-token" or (name == "authorization" and _bearer(value) is not None):
            continue
        kept.append((name, _CREDENTIAL.sub("token", value) if name == "authorization" else value))
    return kept


def _is_address(host: str) -> bool:
    # a rebound name is never an address
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
