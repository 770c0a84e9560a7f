"""A request to a function URL, as the event that its function gets: payload format 2.0.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-request-payload and
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from core.names import ACCOUNT

__all__ = ["UrlRequest", "event_bytes", "new_trace_id"]

# those of the connection and not of the request, and the endpoint's own token: no business of a function's
_NOT_FOR_FUNCTIONS = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-stoker-token",
    }
)

# what AWS takes for text; all else goes as base64, forms and bodies without a type included
_TEXT_TYPES = frozenset({"application/json", "application/javascript", "application/xml"})

# the names that AWS writes, whatever the language of this machine
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """An HTTP request as it came.

    `path` and `query` are raw, the path without what names the function. `headers` are in their
    order, with lower-case names. `access_key` is that of a signed request, None for an anonymous one.
    `port` is the one the client connected to.
    """

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    port: int | None = None
    access_key: str | None = None

    def header(self, name: str) -> str | None:
        """The first header of this lower-case name."""
        return next((value for key, value in self.headers if key == name), None)


def event_bytes(request: UrlRequest, *, url_id: str, request_id: str, now: float, trace_id: str | None = None) -> bytes:
    """The event as JSON. `now` is `time.time()`; `trace_id` one made by `new_trace_id`, unless the request has its own.

    Fields that AWS leaves out are left out: cookies, query parameters and the body where there are none.
    """
    cookies = _cookies(request)
    parameters = _joined(parse_qsl(request.query, keep_blank_values=True))
    body, encoded = _body(request)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path or "/",
        "rawQueryString": request.query,
    }
    if cookies:
        event["cookies"] = cookies
    event["headers"] = _headers(request, cookies, trace_id)
    if parameters:
        event["queryStringParameters"] = parameters
    event["requestContext"] = _context(request, url_id, request_id, now)
    if body is not None:
        event["body"] = body
    event["isBase64Encoded"] = encoded
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def new_trace_id(now: float) -> str:
    """A trace header of its own: Root=1-SECONDS-RANDOM.

    Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    return f"Root=1-{int(now):08x}-{secrets.token_hex(12)}"


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Pairs as one value each; what comes several times is joined by commas, in its order."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _cookies(request: UrlRequest) -> list[str]:
    pieces = [piece.strip() for name, value in request.headers if name == "cookie" for piece in value.split(";")]
    return [piece for piece in pieces if piece]


def _headers(request: UrlRequest, cookies: Sequence[str], trace_id: str | None) -> dict[str, str]:
    kept = [(name, value) for name, value in request.headers if name not in _NOT_FOR_FUNCTIONS and name != "cookie"]
    headers = _joined(kept)
    if cookies:
        headers["cookie"] = "; ".join(cookies)
    if request.body and "content-length" not in headers:
        headers["content-length"] = str(len(request.body))  # it came in chunks
    before = headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{before}, {request.source_ip}" if before else request.source_ip
    headers.setdefault("x-forwarded-proto", "http")
    if request.port is not None:
        headers.setdefault("x-forwarded-port", str(request.port))
    if trace_id is not None:
        headers.setdefault("x-amzn-trace-id", trace_id)
    return headers


def _context(request: UrlRequest, url_id: str, request_id: str, now: float) -> dict[str, Any]:
    context: dict[str, Any] = {"accountId": "anonymous", "apiId": url_id}
    if request.access_key is not None:
        # the root of the one account there is here
        context["accountId"] = ACCOUNT
        context["authentication"] = None
        context["authorizer"] = {
            "iam": {
                "accessKey": request.access_key,
                "accountId": ACCOUNT,
                "callerId": ACCOUNT,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": f"arn:aws:iam::{ACCOUNT}:root",
                "userId": ACCOUNT,
            }
        }
    http = {
        "method": request.method,
        "path": request.path or "/",
        "protocol": "HTTP/1.1",
        "sourceIp": request.source_ip,
    }
    agent = request.header("user-agent")
    if agent is not None:
        http["userAgent"] = agent
    return context | {
        "domainName": request.header("host") or "",
        "domainPrefix": url_id,
        "http": http,
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": _time(now),
        "timeEpoch": int(now * 1000),
    }


def _time(now: float) -> str:
    utc = time.gmtime(now)
    clock = f"{utc.tm_hour:02}:{utc.tm_min:02}:{utc.tm_sec:02}"
    return f"{utc.tm_mday:02}/{_MONTHS[utc.tm_mon - 1]}/{utc.tm_year}:{clock} +0000"


def _body(request: UrlRequest) -> tuple[str | None, bool]:
    """The body as the event carries it, and whether that is base64."""
    if not request.body:
        return None, False
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass  # it says it is text, but a string cannot carry it
    return base64.b64encode(request.body).decode("ascii"), True
