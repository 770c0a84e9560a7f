"""Reads a request's JSON: strictly, since what is kept of it must go into answers again."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.endpoint.constraints import detected, fault
from core.endpoint.errors import ApiError

__all__ = ["read_json"]

_DEEPEST = 100  # objects and lists within each other; no operation's request has ten
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

M = TypeVar("M", bound=BaseModel)


def read_json(data: bytes, model: type[M]) -> M:
    """A JSON document as `model`; an empty one counts as `{}`. Raises ApiError."""
    try:
        document = _parsed(data)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "SerializationException", f"the request's body is not JSON: {error}") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _refused(error) from None


def _refused(error: ValidationError) -> ApiError:
    """The answer to a request that is not shaped as its operation's is: what is wrong, and where.

    A value of another type is one that AWS cannot read, so there it comes before any other fault.
    """
    details = error.errors(include_url=False)
    mistyped = [each for each in details if each["type"].endswith("_type")]
    code = "SerializationException" if mistyped else "ValidationException"
    return ApiError(400, code, detected([fault(each) for each in mistyped or details]))


def _parsed(data: bytes) -> object:
    """Raises ValueError and RecursionError.

    Python's own reading takes more than JSON is, and cannot write all of that again.
    Source: https://www.rfc-editor.org/rfc/rfc8259#section-8
    """
    # json.loads would let UTF-8 with surrogates in it pass
    text = data.decode("utf-8-sig") or "{}"
    document = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    if _SURROGATE.search(text) and not _encodable(document):
        raise ValueError("it has half of a surrogate pair, which is no character")
    if text.count("[") + text.count("{") > _DEEPEST and not _flat(document):
        raise ValueError(f"it has more than {_DEEPEST} objects and lists within each other")
    return document


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number of JSON's")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it has a number that is too large")
    return number


def _encodable(document: object) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _flat(document: object) -> bool:
    """Whether nothing is nested deeper than _DEEPEST."""
    level: list[Any] = [document]
    for _ in range(_DEEPEST + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return True
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return False
