"""Lambda's runtime identifiers: family, version, base image, and since when they are deprecated.

Sources: the `Runtime` enumeration of botocore's Lambda model 2015-03-31 (1.44.5) for the
identifiers, https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html for the dates (as
published in August 2026), https://gallery.ecr.aws/lambda for the images.

A deprecated runtime stays usable here: Lambda too goes on invoking such functions. The model's
`custom` is not listed: such a function is described by more than its runtime's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from core.errors import InvalidFunctionError

__all__ = ["Runtime", "RuntimeFamily", "known_runtimes", "runtime_of"]

_IMAGES = "public.ecr.aws/lambda/"


class RuntimeFamily(StrEnum):
    """What runs the handler. PROVIDED is a custom runtime: the package brings its own `bootstrap`."""

    PYTHON = "python"
    NODEJS = "nodejs"
    JAVA = "java"
    DOTNET = "dotnet"
    RUBY = "ruby"
    GO = "go"
    PROVIDED = "provided"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One runtime identifier.

    `version` is the language's (for `provided.*` the operating system's). `base_image` is AWS's
    image without a digest, None for runtimes that went before there were images. `deprecated_on`
    is the day Lambda ends its support, None where no day is set.
    """

    identifier: str
    family: RuntimeFamily
    version: str
    base_image: str | None
    deprecated_on: date | None

    @property
    def deprecated(self) -> bool:
        """Whether Lambda's support has ended by today."""
        return self.is_deprecated(date.today())

    def is_deprecated(self, day: date) -> bool:
        """Whether Lambda's support has ended by `day`."""
        return self.deprecated_on is not None and self.deprecated_on <= day


# identifier, version, tag of the base image ("" for none), end of support; newest first
_TABLE: Mapping[RuntimeFamily, tuple[tuple[str, str, str, str | None], ...]] = {
    RuntimeFamily.PYTHON: (
        ("python3.15", "3.15", "3.15", None),
        ("python3.14", "3.14", "3.14", "2029-06-30"),
        ("python3.13", "3.13", "3.13", "2029-06-30"),
        ("python3.12", "3.12", "3.12", "2028-10-31"),
        ("python3.11", "3.11", "3.11", "2027-06-30"),
        ("python3.10", "3.10", "3.10", "2026-10-31"),
        ("python3.9", "3.9", "3.9", "2025-12-15"),
        ("python3.8", "3.8", "3.8", "2024-10-14"),
        ("python3.7", "3.7", "3.7", "2023-12-04"),
        ("python3.6", "3.6", "3.6", "2022-07-18"),
        ("python2.7", "2.7", "2.7", "2021-07-15"),
    ),
    RuntimeFamily.NODEJS: (
        ("nodejs26.x", "26", "26", None),
        ("nodejs24.x", "24", "24", "2028-04-30"),
        ("nodejs22.x", "22", "22", "2027-04-30"),
        ("nodejs20.x", "20", "20", "2026-04-30"),
        ("nodejs18.x", "18", "18", "2025-09-01"),
        ("nodejs16.x", "16", "16", "2024-06-12"),
        ("nodejs14.x", "14", "14", "2023-12-04"),
        ("nodejs12.x", "12", "12", "2023-03-31"),
        ("nodejs10.x", "10", "10", "2021-07-30"),
        ("nodejs8.10", "8.10", "", "2020-03-06"),
        ("nodejs6.10", "6.10", "", "2019-08-12"),
        ("nodejs4.3-edge", "4.3", "", "2020-03-05"),
        ("nodejs4.3", "4.3", "", "2020-03-05"),
        ("nodejs", "0.10", "", "2016-08-30"),
    ),
    RuntimeFamily.JAVA: (
        ("java25", "25", "25", "2029-06-30"),
        ("java21", "21", "21", "2029-06-30"),
        ("java17.al2023", "17", "17.al2023", "2029-06-30"),
        ("java17", "17", "17", "2027-06-30"),
        ("java11.al2023", "11", "11.al2023", "2029-06-30"),
        ("java11", "11", "11", "2027-06-30"),
        ("java8.al2023", "8", "8.al2023", "2029-06-30"),
        ("java8.al2", "8", "8.al2", "2027-06-30"),
        ("java8", "8", "8", "2024-01-08"),
    ),
    RuntimeFamily.DOTNET: (
        ("dotnet10", "10", "10", "2028-11-14"),
        ("dotnet8", "8", "8", "2026-11-10"),
        ("dotnet6", "6", "6", "2024-12-20"),
        ("dotnetcore3.1", "3.1", "core3.1", "2023-04-03"),
        ("dotnetcore2.1", "2.1", "core2.1", "2022-01-05"),
        ("dotnetcore2.0", "2.0", "", "2019-05-30"),
        ("dotnetcore1.0", "1.0", "", "2019-06-27"),
    ),
    RuntimeFamily.RUBY: (
        ("ruby4.0", "4.0", "4.0", "2029-03-31"),
        ("ruby3.4", "3.4", "3.4", "2028-03-31"),
        ("ruby3.3", "3.3", "3.3", "2027-03-31"),
        ("ruby3.2", "3.2", "3.2", "2026-03-31"),
        ("ruby2.7", "2.7", "2.7", "2023-12-07"),
        ("ruby2.5", "2.5", "2.5", "2021-07-30"),
    ),
    RuntimeFamily.GO: (("go1.x", "1", "1", "2024-01-08"),),
    RuntimeFamily.PROVIDED: (
        ("provided.al2023", "al2023", "al2023", "2029-06-30"),
        ("provided.al2", "al2", "al2", "2026-07-31"),
        ("provided", "al1", "alami", "2024-01-08"),
    ),
}


def _built() -> Mapping[str, Runtime]:
    found = {}
    for family, rows in _TABLE.items():
        for identifier, version, tag, ended in rows:
            found[identifier] = Runtime(
                identifier=identifier,
                family=family,
                version=version,
                base_image=f"{_IMAGES}{family}:{tag}" if tag else None,
                deprecated_on=date.fromisoformat(ended) if ended else None,
            )
    return MappingProxyType(found)


_RUNTIMES = _built()


def known_runtimes() -> tuple[Runtime, ...]:
    """Every runtime Stoker knows: by family, newest first, deprecated ones included."""
    return tuple(_RUNTIMES.values())


def runtime_of(identifier: str) -> Runtime:
    """The runtime of this identifier, as in `python3.13`.

    Raises InvalidFunctionError for an unknown one, naming the nearest that are known.
    """
    found = _RUNTIMES.get(identifier)
    if found is None:
        raise InvalidFunctionError("runtime", identifier, f"is not a Lambda runtime; {_hint(identifier)}")
    return found


def _hint(identifier: str) -> str:
    # imported here: a good definition never needs it
    from difflib import get_close_matches

    near = get_close_matches(identifier.strip().lower(), _RUNTIMES, n=10, cutoff=0.5)
    if near:
        # python3.16 is closest to python3.6 by spelling, but that is not what was meant
        near.sort(key=lambda each: _RUNTIMES[each].deprecated)
        return f"the nearest known ones are {', '.join(near[:3])}"
    return f"supported ones are for example {', '.join(rows[0][0] for rows in _TABLE.values() if len(rows) > 1)}"
