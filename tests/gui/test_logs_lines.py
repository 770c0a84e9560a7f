"""Log lines are made fit to be shown: kinds, escapes, length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui.models.logs import LINE_SHOWN, LineKind, WholeLines, read_line

K = LineKind


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("START RequestId: 4f0c Version: $LATEST", K.PLATFORM),
        ("END RequestId: 4f0c", K.PLATFORM),
        ("REPORT RequestId: 4f0c\tDuration: 2510.11 ms", K.PLATFORM),
        ("INIT_START Runtime Version: python:3.13", K.PLATFORM),
        ("STARTED the engine", K.OUTPUT),
        ("[ERROR] 2026-11-24 boto failed", K.ERROR),
        ("Traceback (most recent call last):", K.ERROR),
        ("ValueError: no such word", K.ERROR),
        ("Exception in thread", K.ERROR),
        ("2026-11-24T01:00:00Z 4f0c Task timed out after 3.00 seconds", K.ERROR),
        ('{"level": "error", "message": "x"}', K.ERROR),
        ("0 errors, no terror", K.OUTPUT),
        ("", K.OUTPUT),
    ],
)
def test_a_line_is_known_by_how_it_reads(raw: str, kind: LineKind) -> None:
    line = read_line(raw)
    assert (line.text, line.kind, line.whole) == (raw, kind, None)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\x1b[1;32mINFO\x1b[0m ready\x1b[K", "INFO ready"),
        ("\x1b]0;title\x07after", "after"),
        ("one\u2029two\u2028three\x00four\rfive\n", "one two three four five"),
        ("a\tb", "a\tb"),
    ],
)
def test_what_would_break_a_line_is_taken_out(raw: str, text: str) -> None:
    assert read_line(raw).text == text


def test_a_very_long_line_is_cut_and_kept() -> None:
    raw = "x" * 200_000
    line = read_line(raw)
    assert line.text == "x" * LINE_SHOWN + " … (200,000 characters)"
    assert line.whole == raw
    assert read_line("x" * LINE_SHOWN).whole is None
    assert read_line("x" * (LINE_SHOWN + 1)).whole is not None


@settings(deadline=None)
@given(st.text(max_size=3 * LINE_SHOWN))
def test_any_line_is_one_line_of_bounded_length(raw: str) -> None:
    text = read_line(raw).text
    assert len(text) <= LINE_SHOWN + 40
    assert not any(mark in text for mark in "\n\r\u2028\u2029\x00")


def test_whole_lines_are_kept_within_bounds_and_the_oldest_go() -> None:
    kept = WholeLines(characters=10)
    for number in range(4):
        kept.keep(number, "four")
    assert [kept.get(number) for number in range(4)] == [None, None, "four", "four"]
    kept.keep(9, "much too long")
    assert kept.get(9) is None
    kept.forget_before(3)
    assert (kept.get(2), kept.get(3)) == (None, "four")
    kept.keep(4, "again")
    assert kept.get(3) == "four"
    kept.clear()
    assert kept.get(3) is None
