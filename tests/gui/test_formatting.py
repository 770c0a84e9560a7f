"""Figures and long texts read as the drawing shows them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui.formatting import (
    elide_end,
    elide_middle,
    format_age,
    format_bytes,
    format_count,
    format_countdown,
    format_ms,
    format_rate,
    format_seconds,
    one_line,
    plural,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (512, "512 B"), (1023, "1023 B"), (1024, "1 KB"), (1434, "1.4 KB"), (10_240, "10 KB"),
        (38 * 1024**2, "38 MB"), (1024**2 - 1, "1 MB"), (4 * 1024**3, "4 GB"), (301.4 * 1024**2, "301 MB"),
        (-5, "0 B"), (math.nan, "0 B"), (3 * 1024**6, "3072 PB"),
    ],
)  # fmt: skip
def test_a_size_reads_in_its_unit(count: float, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(717, "0.7 KB/s"), (0, "0 KB/s"), (2048, "2 KB/s"), (219 * 1024**2, "219 MB/s")]
)
def test_a_rate_never_falls_below_kilobytes(rate: float, text: str) -> None:
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0.0 ms"), (0.64, "0.6 ms"), (0.96, "1 ms"), (6, "6 ms"), (18.2, "18 ms"), (999.4, "999 ms"),
        (999.6, "1.00 s"), (2510, "2.51 s"), (59_994, "59.99 s"), (59_999, "1m 00s"), (65_000, "1m 05s"),
        (600_000, "10m"),
    ],
)  # fmt: skip
def test_a_duration_reads_in_its_unit(milliseconds: float, text: str) -> None:
    assert format_ms(milliseconds) == text


def test_a_running_duration_rounds_down_to_a_tenth() -> None:
    assert [format_seconds(s) for s in (0.0, 0.39, 0.4, 1.99, 59.99, 60.0, 65.2)] == [
        "0.0 s", "0.3 s", "0.4 s", "1.9 s", "59.9 s", "1m 00s", "1m 05s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0.2 s"), (9.99, "9.9 s"), (42.7, "42 s"), (62, "1m 02s"), (134, "2m 14s"), (520, "8m 40s"),
        (1334, "22m"), (3 * 3600 + 300, "3h 05m"), (2 * 86_400 + 4 * 3600, "2d 4h"), (-1, "0.0 s"),
    ],
)  # fmt: skip
def test_an_age_keeps_two_units_at_most(seconds: float, text: str) -> None:
    assert format_age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(216, "3:36"), (105, "1:45"), (4.2, "0:05"), (0.0, "0:00"), (-3, "0:00"), (3720, "1:02:00"), (5.0, "0:05")],
)
def test_a_countdown_rounds_up(seconds: float, text: str) -> None:
    assert format_countdown(seconds) == text


def test_counts_are_grouped_and_agree_with_their_noun() -> None:
    assert format_count(1044) == "1,044"
    assert [plural(n, "instance") for n in (0, 1, 1044)] == ["0 instances", "1 instance", "1,044 instances"]
    assert plural(2, "entry", "entries") == "2 entries"


def test_ids_lose_their_middle_and_names_their_end() -> None:
    assert elide_middle("4f0c0000000091e2", 9) == "4f0c…91e2"
    assert elide_end("nightly-report", 8) == "nightly…"
    assert elide_middle("short", 9) == elide_end("short", 9) == "short"


@settings(deadline=None)
@given(st.text(), st.integers(1, 40))
def test_an_elided_text_is_never_longer_than_asked(text: str, length: int) -> None:
    assert len(elide_middle(text, length)) <= max(length, 1)
    assert len(elide_end(text, length)) <= max(length, 1)
    line = one_line(text, length)
    assert len(line) <= length
    assert line.isprintable()


@settings(deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_number_has_a_text(value: float) -> None:
    for format_one in (format_bytes, format_rate, format_ms, format_seconds, format_age, format_countdown):
        assert format_one(value)
