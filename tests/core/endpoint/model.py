"""botocore's own description of the service, to hold the endpoint's answers against."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session

__all__ = ["service_model", "unknown_members"]


@cache
def service_model() -> Any:
    """The model of Lambda that the installed client works by."""
    return botocore.session.Session().get_service_model("lambda")


def unknown_members(document: Any, shape: Any, place: str = "") -> list[str]:
    """Where a JSON answer has members that the shape has not, or values of another type."""
    match shape.type_name:
        case "structure":
            if not isinstance(document, dict):
                return [f"{place}: not an object"]
            found = []
            for name, value in document.items():
                if name in shape.members:
                    found += unknown_members(value, shape.members[name], f"{place}.{name}")
                else:
                    found.append(f"{place}.{name}")
            return found
        case "list":
            return [each for value in document for each in unknown_members(value, shape.member, f"{place}[]")]
        case "map":
            return [each for value in document.values() for each in unknown_members(value, shape.value, f"{place}{{}}")]
        case "string":
            right = isinstance(document, str) and (not shape.enum or document in shape.enum)
        case "integer" | "long":
            right = isinstance(document, int) and not isinstance(document, bool)
        case "boolean":
            right = isinstance(document, bool)
        case _:
            right = True
    return [] if right else [f"{place}: {document!r}"]
