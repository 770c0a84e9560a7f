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
        ("http://localhost:09911", f"http://{ALIAS}:40001"),
        # what stands around it
        ('{"u":"http://localhost:9911"}', f'{{"u":"http://{ALIAS}:40001"}}'),
        ("'http://localhost:9911'", f"'http://{ALIAS}:40001'"),
        ("http://localhost:9911,http://127.0.0.1:9911", f"http://{ALIAS}:40001,http://{ALIAS}:40001"),
        # credentials
        ("http://me:secret@localhost:9911/", f"http://me:secret@{ALIAS}:40001/"),
        ("http://DOMAIN\\me:secret@localhost:9911", f"http://DOMAIN\\me:secret@{ALIAS}:40001"),
    ],
)
def test_a_url_of_this_machine_leads_to_where_the_service_is_relayed(value: str, seen: str) -> None:
    assert on_host(value, RELAYED) == seen


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("http://localhost:5000/", f"http://{ALIAS}:5000/"),
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
        THREE="http://localhost/ https://me@localhost",
        FOUR="http://localhost:0 http://localhost:70000 http://example.org:1",
    )
    assert local_services(function) == {Service(9911), Service(9911, ipv6=True), Service(80), Service(443)}


def test_a_functions_environment_leads_to_what_is_relayed() -> None:
    function = _function(SERVICE="http://localhost:9911")
    assert environment_of(function, "0a", None, {Service(9911): 40_001})["SERVICE"] == f"http://{ALIAS}:40001"
    assert environment_of(function, "0a", None)["SERVICE"] == f"http://{ALIAS}:9911"
