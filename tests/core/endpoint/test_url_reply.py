"""A function's reply as the HTTP response it stands for: buffered, and streamed after a prelude."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.endpoint.url_reply import (
    HTTP_INTEGRATION,
    MAX_PRELUDE,
    MalformedReplyError,
    ReplyHead,
    StreamedReply,
    read_reply,
)

JSON = ("content-type", "application/json")
NULS = b"\0" * 8


def read(reply: Any) -> tuple[ReplyHead, bytes]:
    return read_reply(json.dumps(reply).encode())


def stream(*chunks: bytes, content_type: str = HTTP_INTEGRATION) -> tuple[ReplyHead, list[bytes]]:
    reply = StreamedReply(content_type)
    bodies = [reply.feed(chunk) for chunk in chunks]
    return reply.finish(), [body for body in bodies if body]


def test_a_whole_response() -> None:
    head, body = read(
        {
            "statusCode": 201,
            "headers": {"Content-Type": "text/html; charset=utf-8", "My-Custom-Header": "Custom Value"},
            "body": "<p>é</p>",
            "cookies": ["Cookie_1=Value1; Expires=21 Oct 2021 07:48 GMT", "Cookie_2=Value2; Max-Age=78000"],
            "isBase64Encoded": False,
        }
    )
    assert head == ReplyHead(
        201,
        (
            ("content-type", "text/html; charset=utf-8"),
            ("my-custom-header", "Custom Value"),
            ("set-cookie", "Cookie_1=Value1; Expires=21 Oct 2021 07:48 GMT"),
            ("set-cookie", "Cookie_2=Value2; Max-Age=78000"),
        ),
    )
    assert body == "<p>é</p>".encode()


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        ({"message": "Hello, wörld!"}, '{"message":"Hello, wörld!"}'),
        ("hello", "hello"),
        (["hello", 3, True], '["hello",3,true]'),
        (3.1, "3.1"),
        (None, "null"),
        ({"body": "no status", "headers": {"x-a": "1"}}, '{"body":"no status","headers":{"x-a":"1"}}'),
    ],
)
def test_without_a_status_the_reply_itself_is_the_body(reply: Any, body: str) -> None:
    assert read(reply) == (ReplyHead(200, (JSON,)), body.encode())


def test_an_empty_reply_is_an_empty_body() -> None:
    assert read_reply(b"") == (ReplyHead(200, (JSON,)), b"")


def test_a_status_alone_is_enough() -> None:
    assert read({"statusCode": 418}) == (ReplyHead(418, (JSON,)), b"")


def test_a_status_may_be_written_as_a_string() -> None:
    assert read({"statusCode": "418", "body": "i'm a teapot"})[0].status == 418


def test_bytes_come_as_base64() -> None:
    assert read({"statusCode": 200, "body": "AP+A\nCg==", "isBase64Encoded": True})[1] == b"\x00\xff\x80\n"


def test_numbers_and_truth_are_written_out_and_null_is_left_out() -> None:
    head, _ = read({"statusCode": 200, "headers": {"x-a": 7, "x-b": True, "x-c": None, "x-d": 1.5}})
    assert head.headers == (("x-a", "7"), ("x-b", "true"), ("x-d", "1.5"), JSON)


def test_headers_of_the_connection_go_under_another_name() -> None:
    head, body = read(
        {"statusCode": 200, "headers": {"Content-Length": "5000", "Connection": "close", "X-A": "1"}, "body": "abc"}
    )
    assert head.headers == (
        ("x-amzn-remapped-content-length", "5000"),
        ("x-amzn-remapped-connection", "close"),
        ("x-a", "1"),
        JSON,
    )
    assert body == b"abc"


@pytest.mark.parametrize(("status", "bodiless"), [(200, False), (204, True), (205, True), (304, True), (599, False)])
def test_a_head_says_whether_a_body_may_follow(status: int, bodiless: bool) -> None:
    assert read({"statusCode": status})[0].bodiless is bodiless


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({"statusCode": "abc"}, "its statusCode is not an integer"),
        ({"statusCode": 200.5}, "its statusCode is not an integer"),
        ({"statusCode": True}, "its statusCode is not an integer"),
        ({"statusCode": {}}, "its statusCode is not an integer"),
        ({"statusCode": 99}, "its statusCode is not between 200 and 599"),
        ({"statusCode": 101}, "its statusCode is not between 200 and 599"),
        ({"statusCode": 10**30}, "its statusCode is not between 200 and 599"),
        ({"statusCode": 200, "body": {"a": 1}}, "its body is not a string"),
        ({"statusCode": 200, "body": 7}, "its body is not a string"),
        ({"statusCode": 200, "body": "not base64!", "isBase64Encoded": True}, "its body is not base64"),
        (
            {"statusCode": 200, "body": "YWJj", "isBase64Encoded": "yes"},
            "its isBase64Encoded is neither true nor false",
        ),
        ({"statusCode": 200, "body": "YWJj", "isBase64Encoded": {}}, "its isBase64Encoded is neither true nor false"),
        ({"statusCode": 200, "headers": ["a"]}, "its headers are not an object"),
        ({"statusCode": 200, "headers": {"a b": "1"}}, "a header's name is not a token"),
        ({"statusCode": 200, "headers": {"": "1"}}, "a header's name is not a token"),
        ({"statusCode": 200, "headers": {"a\r\nset-cookie": "1"}}, "a header's name is not a token"),
        ({"statusCode": 200, "headers": {"x-a": "1\r\nset-cookie: b=1"}}, "its header x-a has a control character"),
        ({"statusCode": 200, "headers": {"x-a": "1\n"}}, "its header x-a has a control character"),
        ({"statusCode": 200, "headers": {"x-a": "1\0"}}, "its header x-a has a control character"),
        ({"statusCode": 200, "headers": {"x-a": ["1", "2"]}}, "its header x-a is not a string"),
        ({"statusCode": 200, "cookies": "a=1"}, "its cookies are not a list"),
        ({"statusCode": 200, "cookies": ["a=1\r\nx-a: b"]}, "its header set-cookie has a control character"),
        ({"statusCode": 200, "cookies": [7]}, "its header set-cookie is not a string"),
        ({"statusCode": 200, "body": "\ud800"}, "it has text that is not valid Unicode"),
        ("\ud800", "it has text that is not valid Unicode"),
    ],
)
def test_a_reply_that_is_no_response_is_refused_with_the_reason(reply: Any, reason: str) -> None:
    with pytest.raises(MalformedReplyError) as refused:
        read(reply)
    assert refused.value.reason == reason


@pytest.mark.parametrize("payload", [b"plain text", b'{"a": NaN}', b"\xff\xfe{", b"[" * 100_000, b"1" * 10_000])
def test_a_payload_that_is_not_json_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedReplyError, match="it is not JSON"):
        read_reply(payload)


# --- streams


PRELUDE = b'{"statusCode": 202, "headers": {"X-A": "1"}, "cookies": ["c=1"]}'
HEAD = ReplyHead(202, (("x-a", "1"), ("content-type", "application/octet-stream"), ("set-cookie", "c=1")))


def test_a_prelude_gives_the_head_and_the_rest_is_body() -> None:
    assert stream(PRELUDE + NULS + b"one", b"two", b"three") == (HEAD, [b"one", b"two", b"three"])


def test_the_head_is_known_before_the_first_byte_of_the_body() -> None:
    reply = StreamedReply(HTTP_INTEGRATION)
    assert (reply.feed(PRELUDE), reply.head) == (b"", None)
    assert (reply.feed(NULS), reply.head) == (b"", HEAD)
    assert reply.feed(b"x") == b"x"


@given(st.lists(st.integers(0, 90), max_size=12).map(sorted))
def test_prelude_nuls_and_body_may_be_parted_anywhere(cuts: list[int]) -> None:
    whole = PRELUDE + NULS + b"\0\0body\0" + NULS
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    head, bodies = stream(*parts)
    assert head == HEAD
    assert b"".join(bodies) == b"\0\0body\0" + NULS


def test_a_prelude_byte_by_byte() -> None:
    head, bodies = stream(*(bytes([byte]) for byte in PRELUDE + NULS + b"ab"))
    assert (head, bodies) == (HEAD, [b"a", b"b"])


def test_a_prelude_may_be_empty_of_facts() -> None:
    assert stream(b"{}" + NULS)[0] == ReplyHead(200, (("content-type", "application/octet-stream"),))


@pytest.mark.parametrize("content_type", [HTTP_INTEGRATION.upper(), f"{HTTP_INTEGRATION}; charset=utf-8"])
def test_the_type_of_a_prelude_is_known_in_any_spelling(content_type: str) -> None:
    assert stream(PRELUDE + NULS, content_type=content_type)[0] == HEAD


@pytest.mark.parametrize(
    ("given_type", "sent"), [("text/event-stream", "text/event-stream"), ("", "application/octet-stream")]
)
def test_any_other_stream_is_a_body_as_it_comes(given_type: str, sent: str) -> None:
    head, bodies = stream(b"{}", NULS, content_type=given_type)
    assert head == ReplyHead(200, (("content-type", sent),))
    assert bodies == [b"{}", NULS]


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([], "its prelude is not followed by eight NUL bytes"),
        ([PRELUDE, NULS[:7]], "its prelude is not followed by eight NUL bytes"),
        ([b"not json" + NULS], "it is not JSON"),
        ([NULS], "it is not JSON"),
        ([b"[200]" + NULS], "its prelude is not a JSON object"),
        ([b'{"statusCode": "no"}' + NULS], "its statusCode is not an integer"),
        ([b'{"headers": {"a": "b\\r\\nc: d"}}' + NULS], "its header a has a control character"),
        ([b" " * 40_000] * 2, "its prelude is longer than 65,536 bytes"),
        ([b" " * MAX_PRELUDE + b"{}" + NULS], "its prelude is longer than 65,536 bytes"),
    ],
)
def test_a_prelude_that_is_broken_or_never_ends_is_refused(chunks: list[bytes], reason: str) -> None:
    with pytest.raises(MalformedReplyError) as refused:
        stream(*chunks)
    assert refused.value.reason == reason


def test_a_long_body_after_a_prelude_in_one_chunk_is_no_long_prelude() -> None:
    _, bodies = stream(PRELUDE + NULS + b"x" * 200_000)
    assert len(bodies[0]) == 200_000
