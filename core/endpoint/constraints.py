"""What breaks a rule of the API's shapes, said in AWS's words.

AWS answers all that a request breaks in one ValidationException, as in "1 validation error detected: Value
'901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900".
Source: https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html, and what its endpoints answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.endpoint.errors import ApiError

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["broken", "refused"]

_MOST_ERRORS = 5
_LONGEST = 120
_CHOICE = re.compile(r"'([^']*)'")
_SECRET = frozenset({"Environment", "ZipFile"})
"""Members whose values are not repeated."""


def broken(value: object, place: str, rule: str) -> str:
    """That one value breaks a rule, as in "Value '901' at 'timeout' failed to satisfy constraint: ..."."""
    return f"Value {_shown(value)} at '{place}' failed to satisfy constraint: {rule}"


def refused(error: ValidationError) -> ApiError:
    """The answer to a request that is not shaped as its operation's is: what is wrong, and where.

    A value of another type is none that AWS can read, so there it comes before any other fault.
    """
    details: list[Any] = list(error.errors(include_url=False))
    mistyped = [each for each in details if each["type"].endswith("_type")]
    code = "SerializationException" if mistyped else "ValidationException"
    told = mistyped or details
    count = f"{len(told)} validation error{'' if len(told) == 1 else 's'} detected"
    return ApiError(400, code, f"{count}: {'; '.join(_fault(each) for each in told[:_MOST_ERRORS])}")


def _fault(detail: Any) -> str:
    place = _place(detail["loc"])
    if detail["type"] == "missing":
        return f"Value null at '{place}' failed to satisfy constraint: Member must not be null"
    rule = _rule(detail["type"], detail.get("ctx", {}))
    if rule is None:
        return f"{place or 'the document'}: {detail['msg']}"
    if _SECRET.isdisjoint(detail["loc"]):
        return broken(detail["input"], place, rule)
    return f"Value at '{place}' failed to satisfy constraint: {rule}"


def _rule(kind: str, bounds: Any) -> str | None:
    match kind:
        case "greater_than_equal":
            return f"Member must have value greater than or equal to {_number(bounds['ge'])}"
        case "less_than_equal":
            return f"Member must have value less than or equal to {_number(bounds['le'])}"
        case "string_too_short" | "too_short":
            return f"Member must have length greater than or equal to {bounds['min_length']}"
        case "string_too_long" | "too_long":
            return f"Member must have length less than or equal to {bounds['max_length']}"
        case "string_pattern_mismatch":
            pattern = bounds["pattern"].removeprefix("^").removesuffix("$")
            return f"Member must satisfy regular expression pattern: {pattern}"
        case "literal_error":
            return f"Member must satisfy enum value set: [{', '.join(_CHOICE.findall(bounds['expected']))}]"
        case _:
            return None


def _place(parts: Sequence[int | str]) -> str:
    """As AWS writes it: `vpcConfig.subnetIds.1.member`."""
    written = (f"{each + 1}.member" if isinstance(each, int) else each[:1].lower() + each[1:] for each in parts)
    return ".".join(written)[: 2 * _LONGEST]


def _number(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _shown(value: object) -> str:
    text = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    return f"'{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}'"
