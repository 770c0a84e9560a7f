"""How many invocations of which version are under way, and what a function's reserved concurrency leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from core.errors import TooManyRequestsError

if TYPE_CHECKING:
    from core.functions import LambdaFunction

__all__ = ["Limits", "Running"]


class Limits(Protocol):
    """What people have set: see `core.registry.Registry`."""

    def most_at_once(self, name: str) -> int | None:
        """A function's reserved concurrency, or None."""

    def provisioned_versions(self, name: str) -> Mapping[str, int]:
        """How many invocations of which of its versions have instances of their own."""


class Running:
    """Counts invocations under way, by function and version."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # plain dicts, as most invocations make one: they are the only one of their function at the time
        self._counts: dict[str, dict[str, int]] = {}

    def begun(self, function: LambdaFunction) -> None:
        """One more is under way."""
        counts = self._counts.get(function.name)
        if counts is None:
            self._counts[function.name] = {function.version: 1}
        else:
            counts[function.version] = counts.get(function.version, 0) + 1

    def ended(self, function: LambdaFunction) -> None:
        """One has ended."""
        counts = self._counts[function.name]
        left = counts[function.version] - 1
        if left:
            counts[function.version] = left
        elif len(counts) > 1:
            del counts[function.version]
        else:
            del self._counts[function.name]

    def of(self, name: str) -> int:
        """How many are under way of a function, all its versions together."""
        return sum(self._counts.get(name, {}).values())

    def limited(self, function: LambdaFunction) -> bool:
        """Whether the function has a reserved concurrency."""
        return self._limits.most_at_once(function.name) is not None

    def refusal(self, function: LambdaFunction) -> TooManyRequestsError | None:
        """Why no more of it may begin; None where its reserved concurrency is not used up.

        What is provisioned for a version is set aside for it; the rest is for all versions, by order of arrival.
        Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
        """
        most = self._limits.most_at_once(function.name)
        if most is None:
            return None
        aside = self._limits.provisioned_versions(function.name)
        counts: Mapping[str, int] = self._counts.get(function.name, {})
        if counts.get(function.version, 0) < aside.get(function.version, 0):
            return None
        shared = sum(max(0, count - aside.get(version, 0)) for version, count in counts.items())
        if shared < most - sum(aside.values()):
            return None
        return TooManyRequestsError(function.function_name, f"its reserved concurrency is {most}", reserved=True)
