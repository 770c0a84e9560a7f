"""Lambda's limits on a function's fields, one check each; all raise InvalidFunctionError.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html,
https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html, and for the environment
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from core.errors import InvalidFunctionError

__all__ = [
    "MOST_ENVIRONMENT_BYTES",
    "MOST_LAYERS",
    "MOST_UNZIPPED_BYTES",
    "RESERVED_ENVIRONMENT",
    "choice",
    "environment",
    "function_name",
    "handler",
    "image_uri",
    "path",
    "seconds",
    "strings",
    "tags",
    "text",
    "whole",
]

MOST_LAYERS = 5
MOST_ENVIRONMENT_BYTES = 4096
MOST_UNZIPPED_BYTES = 250 * 1024 * 1024
"""Code and layers together, unzipped; Lambda's own message says 262144000 bytes."""

_MOST_TAGS = 50
_MOST_WHOLE = 10**12
_MOST_IMAGE_STRINGS = 1500

RESERVED_ENVIRONMENT = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Names the runtime sets itself and a function may not."""

_NAME = re.compile(r"[a-zA-Z0-9-_]+(:[1-9][0-9]*)?")
_HANDLER = re.compile(r"[^\s]+")
_ENVIRONMENT_NAME = re.compile(r"[a-zA-Z]([a-zA-Z0-9_])+")
_TAG_SIGNS = frozenset("_.:/=+-@")


def text(name: str, value: object, *, shortest: int = 1, longest: int | None = None) -> str:
    """A string of that many characters that can be stored and passed to a process."""
    if not isinstance(value, str):
        raise InvalidFunctionError(name, value, "must be a string")
    if "\0" in value:
        raise InvalidFunctionError(name, value, "must not contain a NUL character")
    if not _encodable(value):
        raise InvalidFunctionError(name, value, "is not valid Unicode text")
    if len(value) < shortest:
        raise InvalidFunctionError(name, value, "must not be empty")
    if longest is not None and len(value) > longest:
        raise InvalidFunctionError(name, value, f"has {len(value)} characters; at most {longest} are allowed")
    return value


def strings(name: str, value: object) -> tuple[str, ...]:
    """A list of strings, as an image's entry point and command are."""
    if not isinstance(value, list | tuple):
        raise InvalidFunctionError(name, value, "must be a list of strings")
    if len(value) > _MOST_IMAGE_STRINGS:
        raise InvalidFunctionError(name, f"{len(value)} strings", f"at most {_MOST_IMAGE_STRINGS} are allowed")
    return tuple(text(name, each, shortest=0) for each in value)


def choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """One of a few words."""
    if not isinstance(value, str) or value not in allowed:
        raise InvalidFunctionError(name, value, f"must be {' or '.join(allowed)}")


def whole(name: str, value: object, least: int, most: int | None, unit: str = "") -> None:
    """A whole number within bounds; True and 3.0 are not whole numbers here."""
    bounds = f"at least {least}" if most is None else f"from {least:,} to {most:,}"
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= (most or _MOST_WHOLE):
        if isinstance(value, int) and abs(value) > _MOST_WHOLE:
            value = "a number beyond all bounds"  # it may be too long to be printed
        raise InvalidFunctionError(name, value, f"must be a whole number {bounds}{' ' + unit if unit else ''}")


def seconds(name: str, value: object) -> float:
    """A length of time: zero or more, and finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_WHOLE:
        if isinstance(value, int) and abs(value) > _MOST_WHOLE:
            value = "a number beyond all bounds"
        raise InvalidFunctionError(name, value, "must be a number of seconds, 0 or more")
    return float(value)


def path(name: str, value: object) -> Path:
    """A path, made absolute: a definition outlives the folder it was made in."""
    if not isinstance(value, str | Path):
        raise InvalidFunctionError(name, value, "must be the path of a zip or folder")
    text(name, str(value))
    if value == "":
        raise InvalidFunctionError(name, value, "must be the path of a zip or folder")
    try:
        return Path(value).expanduser().absolute()
    except (OSError, RuntimeError) as error:
        raise InvalidFunctionError(name, value, f"is not a path: {error}") from None


def function_name(value: object) -> None:
    """A function's name: 1 to 64 letters, digits, hyphens and underscores; a published version's ends in :NUMBER."""
    found = text("function_name", value)
    if not _NAME.fullmatch(found):
        raise InvalidFunctionError(
            "function_name", value, "may hold only letters, digits, hyphens and underscores ([a-zA-Z0-9-_]+)"
        )
    text("function_name", found.partition(":")[0], longest=64)


def handler(value: object) -> None:
    """A handler: up to 128 characters without white space."""
    found = text("handler", value, longest=128)
    if not _HANDLER.fullmatch(found):
        raise InvalidFunctionError("handler", value, "must not contain white space")


def image_uri(value: object) -> None:
    """An image's name as an engine takes it."""
    found = text("image_uri", value, longest=1024)
    # a leading hyphen would be read as an option by an engine's command line
    if not _HANDLER.fullmatch(found) or found.startswith("-"):
        raise InvalidFunctionError("image_uri", value, "must be an image's name, as in registry/name:tag")


def environment(value: object) -> dict[str, str]:
    """Environment variables: names, reserved names, and 4 KB in all. Errors show names, never values."""
    if not isinstance(value, Mapping):
        raise InvalidFunctionError("environment", type(value).__name__, "must map names to values")
    total = 0
    found = {}
    for name, content in value.items():
        text("environment", name)
        if name in RESERVED_ENVIRONMENT:
            raise InvalidFunctionError("environment", name, "is reserved: Lambda's runtime sets it itself")
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise InvalidFunctionError(
                "environment",
                name,
                "a name starts with a letter and has at least two letters, digits and underscores "
                "([a-zA-Z]([a-zA-Z0-9_])+)",
            )
        if not isinstance(content, str):
            raise InvalidFunctionError("environment", name, "its value must be a string")
        if "\0" in content:
            raise InvalidFunctionError("environment", name, "its value must not contain a NUL character")
        if not _encodable(content):
            raise InvalidFunctionError("environment", name, "its value is not valid Unicode text")
        total += len(name.encode()) + len(content.encode())
        found[name] = content
    if total > MOST_ENVIRONMENT_BYTES:
        raise InvalidFunctionError(
            "environment",
            f"{total:,} bytes",
            f"names and values together may have at most {MOST_ENVIRONMENT_BYTES:,} bytes (4 KB)",
        )
    return found


def tags(value: object) -> dict[str, str]:
    """Tags: at most 50, keys of 1 to 128 and values of up to 256 characters.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
    """
    if not isinstance(value, Mapping):
        raise InvalidFunctionError("tags", value, "must map keys to values")
    if len(value) > _MOST_TAGS:
        raise InvalidFunctionError("tags", f"{len(value)} tags", f"at most {_MOST_TAGS} are allowed")
    found = {}
    for key, content in value.items():
        text("tags", key, longest=128)
        text("tags", content, shortest=0, longest=256)
        if key.lower().startswith("aws:"):
            raise InvalidFunctionError("tags", key, "the prefix aws: is reserved")
        for part in (key, content):
            if not all(sign in _TAG_SIGNS or unicodedata.category(sign)[0] in "LZN" for sign in part):
                raise InvalidFunctionError("tags", part, "may hold letters, numbers, spaces and _ . : / = + - @")
        found[key] = content
    return found


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
