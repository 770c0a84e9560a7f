"""Which functions have a URL: the operations of FunctionUrlConfig."""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from core.endpoint.endpoint import Endpoint
from tests.core.endpoint.refusals import Refusal, refusal
from tests.core.endpoint.support import client_of, create

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Call = Callable[..., Awaitable[Any]]

_PREFIX = "arn:aws:lambda:us-east-1:000000000000:function"
_NONE = Refusal(404, "ResourceNotFoundException", "The resource you requested does not exist.")
_NO_FUNCTION = Refusal(404, "ResourceNotFoundException", "Function does not exist")
_SAYS = """
    def handler(event, context):
        return {"statusCode": 201, "body": context.function_version + " " + event["rawPath"]}
"""
_CORS = {
    "AllowCredentials": True,
    "AllowHeaders": ["content-type", "x-own"],
    "AllowMethods": ["GET", "PUT"],
    "AllowOrigins": ["https://a.example", "*"],
    "ExposeHeaders": ["x-answer"],
    "MaxAge": 86_400,
}


@pytest_asyncio.fixture
async def lax_client(endpoint: Endpoint) -> AsyncIterator[Any]:
    """A client that sends what it is given, as those in other languages do."""
    client = client_of(endpoint.url, parameter_validation=False)
    yield client
    client.close()


def _fetch(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read().decode()


async def test_a_url_is_given_found_changed_and_taken_away(lambda_client: Any, call: Call, endpoint: Endpoint) -> None:
    await call(create, lambda_client, "says", _SAYS)
    made = await call(lambda_client.create_function_url_config, FunctionName="says", AuthType="NONE")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["FunctionUrl"] == f"{endpoint.url}/_url/says/"
    assert made["FunctionArn"] == f"{_PREFIX}:says"
    assert (made["AuthType"], made["InvokeMode"]) == ("NONE", "BUFFERED")
    assert not {"Cors", "LastModifiedTime"} & made.keys()
    assert await call(_fetch, made["FunctionUrl"] + "some/path") == (201, "$LATEST /some/path")

    changed = await call(
        lambda_client.update_function_url_config,
        FunctionName=f"{_PREFIX}:says",
        InvokeMode="RESPONSE_STREAM",
        Cors=_CORS,
    )
    assert (changed["AuthType"], changed["InvokeMode"], changed["Cors"]) == ("NONE", "RESPONSE_STREAM", _CORS)
    assert changed["CreationTime"] == made["CreationTime"]
    assert _when(changed["LastModifiedTime"]) >= _when(changed["CreationTime"])
    changed = await call(lambda_client.update_function_url_config, FunctionName="says", AuthType="AWS_IAM")
    assert (changed["AuthType"], changed["InvokeMode"], changed["Cors"]) == ("AWS_IAM", "RESPONSE_STREAM", _CORS)
    changed = await call(lambda_client.update_function_url_config, FunctionName="says", Cors={"MaxAge": 5})
    assert changed["Cors"] == {"MaxAge": 5}

    got = await call(lambda_client.get_function_url_config, FunctionName="000000000000:function:says")
    for each in (changed, got):
        each.pop("ResponseMetadata")
    assert got == changed

    answer = await call(lambda_client.delete_function_url_config, FunctionName="says")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    for ask in (
        lambda_client.get_function_url_config,
        lambda_client.delete_function_url_config,
        lambda_client.update_function_url_config,
    ):
        assert await refusal(call, ask, FunctionName="says") == _NONE


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_function_and_each_of_its_aliases_may_have_one_each(
    lambda_client: Any, call: Call, endpoint: Endpoint
) -> None:
    await call(create, lambda_client, "says", _SAYS, Publish=True)
    await call(lambda_client.create_alias, FunctionName="says", Name="live", FunctionVersion="1")
    await call(lambda_client.create_alias, FunctionName="says", Name="next", FunctionVersion="$LATEST")
    ask = lambda_client.create_function_url_config
    live = await call(ask, FunctionName="says", Qualifier="live", AuthType="NONE")
    assert live["FunctionArn"] == f"{_PREFIX}:says:live"
    assert live["FunctionUrl"] == f"{endpoint.url}/_url/says:live/"
    assert await call(_fetch, live["FunctionUrl"]) == (201, "1 /")
    await call(ask, FunctionName=f"{_PREFIX}:says:next", AuthType="NONE")
    await call(ask, FunctionName="says", AuthType="NONE")

    again = await refusal(call, ask, FunctionName="says", Qualifier="live", AuthType="NONE")
    assert (again.status, again.code) == (409, "ResourceConflictException")
    assert f"{_PREFIX}:says:live" in again.message

    pages = lambda_client.get_paginator("list_function_url_configs").paginate(
        FunctionName="says", PaginationConfig={"PageSize": 2}
    )
    found = await call(lambda: [[each["FunctionArn"] for each in page["FunctionUrlConfigs"]] for page in pages])
    assert found == [[f"{_PREFIX}:says", f"{_PREFIX}:says:live"], [f"{_PREFIX}:says:next"]]

    await call(lambda_client.delete_alias, FunctionName="says", Name="live")
    gone = await refusal(call, lambda_client.get_function_url_config, FunctionName="says", Qualifier="live")
    assert gone == _NONE
    # a function takes its URLs with it
    await call(lambda_client.delete_function, FunctionName="says")
    await call(create, lambda_client, "says", _SAYS)
    assert (await call(lambda_client.list_function_url_configs, FunctionName="says"))["FunctionUrlConfigs"] == []


async def test_versions_have_no_url_nor_has_what_is_not_there(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "says", Publish=True)
    ask = lambda_client.create_function_url_config
    for qualifier in ("1", "$LATEST"):
        refused = await refusal(call, ask, FunctionName="says", Qualifier=qualifier, AuthType="NONE")
        assert (refused.status, refused.code) == (400, "ValidationException")
        assert "alias" in refused.message
    assert await refusal(call, ask, FunctionName="says", Qualifier="live", AuthType="NONE") == _NO_FUNCTION
    assert await refusal(call, ask, FunctionName="nobody", AuthType="NONE") == _NO_FUNCTION
    assert await refusal(call, lambda_client.list_function_url_configs, FunctionName="nobody") == _NO_FUNCTION
    assert await refusal(call, lambda_client.get_function_url_config, FunctionName="nobody") == _NONE


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "authType"),
        ({"AuthType": "OPEN"}, "authType"),
        ({"AuthType": "NONE", "InvokeMode": "FAST"}, "invokeMode"),
        ({"AuthType": "NONE", "Cors": {"MaxAge": 86_401}}, "maxAge"),
        ({"AuthType": "NONE", "Cors": {"MaxAge": -1}}, "maxAge"),
        # seven letters: AWS takes six at most, and answers such requests for every URL by itself
        ({"AuthType": "NONE", "Cors": {"AllowMethods": ["OPTIONS"]}}, "allowMethods"),
        ({"AuthType": "NONE", "Cors": {"AllowMethods": ["GET"] * 7}}, "allowMethods"),
        ({"AuthType": "NONE", "Cors": {"AllowHeaders": ["x"] * 101}}, "allowHeaders"),
        ({"AuthType": "NONE", "Cors": {"ExposeHeaders": ["x" * 1025]}}, "exposeHeaders"),
        ({"AuthType": "NONE", "Cors": {"AllowOrigins": [""]}}, "allowOrigins"),
        ({"AuthType": "NONE", "Cors": {"AllowOrigins": ["https://a.example\r\nset-cookie: x=y"]}}, "allowOrigins"),
        ({"AuthType": "NONE", "Cors": {"AllowHeaders": ["x-own\n"]}}, "allowHeaders"),
        ({"AuthType": "NONE", "Cors": {"AllowOrigins": ["https://" + "a" * 250]}}, "allowOrigins"),
    ],
)
async def test_settings_beyond_lambdas_bounds_are_refused(
    lax_client: Any, call: Call, members: dict[str, Any], says: str
) -> None:
    await call(create, lax_client, "says")
    refused = await refusal(call, lax_client.create_function_url_config, FunctionName="says", **members)
    assert (refused.status, refused.code) == (400, "ValidationException")
    assert says in refused.message
    assert (await call(lax_client.list_function_url_configs, FunctionName="says"))["FunctionUrlConfigs"] == []


async def test_a_url_streams_as_soon_as_its_mode_says_so(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "says", "def handler(event, context):\n    return {'body': 'b'}\n")
    made = await call(
        lambda_client.create_function_url_config, FunctionName="says", AuthType="NONE", InvokeMode="RESPONSE_STREAM"
    )
    # without a prelude such a reply is passed on as it is
    assert json.loads((await call(_fetch, made["FunctionUrl"]))[1]) == {"body": "b"}
