"""The Runtime API's own answers to the runtime, as the real one words them.

Source: the responses in https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from .http_server import Exchange

__all__ = ["ASKED_AHEAD", "JSON", "accept", "only", "refuse", "too_large", "truncated"]

JSON = ("content-type", "application/json")

ASKED_AHEAD = "stoker-asked-ahead"
"""By this header Stoker's own clients say that the next event is asked for behind the response."""


def accept(exchange: Exchange) -> None:
    """202: the response or the error was taken.

    Stoker's own clients ask for the next event together with a response, and take both answers at once:
    to wake the runtime for this one alone would take longer than all else.
    """
    exchange.answer_waits = exchange.header(ASKED_AHEAD) is not None
    exchange.respond(202, b'{"status":"OK"}\n', [JSON])


def refuse(
    exchange: Exchange,
    status: int,
    error_type: str,
    message: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    """An error answer, with the real one's body."""
    body = json.dumps({"errorMessage": message, "errorType": error_type}).encode() + b"\n"
    exchange.respond(status, body, [JSON, *headers])


def too_large(exchange: Exchange, limit: int) -> None:
    """413: what the runtime sends is more than is taken."""
    message = f"Exceeded maximum allowed payload size ({limit} bytes)."
    refuse(exchange, 413, "RequestEntityTooLarge", message)


def truncated(exchange: Exchange) -> None:
    """400: the runtime's request broke off."""
    refuse(exchange, 400, "TruncatedHTTPRequest", "HTTP request detected as truncated")


def only(exchange: Exchange, method: str) -> bool:
    """Whether the request has this method; if not, it has been answered with 405."""
    if exchange.method == method:
        return True
    refuse(exchange, 405, "MethodNotAllowed", f"{exchange.path} takes {method}", headers=[("allow", method)])
    return False
