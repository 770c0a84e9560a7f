"""Whether what comes with an invocation is JSON, as Lambda demands it."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NoReturn

from pydantic_core import from_json

from core.endpoint.errors import ApiError

__all__ = ["check_client_context", "check_event"]

_MAX_CONTEXT = 3583
"""Bytes of a client context in base64: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""

_CODE = "InvalidRequestContentException"


def check_event(payload: bytes) -> None:
    """Raises ApiError, with the place, for what is not a JSON document in UTF-8."""
    try:
        from_json(payload, allow_inf_nan=False, cache_strings=False)
    except ValueError:
        # deeply nested documents are refused by the quick reader and read by this one, which also says where
        try:
            json.loads(payload.decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, _CODE, f"Could not parse request body into json: {error}") from None


def check_client_context(encoded: str) -> None:
    """Raises ApiError for what is too long, not base64, or not a JSON object."""
    if len(encoded) > _MAX_CONTEXT:
        raise ApiError(400, _CODE, f"Client context must be no longer than {_MAX_CONTEXT} bytes in base64")
    try:
        document = json.loads(base64.b64decode(encoded, validate=True).decode())
    except (binascii.Error, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ApiError(400, _CODE, "Client context must be a valid Base64-encoded JSON object.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
