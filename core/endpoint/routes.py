"""Which operation a method and a path mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from core.endpoint.call import Call

__all__ = ["Route", "Routes"]


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
        self._by_shape: dict[tuple[int, str], list[tuple[list[str], dict[str, Route]]]] = {}
        for route in routes:
            pieces = _pieces(route.path)
            shapes = self._by_shape.setdefault((len(pieces), pieces[0] if pieces else ""), [])
            for known, methods in shapes:
                if [_fixed(p) for p in known] == [_fixed(p) for p in pieces] and known == pieces:
                    methods[route.method] = route
                    break
            else:
                shapes.append((pieces, {route.method: route}))
        for shapes in self._by_shape.values():
            # what is spelt out goes before what may be anything
            shapes.sort(key=lambda shape: sum(_fixed(piece) is None for piece in shape[0]))

    def find(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str], frozenset[str]]:
        """The route with what its path holds, and the methods that this path would take."""
        pieces = _pieces(path)
        allowed: set[str] = set()
        for shape, methods in self._by_shape.get((len(pieces), pieces[0] if pieces else ""), ()):
            if all(_fixed(want) is None or want == piece for want, piece in zip(shape, pieces, strict=True)):
                route = methods.get(method)
                if route is not None:
                    found = {
                        want[1:-1]: unquote(piece)
                        for want, piece in zip(shape, pieces, strict=True)
                        if _fixed(want) is None
                    }
                    return route, found, frozenset(methods)
                allowed |= methods.keys()
        return None, {}, frozenset(allowed)


def _pieces(path: str) -> list[str]:
    return path.strip("/").split("/")


def _fixed(piece: str) -> str | None:
    return None if piece.startswith("{") else piece
