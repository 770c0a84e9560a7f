"""A body's framing, cut anywhere, gives the same chunks; what is not framing is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.emulator.http_decoders import PIECE, BodyError, ChunkedDecoder, LengthDecoder

_ALL = 1 << 40


def _encode(chunks: list[bytes], trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"


def _decode(decoder: ChunkedDecoder, pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    out: list[bytes] = []
    rest = b""
    for piece in pieces:
        data = bytearray(piece)
        at = decoder.decode(data, 0, len(data), out, room=_ALL, most=_ALL)
        if at < len(data):
            rest += data[at:]
    return out, rest


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=20),
    cuts=st.lists(st.integers(1, 40), max_size=60),
    more=st.binary(max_size=20),
)
def test_chunks_come_out_as_they_were_written_wherever_the_reads_are_cut(
    chunks: list[bytes], cuts: list[int], more: bytes
) -> None:
    data = _encode(chunks, b"Name: value\r\n") + more
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    pieces.append(data[at:])
    decoder = ChunkedDecoder()
    found, rest = _decode(decoder, pieces)
    assert found == chunks
    assert decoder.done
    assert decoder.trailers == [("name", "value")]
    assert rest == more


@given(chunks=st.lists(st.binary(min_size=1, max_size=9), max_size=30), room=st.integers(1, 20), most=st.integers(1, 5))
def test_it_stops_where_there_is_no_room_and_goes_on_from_there(chunks: list[bytes], room: int, most: int) -> None:
    data = _encode(chunks)
    decoder = ChunkedDecoder()
    found: list[bytes] = []
    at = 0
    while not decoder.done:
        out: list[bytes] = []
        at = decoder.decode(data, at, len(data), out, room=room, most=most)
        assert len(out) <= most
        assert sum(map(len, out[:-1])) < room
        found.extend(out)
    assert found == chunks
    assert at == len(data)


def test_a_chunk_up_to_the_limit_is_whole_and_a_larger_one_comes_in_pieces() -> None:
    whole, large = b"a" * PIECE, b"b" * (PIECE * 3)
    data = _encode([whole, large])
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    found, _ = _decode(ChunkedDecoder(), pieces)
    assert found[0] == whole
    assert len(found) > 3
    assert b"".join(found[1:]) == large


def test_what_came_of_a_chunk_that_is_cut_off_is_not_lost() -> None:
    decoder = ChunkedDecoder()
    found, _ = _decode(decoder, [b"5\r\nhello\r\n10\r\nhalf"])
    assert found == [b"hello"]
    assert decoder.rest() == b"half"
    assert not decoder.done


@pytest.mark.parametrize(
    "line",
    [b"0x5", b"+5", b"-5", b"5_0", b" 5", b"", b"g", b"5 5", b"f" * 17, b"5\x00"],
)
def test_a_size_that_is_not_plain_hexadecimal_is_refused(line: bytes) -> None:
    with pytest.raises(BodyError):
        _decode(ChunkedDecoder(), [line + b"\r\nhello\r\n0\r\n\r\n"])


def test_a_size_line_may_have_an_extension_and_is_refused_without_an_end() -> None:
    assert _decode(ChunkedDecoder(), [b"5;name=value\r\nhello\r\n0\r\n\r\n"])[0] == [b"hello"]
    with pytest.raises(BodyError, match="too long"):
        _decode(ChunkedDecoder(), [b"5;" + b"x" * 3000, b"x" * 3000])


@pytest.mark.parametrize("tail", [b"hello!!", b"hello\n\n", b"hello\rx"])
def test_a_chunk_that_does_not_end_where_it_said_is_refused(tail: bytes) -> None:
    with pytest.raises(BodyError, match="CRLF"):
        _decode(ChunkedDecoder(), [b"5\r\n" + tail])
    with pytest.raises(BodyError, match="CRLF"):
        _decode(ChunkedDecoder(), [bytes([byte]) for byte in b"5\r\n" + tail])


@pytest.mark.parametrize(
    "trailer", [b"no colon\r\n", b"bad name: x\r\n", b": x\r\n", b"a: \x00\r\n", b" folded: x\r\n"]
)
def test_a_trailer_that_is_no_header_is_refused(trailer: bytes) -> None:
    with pytest.raises(BodyError, match="trailer"):
        _decode(ChunkedDecoder(), [_encode([], trailer)])


def test_trailers_are_bounded() -> None:
    with pytest.raises(BodyError, match="too long"):
        _decode(ChunkedDecoder(trailer_limit=100), [b"0\r\n", b"a: " + b"x" * 200])


def test_a_body_of_known_length_ends_there() -> None:
    decoder = LengthDecoder(5)
    out: list[bytes] = []
    assert decoder.decode(b"abc", 0, 3, out, room=_ALL, most=_ALL) == 3
    assert not decoder.done
    assert decoder.decode(b"xdefg", 1, 5, out, room=_ALL, most=_ALL) == 3
    assert decoder.done
    assert out == [b"abc", b"de"]
