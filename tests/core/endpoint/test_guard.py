"""Who may ask, by what a request says of itself."""

from __future__ import annotations

import socket

import pytest

from core.emulator.http_body import Body
from core.emulator.http_decoders import LengthDecoder
from core.emulator.http_exchange import Channel, Exchange
from core.endpoint.errors import ApiError
from core.endpoint.guard import Guard, check_token, host_of, is_loopback, own_names

_TOKEN = "a-token-of-16-ch"


def request(target: str = "/2015-03-31/functions", *, host: str | None = "127.0.0.1:9001", **headers: str) -> Exchange:
    def nothing(*_: object) -> None:
        return None

    given = [("host", host)] if host is not None else []
    given += [(name.replace("_", "-"), value) for name, value in headers.items()]
    body = Body(LengthDecoder(0), pause=nothing, resume=nothing, finished=nothing)
    channel: Channel = None  # type: ignore[assignment]
    return Exchange(channel, "GET", target, given, body)


def refusal(guard: Guard, exchange: Exchange) -> int | None:
    try:
        guard.check(exchange)
    except ApiError as error:
        return error.status
    return None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:9001",
        "127.5.6.7",
        "localhost",
        "LOCALHOST:80",
        "localhost.",
        "localhost.:9001",
        "words.localhost:9001",
        "[::1]",
        "[::1]:9001",
        "[0:0:0:0:0:0:0:1]:9001",
        "127.0.0.1:",
        # as functions in containers know this machine
        "host.docker.internal:9001",
        "host.containers.internal:9001",
    ],
)
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert refusal(Guard(), request(host=host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:9001",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "evil.host.docker.internal",
        "host.docker.internal.evil.example",
        "127.0.0.1@evil.example",
        "127.0.0.1:80@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1:9001:9001",
        "127.0.0.1:999999",
        "127.0.0.1:port",
        "127.0.0.1/",
        "127.0.0.1?",
        "127.0.0.1#",
        "127.0.0.1 evil.example",
        "127.0.0.1,evil.example",
        "127.0.0.1\tx",
        "127.0.0.1\\",
        "127.0.0.1..",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "::1",
        "[::1",
        "::1]",
        "[::1].evil.example",
        "[::]",
        "[127.0.0.1",
        "[evil.example]",
        "10.0.0.1",
        "169.254.169.254",
        "%6cocalhost",
        "localhost\u00e9",
        "\uff4cocalhost",
    ],
)
def test_any_other_name_is_foreign(host: str) -> None:
    assert refusal(Guard(), request(host=host)) == 403


def test_a_request_without_a_host_is_refused() -> None:
    assert refusal(Guard(), request(host=None)) == 403


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://127.0.0.1:9001/2015-03-31/functions", None),
        ("http://localhost/_stoker/health", None),
        ("http://evil.example/_stoker/health", 403),
        ("http://127.0.0.1:80@evil.example/_stoker/health", 403),
        ("http:///_stoker/health", 403),
        ("HTTP://evil.example", 403),
        ("http://evil.example/_url/words/", 403),
    ],
)
def test_the_host_of_an_absolute_target_counts_like_the_header(target: str, expected: int | None) -> None:
    assert refusal(Guard(), request(target)) == expected


def test_a_foreign_host_header_is_not_excused_by_the_target() -> None:
    assert refusal(Guard(), request("http://127.0.0.1/_stoker/health", host="evil.example")) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9001", "", "file://"])
def test_no_page_is_answered_whatever_its_origin(origin: str) -> None:
    assert refusal(Guard(), request(origin=origin)) == 403
    assert refusal(Guard(), request("/_stoker/instances", origin=origin)) == 403


@pytest.mark.parametrize(
    ("site", "expected"), [("cross-site", 403), ("same-site", 403), ("same-origin", 403), ("none", None)]
)
def test_a_page_that_sends_no_origin_is_known_by_its_fetch_metadata(site: str, expected: int | None) -> None:
    assert refusal(Guard(), request(sec_fetch_site=site)) == expected


def test_pages_may_ask_function_urls() -> None:
    assert refusal(Guard(), request("/_url/words/", origin="http://a.example", sec_fetch_site="cross-site")) is None


@pytest.mark.parametrize(
    "path", ["/_url", "/_urls/words", "//_url/words", "/x/_url/words", "/%5Furl/words", "/_URL/words"]
)
def test_only_what_is_under_the_prefix_counts_as_a_function_url(path: str) -> None:
    assert refusal(Guard(), request(path, origin="http://a.example")) == 403


def test_a_function_url_is_answered_under_a_foreign_name_only_where_it_says_so() -> None:
    asked: list[tuple[str, str]] = []

    def allows(path: str, authority: str) -> bool:
        asked.append((path, authority))
        return authority == "words.example:9001"

    guard = Guard(url_allows=allows)
    assert refusal(guard, request("/_url/words/a", host="Words.example:9001")) is None
    assert refusal(guard, request("/_url/words/a", host="evil.example")) == 403
    assert refusal(guard, request("/2015-03-31/functions", host="words.example:9001")) == 403
    assert refusal(guard, request("/_url/words/a", host="127.0.0.1:80@words.example:9001")) == 403
    assert asked == [("/_url/words/a", "words.example:9001"), ("/_url/words/a", "evil.example")]


@pytest.mark.parametrize(
    "proof",
    [
        {"x_stoker_token": _TOKEN},
        {"authorization": f"Bearer {_TOKEN}"},
        {"authorization": f"bearer  {_TOKEN}"},
        {
            "authorization": f"AWS4-HMAC-SHA256 Credential={_TOKEN}/20261124/us-east-1/lambda/aws4_request, "
            "SignedHeaders=host, Signature=00"
        },
    ],
)
@pytest.mark.parametrize("path", ["/2015-03-31/functions", "/_stoker/health", "/_url/words/"])
def test_the_token_is_taken_in_each_of_three_places_and_goes_no_further(proof: dict[str, str], path: str) -> None:
    exchange = request(path, **proof)
    assert refusal(Guard(_TOKEN), exchange) is None
    assert _TOKEN not in repr(exchange.headers)
    assert exchange.header("host") == "127.0.0.1:9001"


def test_a_signature_keeps_its_shape_without_the_token() -> None:
    exchange = request(authorization=f"AWS4-HMAC-SHA256 Credential={_TOKEN}/d/r/s/aws4_request, Signature=00")
    Guard(_TOKEN).check(exchange)
    assert exchange.header("authorization") == "AWS4-HMAC-SHA256 Credential=token/d/r/s/aws4_request, Signature=00"


def test_without_a_token_headers_stay_as_they_are() -> None:
    exchange = request(authorization="Bearer a-user-of-the-function", x_stoker_token="x")
    Guard().check(exchange)
    assert exchange.header("authorization") == "Bearer a-user-of-the-function"


@pytest.mark.parametrize(
    "proof",
    [
        {},
        {"x_stoker_token": ""},
        {"x_stoker_token": _TOKEN[:-1]},
        {"x_stoker_token": _TOKEN.upper()},
        {"authorization": _TOKEN},
        {"authorization": f"Basic {_TOKEN}"},
        {"authorization": "AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/lambda/aws4_request"},
        {"authorization": "Bearer \u00e9"},
        {"cookie": f"token={_TOKEN}"},
    ],
)
@pytest.mark.parametrize("path", ["/2015-03-31/functions", "/_stoker/health", "/_url/words/"])
def test_without_the_token_nothing_is_answered(proof: dict[str, str], path: str) -> None:
    assert refusal(Guard(_TOKEN), request(path, **proof)) == 403


def test_with_a_token_it_answers_under_any_address_but_no_name() -> None:
    guard = Guard(_TOKEN, ["box.internal"])
    for host in ("10.0.0.1:9001", "[fe80::1]:9001", "box.internal", "BOX.internal:9001", "127.0.0.1"):
        assert refusal(guard, request(host=host, x_stoker_token=_TOKEN)) is None
    assert refusal(guard, request(host="evil.example", x_stoker_token=_TOKEN)) == 403


@pytest.mark.parametrize(("name", "names"), [("Box.example", ("Box.example", "Box")), ("box", ("box", "box"))])
def test_it_knows_this_machine_by_its_name_with_and_without_its_domain(
    monkeypatch: pytest.MonkeyPatch, name: str, names: tuple[str, str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert own_names() == names
    guard = Guard(_TOKEN, own_names())
    for host in names:
        assert refusal(guard, request(host=f"{host.lower()}:9001", x_stoker_token=_TOKEN)) is None
        assert refusal(guard, request(host=host)) == 403
    assert refusal(guard, request(host="box.evil.example", x_stoker_token=_TOKEN)) == 403


def test_a_refusal_does_not_tell_the_token() -> None:
    with pytest.raises(ApiError) as refused:
        Guard(_TOKEN).check(request(x_stoker_token="another-token"))
    assert _TOKEN not in str(refused.value.document)
    assert "another-token" not in str(refused.value.document)


def test_a_request_with_two_lengths_is_not_read() -> None:
    assert refusal(Guard(), request(transfer_encoding="chunked", content_length="5")) == 400


@pytest.mark.parametrize(
    "token", ["", "short", "a" * 257, "with space", "with/slash", "with,comma", "naïve-token", "line\nbreak"]
)
def test_a_token_that_no_client_could_send_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="8 to 256"):
        check_token(token)


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.255.255.254", "::1", "localhost", "a.b.localhost")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "fe80::1")))


def test_a_host_is_read_in_lower_case_without_its_port() -> None:
    assert host_of("ExAmple.COM:80") == "example.com"
    assert host_of("[FE80::1]:80") == "fe80::1"
    assert host_of("a b") is None
