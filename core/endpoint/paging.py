"""Lists in pages, as `Marker` and `MaxItems` ask for them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from core.endpoint.errors import ApiError

if TYPE_CHECKING:
    from core.endpoint.call import Call

__all__ = ["PAGE", "page"]

PAGE = 50
"""Items of a page where the request does not say how many.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
"""

_MOST = 10_000
_AFTER = ">"

T = TypeVar("T")


def page(call: Call, items: Iterable[T], key: Callable[[T], str], *, most: int = PAGE) -> tuple[list[T], str | None]:
    """The page that was asked for, and the marker of the next one (None: there is none).

    `key` is unique and orders the items. A marker says where a page ended, so that what is added or
    removed meanwhile makes no other item come twice or not at all. A page has at most `most` items.
    Raises ApiError.
    """
    count = min(call.number("MaxItems", PAGE, 1, _MOST), most)
    marker = call.query("Marker")
    after = _read(marker) if marker else None
    rest = sorted((item for item in items if after is None or key(item) > after), key=key)
    shown = rest[:count]
    return shown, _written(key(shown[-1])) if len(rest) > count else None


def _written(key: str) -> str:
    # a marker is never empty, as a key may be
    return base64.urlsafe_b64encode(f"{_AFTER}{key}".encode()).decode("ascii")


def _read(marker: str) -> str:
    try:
        text = base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith(_AFTER):
        raise ApiError.invalid("Marker is none that a list has given")
    return text.removeprefix(_AFTER)
