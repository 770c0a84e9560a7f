"""The members that have no effect here are checked all the same: every client has to read them again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from core.endpoint.endpoint import Endpoint
from core.endpoint.setting_shapes import Settings
from core.registry import Details
from core.runtime import LambdaRuntime
from tests.core.endpoint.model import service_model, unknown_members
from tests.core.endpoint.support import ask, create

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[..., Awaitable[Any]]

PATH = "/2015-03-31/functions/settled/configuration"
SETTINGS: dict[str, Any] = {
    "VpcConfig": {"SubnetIds": ["subnet-1a"], "SecurityGroupIds": ["sg-1A"], "Ipv6AllowedForDualStack": True},
    "DeadLetterConfig": {"TargetArn": "arn:aws:sns:us-east-1:000000000000:letters"},
    "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
    "TracingConfig": {"Mode": "Active"},
    "FileSystemConfigs": [
        {
            "Arn": f"arn:aws:s3files:us-east-1:000000000000:file-system/fs-{'a' * 17}/access-point/fsap-{'b' * 17}",
            "LocalMountPath": "/mnt/files",
            "S3FilesConfig": {"DirectS3Read": "AUTO"},
        }
    ],
    "SnapStart": {"ApplyOn": "PublishedVersions"},
    "LoggingConfig": {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "TRACE",
        "SystemLogLevel": "WARN",
        "LogGroup": "/a/log.group",
    },
}


def test_every_member_that_the_sdk_knows_is_kept() -> None:
    assert Settings.model_validate(SETTINGS).settings() == SETTINGS
    members = service_model().operation_model("CreateFunction").input_shape.members
    for name, value in SETTINGS.items():
        shape = members[name].member if isinstance(value, list) else members[name]
        given = value[0] if isinstance(value, list) else value
        if isinstance(given, dict):
            assert given.keys() == shape.members.keys()


def test_members_that_nobody_knows_are_not_kept() -> None:
    given = {"VpcConfig": {"SubnetIds": ["subnet-1"], "VpcId": {"a": [1]}}, "TracingConfig": {"Depth": 3}}
    assert Settings.model_validate(given).settings() == {
        "VpcConfig": {"SubnetIds": ["subnet-1"]},
        "TracingConfig": {},
    }


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"TracingConfig": {"Mode": "Bogus"}}, "Value 'Bogus' at 'tracingConfig.mode' failed to satisfy constraint: "
         "Member must satisfy enum value set: [Active, PassThrough]"),
        ({"SnapStart": {"ApplyOn": "Nope"}}, "at 'snapStart.applyOn'"),
        ({"LoggingConfig": {"LogFormat": "XML"}}, "at 'loggingConfig.logFormat'"),
        ({"LoggingConfig": {"SystemLogLevel": "ERROR"}}, "at 'loggingConfig.systemLogLevel'"),
        ({"LoggingConfig": {"LogGroup": "a b"}}, "at 'loggingConfig.logGroup'"),
        ({"DeadLetterConfig": {"TargetArn": "not-an-arn"}}, "Value 'not-an-arn' at 'deadLetterConfig.targetArn'"),
        ({"KMSKeyArn": "foo"}, "Value 'foo' at 'kMSKeyArn' failed to satisfy constraint: "
         "Member must satisfy regular expression pattern: ((arn:"),
        ({"VpcConfig": {"SubnetIds": ["subnet-1", "net-2"]}}, "Value 'net-2' at 'vpcConfig.subnetIds.2.member'"),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"] * 17}}, "length less than or equal to 16"),
        ({"VpcConfig": {"SecurityGroupIds": ["sg-1"] * 6}}, "length less than or equal to 5"),
        ({"FileSystemConfigs": [{"Arn": "arn:aws:s3:::a", "LocalMountPath": "/mnt/x"}]},
         "at 'fileSystemConfigs.1.member.arn'"),
        ({"FileSystemConfigs": [{"LocalMountPath": "/srv"}]},
         "2 validation errors detected: Value null at 'fileSystemConfigs.1.member.arn' failed to satisfy constraint: "
         "Member must not be null; Value '/srv' at 'fileSystemConfigs.1.member.localMountPath'"),
    ],
)  # fmt: skip
async def test_a_value_that_aws_would_not_take_is_refused(
    endpoint: Endpoint, lambda_client: Any, call: Call, members: dict[str, Any], says: str
) -> None:
    before = await call(create, lambda_client, "settled", **SETTINGS)
    status, headers, body = await call(ask, endpoint.url, "PUT", PATH, json.dumps(members).encode())
    assert (status, headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert says in json.loads(body)["message"]
    after = await call(lambda_client.get_function_configuration, FunctionName="settled")
    assert after["RevisionId"] == before["RevisionId"]


@pytest.mark.parametrize(
    "members",
    [
        {"VpcConfig": []},
        {"VpcConfig": {"SubnetIds": "subnet-1"}},
        {"VpcConfig": {"SubnetIds": [1]}},
        {"VpcConfig": {"Ipv6AllowedForDualStack": "yes"}},
        {"FileSystemConfigs": {"Arn": "a"}},
        {"FileSystemConfigs": ["a"]},
        {"TracingConfig": "Active"},
        {"KMSKeyArn": {"a": "b"}},
        {"KMSKeyArn": 7, "SnapStart": {"ApplyOn": "Nope"}},
        {"VpcConfig": {"SubnetIds": ["\ud800"]}},
    ],
)
async def test_a_value_of_another_type_is_refused_and_lists_stay_readable(
    endpoint: Endpoint, lambda_client: Any, call: Call, members: dict[str, Any]
) -> None:
    await call(create, lambda_client, "settled")
    status, headers, _ = await call(ask, endpoint.url, "PUT", PATH, json.dumps(members).encode())
    assert (status, headers["x-amzn-errortype"]) == (400, "SerializationException")
    (listed,) = (await call(lambda_client.list_functions))["Functions"]
    assert not listed.keys() & {"VpcConfig", "FileSystemConfigs", "KMSKeyArn"}


async def test_what_is_kept_is_answered_by_the_shapes_that_sdks_read(
    endpoint: Endpoint, lambda_client: Any, call: Call
) -> None:
    made = await call(create, lambda_client, "settled", **SETTINGS)
    kept = {**SETTINGS, "SnapStart": {**SETTINGS["SnapStart"], "OptimizationStatus": "Off"}}
    assert {name: made[name] for name in kept} == kept
    _, _, body = await call(ask, endpoint.url, "GET", PATH)
    shape = service_model().operation_model("GetFunctionConfiguration").output_shape
    assert unknown_members(json.loads(body), shape) == []


async def test_half_a_surrogate_pair_of_an_older_home_can_be_answered_with(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    await call(create, lambda_client, "settled")
    details = runtime.registry.details.get("settled")
    assert isinstance(details, Details)
    runtime.registry.details._found["settled", ""] = Details(name="settled", settings={"KMSKeyArn": "\ud800"})
    (listed,) = (await call(lambda_client.list_functions))["Functions"]
    assert listed["KMSKeyArn"] == "\ud800"
