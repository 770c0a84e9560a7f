"""Cross-origin resource sharing of a function URL: what its `Cors` lets browsers do.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html#urls-cors
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Cors", "is_preflight"]

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")

Headers = Sequence[tuple[str, str]]


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks beforehand what it may send.

    Source: https://fetch.spec.whatwg.org/#cors-preflight-request
    """
    names = {name for name, _ in headers}
    return method == "OPTIONS" and "origin" in names and "access-control-request-method" in names


@dataclass(frozen=True, slots=True)
class Cors:
    """The settings of CreateFunctionUrlConfig's `Cors`, with its defaults. `max_age` is in seconds.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_Cors.html
    """

    allow_credentials: bool = False
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any] | None) -> Cors | None:
        """Read them as the API writes them; None where there are none, so that the function is left to itself."""
        if not settings:
            return None
        age = settings.get("MaxAge")
        return cls(
            allow_credentials=bool(settings.get("AllowCredentials")),
            allow_headers=_strings(settings.get("AllowHeaders")),
            allow_methods=_strings(settings.get("AllowMethods")),
            allow_origins=_strings(settings.get("AllowOrigins")),
            expose_headers=_strings(settings.get("ExposeHeaders")),
            max_age=age if isinstance(age, int) and not isinstance(age, bool) else None,
        )

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call the URL."""
        return "*" in self.allow_origins or origin.lower() in {each.lower() for each in self.allow_origins}

    def preflight(self, headers: Headers) -> list[tuple[str, str]]:
        """The headers that answer a preflight request with these headers; the function is not asked.

        An origin that is not allowed gets none that allow anything.
        """
        asked = dict(reversed(headers))
        origin = asked.get("origin", "")
        answer = self._common(origin)
        if not self.allows(origin):
            return answer
        # a wildcard is answered by what was asked for: with credentials `*` would be a mere name to a browser
        _add(answer, "access-control-allow-headers", self.allow_headers, asked.get("access-control-request-headers"))
        _add(answer, "access-control-allow-methods", self.allow_methods, asked.get("access-control-request-method"))
        if self.max_age is not None:
            answer.append(("access-control-max-age", str(self.max_age)))
        return answer

    def response(self, origin: str | None) -> list[tuple[str, str]]:
        """The headers that every other response gets on top of the function's own.

        They do not replace what the function sends of the same name: as on AWS the response then has
        both, which browsers refuse.
        """
        answer = self._common(origin)
        if origin is not None and self.allows(origin) and self.expose_headers:
            answer.append(("access-control-expose-headers", ",".join(self.expose_headers)))
        return answer

    def _common(self, origin: str | None) -> list[tuple[str, str]]:
        # also where the origin is not allowed, so that no cache hands the response to one that is
        answer = [("vary", "Origin")]
        if origin is not None and self.allows(origin) and not _UNSENDABLE.search(origin):
            answer.append(("access-control-allow-origin", origin))
            if self.allow_credentials:
                answer.append(("access-control-allow-credentials", "true"))
        return answer


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(each for each in value if isinstance(each, str) and each and not _UNSENDABLE.search(each))


def _add(answer: list[tuple[str, str]], name: str, allowed: Sequence[str], asked: str | None) -> None:
    if "*" in allowed:
        if asked:
            answer.append((name, asked))
    elif allowed:
        answer.append((name, ",".join(allowed)))
