"""What is kept of a response: chunk figures, the head, the file behind it."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import pytest

from gui.workbench.chunk_strip import span_for
from gui.workbench.feeds import JsonFeed, TextFeed
from gui.workbench.response import Response, looks_binary, show_bytes
from gui.workbench.spool import Spool
from tests.gui.workbench.waiting import until


async def test_every_chunk_keeps_its_time_gap_size_and_total() -> None:
    response = Response()
    for data, at in ((b"The ", 10.0), (b"pilot ", 10.25), (b"light", 11.0)):
        response.add(data, at)
    assert [response.at(i) for i in range(3)] == [10.0, 10.25, 11.0]
    assert [response.gap(i) for i in range(3)] == [None, 0.25, 0.75]
    assert [response.length(i) for i in range(3)] == [4, 6, 5]
    assert [response.total(i) for i in range(3)] == [4, 10, 15]
    assert [response.beginning(i) for i in range(3)] == [b"The ", b"pilot ", b"light"]
    assert (response.chunks, response.size, response.largest_gap) == (3, 15, 0.75)


async def test_beyond_the_head_a_chunk_still_shows_how_it_begins() -> None:
    response = Response(head_limit=8)
    for data in (b"12345", b"6789abc", b"defgh", b"i"):
        response.add(data, 1.0)
    assert response.head == b"12345678"
    assert [response.beginning(i) for i in range(4)] == [b"12345", b"678", b"defgh", b"i"]
    response.close()


async def test_chunks_beyond_the_list_are_counted() -> None:
    response = Response(listed=2)
    for at in range(5):
        response.add(b"xy", float(at))
    assert (response.listed, response.chunks, response.size, response.largest_gap) == (2, 5, 10, 1.0)


async def test_the_bars_hold_every_byte_however_long_the_stream_lasts() -> None:
    response = Response()
    generator = random.Random(7)
    at, total = 5.0, 0
    for _ in range(3_000):
        at += generator.expovariate(20)
        size = generator.randrange(1, 400)
        total += size
        response.add(b"x" * size, at)
    assert sum(response.bins) == total
    assert response.bin_width * len(response.bins) > at - 5.0


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_character_split_between_chunks_is_read_whole(cut: int) -> None:
    data = "aé漢😀\r\nz".encode()
    response = Response()
    feed = TextFeed(response)
    text = ""
    for part in (data[:cut], data[cut:]):
        response.add(part, 1.0)
        text += feed.take()
        assert "�" not in text
    assert text + feed.end() == "aé漢😀\nz"


async def test_a_character_that_never_comes_whole_is_shown_at_the_end() -> None:
    response = Response()
    feed = TextFeed(response)
    response.add(b"a\xf0\x9f", 1.0)
    assert feed.take() == "a"
    assert feed.end() == "�"
    assert feed.end() == ""


async def test_a_long_text_comes_in_pieces_that_join_to_the_whole() -> None:
    text = "漢字 and more\n" * 20_000
    response = Response()
    response.add(text.encode(), 1.0)
    feed = TextFeed(response)
    pieces = []
    while piece := feed.take():
        pieces.append(piece)
    assert len(pieces) > 5
    assert "".join(pieces) + feed.end() == text


async def test_json_is_laid_out_or_the_reason_is_given() -> None:
    good, bad, binary = Response(), Response(), Response()
    good.add(b'{"a": [1, 2]}', 1.0)
    bad.add(b"words", 1.0)
    binary.add(b"\xff\xfe\x00", 1.0)
    assert JsonFeed(good).take() == '{\n  "a": [\n    1,\n    2\n  ]\n}'
    assert JsonFeed(bad).problem == "The response is not JSON: line 1, column 1: a value is missing."
    assert "not text" in JsonFeed(binary).problem
    assert JsonFeed(Response()).problem == "The response is empty."


def test_binary_is_told_from_text_that_is_cut_off() -> None:
    assert not looks_binary("é".encode()[:1], whole=False)
    assert looks_binary("é".encode()[:1], whole=True)
    assert looks_binary(b"a\0b", whole=False)
    assert looks_binary(b"\x89PNG\r\n", whole=True)
    assert not looks_binary(b"", whole=True)


async def test_a_stream_with_an_http_head_is_text() -> None:
    for cut in (0, 3, 8):
        response = Response()
        response.add(b'{"statusCode": 200}' + b"\0" * (8 - cut), 0.0)
        assert not response.binary(over=False)
        response.add(b"\0" * cut + b"data: 1\n\n", 0.1)
        assert not response.binary(over=True)
    image = Response()
    image.add(b'{"statusCode": 200}' + b"\0" * 8 + b"\x89PNG\r\n\0\0", 0.0)
    assert image.binary(over=True)


def test_bytes_are_shown_on_one_line() -> None:
    assert show_bytes(b"a\n\x1b\xff\xc3") == "a↵·\\xff\\xc3"


def test_the_strip_is_as_wide_as_the_next_round_figure() -> None:
    assert span_for(1.92) == pytest.approx(2.0)
    assert span_for(0.0009) == pytest.approx(0.001)
    assert span_for(61.0) == pytest.approx(80.0)


async def test_a_short_response_never_touches_the_disk(tmp_path: Path) -> None:
    spool = Spool(head_limit=10, directory=tmp_path / "absent")
    spool.add(b"0123456789")
    assert spool.head == b"0123456789"
    assert (spool.size, spool.kept, spool.lost) == (10, 10, None)
    spool.close()


async def test_a_long_response_is_saved_whole_while_it_grows_and_leaves_no_thread(tmp_path: Path) -> None:
    spool = Spool(head_limit=1000)
    data = random.Random(3).randbytes(3_000_000)
    for start in range(0, 2_000_000, 50_000):
        spool.add(data[start : start + 50_000])
    assert await spool.save(tmp_path / "part") == 2_000_000
    assert (tmp_path / "part").read_bytes() == data[:2_000_000]
    for start in range(2_000_000, 3_000_000, 50_000):
        spool.add(data[start : start + 50_000])
    await spool.save(tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    spool.close()
    await until(lambda: not any(each.name.startswith("stoker-response") for each in threading.enumerate()))


async def test_a_reader_is_held_back_until_the_file_has_caught_up() -> None:
    spool = Spool(head_limit=10)
    spool.add(b"x" * 6_000_000)
    assert spool.crowded
    async with asyncio.timeout(20):
        await spool.room()
    assert not spool.crowded
    spool.close()


async def test_where_the_file_cannot_be_written_the_head_is_kept_and_the_reason_told(tmp_path: Path) -> None:
    spool = Spool(head_limit=4, directory=tmp_path / "absent")
    spool.add(b"0123456789")
    await until(lambda: spool.lost is not None)
    assert spool.lost == "No such file or directory"
    assert (spool.size, spool.kept) == (10, 4)
    assert await spool.save(tmp_path / "out") == 4
    assert (tmp_path / "out").read_bytes() == b"0123"
    spool.close()


async def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    spool = Spool()
    spool.add(b"data")
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError):
        await spool.save(tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    spool.close()
