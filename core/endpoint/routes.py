"""Which operation a method and a path mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from core.endpoint.call import Call

__all__ = ["Route", "Routes"]

_REMEMBERED = 256  # paths, of so many characters at most: clients ask for the same few again and again
_LONG = 512


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is as in AWS's API reference: "/2015-03-31/functions/{FunctionName}/invocations"."""

    method: str
    path: str
    operation: str
    answer: Callable[[Call], Awaitable[None]]


class Routes:
    """All operations. A path is matched piece by piece; a slash inside a piece must be written as %2F."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._found = lru_cache(_REMEMBERED)(self._find)
        self._by_shape: dict[tuple[int, str], list[_Shape]] = {}
        for route in routes:
            pieces = _pieces(route.path)
            shapes = self._by_shape.setdefault((len(pieces), pieces[0] if pieces else ""), [])
            for known in shapes:
                if known.pieces == pieces:
                    known.methods[route.method] = route
                    break
            else:
                shapes.append(_Shape(pieces, route))
        for shapes in self._by_shape.values():
            # what is spelt out goes before what may be anything
            shapes.sort(key=lambda shape: len(shape.names))

    def find(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str], frozenset[str]]:
        """The route with what its path holds, and the methods that this path would take."""
        return self._found(method, path) if len(path) <= _LONG else self._find(method, path)

    def _find(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str], frozenset[str]]:
        pieces = _pieces(path)
        allowed: set[str] = set()
        for shape in self._by_shape.get((len(pieces), pieces[0] if pieces else ""), ()):
            if all(pieces[at] == piece for at, piece in shape.fixed):
                route = shape.methods.get(method)
                if route is not None:
                    return route, {name: unquote(pieces[at]) for at, name in shape.names}, frozenset(shape.methods)
                allowed |= shape.methods.keys()
        return None, {}, frozenset(allowed)


class _Shape:
    """A path with its methods: what stands at which place, and what is named there."""

    __slots__ = ("fixed", "methods", "names", "pieces")

    def __init__(self, pieces: list[str], route: Route) -> None:
        self.pieces = pieces
        self.fixed = [(at, piece) for at, piece in enumerate(pieces) if not piece.startswith("{")]
        self.names = [(at, piece[1:-1]) for at, piece in enumerate(pieces) if piece.startswith("{")]
        self.methods = {route.method: route}


def _pieces(path: str) -> list[str]:
    return path.strip("/").split("/")
