"""Tags through boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.core.endpoint.support import ask, client_of, create, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from core.endpoint.endpoint import Endpoint
    from core.runtime import LambdaRuntime

    Call = Callable[..., Awaitable[Any]]

ARN = "arn:aws:lambda:us-east-1:000000000000:function:tagged"


@pytest.fixture
async def client(lambda_client: Any, call: Call) -> Any:
    """A client of an endpoint that has a function `tagged`."""
    await call(create, lambda_client, "tagged", Tags={"team": "a"})
    return lambda_client


async def test_tags_are_added_replaced_and_taken_away(client: Any, call: Call) -> None:
    answer = await call(client.tag_resource, Resource=ARN, Tags={"team": "b", "cost centre": "x=1", "größe": "ß"})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    found = (await call(client.list_tags, Resource=ARN))["Tags"]
    assert found == {"team": "b", "cost centre": "x=1", "größe": "ß"}
    assert (await call(client.get_function, FunctionName="tagged"))["Tags"] == found
    answer = await call(client.untag_resource, Resource=ARN, TagKeys=["cost centre", "größe", "no such"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert (await call(client.list_tags, Resource=ARN))["Tags"] == {"team": "b"}
    await call(client.untag_resource, Resource=ARN, TagKeys=["team"])
    assert (await call(client.list_tags, Resource=ARN))["Tags"] == {}
    assert "Tags" not in await call(client.get_function, FunctionName="tagged")


async def test_tags_replace_no_instance(runtime: LambdaRuntime, client: Any, call: Call) -> None:
    await call(client.invoke, FunctionName="tagged")
    (before,) = runtime.instances()
    await call(client.tag_resource, Resource=ARN, Tags={"x": "y"})
    await call(client.invoke, FunctionName="tagged")
    (after,) = runtime.instances()
    assert (after.id, after.served) == (before.id, 2)


async def test_tags_are_the_functions_and_not_its_versions(client: Any, call: Call) -> None:
    await call(client.publish_version, FunctionName="tagged")
    await call(client.tag_resource, Resource=ARN, Tags={"team": "b"})
    found = await call(client.get_function, FunctionName="tagged", Qualifier="1")
    assert found["Tags"] == {"team": "b"}
    for qualifier in ("1", "$LATEST"):
        with pytest.raises(ClientError) as error:
            await call(client.tag_resource, Resource=f"{ARN}:{qualifier}", Tags={"x": "y"})
        assert refused(error)[:2] == (400, "InvalidParameterValueException")


async def test_what_cannot_be_tagged_is_refused(endpoint: Endpoint, client: Any, call: Call) -> None:
    unchecked = client_of(endpoint.url, parameter_validation=False)
    for arn, tags, status, code in (
        (ARN.replace("tagged", "absent"), {"x": "y"}, 404, "ResourceNotFoundException"),
        ("arn:aws:lambda:us-east-1:000000000000:layer:tagged", {"x": "y"}, 400, "InvalidParameterValueException"),
        ("tagged", {"x": "y"}, 400, "InvalidParameterValueException"),
        (ARN, {"aws:x": "y"}, 400, "InvalidParameterValueException"),
        (ARN, {"x": "y" * 257}, 400, "InvalidParameterValueException"),
        (ARN, {f"k{n}": "v" for n in range(51)}, 400, "InvalidParameterValueException"),
        (ARN, {"x": 7}, 400, "SerializationException"),
    ):
        with pytest.raises(ClientError) as error:
            await call(unchecked.tag_resource, Resource=arn, Tags=tags)
        assert refused(error)[:2] == (status, code)
    for ask_for, more in ((unchecked.list_tags, {}), (unchecked.untag_resource, {"TagKeys": ["x"]})):
        with pytest.raises(ClientError) as error:
            await call(ask_for, Resource=ARN.replace("tagged", "absent"), **more)
        assert refused(error)[:2] == (404, "ResourceNotFoundException")
    status, headers, _ = await call(ask, endpoint.url, "DELETE", f"/2017-03-31/tags/{ARN}")
    assert (status, headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert (await call(client.list_tags, Resource=ARN))["Tags"] == {"team": "a"}
    unchecked.close()
