"""Functions through boto3: made, found, listed, configured, removed; and what each answer says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from core.endpoint import aliases, function_code, functions, tags, versions
from core.endpoint.configuration import NO_ROLE
from core.endpoint.endpoint import Endpoint
from core.events import FunctionAdded, FunctionChanged, FunctionRemoved
from core.functions import host_architecture
from core.registry import LayerVersion
from core.runtime import LambdaRuntime
from tests.core.endpoint.model import service_model, unknown_members
from tests.core.endpoint.support import PYTHON, ROLE, ask, client_of, create, definition, refused, zipped
from tests.core.sources import python_function
from tests.core.waiting import until
from tests.core.zips import a_zip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from core.archives import Archive

    Call = Callable[..., Awaitable[Any]]

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
GREETS = "import os\n\ndef handler(event, context):\n    return os.environ.get('GREETING', 'nothing')\n"


def test_every_route_has_the_method_path_and_name_that_the_sdk_uses() -> None:
    routes = [r for module in (functions, function_code, versions, aliases, tags) for r in module.ROUTES]
    ours = [route for route in routes if not route.path.startswith("/_stoker/")]
    assert len(ours) == 17
    for route in ours:
        http = service_model().operation_model(route.operation).http
        assert (route.method, route.path) == (http["method"], http["requestUri"].rstrip("/"))


async def test_a_created_function_can_be_invoked_at_once(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "greeter", GREETS, Environment={"Variables": {"GREETING": "hello"}})
    answer = await call(lambda_client.invoke, FunctionName="greeter")
    assert json.loads(answer["Payload"].read()) == "hello"


async def test_the_answer_to_a_creation_says_all_there_is_to_say(
    endpoint: Endpoint, lambda_client: Any, call: Call
) -> None:
    code = zipped(GREETS)
    made = await call(
        create,
        lambda_client,
        "full",
        Code={"ZipFile": code},
        Description="says all",
        Environment={"Variables": {"GREETING": "hello"}},
        EphemeralStorage={"Size": 1024},
        Tags={"team": "a"},
    )
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", made.pop("LastModified"))
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made.pop("RevisionId"))
    assert made.pop("RuntimeVersionConfig")["RuntimeVersionArn"].startswith("arn:aws:lambda:us-east-1::runtime:")
    assert made == {
        "FunctionName": "full",
        "FunctionArn": f"{ARN}full",
        "Runtime": PYTHON,
        "Role": ROLE,
        "Handler": "app.handler",
        "CodeSize": len(code),
        "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode(),
        "Description": "says all",
        "Timeout": 20,
        "MemorySize": 256,
        "Version": "$LATEST",
        "Environment": {"Variables": {"GREETING": "hello"}},
        "EphemeralStorage": {"Size": 1024},
        "PackageType": "Zip",
        "Architectures": [host_architecture()],
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "TracingConfig": {"Mode": "PassThrough"},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/full"},
    }
    status, headers, body = await call(ask, endpoint.url, "GET", "/2015-03-31/functions/full")
    assert (status, headers["content-type"]) == (200, "application/json")
    shape = service_model().operation_model("GetFunction").output_shape
    assert unknown_members(json.loads(body), shape) == []


async def test_a_function_is_known_by_its_name_its_partial_arn_and_its_arn(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "known", Publish=True)
    await call(lambda_client.create_alias, FunctionName="known", Name="live", FunctionVersion="1")
    for name in (
        "known",
        "000000000000:function:known",
        "us-east-1:000000000000:function:known",
        f"{ARN}known",
        "arn:aws:lambda:eu-west-1:123456789012:function:known",
    ):
        for ask_for in (lambda_client.get_function_configuration, lambda_client.get_function):
            found = await call(ask_for, FunctionName=name)
            assert found.get("Configuration", found)["FunctionArn"] == f"{ARN}known"
    for version, names in {
        ("$LATEST", "$LATEST"): ({"FunctionName": "known:$LATEST"}, {"FunctionName": "known", "Qualifier": "$LATEST"}),
        ("1", "1"): ({"FunctionName": f"{ARN}known:1"}, {"FunctionName": "known", "Qualifier": "1"}),
        ("1", "live"): ({"FunctionName": "known:live"}, {"FunctionName": "known", "Qualifier": "live"}),
    }.items():
        for parameters in names:
            found = (await call(lambda_client.get_function, **parameters))["Configuration"]
            assert (found["Version"], found["FunctionArn"]) == (version[0], f"{ARN}known:{version[1]}")


async def test_a_function_that_is_not_there_is_not_found_by_any_operation(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "there")
    client = lambda_client
    for ask_for, parameters in (
        (client.get_function, {}),
        (client.get_function_configuration, {}),
        (client.update_function_configuration, {"Timeout": 4}),
        (client.update_function_code, {"ZipFile": zipped(GREETS)}),
        (client.delete_function, {}),
        (client.publish_version, {}),
        (client.list_versions_by_function, {}),
        (client.list_aliases, {}),
        (client.get_alias, {"Name": "live"}),
        (client.create_alias, {"Name": "live", "FunctionVersion": "$LATEST"}),
        (client.delete_alias, {"Name": "live"}),
    ):
        with pytest.raises(ClientError) as error:
            await call(ask_for, FunctionName="absent", **parameters)
        assert refused(error) == (404, "ResourceNotFoundException", f"Function not found: {ARN}absent")
    for qualifier in ("7", "nobody"):
        with pytest.raises(ClientError) as error:
            await call(client.get_function, FunctionName="there", Qualifier=qualifier)
        assert refused(error) == (404, "ResourceNotFoundException", f"Function not found: {ARN}there:{qualifier}")


async def test_a_name_that_exists_is_not_given_twice(lambda_client: Any, call: Call) -> None:
    results = await asyncio.gather(
        *(call(create, lambda_client, "once", Description=str(n)) for n in range(4)), return_exceptions=True
    )
    made = [result for result in results if isinstance(result, dict)]
    assert len(made) == 1
    for result in results:
        if isinstance(result, ClientError):
            assert result.response["Error"] == {
                "Code": "ResourceConflictException",
                "Message": "Function already exist: once",
            }
            assert result.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    found = await call(lambda_client.get_function_configuration, FunctionName="once")
    assert found["Description"] == made[0]["Description"]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"Code": {"ZipFile": b"no zip at all"}}, "InvalidParameterValueException", "Could not unzip uploaded file"),
        ({"Code": {"ZipFile": b""}}, "InvalidParameterValueException", "non-empty zip"),
        ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, "InvalidParameterValueException", "S3 is not within reach"),
        ({"Code": {"ImageUri": "an/image:1"}}, "InvalidParameterValueException", "PackageType"),
        ({"Runtime": None}, "InvalidParameterValueException", "Runtime and Handler are mandatory"),
        ({"Runtime": "python9.9"}, "InvalidParameterValueException", "is not a Lambda runtime"),
        ({"FunctionName": "a:1"}, "InvalidParameterValueException", "a version or an alias"),
        ({"FunctionName": "no such name!"}, "ValidationException", "Value 'no such name!' at 'functionName' failed"),
        ({"FunctionName": "n" * 65}, "ValidationException", "Member must have length less than or equal to 64"),
        (
            {"Timeout": 901},
            "ValidationException",
            "1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: "
            "Member must have value less than or equal to 900",
        ),
        ({"Timeout": 0}, "ValidationException", "Member must have value greater than or equal to 1"),
        ({"MemorySize": 10_241}, "ValidationException", "Value '10241' at 'memorySize' failed"),
        ({"EphemeralStorage": {"Size": 511}}, "ValidationException", "Value '511' at 'ephemeralStorage.size' failed"),
        ({"Handler": "h" * 129}, "ValidationException", "at 'handler' failed to satisfy constraint: Member must have"),
        ({"Handler": "a b"}, "ValidationException", r"regular expression pattern: [^\s]+"),
        ({"Timeout": 901, "MemorySize": 1}, "ValidationException", "2 validation errors detected: "),
        ({"Timeout": "9", "MemorySize": 1}, "SerializationException", "1 validation error detected: timeout"),
        ({"Role": "somebody"}, "ValidationException", "at 'role'"),
        ({"Description": "d" * 257}, "ValidationException", "at 'description'"),
        ({"Architectures": ["x86_64", "arm64"]}, "ValidationException", "at 'architectures'"),
        ({"Environment": {"Variables": {"AWS_REGION": "secret"}}}, "InvalidParameterValueException", "AWS_REGION"),
        ({"Environment": {"Variables": {"A_B": "secret" * 1000}}}, "InvalidParameterValueException", "4 KB"),
        ({"DurableConfig": {"ExecutionTimeout": 60}}, "ValidationException", "DurableConfig is not supported"),
        ({"Tags": {"aws:x": "y"}}, "InvalidParameterValueException", "tags"),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:none:1"]}, "InvalidParameterValueException", "exist"),
    ],
)
async def test_what_a_function_cannot_be_is_refused_with_the_reason(
    endpoint: Endpoint, runtime: LambdaRuntime, call: Call, changes: dict[str, Any], code: str, words: str
) -> None:
    client = client_of(endpoint.url, parameter_validation=False)
    asked = {name: value for name, value in definition("wrong", **changes).items() if value is not None}
    with pytest.raises(ClientError) as error:
        await call(client.create_function, **asked)
    status, found, message = refused(error)
    assert (status, found) == (400, code)
    assert words in message
    assert "secret" not in message
    assert runtime.functions() == []
    client.close()


async def test_an_image_function_keeps_what_overrides_its_image(lambda_client: Any, call: Call) -> None:
    config = {"EntryPoint": ["/bin/run"], "Command": ["app.handler"], "WorkingDirectory": "/srv"}
    made = await call(
        lambda_client.create_function,
        FunctionName="image",
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": "registry/image:1"},
        ImageConfig=config,
    )
    assert made["PackageType"] == "Image"
    assert made["ImageConfigResponse"] == {"ImageConfig": config}
    assert not made.keys() & {"Runtime", "Handler", "RuntimeVersionConfig", "CodeSha256"}
    # no local process can run an image, and that is not hidden
    assert made["State"] == "Failed"
    assert made["StateReasonCode"] == "InvalidRuntime"
    assert made["StateReason"]
    found = await call(lambda_client.get_function, FunctionName="image")
    assert found["Code"] == {
        "RepositoryType": "ECR",
        "ImageUri": "registry/image:1",
        "ResolvedImageUri": "registry/image:1",
    }
    changed = await call(
        lambda_client.update_function_code, FunctionName="image", ImageUri=f"registry/image@sha256:{'0f' * 32}"
    )
    assert changed["CodeSha256"] == "0f" * 32
    changed = await call(lambda_client.update_function_configuration, FunctionName="image", ImageConfig={})
    assert "ImageConfigResponse" not in changed


async def test_all_functions_are_listed_page_by_page(lambda_client: Any, call: Call) -> None:
    names = [f"f-{number:02}" for number in range(7)]
    for name in names:
        await call(create, lambda_client, name)
    await call(lambda_client.publish_version, FunctionName="f-03")
    first = await call(lambda_client.list_functions, MaxItems=3)
    assert [each["FunctionName"] for each in first["Functions"]] == names[:3]
    # one that is removed meanwhile moves no other one
    await call(lambda_client.delete_function, FunctionName="f-02")
    second = await call(lambda_client.list_functions, MaxItems=3, Marker=first["NextMarker"])
    assert [each["FunctionName"] for each in second["Functions"]] == names[3:6]
    third = await call(lambda_client.list_functions, MaxItems=3, Marker=second["NextMarker"])
    assert [each["FunctionName"] for each in third["Functions"]] == names[6:]
    assert "NextMarker" not in third
    pages = lambda_client.get_paginator("list_functions").paginate(
        FunctionVersion="ALL", PaginationConfig={"PageSize": 2}
    )
    everything = await call(lambda: [each["FunctionArn"] for page in pages for each in page["Functions"]])
    assert everything == [
        f"{ARN}f-00:$LATEST",
        f"{ARN}f-01:$LATEST",
        f"{ARN}f-03:$LATEST",
        f"{ARN}f-03:1",
        *(f"{ARN}{name}:$LATEST" for name in names[4:]),
    ]
    listed = first["Functions"][0]
    assert listed["FunctionArn"] == f"{ARN}f-00"
    assert not listed.keys() & {"State", "LastUpdateStatus", "RuntimeVersionConfig"}


async def test_a_list_refuses_a_page_that_it_cannot_give(endpoint: Endpoint, call: Call) -> None:
    for query, code in (
        ("MaxItems=0", "ValidationException"),
        ("MaxItems=all", "ValidationException"),
        ("Marker=%21", "InvalidParameterValueException"),
        ("FunctionVersion=SOME", "ValidationException"),
        ("&".join(f"a{n}=b" for n in range(200)), "ValidationException"),
    ):
        status, headers, _ = await call(ask, endpoint.url, "GET", f"/2015-03-31/functions?{query}")
        assert (status, headers["x-amzn-errortype"]) == (400, code)


async def test_a_changed_configuration_is_a_deploy_and_what_is_not_given_stays(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    before = await call(
        create, lambda_client, "change", GREETS, Environment={"Variables": {"GREETING": "one", "OTHER": "x"}}
    )
    await call(lambda_client.invoke, FunctionName="change")
    (old,) = runtime.instances()
    after = await call(
        lambda_client.update_function_configuration,
        FunctionName="change",
        Timeout=9,
        MemorySize=300,
        Description="changed",
        Environment={"Variables": {"GREETING": "two"}},
        EphemeralStorage={"Size": 600},
    )
    changed = {"Timeout", "MemorySize", "Description", "Environment", "EphemeralStorage", "RevisionId", "LastModified"}
    assert {name for name in after if after[name] != before[name]} - {"ResponseMetadata"} == changed
    assert after["Environment"] == {"Variables": {"GREETING": "two"}}
    answer = await call(lambda_client.invoke, FunctionName="change")
    assert json.loads(answer["Payload"].read()) == "two"
    await until(runtime, lambda: old.id not in {instance.id for instance in runtime.instances()})
    cleared = await call(lambda_client.update_function_configuration, FunctionName="change", Environment={})
    assert "Environment" not in cleared
    assert cleared["Timeout"] == 9


async def test_an_empty_environment_is_shown_where_one_was_given(lambda_client: Any, call: Call) -> None:
    empty: dict[str, Any] = {"Variables": {}}
    made = await call(create, lambda_client, "empty", Environment=empty, Publish=True)
    assert made["Environment"] == empty
    for name in ("empty", "empty:1"):
        found = await call(lambda_client.get_function_configuration, FunctionName=name)
        assert found["Environment"] == empty
    assert [each["Environment"] for each in (await call(lambda_client.list_functions))["Functions"]] == [empty]
    assert "Environment" not in await call(create, lambda_client, "never")
    update = lambda_client.update_function_configuration
    assert "Environment" not in await call(update, FunctionName="never", Timeout=4)
    assert (await call(update, FunctionName="never", Environment={"Variables": {"GREETING": "x"}}))["Environment"]
    assert (await call(update, FunctionName="never", Environment=empty))["Environment"] == empty
    assert (await call(update, FunctionName="never", Timeout=5))["Environment"] == empty
    assert "Environment" not in await call(update, FunctionName="never", Environment={})


async def test_settings_that_have_no_effect_here_are_given_back(lambda_client: Any, call: Call) -> None:
    settings = {
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:letters"},
        "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
        "TracingConfig": {"Mode": "Active"},
        "FileSystemConfigs": [
            {
                "Arn": "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-12345678901234567",
                "LocalMountPath": "/mnt/x",
            }
        ],
        "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "elsewhere"},
    }
    made = await call(create, lambda_client, "settled", **settings, SnapStart={"ApplyOn": "PublishedVersions"})
    assert {name: made[name] for name in settings} == settings
    assert made["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    role = "arn:aws:iam::123456789012:role/another"
    changed = await call(
        lambda_client.update_function_configuration,
        FunctionName="settled",
        Role=role,
        TracingConfig={"Mode": "PassThrough"},
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        DeadLetterConfig={"TargetArn": ""},
        KMSKeyArn="",
        FileSystemConfigs=[],
    )
    assert not changed.keys() & {"VpcConfig", "DeadLetterConfig", "KMSKeyArn", "FileSystemConfigs"}
    assert (changed["Role"], changed["TracingConfig"]) == (role, {"Mode": "PassThrough"})
    assert changed["LoggingConfig"] == settings["LoggingConfig"]


async def test_what_was_created_is_there_when_the_home_is_opened_again(home: Path, call: Call) -> None:
    async with LambdaRuntime.open(home=home) as runtime:
        endpoint = Endpoint(runtime)
        client = client_of(f"http://{await endpoint.open()}")
        await call(create, client, "kept", GREETS, TracingConfig={"Mode": "Active"}, Tags={"a": "b"}, Publish=True)
        await call(client.create_alias, FunctionName="kept", Name="live", FunctionVersion="1")
        before = await call(client.get_function, FunctionName="kept:live")
        client.close()
        await endpoint.close()
        await endpoint.aclose()
    async with LambdaRuntime.open(home=home) as runtime:
        endpoint = Endpoint(runtime)
        client = client_of(f"http://{await endpoint.open()}")
        after = await call(client.get_function, FunctionName="kept:live")
        assert after["Configuration"] == before["Configuration"]
        assert after["Tags"] == {"a": "b"}
        await call(client.invoke, FunctionName="kept:live")
        client.close()
        await endpoint.close()
        await endpoint.aclose()


async def test_a_revision_that_is_not_the_latest_changes_nothing(lambda_client: Any, call: Call) -> None:
    made = await call(create, lambda_client, "revised")
    old = made["RevisionId"]
    new = (await call(lambda_client.update_function_configuration, FunctionName="revised", Timeout=4, RevisionId=old))[
        "RevisionId"
    ]
    assert new != old
    for ask_for, parameters in (
        (lambda_client.update_function_configuration, {"Timeout": 5}),
        (lambda_client.update_function_code, {"ZipFile": zipped(GREETS)}),
        (lambda_client.update_function_code, {"ZipFile": zipped(GREETS), "DryRun": True}),
        (lambda_client.publish_version, {}),
    ):
        with pytest.raises(ClientError) as error:
            await call(ask_for, FunctionName="revised", RevisionId=old, **parameters)
        assert refused(error)[:2] == (412, "PreconditionFailedException")
    found = await call(lambda_client.get_function_configuration, FunctionName="revised")
    assert (found["Timeout"], found["RevisionId"], found["CodeSha256"]) == (4, new, made["CodeSha256"])


async def test_of_two_changes_to_one_revision_one_passes(lambda_client: Any, call: Call) -> None:
    revision = (await call(create, lambda_client, "raced"))["RevisionId"]
    results = await asyncio.gather(
        *(
            call(
                lambda_client.update_function_configuration,
                FunctionName="raced",
                MemorySize=500 + n,
                RevisionId=revision,
            )
            for n in range(6)
        ),
        return_exceptions=True,
    )
    passed = [result for result in results if isinstance(result, dict)]
    assert len(passed) == 1
    assert [r.response["Error"]["Code"] for r in results if isinstance(r, ClientError)] == [
        "PreconditionFailedException"
    ] * 5
    found = await call(lambda_client.get_function_configuration, FunctionName="raced")
    assert (found["MemorySize"], found["RevisionId"]) == (passed[0]["MemorySize"], passed[0]["RevisionId"])


async def test_changes_at_once_to_different_members_all_stay(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "together")
    change = lambda_client.update_function_configuration
    await asyncio.gather(
        call(change, FunctionName="together", Timeout=7),
        call(change, FunctionName="together", MemorySize=333),
        call(change, FunctionName="together", Description="both"),
        call(change, FunctionName="together", TracingConfig={"Mode": "Active"}),
        call(change, FunctionName="together", LoggingConfig={"LogFormat": "JSON"}),
    )
    found = await call(lambda_client.get_function_configuration, FunctionName="together")
    assert (found["Timeout"], found["MemorySize"], found["Description"]) == (7, 333, "both")
    assert (found["TracingConfig"]["Mode"], found["LoggingConfig"]["LogFormat"]) == ("Active", "JSON")


async def test_a_function_of_the_window_is_found_and_its_folder_is_not_read_again(
    runtime: LambdaRuntime, lambda_client: Any, call: Call, tmp_path: Path
) -> None:
    function = python_function(tmp_path, "def handler(event, context):\n    return 'first'\n", "folder")
    await runtime.add_function(function)
    before = await call(lambda_client.get_function_configuration, FunctionName="folder")
    assert before["Role"] == NO_ROLE
    assert function.code is not None
    (function.code / "app.py").write_text("def handler(event, context):\n    return 'second'\n")
    after = await call(lambda_client.update_function_configuration, FunctionName="folder", Timeout=8)
    assert (after["Timeout"], after["CodeSha256"]) == (8, before["CodeSha256"])
    answer = await call(lambda_client.invoke, FunctionName="folder")
    assert json.loads(answer["Payload"].read()) == "first"
    assert runtime.function("folder").code == function.code


async def test_the_bus_hears_of_what_is_made_changed_and_removed(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    heard: list[tuple[str, str]] = []

    def hear(event: object) -> None:
        match event:
            case FunctionAdded() | FunctionChanged():
                heard.append((type(event).__name__, event.function.function_name))
            case FunctionRemoved():
                heard.append(("FunctionRemoved", event.function_name))

    runtime.events.subscribe(hear)
    await call(create, lambda_client, "heard")
    await call(lambda_client.update_function_configuration, FunctionName="heard", Timeout=4)
    await call(lambda_client.update_function_code, FunctionName="heard", ZipFile=zipped(GREETS), Publish=True)
    await call(lambda_client.delete_function, FunctionName="heard")
    assert heard == [
        ("FunctionAdded", "heard"),
        ("FunctionChanged", "heard"),
        ("FunctionChanged", "heard"),
        ("FunctionAdded", "heard:1"),
        ("FunctionRemoved", "heard"),
        ("FunctionRemoved", "heard:1"),
    ]


async def test_a_removed_function_is_gone_with_its_versions_and_instances(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    await call(create, lambda_client, "gone", Publish=True, Tags={"a": "b"})
    await call(lambda_client.create_alias, FunctionName="gone", Name="live", FunctionVersion="1")
    await call(lambda_client.invoke, FunctionName="gone")
    await call(lambda_client.invoke, FunctionName="gone", Qualifier="1")
    answer = await call(lambda_client.delete_function, FunctionName=f"{ARN}gone")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert runtime.functions() == []
    assert runtime.registry.aliases.of("gone") == []
    # made anew it has nothing of the one before
    made = await call(create, lambda_client, "gone")
    assert made["Version"] == "$LATEST"
    with pytest.raises(ClientError) as error:
        await call(lambda_client.get_function, FunctionName="gone", Qualifier="live")
    assert refused(error)[0] == 404


async def test_a_version_is_removed_alone_and_latest_and_aliases_never(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "some", Publish=True)
    await call(lambda_client.update_function_code, FunctionName="some", ZipFile=zipped(GREETS), Publish=True)
    await call(lambda_client.create_alias, FunctionName="some", Name="live", FunctionVersion="2")
    for qualifier, status, code in (
        ("$LATEST", 400, "InvalidParameterValueException"),
        ("live", 400, "InvalidParameterValueException"),
        ("2", 409, "ResourceConflictException"),
        ("9", 404, "ResourceNotFoundException"),
    ):
        with pytest.raises(ClientError) as error:
            await call(lambda_client.delete_function, FunctionName="some", Qualifier=qualifier)
        assert refused(error)[:2] == (status, code)
    await call(lambda_client.delete_function, FunctionName="some:1")
    found = await call(lambda_client.list_versions_by_function, FunctionName="some")
    assert [each["Version"] for each in found["Versions"]] == ["$LATEST", "2"]


async def test_only_latest_can_be_changed(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "fixed", Publish=True)
    with pytest.raises(ClientError) as error:
        await call(lambda_client.update_function_configuration, FunctionName="fixed:1", Timeout=4)
    assert refused(error)[:2] == (400, "InvalidParameterValueException")
    await call(lambda_client.update_function_configuration, FunctionName="fixed:$LATEST", Timeout=4)


async def test_the_sdks_waiters_come_to_an_end(lambda_client: Any, call: Call) -> None:
    await call(create, lambda_client, "waited", Publish=True)
    for waiter in ("function_exists", "function_active", "function_active_v2", "published_version_active"):
        more = {"Qualifier": "1"} if waiter == "published_version_active" else {}
        await call(lambda_client.get_waiter(waiter).wait, FunctionName="waited", **more)
    await call(lambda_client.update_function_configuration, FunctionName="waited", Timeout=4)
    for waiter in ("function_updated", "function_updated_v2"):
        await call(lambda_client.get_waiter(waiter).wait, FunctionName="waited")


# --- layers


async def _layer(runtime: LambdaRuntime, name: str, text: str) -> str:
    def entry(archive: Archive, number: int) -> LayerVersion:
        return LayerVersion(name=name, qualifier=str(number), digest=archive.digest, size=archive.size)

    zipped_layer = a_zip({"python/greeting.py": f"TEXT = {text!r}\n"})
    found = await runtime.add_layer(zipped_layer, entry, name)
    return f"arn:aws:lambda:us-east-1:000000000000:layer:{name}:{found.qualifier}"


READS_LAYER = """
    try:
        from greeting import TEXT
    except ImportError:
        TEXT = "no layer"

    def handler(event, context):
        return TEXT
"""


async def _says(client: Any, call: Call, name: str) -> Any:
    return json.loads((await call(client.invoke, FunctionName=name))["Payload"].read())


async def test_layers_are_attached_replaced_and_taken_away(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    one, two = await _layer(runtime, "greeting", "one"), await _layer(runtime, "greeting", "two")
    made = await call(create, lambda_client, "layered", READS_LAYER, Layers=[one])
    assert [each["Arn"] for each in made["Layers"]] == [one]
    assert made["Layers"][0]["CodeSize"] > 0
    assert await _says(lambda_client, call, "layered") == "one"
    change = lambda_client.update_function_configuration
    elsewhere = two.replace("us-east-1:000000000000", "eu-west-1:123456789012")
    changed = await call(change, FunctionName="layered", Layers=[elsewhere])
    assert [each["Arn"] for each in changed["Layers"]] == [two]
    assert await _says(lambda_client, call, "layered") == "two"
    with pytest.raises(ClientError) as error:
        await call(change, FunctionName="layered", Layers=[one, two])
    assert refused(error)[1] == "InvalidParameterValueException"
    assert "Layers" not in await call(change, FunctionName="layered", Layers=[])
    assert await _says(lambda_client, call, "layered") == "no layer"


async def test_a_layer_that_is_published_no_more_stays_where_it_is_and_goes_nowhere_else(
    runtime: LambdaRuntime, lambda_client: Any, call: Call
) -> None:
    one = await _layer(runtime, "greeting", "one")
    await call(create, lambda_client, "has", READS_LAYER, Layers=[one])
    assert await runtime.remove_layer("greeting", 1)
    with pytest.raises(ClientError) as error:
        await call(create, lambda_client, "wants", READS_LAYER, Layers=[one])
    assert refused(error)[1] == "InvalidParameterValueException"
    changed = await call(lambda_client.update_function_configuration, FunctionName="has", Timeout=5, Layers=[one])
    assert [each["Arn"] for each in changed["Layers"]] == [one]
    assert await _says(lambda_client, call, "has") == "one"


async def test_a_folder_that_the_window_attached_stays_when_its_arn_is_given_back(
    runtime: LambdaRuntime, lambda_client: Any, call: Call, tmp_path: Path
) -> None:
    folder = tmp_path / "my layer"
    (folder / "python").mkdir(parents=True)
    (folder / "python" / "greeting.py").write_text("TEXT = 'from the folder'\n")
    await runtime.add_function(python_function(tmp_path, READS_LAYER, "window", layers=[folder]))
    found = await call(lambda_client.get_function_configuration, FunctionName="window")
    arns = [each["Arn"] for each in found["Layers"]]
    assert arns == ["arn:aws:lambda:us-east-1:000000000000:layer:my-layer:0"]
    published = await _layer(runtime, "other", "other")
    await call(lambda_client.update_function_configuration, FunctionName="window", Layers=[published, *arns])
    assert runtime.function("window").layers[1].content == folder
    assert await _says(lambda_client, call, "window") in {"from the folder", "other"}
