"""Reads a request's JSON."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from core.endpoint.constraints import refused
from core.endpoint.errors import ApiError

__all__ = ["read_json"]

M = TypeVar("M", bound=BaseModel)


def read_json(data: bytes, model: type[M]) -> M:
    """A JSON document as `model`; an empty one counts as `{}`. Raises ApiError."""
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "SerializationException", f"the request's body is not JSON: {error}") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise refused(error) from None
