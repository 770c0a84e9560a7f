"""Names of functions, versions and layers: bare, as partial or full ARNs, with or without a qualifier.

A published version is known everywhere inside Stoker by `NAME:NUMBER`, which is also Lambda's own way
to write it; the unpublished one by its bare name. Sources:
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestParameters and
https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache

from core.errors import InvalidRequestError, MalformedNameError

__all__ = [
    "ACCOUNT",
    "HOST_ALIAS",
    "LATEST",
    "REGION",
    "LayerTarget",
    "Target",
    "function_arn",
    "key_of",
    "layer_arn",
    "new_request_id",
    "parse_function",
    "parse_layer_version",
    "split_key",
]

ACCOUNT = "000000000000"
"""The account that local ARNs name; any other is understood as this one."""

REGION = "us-east-1"
"""The region that local ARNs name, and that functions see unless their environment says otherwise."""

HOST_ALIAS = "host.docker.internal"
"""Under what name a function in a container finds the machine that Stoker runs on."""

LATEST = "$LATEST"

_REGION = r"(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-[0-9]"
# an ARN's beginning and a region need the word, or `us-east-1:live` would not be a function with its alias
_FUNCTION = re.compile(
    rf"(?:(?:arn:(?:aws[a-zA-Z-]*)?:lambda:(?:[a-z0-9-]+:)?|{_REGION}:)?(?:[0-9]{{12}}:)?function:|[0-9]{{12}}:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)"
    r"(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
_QUALIFIER = re.compile(r"\$LATEST|[a-zA-Z0-9-_]{1,128}")
_LONGEST_NAME = 64
_LONGEST_QUALIFIER = 128
# what AWS says of a name that it does not take
_PATTERN = "Member must satisfy regular expression pattern"
_LENGTH = "Member must have length less than or equal to"
_FUNCTION_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_QUALIFIER_PATTERN = r"(\$LATEST|[a-zA-Z0-9-_]+)"
_LAYER = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:layer:)?(?P<name>[a-zA-Z0-9-_]{1,140})(?::(?P<version>\d{1,18}))?"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A function as a request names it: `qualifier` is a version, an alias, or None where none was given."""

    name: str
    qualifier: str | None = None


@dataclass(frozen=True, slots=True)
class LayerTarget:
    """A layer as a request names it; `version` is None where none was given."""

    name: str
    version: int | None = None


@lru_cache(256)
def parse_function(value: str, qualifier: str | None = None) -> Target:
    """Read a name, partial ARN or ARN; `qualifier` is the one that was given beside it.

    Any region and account are taken for this place.
    Raises MalformedNameError, and InvalidRequestError where the two qualifiers differ.
    """
    found = _FUNCTION.fullmatch(value)
    if found is None or len(found["name"]) > _LONGEST_NAME:
        raise MalformedNameError(
            "FunctionName",
            value,
            "must be a function's name (up to 64 of a-zA-Z0-9-_), a partial ARN or an ARN",
            f"{_PATTERN}: {_FUNCTION_PATTERN}" if found is None else f"{_LENGTH} {_LONGEST_NAME}",
        )
    inside = found["qualifier"]
    if qualifier is not None and not _QUALIFIER.fullmatch(qualifier):
        raise MalformedNameError(
            "Qualifier",
            qualifier,
            "must be $LATEST, a version's number or an alias",
            f"{_LENGTH} {_LONGEST_QUALIFIER}"
            if len(qualifier) > _LONGEST_QUALIFIER
            else f"{_PATTERN}: {_QUALIFIER_PATTERN}",
        )
    if inside is not None and qualifier is not None and inside != qualifier:
        raise InvalidRequestError("Qualifier", qualifier, f"the function's name already says {inside}")
    return Target(found["name"], inside if inside is not None else qualifier)


def new_request_id() -> str:
    """A random UUID, as Lambda's request ids are."""
    drawn = os.urandom(16).hex()
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-{'89ab'[int(drawn[16], 16) & 3]}{drawn[17:20]}-{drawn[20:]}"


def parse_layer_version(value: str) -> LayerTarget:
    """Read a layer's name or ARN, with or without a version. Raises InvalidRequestError."""
    found = _LAYER.fullmatch(value)
    if found is None:
        raise InvalidRequestError("LayerName", value, "must be a layer's name or ARN")
    return LayerTarget(found["name"], int(found["version"]) if found["version"] else None)


def function_arn(name: str, qualifier: str | None = None) -> str:
    """A function's ARN, with its qualifier where there is one."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    return arn if qualifier is None else f"{arn}:{qualifier}"


def layer_arn(name: str, version: int | None = None) -> str:
    """A layer's ARN, or that of one of its versions."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}"
    return arn if version is None else f"{arn}:{version}"


def key_of(name: str, version: str) -> str:
    """By what name a version is known inside: `words` for $LATEST, `words:3` for the third."""
    return name if version == LATEST else f"{name}:{version}"


@lru_cache(1024)
def split_key(key: str) -> tuple[str, str]:
    """The function's own name and its version ($LATEST or a number) of what `key_of` made."""
    name, _, version = key.partition(":")
    return name, version or LATEST
