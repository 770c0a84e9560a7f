"""What is kept of an event, as JSON: never an environment, and never more than a row should hold."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["as_json"]

_EVENT_BYTES = 65_536
_encode = json.JSONEncoder(default=str, separators=(",", ":")).encode


def as_json(payload: Mapping[str, object]) -> str:
    """An event's facts as one line of JSON. What is none, or is too large, is said to be. Never raises."""
    try:
        text = _encode(payload)
        if '"environment"' in text:
            text = _encode(_without_environment(json.loads(text)))
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"not_recorded": repr(error)[:200]})
    return text if len(text) <= _EVENT_BYTES else json.dumps({"not_recorded": f"too large ({len(text):,} bytes)"})


def _without_environment(value: object) -> object:
    """Environments hold secrets and belong into the functions table only."""
    match value:
        case dict():
            return {key: _without_environment(item) for key, item in value.items() if key != "environment"}
        case list():
            return [_without_environment(item) for item in value]
        case _:
            return value
