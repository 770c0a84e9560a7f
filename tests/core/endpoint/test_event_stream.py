"""Frames of the event stream, taken apart by botocore's own reader."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from core.endpoint import event_stream

TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


def read(data: bytes, *cuts: int) -> list[Any]:
    """The messages in `data`, fed piece by piece."""
    buffer = EventStreamBuffer()
    found = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        buffer.add_data(data[start:end])
        found += list(buffer)
    return found


@given(st.binary(max_size=5000), st.lists(st.integers(0, 10_000), max_size=5))
def test_a_chunk_comes_back_as_it_was_however_it_is_cut(payload: bytes, cuts: list[int]) -> None:
    (message,) = read(event_stream.chunk(payload), *cuts)
    assert message.payload == payload
    assert message.headers == {
        ":event-type": "PayloadChunk",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }


@given(
    st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), TEXT), unique_by=lambda h: h[0])
)
def test_any_headers_come_back(headers: list[tuple[str, str]]) -> None:
    (message,) = read(event_stream.frame(event_stream.string_headers(headers), b"payload"))
    assert message.headers == dict(headers)
    assert message.payload == b"payload"


@given(TEXT | st.none(), TEXT | st.none(), TEXT | st.none())
def test_the_end_has_what_there_is_to_say(code: str | None, details: str | None, log: str | None) -> None:
    (message,) = read(event_stream.complete(code, details, log))
    assert message.headers[":event-type"] == "InvokeComplete"
    said = {"ErrorCode": code, "ErrorDetails": details, "LogResult": log}
    assert json.loads(message.payload) == {name: value for name, value in said.items() if value is not None}


def test_frames_that_follow_each_other_are_told_apart() -> None:
    data = event_stream.chunk(b"a") + event_stream.chunk(b"") + event_stream.chunk(b"b" * 300_000)
    assert [len(message.payload) for message in read(data, 1, 100, 200_000)] == [1, 0, 300_000]


@given(st.binary(min_size=1, max_size=200), st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_is_found(payload: bytes, place: int, bit: int) -> None:
    data = bytearray(event_stream.chunk(payload))
    # of the lengths only their own checksum is looked at first: a longer frame would be waited for
    data[place % len(data)] ^= 1 << bit
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(data))
    with pytest.raises(ChecksumMismatch):
        list(buffer)


def test_a_failure_is_an_error_to_a_client_and_keeps_to_what_a_header_may_carry() -> None:
    (message,) = read(event_stream.failure("ServiceException", "ä" * 50_000))
    answer = message.to_response_dict()
    assert answer["status_code"] == 400
    assert answer["headers"][":error-code"] == "ServiceException"
    assert set(answer["headers"][":error-message"]) == {"ä"}


def test_the_largest_payload_is_taken_and_one_byte_more_is_not() -> None:
    payload = bytes(event_stream.MAX_PAYLOAD)
    (message,) = read(event_stream.chunk(payload))
    assert message.payload == payload
    with pytest.raises(ValueError, match="16,777,217"):
        event_stream.chunk(payload + b"x")


@pytest.mark.parametrize("headers", [[("", "x")], [("n" * 256, "x")], [("n", "v" * 32_768)]])
def test_headers_that_do_not_fit_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="header"):
        event_stream.string_headers(headers)


def test_too_many_headers_are_refused() -> None:
    with pytest.raises(ValueError, match="131,072"):
        event_stream.string_headers([(f"n{number}", "v" * 30_000) for number in range(5)])
