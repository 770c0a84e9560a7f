"""Rules that put one image's name in another's place: for mirrors, and for registries on this machine.

A rule is "PATTERN => REPLACEMENT". `*` in a pattern stands for any text, and `{1}`, `{2}` ... in the replacement
for what it stood for. The first rule that fits the whole name is used, once:

    public.ecr.aws/lambda/* => mirror.example/lambda/{1}
    *.dkr.ecr.*.amazonaws.com/* => localhost:5000/{3}
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["ImageRules"]

_PLACE = re.compile(r"\{(\d+)\}")


class ImageRules:
    """Raises ValueError, with the rule and what is wrong with it."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._rules = [_parsed(rule) for rule in rules]

    def apply(self, image: str) -> str:
        """The name under which an engine is asked for `image`."""
        for pattern, replacement in self._rules:
            if (found := pattern.fullmatch(image)) is not None:
                return _filled(replacement, found)
        return image


def _filled(replacement: str, found: re.Match[str]) -> str:
    return _PLACE.sub(lambda place: str(found[int(place[1])]), replacement)


def _parsed(rule: str) -> tuple[re.Pattern[str], str]:
    pattern, arrow, replacement = (part.strip() for part in rule.partition("=>"))
    if not arrow or not pattern or not replacement:
        raise ValueError(f"{rule!r} is not PATTERN => REPLACEMENT")
    if any(sign.isspace() for sign in pattern + replacement):
        raise ValueError(f"{rule!r} has a space inside a name")
    stars = pattern.count("*")
    for place in _PLACE.findall(replacement):
        if not 1 <= int(place) <= stars:
            raise ValueError(f"{rule!r}: there is no * number {place}")
    return re.compile("(.*)".join(map(re.escape, pattern.split("*")))), replacement
