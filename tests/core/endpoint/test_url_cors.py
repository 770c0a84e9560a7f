"""What a function URL's Cors lets browsers do."""

from __future__ import annotations

import pytest

from core.endpoint.url_cors import Cors, is_preflight

PAGE = "https://www.example.com"
OTHER = "https://attacker.example"


def preflight(settings: dict[str, object], origin: str = PAGE, **asked: str) -> dict[str, str]:
    cors = Cors.of(settings)
    assert cors is not None
    headers = [("origin", origin), ("access-control-request-method", asked.get("method", "PUT"))]
    if "headers" in asked:
        headers.append(("access-control-request-headers", asked["headers"]))
    return dict(cors.preflight(headers))


def test_a_preflight_is_answered_by_the_settings() -> None:
    settings = {
        "AllowCredentials": True,
        "AllowHeaders": ["authorization", "content-type"],
        "AllowMethods": ["GET", "POST"],
        "AllowOrigins": [PAGE, "http://localhost:60905"],
        "ExposeHeaders": ["date"],
        "MaxAge": 300,
    }
    assert preflight(settings, method="DELETE", headers="x-not-listed") == {
        "vary": "Origin",
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-allow-headers": "authorization,content-type",
        "access-control-allow-methods": "GET,POST",
        "access-control-max-age": "300",
    }


def test_an_origin_that_is_not_listed_is_allowed_nothing() -> None:
    settings = {"AllowOrigins": [PAGE], "AllowMethods": ["*"], "AllowHeaders": ["*"], "MaxAge": 300}
    assert preflight(settings, OTHER, headers="x-a") == {"vary": "Origin"}


def test_wildcards_are_answered_by_what_was_asked_for() -> None:
    settings = {"AllowOrigins": ["*"], "AllowMethods": ["*"], "AllowHeaders": ["*"], "AllowCredentials": True}
    assert preflight(settings, OTHER, method="PATCH", headers="x-a, x-b") == {
        "vary": "Origin",
        "access-control-allow-origin": OTHER,
        "access-control-allow-credentials": "true",
        "access-control-allow-headers": "x-a, x-b",
        "access-control-allow-methods": "PATCH",
    }


def test_what_is_not_set_is_not_sent() -> None:
    assert preflight({"AllowOrigins": [PAGE]}) == {"vary": "Origin", "access-control-allow-origin": PAGE}
    assert preflight({"AllowOrigins": [PAGE], "MaxAge": 0})["access-control-max-age"] == "0"


def test_other_responses_get_origin_credentials_and_what_may_be_seen() -> None:
    cors = Cors.of({"AllowOrigins": [PAGE], "AllowCredentials": True, "ExposeHeaders": ["date", "x-a"], "MaxAge": 5})
    assert cors is not None
    assert cors.response(PAGE) == [
        ("vary", "Origin"),
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "date,x-a"),
    ]
    assert cors.response(OTHER) == cors.response(None) == [("vary", "Origin")]


@pytest.mark.parametrize("origin", ["HTTPS://WWW.Example.COM", PAGE])
def test_origins_are_compared_without_regard_to_case(origin: str) -> None:
    cors = Cors(allow_origins=("https://www.EXAMPLE.com",))
    assert cors.allows(origin)
    assert not cors.allows(origin + ".attacker.example")
    assert not cors.allows("null")


def test_no_settings_leave_the_function_to_itself() -> None:
    assert Cors.of(None) is None
    assert Cors.of({}) is None


def test_settings_that_no_header_can_carry_are_passed_over() -> None:
    settings = {"AllowOrigins": [PAGE], "AllowHeaders": ["x-a\r\nset-cookie: b", 7, "x-c"], "AllowMethods": "GET"}
    assert preflight(settings, headers="x") == {
        "vary": "Origin",
        "access-control-allow-origin": PAGE,
        "access-control-allow-headers": "x-c",
    }


@pytest.mark.parametrize(
    ("method", "headers", "preflight"),
    [
        ("OPTIONS", ["origin", "access-control-request-method"], True),
        ("OPTIONS", ["origin"], False),
        ("OPTIONS", ["access-control-request-method"], False),
        ("GET", ["origin", "access-control-request-method"], False),
    ],
)
def test_only_a_browsers_question_is_a_preflight(method: str, headers: list[str], preflight: bool) -> None:
    assert is_preflight(method, [(name, "x") for name in headers]) is preflight
