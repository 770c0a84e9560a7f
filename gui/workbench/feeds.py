"""Where a growing text view takes its text from, a piece at a time."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Protocol

from gui.workbench.json_text import check_json, format_pieces
from gui.workbench.response import Response

__all__ = ["Feed", "JsonFeed", "TextFeed"]

_PIECE = 32 * 1024
# a longer response is not laid out as JSON: reading it would take the loop too long
JSON_LIMIT = 1024 * 1024
# a dot for a control character, as in the hexadecimal view; line ends and tabs stay
_VISIBLE = {code: "·" for code in (*range(32), 127) if code not in {9, 10, 13}}


class Feed(Protocol):
    """`take` returns the next piece, "" when there is none now."""

    def take(self) -> str: ...


class TextFeed:
    """Decodes the beginning of a response as UTF-8 while it grows; a character may come in two chunks."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._place = 0
        self._ended = False
        # also turns every kind of line end into \n, one that is split between chunks too
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)

    def take(self) -> str:
        """The next piece of what is there."""
        data = bytes(self._response.head[self._place : self._place + _PIECE])
        self._place += len(data)
        text = self._decoder.decode(data)
        # a piece may hold nothing but half a character
        return text.translate(_VISIBLE) if text or not data else self.take()

    def end(self) -> str:
        """What was held back, once no more will come."""
        if self._ended:
            return ""
        self._ended = True
        return self._decoder.decode(b"", final=True).translate(_VISIBLE)


class JsonFeed:
    """A whole response laid out as JSON; `problem` says why it cannot be, else it is ""."""

    def __init__(self, response: Response) -> None:
        self.problem = ""
        self._pieces: Iterator[str] = iter(())
        if not response.size:
            self.problem = "The response is empty."
        elif response.size > JSON_LIMIT:
            self.problem = "The response is too long to lay out as JSON (more than 1 MB). See Text."
        else:
            self._open(bytes(response.head))

    def take(self) -> str:
        """The next lines."""
        parts: list[str] = []
        size = 0
        for piece in self._pieces:
            parts.append(piece)
            size += len(piece)
            if size > _PIECE or len(parts) > 2_000:
                break
        return "".join(parts)

    def _open(self, data: bytes) -> None:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.problem = "The response is not JSON: it is not text. See Hex."
            return
        problem = check_json(text)
        if problem is not None:
            self.problem = f"The response is not JSON: {problem}."
        else:
            self._pieces = format_pieces(text)
