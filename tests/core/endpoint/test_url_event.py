"""The event that a function behind a URL gets."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from core.endpoint.url_event import UrlRequest, event_bytes, new_trace_id

NOW = 1795521599.987  # 24 November 2026, one second before noon


def event(request: UrlRequest, **more: Any) -> dict[str, Any]:
    made = event_bytes(request, url_id="words", request_id="r-1", now=NOW, **more)
    found: dict[str, Any] = json.loads(made)
    return found


def posted(body: bytes, content_type: str | None) -> dict[str, Any]:
    headers = [("content-type", content_type)] if content_type is not None else []
    return event(UrlRequest("POST", "/", headers=headers, body=body))


def test_a_request_becomes_the_event_of_format_2() -> None:
    request = UrlRequest(
        "POST",
        "/my/path",
        "parameter1=value1&parameter1=value2&parameter2=value",
        [
            ("host", "127.0.0.1:9001"),
            ("user-agent", "agent"),
            ("content-type", "text/plain"),
            ("content-length", "18"),
            ("header2", "value1"),
            ("header2", "value2"),
            ("cookie", "cookie1=a; cookie2=b"),
        ],
        b"Hello from client!",
        "127.0.0.1",
        9001,
    )
    assert event(request, trace_id="Root=1-65f-abc") == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/path",
        "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
        "cookies": ["cookie1=a", "cookie2=b"],
        "headers": {
            "host": "127.0.0.1:9001",
            "user-agent": "agent",
            "content-type": "text/plain",
            "content-length": "18",
            "header2": "value1,value2",
            "cookie": "cookie1=a; cookie2=b",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-port": "9001",
            "x-amzn-trace-id": "Root=1-65f-abc",
        },
        "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "words",
            "domainName": "127.0.0.1:9001",
            "domainPrefix": "words",
            "http": {
                "method": "POST",
                "path": "/my/path",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "agent",
            },
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "24/Nov/2026:11:59:59 +0000",
            "timeEpoch": 1795521599987,
        },
        "body": "Hello from client!",
        "isBase64Encoded": False,
    }


def test_what_is_not_there_is_left_out() -> None:
    bare = event(UrlRequest("GET", ""))
    assert bare["rawPath"] == "/"
    assert bare["rawQueryString"] == ""
    assert bare["isBase64Encoded"] is False
    assert not {"cookies", "queryStringParameters", "body"} & bare.keys()
    assert "userAgent" not in bare["requestContext"]["http"]
    assert not {"authentication", "authorizer"} & bare["requestContext"].keys()


def test_path_and_query_stay_as_they_were_written_and_parameters_are_decoded() -> None:
    found = event(UrlRequest("GET", "/a%2Fb/%C3%A9", "q=a+b%26c&flag&flag=&%C3%A9=1"))
    assert found["rawPath"] == found["requestContext"]["http"]["path"] == "/a%2Fb/%C3%A9"
    assert found["rawQueryString"] == "q=a+b%26c&flag&flag=&%C3%A9=1"
    assert found["queryStringParameters"] == {"q": "a b&c", "flag": ",", "é": "1"}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/csv; charset=utf-8",
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/xml",
        "application/javascript",
    ],
)
def test_text_goes_as_text(content_type: str) -> None:
    found = posted('{"é": "✓"}'.encode(), content_type)
    assert found["body"] == '{"é": "✓"}'
    assert found["isBase64Encoded"] is False


@pytest.mark.parametrize(
    "content_type",
    ["application/octet-stream", "image/png", "application/x-www-form-urlencoded", "multipart/form-data; b=x", None],
)
def test_everything_else_goes_as_base64(content_type: str | None) -> None:
    found = posted(b"a=1\x00\xff", content_type)
    assert base64.b64decode(found["body"]) == b"a=1\x00\xff"
    assert found["isBase64Encoded"] is True


def test_text_that_is_not_valid_utf_8_goes_as_base64() -> None:
    found = posted(b"caf\xe9", "text/plain; charset=latin-1")
    assert base64.b64decode(found["body"]) == b"caf\xe9"
    assert found["isBase64Encoded"] is True


def test_headers_of_the_connection_and_the_endpoints_token_stay_outside() -> None:
    kept = [("accept", "*/*"), ("x-custom", "1")]
    dropped = ["connection", "keep-alive", "te", "transfer-encoding", "upgrade", "x-stoker-token"]
    found = event(UrlRequest("GET", "/", headers=[*kept, *((name, "x") for name in dropped)]))
    assert found["headers"] == {"accept": "*/*", "x-custom": "1"} | {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
    }


def test_a_body_that_came_in_chunks_has_a_length() -> None:
    found = event(UrlRequest("POST", "/", headers=[("transfer-encoding", "chunked")], body=b"12345"))
    assert found["headers"]["content-length"] == "5"


def test_what_a_proxy_said_is_kept() -> None:
    headers = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("x-amzn-trace-id", "Root=1-a-b")]
    found = event(UrlRequest("GET", "/", headers=headers, port=9001), trace_id="Root=1-c-d")["headers"]
    assert found["x-forwarded-for"] == "192.0.2.1, 127.0.0.1"
    assert found["x-forwarded-proto"] == "https"
    assert found["x-amzn-trace-id"] == "Root=1-a-b"


def test_cookies_of_several_headers_make_one_list() -> None:
    found = event(UrlRequest("GET", "/", headers=[("cookie", "a=1; b=2;"), ("cookie", "c=3")]))
    assert found["cookies"] == ["a=1", "b=2", "c=3"]
    assert found["headers"]["cookie"] == "a=1; b=2; c=3"


def test_a_signed_request_names_its_caller() -> None:
    context = event(UrlRequest("GET", "/", access_key="AKIAEXAMPLE"))["requestContext"]
    assert context["accountId"] == "000000000000"
    assert context["authentication"] is None
    assert context["authorizer"]["iam"]["accessKey"] == "AKIAEXAMPLE"
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::000000000000:root"


def test_the_time_does_not_depend_on_the_language_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "not this")
    assert event(UrlRequest("GET", "/"))["requestContext"]["time"] == "24/Nov/2026:11:59:59 +0000"


def test_trace_ids_have_the_tracing_headers_form_and_differ() -> None:
    one, other = new_trace_id(NOW), new_trace_id(NOW)
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", one)
    assert int(one[7:15], 16) == int(NOW)
    assert one != other
