"""JSON as a person types it: what is wrong with it, in words and with its place, and how it is laid out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["JsonProblem", "check_json", "format_json", "format_pieces"]

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_CONSTANTS = frozenset({"NaN", "Infinity", "-Infinity"})
_PYTHON = {"True": "true", "False": "false", "None": "null", "undefined": "null"}
_WORDS = {
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Expecting ':' delimiter": "a colon is missing after the name",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing",
    "Unterminated string starting at": "the closing quote is missing",
    "Invalid control character at": "a line break or tab inside quotes must be written \\n or \\t",
    "Extra data": "the JSON ends before this",
    "Illegal trailing comma before end of object": "one comma too many before }",
    "Illegal trailing comma before end of array": "one comma too many before ]",
}


@dataclass(frozen=True, slots=True)
class JsonProblem:
    """The first thing wrong; `line` and `column` count from 1, `position` from 0."""

    line: int
    column: int
    position: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.reason}"


def check_json(text: str) -> JsonProblem | None:
    """The first thing that keeps `text` from being JSON, or None.

    Stricter than Python's own reader, as Lambda is: NaN and Infinity are refused.
    """
    try:
        json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return _in_words(text, error)
    except _ConstantError as error:
        for match in _TOKEN.finditer(text):
            if match.group() in _CONSTANTS:
                return _at(text, match.start(), f"{match.group()} is not JSON")
        return _at(text, 0, f"{error} is not JSON")
    except RecursionError:
        return _at(text, 0, "nested too deeply")
    except ValueError as error:  # an integer beyond Python's limit of digits
        return _at(text, 0, str(error))
    return None


def format_json(text: str, indent: int = 2) -> str:
    """`text`, which is JSON, one value a line. Numbers, escapes and double names stay as they were typed."""
    return "".join(format_pieces(text, indent))


def format_pieces(text: str, indent: int = 2) -> Iterator[str]:
    """What `format_json` joins, piece by piece, for a view that takes a long text in turns."""
    depth = 0
    opened = False
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in {"}", "]"}:
            depth = max(0, depth - 1)
            yield token if opened else "\n" + " " * (indent * depth) + token
            opened = False
            continue
        if opened:
            yield "\n" + " " * (indent * depth)
            opened = False
        if token in {"{", "["}:
            depth += 1
            opened = True
            yield token
        elif token == ",":
            yield ",\n" + " " * (indent * depth)
        elif token == ":":
            yield ": "
        else:
            yield token


class _ConstantError(Exception):
    pass


def _refuse(constant: str) -> object:
    raise _ConstantError(constant)


def _in_words(text: str, error: json.JSONDecodeError) -> JsonProblem:
    position = error.pos
    reason = _WORDS.get(error.msg, error.msg[:1].lower() + error.msg[1:])
    rest = text[position : position + 12]
    before = text[:position].rstrip()
    if error.msg.startswith("Invalid \\"):
        reason = "the backslash begins no escape that JSON knows"
    elif error.msg.startswith("Expecting") and rest[:1] == "'":
        reason = "JSON wants double quotes"
    elif error.msg.startswith("Expecting") and before.endswith(",") and rest[:1] in {"}", "]"}:
        position = len(before) - 1
        reason = f"one comma too many before {rest[0]}"
    elif error.msg == "Expecting value":
        for wrong, right in _PYTHON.items():
            if rest.startswith(wrong):
                reason = f"JSON writes {right}, not {wrong}"
        if not text.strip():
            reason = "the event is empty"
    elif error.msg == "Expecting ',' delimiter" and not rest.strip():
        reason = "a closing bracket is missing"
    return _at(text, position, reason)


def _at(text: str, position: int, reason: str) -> JsonProblem:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return JsonProblem(line, column, position, reason)
