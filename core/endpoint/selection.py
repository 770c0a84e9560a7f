"""Which functions a request of `/_stoker/` is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import FunctionNotFoundError
from core.names import LATEST, parse_function, split_key

if TYPE_CHECKING:
    from core.names import Target
    from core.runtime import LambdaRuntime

__all__ = ["Selection", "select", "select_by"]


@dataclass(frozen=True, slots=True)
class Selection:
    """A function with all its versions (`qualifiers` None), or only those that a qualifier means."""

    name: str
    qualifiers: frozenset[str] | None = None

    def __contains__(self, key: str) -> bool:
        """Whether a function's key, as in `words` or `words:3`, is one of them."""
        name, version = split_key(key)
        return name == self.name and (self.qualifiers is None or version in self.qualifiers)

    def __str__(self) -> str:
        return self.name if self.qualifiers is None else f"{self.name}:{'/'.join(sorted(self.qualifiers))}"

    def keys(self, runtime: LambdaRuntime) -> list[str]:
        """The keys of those that are known. Raises FunctionNotFoundError where none is."""
        found = [each.function_name for each in runtime.functions() if each.function_name in self]
        if not found:
            raise FunctionNotFoundError(str(self))
        return found


def select(runtime: LambdaRuntime, target: Target) -> Selection:
    """What a name means: without a qualifier all versions, with an alias all that it sends invocations to.

    Raises FunctionNotFoundError for an unknown alias.
    """
    qualifier = target.qualifier
    if qualifier is None:
        return Selection(target.name)
    if qualifier == LATEST or qualifier.isdecimal():
        return Selection(target.name, frozenset({qualifier}))
    alias = runtime.registry.aliases.get(target.name, qualifier)
    if alias is None:
        raise FunctionNotFoundError(f"{target.name}:{qualifier}")
    return Selection(target.name, frozenset({qualifier, alias.function_version, *alias.weights}))


def select_by(runtime: LambdaRuntime, text: str) -> Selection:
    """The same for a name, a partial ARN or an ARN. Raises InvalidRequestError, FunctionNotFoundError."""
    return select(runtime, parse_function(text))
