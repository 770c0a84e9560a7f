"""The small things that hang on a function, one frozen dataclass each.

All have a `name`, a `qualifier` within that name ("" where there is but one), and `modified`, the
wall clock's seconds of their last change, which is set when they are put on their shelf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Alias", "Details", "Entry", "EventInvoke", "LayerVersion", "Provisioned", "Reserved", "UrlConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What all of them have."""

    name: str
    qualifier: str = ""
    modified: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Details(Entry):
    """What the API is told of a function and only gives back; `qualifier` is a version's number, or "".

    `settings` holds whole members of CreateFunction by their own names (VpcConfig, TracingConfig ...).
    `environment` tells that the API was given one, which is then shown even where it is empty.
    `next_version` is the number that is published next; a version's number is never used again.
    `content` is a digest of all that was published last.
    """

    role: str = ""
    environment: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    next_version: int = 1
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias(Entry):
    """A name for a version; `qualifier` is the alias's own name.

    `weights` says what share (0 to 1) of the invocations goes to another version instead.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """

    function_version: str
    description: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved(Entry):
    """At most so many invocations of a function, all its versions together, run at once.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
    """

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned(Entry):
    """So many instances of a version, or of what an alias stands for, are kept warm.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
    """

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInvoke(Entry):
    """How queued events of a function are delivered; `qualifier` is $LATEST, a version or an alias.

    `retries` is 0 to 2 (None: 2), `max_age` 60 to 21,600 s (None: 21,600). Destinations are ARNs of functions.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
    """

    retries: int | None = None
    max_age: int | None = None
    on_success: str | None = None
    on_failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlConfig(Entry):
    """A function's URL; `qualifier` is an alias, or "" for $LATEST. `cors` is the API's own Cors member.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
    """

    auth_type: str = "NONE"
    invoke_mode: str = "BUFFERED"
    cors: Mapping[str, Any] | None = None
    created: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVersion(Entry):
    """One published version of a layer; `qualifier` is its number, `digest` and `size` (bytes) are its zip's.

    `deleted` ones are remembered so that their numbers are not given again; functions that have them keep them.
    Source: https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html
    """

    digest: str
    size: int
    description: str = ""
    license: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    deleted: bool = False
