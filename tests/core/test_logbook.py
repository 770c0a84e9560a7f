"""The log book keeps the last lines, of the living and of those that have gone, within bounds."""

from __future__ import annotations

from core.logbook import CHARACTERS_KEPT, GONE_KEPT, LINES_KEPT, LogBook


def test_the_last_lines_are_kept_and_the_first_go() -> None:
    book = LogBook()
    book.add("i", [f"line {n}" for n in range(LINES_KEPT + 5)])
    lines = book.lines("i")
    assert len(lines) == LINES_KEPT
    assert lines[0] == "line 5"


def test_long_lines_are_bounded_by_their_characters() -> None:
    book = LogBook()
    for n in range(100):
        book.add("i", [f"{n:02}" + "x" * 65_000])
    lines = book.lines("i")
    assert sum(map(len, lines)) <= CHARACTERS_KEPT
    assert lines[-1].startswith("99")


def test_lines_of_one_that_has_gone_stay_until_enough_others_have() -> None:
    book = LogBook()
    for n in range(GONE_KEPT + 1):
        book.add(f"i{n}", ["last words"])
        book.end(f"i{n}")
        book.end(f"i{n}")
    assert book.lines("i0") == []
    assert book.lines("i1") == ["last words"]
    book.add("i1", ["and then"])
    assert book.lines("i1") == ["last words", "and then"]
    assert book.lines("never") == []
