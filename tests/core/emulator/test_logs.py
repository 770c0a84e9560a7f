"""Output becomes lines of the request that was running."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from core.emulator.limits import LOG_TAIL
from core.emulator.logs import MAX_LINE, RequestLog, report_line


def _log() -> tuple[RequestLog, list[str]]:
    lines: list[str] = []

    def sink(new: Sequence[str]) -> None:
        lines.extend(new)

    return RequestLog(sink), lines


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=8), st.data())
def test_lines_are_the_same_wherever_the_reads_are_cut(texts: list[str], data: st.DataObject) -> None:
    log, lines = _log()
    raw = "".join(text + "\n" for text in texts).encode()
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        log.feed(raw[:size])
        raw = raw[size:]
    assert lines == texts


def test_a_line_waits_for_its_end_and_is_flushed_with_the_request() -> None:
    log, lines = _log()
    log.begin("START")
    log.feed(b"half")
    assert lines == ["START"]
    tail = log.end(["END"])
    assert lines == ["START", "half", "END"]
    assert tail == "START\nhalf\nEND\n"


def test_carriage_returns_separate_lines_of_one_event() -> None:
    log, lines = _log()
    log.feed(b"[ERROR] it broke\rTraceback\r  line 1\r\nnext\r\n")
    assert lines == ["[ERROR] it broke", "Traceback", "  line 1", "next"]


def test_bytes_that_are_not_utf8_are_shown_as_replaced() -> None:
    log, lines = _log()
    log.feed(b"caf\xe9\n")
    assert lines == ["caf�"]


def test_a_line_without_an_end_is_cut_between_characters_and_memory_is_bounded() -> None:
    log, lines = _log()
    for _ in range(300):
        log.feed("€".encode() * 333)
    assert lines
    log.flush()
    assert "".join(lines) == "€" * 99_900
    assert all(len(line.encode()) <= MAX_LINE for line in lines)


def test_the_tail_is_the_last_four_kilobytes_of_this_request_only() -> None:
    log, lines = _log()
    log.feed(b"before\n")
    log.begin("START")
    for number in range(500):
        log.feed(b"line %d\n" % number)
    tail = log.end(["END"])
    assert len(tail.encode()) <= LOG_TAIL
    assert tail.endswith("line 498\nline 499\nEND\n")
    log.feed(b"between\n")
    log.begin("START 2")
    assert log.end(["END 2"]) == "START 2\nEND 2\n"
    assert lines[0] == "before"
    assert "between" in lines


def test_one_long_line_does_not_make_the_tail_longer() -> None:
    log, _ = _log()
    log.begin("START")
    log.feed("é".encode() * 10_000 + b"\n")
    tail = log.end(["END"])
    assert len(tail.encode()) <= LOG_TAIL
    assert tail.endswith("é\nEND\n")


def test_the_report_line_reads_as_lambdas() -> None:
    line = report_line("r", duration_ms=2.509, memory_size=128, peak=38 * 1024 * 1024, init_ms=31.04)
    assert line == (
        "REPORT RequestId: r\tDuration: 2.51 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 38 MB\tInit Duration: 31.04 ms\t"
    )
    plain = report_line("r", duration_ms=3000.0, memory_size=128, peak=None, init_ms=None, status="Status: timeout")
    assert plain == (
        "REPORT RequestId: r\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tStatus: timeout\t"
    )
