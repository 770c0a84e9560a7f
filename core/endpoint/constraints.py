"""What breaks a rule of the API's shapes, said in AWS's words.

AWS answers all that a request breaks in one ValidationException, as in "1 validation error detected: Value
'901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900".
Source: https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html, and what its endpoints answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["broken", "detected", "fault"]

_MOST_FAULTS = 5
_LONGEST = 120
_CHOICE = re.compile(r"'([^']*)'")
_SECRET = frozenset({"Environment", "ZipFile"})
"""Members whose values are not repeated."""


def detected(faults: Sequence[str]) -> str:
    """The message about all that is wrong, or the first of it."""
    count = f"{len(faults)} validation error{'' if len(faults) == 1 else 's'} detected"
    return f"{count}: {'; '.join(faults[:_MOST_FAULTS])}"


def broken(value: object, place: Sequence[int | str], rule: str) -> str:
    """That one value breaks a rule; `place` is where it stands, from the outside in."""
    return f"Value {_shown(value)} at '{_written(place)}' failed to satisfy constraint: {rule}"


def fault(detail: Any) -> str:
    """What one of pydantic's errors says."""
    place = detail["loc"]
    if detail["type"] == "missing":
        return f"Value null at '{_written(place)}' failed to satisfy constraint: Member must not be null"
    rule = _rule(detail["type"], detail.get("ctx", {}))
    if rule is None:
        return f"{_written(place) or 'the document'}: {detail['msg']}"
    if _SECRET.isdisjoint(place):
        return broken(detail["input"], place, rule)
    return f"Value at '{_written(place)}' failed to satisfy constraint: {rule}"


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


def _written(place: Sequence[int | str]) -> str:
    """As AWS writes it: `vpcConfig.subnetIds.1.member`."""
    parts = (f"{each + 1}.member" if isinstance(each, int) else each[:1].lower() + each[1:] for each in place)
    return ".".join(parts)[: 2 * _LONGEST]


def _number(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _shown(value: object) -> str:
    text = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    return f"'{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}'"
