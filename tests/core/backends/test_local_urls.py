"""URLs of this machine in environment values, as functions in containers get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.backends.container.relays import Service
from core.backends.container.specification import environment_of, local_services, on_host
from core.functions import LambdaFunction

ALIAS = "host.docker.internal"
RELAYED = {
    Service(9911): 40_001,
    Service(9911, ipv6=True): 40_002,
    Service(80): 40_003,
    Service(443): 40_004,
}


def _function(**environment: str) -> LambdaFunction:
    return LambdaFunction(
        function_name="words", runtime="python3.11", handler="app.handler", code=Path("words.zip"),
        environment=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("http://localhost:9911", f"http://{ALIAS}:40001"),
        ("http://localhost:9911/a?b=c#d", f"http://{ALIAS}:40001/a?b=c#d"),
        ("http://127.0.0.1:9911", f"http://{ALIAS}:40001"),
        ("http://[::1]:9911/", f"http://{ALIAS}:40002/"),
        ("http://localhost", f"http://{ALIAS}:40003"),
        ("http://localhost/", f"http://{ALIAS}:40003/"),
        ("https://localhost/", f"https://{ALIAS}:40004/"),
        ("https://localhost:9911", f"https://{ALIAS}:40001"),
        ("HTTP://LOCALHOST:9911", f"HTTP://{ALIAS}:40001"),
        ("HTTPS://Localhost", f"HTTPS://{ALIAS}:40004"),
        ("http://localhost.:9911", f"http://{ALIAS}:40001"),
        ("http://localhost:09911", f"http://{ALIAS}:40001"),
        # what stands around it
        ("(http://localhost:9911)", f"(http://{ALIAS}:40001)"),
        ("[http://localhost:9911]", f"[http://{ALIAS}:40001]"),
        ("[http://[::1]:9911]", f"[http://{ALIAS}:40002]"),
        ("<http://localhost:9911>", f"<http://{ALIAS}:40001>"),
        ("{u: http://localhost:9911}", f"{{u: http://{ALIAS}:40001}}"),
        ('{"u":"http://localhost:9911"}', f'{{"u":"http://{ALIAS}:40001"}}'),
        ("'http://localhost:9911'", f"'http://{ALIAS}:40001'"),
        ("http://localhost:9911|more", f"http://{ALIAS}:40001|more"),
        ("http://localhost:9911\\n", f"http://{ALIAS}:40001\\n"),
        ("at http://localhost:9911.", f"at http://{ALIAS}:40001."),
        ("http://localhost:9911,http://127.0.0.1:9911", f"http://{ALIAS}:40001,http://{ALIAS}:40001"),
        ("http://x?u=http://localhost:9911&z=1", f"http://x?u=http://{ALIAS}:40001&z=1"),
        (
            "http://x?u=http://localhost:9911&mail=me@localhost",
            f"http://x?u=http://{ALIAS}:40001&mail=me@localhost",
        ),
        # credentials
        ("http://me:secret@localhost:9911/", f"http://me:secret@{ALIAS}:40001/"),
        ("http://me:s@cret@localhost:9911", f"http://me:s@cret@{ALIAS}:40001"),
        ("http://DOMAIN\\me:secret@localhost:9911", f"http://DOMAIN\\me:secret@{ALIAS}:40001"),
    ],
)
def test_a_url_of_this_machine_leads_to_where_the_service_is_relayed(value: str, seen: str) -> None:
    assert on_host(value, RELAYED) == seen


@pytest.mark.parametrize(
    "value",
    [
        "http://example.org?mail=me@localhost",
        "http://example.org#me@localhost",
        "http://example.org/me@localhost",
        '["http://example.org","me@localhost"]',
        "http://localhost.example.org:9911",
        "http://localhost.example.org",
        "http://mylocalhost:9911",
        "http://localhosts:9911",
        "http://localhost-2:9911",
        "http://127.0.0.11:9911",
        "http://127.0.0.1.example.org",
        "http://localhost@example.org",
        "http://localhost:9911@example.org",
        "http://localhost:secret@example.org",
        "http://localhost:991100",
        "http://localhost:$PORT",
        "http://localhost:{port}",
        "http://localhost.{domain}",
        "http://localhost${PORT}",
        "ftp://localhost:9911",
        "localhost:9911",
    ],
)
def test_what_is_no_url_of_this_machine_stays(value: str) -> None:
    assert on_host(value, RELAYED) == value
    assert local_services(_function(SERVICE=value)) == frozenset()


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("http://localhost:5000/", f"http://{ALIAS}:5000/"),
        ("http://localhost.:5000/", f"http://{ALIAS}:5000/"),
        ("http://[::1]/", f"http://{ALIAS}/"),
        ("http://localhost:0", f"http://{ALIAS}:0"),
        ("http://localhost:70000", f"http://{ALIAS}:70000"),
    ],
)
def test_the_port_of_what_is_not_relayed_stays(value: str, seen: str) -> None:
    assert on_host(value, RELAYED) == seen


def test_services_are_those_that_urls_name_with_or_without_a_port() -> None:
    function = _function(
        ONE="http://localhost:9911 http://127.0.0.1:9911",
        TWO="http://[::1]:9911",
        THREE="HTTP://localhost/ https://me@localhost",
        FOUR="http://localhost:0 http://localhost:70000 http://example.org:1",
    )
    assert local_services(function) == {Service(9911), Service(9911, ipv6=True), Service(80), Service(443)}


def test_a_functions_environment_leads_to_what_is_relayed() -> None:
    function = _function(SERVICE="http://localhost:9911")
    assert environment_of(function, "0a", None, {Service(9911): 40_001})["SERVICE"] == f"http://{ALIAS}:40001"
    assert environment_of(function, "0a", None)["SERVICE"] == f"http://{ALIAS}:9911"
