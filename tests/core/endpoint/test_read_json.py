"""What is taken as a request's JSON: nothing that could not be written into an answer again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from core.endpoint.endpoint import Endpoint
from core.endpoint.errors import ApiError
from core.endpoint.read_json import read_json
from core.endpoint.shape import Shape
from tests.core.endpoint.support import ask, create

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[..., Awaitable[Any]]


class Anything(Shape):
    """Keeps a text; whatever else there is, it ignores."""

    text: str | None = None


def nested(depth: int) -> str:
    """Lists within each other, as a member that no shape knows."""
    return f'{{"X": {"[" * depth}{"]" * depth}}}'


@pytest.mark.parametrize(
    "document",
    [
        '{"Text": "\\ud800"}',
        '{"Text": "\\uDFFF and more"}',
        '{"X": {"\\ud83d": [1]}}',
        '{"X": ["\\ude00\\ud83d"]}',
        '{"X": NaN}',
        '{"X": [-Infinity]}',
        '{"X": 1e400}',
        nested(100),
        nested(900),
        nested(100_000),
        '{"X": {}',
    ],
)
def test_what_could_not_be_answered_with_is_refused(document: str) -> None:
    with pytest.raises(ApiError, match="not JSON") as error:
        read_json(document.encode(), Anything)
    assert (error.value.status, error.value.code) == (400, "SerializationException")


@pytest.mark.parametrize("data", [b'{"Text": "\xed\xa0\x80"}', b'{"Text": "\xff"}', '{"Text": "a"}'.encode("utf-16")])
def test_what_is_not_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(ApiError) as error:
        read_json(data, Anything)
    assert (error.value.status, error.value.code) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("", None),
        ('\ufeff{"Text": "a"}', "a"),
        ('{"Text": "\\ud83d\\ude00"}', "\U0001f600"),
        ('{"Text": "\\\\ud800"}', "\\ud800"),
        ('{"Text": "\U0001f600", "X": 1e300}', "\U0001f600"),
        (f'{{"Text": "{"[" * 200}"}}', "[" * 200),
        (f'{{"Text": "a", "X": {json.dumps([[]] * 500)}}}', "a"),
        (nested(98), None),
    ],
)
def test_what_only_looks_like_it_is_taken(document: str, text: str | None) -> None:
    assert read_json(document.encode(), Anything).text == text


async def test_an_operation_refuses_it_before_anything_is_stored(
    endpoint: Endpoint, lambda_client: Any, call: Call
) -> None:
    before = await call(create, lambda_client, "asked")
    for document in ('{"Description": "\\ud800"}', '{"Timeout": NaN}', nested(900)):
        status, headers, _ = await call(
            ask, endpoint.url, "PUT", "/2015-03-31/functions/asked/configuration", document.encode()
        )
        assert (status, headers["x-amzn-errortype"]) == (400, "SerializationException")
    after = await call(lambda_client.get_function_configuration, FunctionName="asked")
    assert after["RevisionId"] == before["RevisionId"]
