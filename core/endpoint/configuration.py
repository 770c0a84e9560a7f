"""What the API says of a function: a deploy as the document FunctionConfiguration.

Members that do not apply are left out, as on AWS.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from core.errors import FunctionNotFoundError
from core.names import ACCOUNT, LATEST, REGION, function_arn, key_of, layer_arn
from core.registry import Details

if TYPE_CHECKING:
    from core.catalogue import Deploy
    from core.functions import ImageConfig, Layer
    from core.names import Target
    from core.runtime import LambdaRuntime

__all__ = ["NO_ROLE", "attached_arn", "code_sha256", "configuration", "find", "last_modified", "revision"]

NO_ROLE = f"arn:aws:iam::{ACCOUNT}:role/none"
"""The role of functions that came without one. No role has any effect here."""

# what lists leave out: https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
_NOT_LISTED = ("State", "StateReason", "StateReasonCode", "LastUpdateStatus", "RuntimeVersionConfig")

_DIGEST = re.compile(r"@sha256:([0-9a-f]{64})$")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-_]")


def find(runtime: LambdaRuntime, target: Target) -> Deploy:
    """The deploy that a target means; of an alias, the version that it stands for.

    Raises FunctionNotFoundError, by the name that was asked for.
    """
    qualifier = target.qualifier
    if qualifier is None or qualifier == LATEST:
        return runtime.deploy(target.name)
    runtime.deploy(target.name)
    version = qualifier
    if not qualifier.isdecimal():
        alias = runtime.registry.aliases.get(target.name, qualifier)
        if alias is None:
            raise FunctionNotFoundError(f"{target.name}:{qualifier}")
        version = alias.function_version
    return runtime.deploy(key_of(target.name, version))


def configuration(
    runtime: LambdaRuntime, deploy: Deploy, qualifier: str | None = None, *, listed: bool = False
) -> dict[str, Any]:
    """The document. `qualifier` is what its ARN ends in; `listed` leaves out what lists leave out."""
    function = deploy.function
    details = _details(runtime, deploy)
    settings = details.settings
    document: dict[str, Any] = {
        "FunctionName": function.name,
        "FunctionArn": function_arn(function.name, qualifier),
        "Runtime": function.runtime,
        "Role": details.role or NO_ROLE,
        "Handler": function.handler,
        "CodeSize": deploy.code.size if deploy.code else 0,
        "Description": function.description,
        "Timeout": function.timeout,
        "MemorySize": function.memory_size,
        "LastModified": last_modified(deploy.modified),
        "CodeSha256": code_sha256(deploy),
        "Version": function.version,
        "VpcConfig": settings.get("VpcConfig"),
        "DeadLetterConfig": settings.get("DeadLetterConfig"),
        "Environment": {"Variables": dict(function.environment)}
        if function.environment or details.environment
        else None,
        "KMSKeyArn": settings.get("KMSKeyArn"),
        "TracingConfig": {"Mode": "PassThrough", **settings.get("TracingConfig", {})},
        "RevisionId": revision(runtime, deploy),
        "Layers": [
            {"Arn": attached_arn(layer), "CodeSize": archive.size}
            for layer, archive in zip(function.layers, deploy.layers, strict=False)
        ]
        or None,
        **_state(runtime, deploy),
        "FileSystemConfigs": settings.get("FileSystemConfigs"),
        "PackageType": function.package_type,
        "ImageConfigResponse": _image_config(function.image_config),
        "Architectures": [function.architecture],
        "EphemeralStorage": {"Size": function.ephemeral_storage},
        "SnapStart": {"ApplyOn": "None", **settings.get("SnapStart", {}), "OptimizationStatus": "Off"},
        "RuntimeVersionConfig": _runtime_version(function.runtime),
        "LoggingConfig": {
            "LogFormat": "Text",
            "LogGroup": f"/aws/lambda/{function.name}",
            **settings.get("LoggingConfig", {}),
        },
    }
    return {
        name: value for name, value in document.items() if value is not None and not (listed and name in _NOT_LISTED)
    }


def revision(runtime: LambdaRuntime, deploy: Deploy) -> str:
    """The deploy's RevisionId."""
    return runtime.registry.revision(deploy.function.name, deploy.function.version, deploy.modified)


def code_sha256(deploy: Deploy) -> str | None:
    """The digest of a zip in base64; of an image in hex, where its name says it."""
    if deploy.code is not None:
        return base64.b64encode(bytes.fromhex(deploy.code.digest)).decode("ascii")
    named = _DIGEST.search(deploy.function.image_uri or "")
    return named[1] if named else None


def last_modified(wall: float) -> str:
    """A time as Lambda writes it: ISO 8601 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(wall, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}+0000"


def attached_arn(layer: Layer) -> str:
    """The ARN by which an attached layer goes; one of a file or folder counts as version 0, which none has."""
    if layer.name.startswith("arn:"):
        return layer.name
    return layer_arn(_NOT_IN_NAMES.sub("-", layer.name)[:140], 0)


def _details(runtime: LambdaRuntime, deploy: Deploy) -> Details:
    name, version = deploy.function.name, deploy.function.version
    found = runtime.registry.details.get(name, "" if version == LATEST else version)
    return found or Details(name=name)


def _state(runtime: LambdaRuntime, deploy: Deploy) -> dict[str, str]:
    """A function is active as soon as it is there; one that cannot be run here says why."""
    if deploy.missing is not None:
        why, code = str(deploy.missing), "InternalError"
    elif reason := runtime.unsupported(deploy.function.function_name):
        why, code = reason, "InvalidRuntime"
    else:
        return {"State": "Active", "LastUpdateStatus": "Successful"}
    return {"State": "Failed", "StateReason": why, "StateReasonCode": code, "LastUpdateStatus": "Successful"}


def _image_config(config: ImageConfig | None) -> dict[str, Any] | None:
    if config is None:
        return None
    members = {
        "EntryPoint": list(config.entry_point),
        "Command": list(config.command),
        "WorkingDirectory": config.working_directory,
    }
    return {"ImageConfig": {name: value for name, value in members.items() if value}}


def _runtime_version(runtime: str | None) -> dict[str, str] | None:
    if runtime is None:
        return None
    digest = hashlib.sha256(runtime.encode()).hexdigest()
    return {"RuntimeVersionArn": f"arn:aws:lambda:{REGION}::runtime:{digest}"}
