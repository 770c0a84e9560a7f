"""The quick way through heads says what h11 says, or leaves the head to it."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.emulator.http_heads import BODILESS, encoded, read_request, write_response

PLAIN = b"POST /invoke?a=b HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nX-Some: a value \r\n\r\n"

PIECES = [
    *("GET ", "POST ", "HEAD ", "/", "/path?query=%20", "*", "http://here/x", " HTTP/1.1\r\n", " HTTP/1.0\r\n"),
    *("\r\n", "\n", "\r", " ", "\t", "\0", "ä", ":", ",", "Host: here\r\n", "host:there\r\n", "Content-Length: 5\r\n"),
    *("content-length: 05\r\n", "Content-Length: 5, 5\r\n", "Content-Length: -1\r\n", "Content-Length: \r\n"),
    *("Transfer-Encoding: chunked\r\n", "transfer-encoding: Chunked\r\n", "Transfer-Encoding: gzip, chunked\r\n"),
    *("Connection: close\r\n", "Connection: Keep-Alive\r\n", "Expect: 100-continue\r\n", "Upgrade: h2c\r\n"),
    *("X-Empty:\r\n", "X-Some: a  value\r\n", " folded: yes\r\n", "bad name: x\r\n", "X-Some : x\r\n", "x" * 300),
]
HEADS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "".join(pieces).encode("latin-1")),
    st.lists(st.sampled_from(PIECES), max_size=6).map(
        lambda pieces: ("POST / HTTP/1.1\r\nHost: here\r\n" + "".join(pieces) + "\r\n").encode("latin-1")
    ),
)


def judged(data: bytes) -> tuple[h11.Request, bytes]:
    """What h11 makes of it, and what is left. Raises h11.RemoteProtocolError."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    event = parser.next_event()
    assert isinstance(event, h11.Request), event
    assert parser.their_http_version == b"1.1"
    assert not parser.they_are_waiting_for_100_continue
    assert parser.our_state is h11.SEND_RESPONSE, "the connection is kept, and nothing is switched to"
    return event, parser.trailing_data[0]


@given(HEADS)
@example(PLAIN)
@example(PLAIN + b"hello")
@example(PLAIN.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"))
def test_what_is_read_quickly_h11_reads_alike(data: bytes) -> None:
    head = read_request(data)
    if head is None:
        return
    event, rest = judged(data)
    assert (head.method.encode(), head.target.encode()) == (event.method, event.target)
    assert [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers] == [
        (name, value.strip() if name != b"transfer-encoding" else dict(raw_values(data))[name])
        for name, value in event.headers
    ]
    assert data[head.end :] == rest
    fields = dict(event.headers)
    if b"transfer-encoding" in fields:
        assert head.length is None
    else:
        assert head.length == int(fields.get(b"content-length", b"0"))


def raw_values(data: bytes) -> list[tuple[bytes, bytes]]:
    lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


def test_plain_requests_are_read_quickly() -> None:
    head = read_request(PLAIN + b"hello")
    assert head is not None
    assert (head.method, head.target, head.length) == ("POST", "/invoke?a=b", 5)
    assert head.headers == [("host", "here"), ("content-length", "5"), ("x-some", "a value")]
    assert (PLAIN + b"hello")[head.end :] == b"hello"
    kept = read_request(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n")
    assert kept is not None
    assert kept.length == 0


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"POST", b"HEAD"),
        PLAIN.replace(b"POST", b"CONNECT"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"/invoke", b"http://here/invoke"),
        PLAIN.replace(b"Host: here\r\n", b""),
        PLAIN.replace(b"Host: here\r\n", b"Host: here\r\nHost: there\r\n"),
        PLAIN.replace(b"X-Some: a value", b"Content-Length: 5"),
        PLAIN.replace(b"X-Some: a value", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"X-Some: a value", b"Connection: close"),
        PLAIN.replace(b"X-Some: a value", b"Expect: 100-continue"),
        PLAIN.replace(b"X-Some: a value", b"Upgrade: websocket"),
        PLAIN.replace(b"X-Some: a value", b" folded"),
        PLAIN.replace(b"X-Some: a value", b"X-Some: a\0value"),
        PLAIN.replace(b"X-Some: a value", b"X-Some: a\rvalue"),
        PLAIN.replace(b"X-Some:", b"X-Some :"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: \xb2"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: 5, 5"),
        PLAIN.replace(b"Content-Length: 5", b"Content-Length: " + b"9" * 30),
        PLAIN.replace(b"Content-Length: 5", b"Transfer-Encoding: gzip"),
    ],
)
def test_everything_else_is_left_to_h11(data: bytes) -> None:
    assert read_request(data) is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize("filler", [b" ", b"\t", b"a", b"a:", b"a:\r\n", b":"])
def test_no_text_makes_it_try_long(filler: bytes) -> None:
    start = b"POST / HTTP/1.1\r\nHost: here\r\n"
    for head in (start, start + b"X: ", b"POST /", b""):
        assert read_request(head + filler * 200_000 + b"\0") is None


@given(
    st.sampled_from([200, 202, 204, 304, 404, 413, 500, 599, 100]),
    st.lists(
        st.tuples(
            st.sampled_from(["X-Some", "x-other", "Content-Length", "connection", "bad name", ""]),
            st.one_of(
                st.sampled_from(["5", "close", "a value", "a\r\nX: y", "a\nb", "ä", "\udcff", "\x7f"]), st.text()
            ),
        ),
        max_size=4,
    ),
    st.sampled_from([("content-length", "5"), ("transfer-encoding", "chunked"), None]),
)
def test_what_is_written_quickly_a_client_reads_as_it_was_meant(
    status: int, headers: list[tuple[str, str]], framing: tuple[str, str] | None
) -> None:
    given_ = [*headers, framing] if framing is not None else headers
    try:
        head = write_response(status, given_)
    except UnicodeEncodeError:
        return
    if head is None:
        return
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="POST", target="/", headers=[("host", "here"), ("content-length", "0")]))
    client.send(h11.EndOfMessage())
    client.receive_data(head)
    event = client.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == status
    assert list(event.headers) == [(name.lower(), value.strip(b" \t")) for name, value in encoded(given_)]
    assert client.their_state is not h11.MUST_CLOSE
    assert (framing is None) == (status in BODILESS) or any(n.lower() == "content-length" for n, _ in headers)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, [("x", "a\r\nSet-Cookie: mine=1"), ("content-length", "0")]),
        (200, [("x\r\ny", "a"), ("content-length", "0")]),
        (200, [("x", "a")]),
        (200, [("content-length", "")]),
        (200, [("content-length", "-1")]),
        (200, [("content-length", "²")]),
        (200, [("transfer-encoding", "gzip")]),
        (200, [("content-length", "0"), ("transfer-encoding", "chunked")]),
        (200, [("connection", "close"), ("content-length", "0")]),
        (204, [("content-length", "0")]),
        (101, [("content-length", "0")]),
        (299, [("content-length", "0")]),
    ],
)
def test_what_is_not_plain_is_left_to_h11_to_write(status: int, headers: list[tuple[str, str]]) -> None:
    assert write_response(status, headers) is None
