"""Functions: made, found, listed, configured, removed.

Sources: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html and its siblings
GetFunction, GetFunctionConfiguration, ListFunctions, UpdateFunctionConfiguration and DeleteFunction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.endpoint.configuration import attached_arn, configuration, find, revision
from core.endpoint.errors import ApiError
from core.endpoint.function_shapes import (
    CreateFunction,
    UpdateFunctionConfiguration,
)
from core.endpoint.paging import page
from core.endpoint.routes import Route
from core.endpoint.uploads import read_upload
from core.errors import FunctionNotFoundError
from core.functions import ImageConfig, LambdaFunction, Layer, host_architecture
from core.names import LATEST, key_of, layer_arn, parse_function, parse_layer_version
from core.registry import Details

if TYPE_CHECKING:
    from core.catalogue import Deploy
    from core.endpoint import function_shapes as shapes
    from core.endpoint.call import Call
    from core.runtime import LambdaRuntime

__all__ = ["ROUTES", "changeable", "check_revision", "published", "refuse_s3"]

_FUNCTIONS = "/2015-03-31/functions"


async def create_function(call: Call) -> None:
    """CreateFunction. Without Architectures a function is for this machine's.

    On AWS the default is x86_64, and so it is here wherever that machine code can run.
    """
    wanted, zipped = await read_upload(call, CreateFunction, lambda shape: shape.code.zip_file)
    name = _name_of_new(call, wanted.function_name)
    refuse_s3(wanted.code.s3_bucket)
    settings = _settled({}, wanted.settings())
    fields = _fields(wanted) | {
        "function_name": name,
        "package_type": wanted.package_type,
        "architecture": wanted.architectures[0] if wanted.architectures else host_architecture(),
        "tags": wanted.tags or {},
        **_code_fields(wanted, zipped),
    }
    runtime = call.runtime
    layers = await _layers(runtime, wanted.layers or [])
    function = LambdaFunction(**fields, layers=[_attached(each, layers, {}) for each in wanted.layers or []])

    def check() -> None:
        try:
            runtime.deploy(name)
        except FunctionNotFoundError:
            return
        raise ApiError.conflict(f"Function already exist: {name}")

    check()  # before the zip is looked at, too
    before = runtime.registry.details.get(name) or Details(name=name)
    details = replace(before, role=wanted.role, environment=_has_variables(wanted), settings=settings)
    await runtime.add_function(function, zipped, check=check, details=details)
    deploy = runtime.deploy(name)
    if wanted.publish:
        # the answer is then about the version, under the function's own ARN, as on AWS
        deploy = await published(runtime, deploy)
    call.reply(configuration(runtime, deploy), 201)


async def get_function(call: Call) -> None:
    """GetFunction: configuration, tags, and where the code can be had."""
    target = call.target()
    runtime = call.runtime
    deploy = find(runtime, target)
    document: dict[str, Any] = {
        "Configuration": configuration(runtime, deploy, target.qualifier),
        "Code": _code_location(call, deploy),
    }
    # tags are the function's, whichever version is asked for
    if tags := runtime.function(target.name).tags:
        document["Tags"] = dict(tags)
    if (reserved := runtime.registry.reserved.get(target.name)) is not None:
        document["Concurrency"] = {"ReservedConcurrentExecutions": reserved.count}
    call.reply(document)


async def get_function_configuration(call: Call) -> None:
    """GetFunctionConfiguration."""
    target = call.target()
    call.reply(configuration(call.runtime, find(call.runtime, target), target.qualifier))


async def list_functions(call: Call) -> None:
    """ListFunctions: of each its unpublished version, or all. MasterRegion says nothing: there is one region."""
    which = call.query("FunctionVersion")
    if which not in {None, "ALL"}:
        raise ApiError(400, "ValidationException", "FunctionVersion must be ALL, or not be there")
    runtime = call.runtime
    wanted = (each for each in runtime.functions() if which == "ALL" or each.version == LATEST)
    shown, marker = page(call, wanted, _place, most=50)
    documents = [
        configuration(
            runtime,
            runtime.deploy(each.function_name),
            each.version if which == "ALL" else None,
            listed=True,
        )
        for each in shown
    ]
    call.reply({"Functions": documents} | ({"NextMarker": marker} if marker else {}))


async def update_function_configuration(call: Call) -> None:
    """UpdateFunctionConfiguration. What is not given stays; environment and layers are replaced as a whole."""
    name = changeable(call)
    wanted = await call.json(UpdateFunctionConfiguration)
    runtime = call.runtime
    layers = await _layers(runtime, wanted.layers or [])

    def change(function: LambdaFunction, details: Details) -> tuple[LambdaFunction, Details]:
        check_revision(wanted.revision_id, revision(runtime, runtime.deploy(name)))
        fields = _fields(wanted)
        if wanted.layers is not None:
            attached = {attached_arn(layer): layer for layer in function.layers}
            fields["layers"] = [_attached(each, layers, attached) for each in wanted.layers]
        return function.replace(**fields), replace(
            details,
            role=details.role if wanted.role is None else wanted.role,
            environment=details.environment if wanted.environment is None else _has_variables(wanted),
            settings=_settled(details.settings, wanted.settings()),
        )

    deploy = await runtime.change_function(name, change)
    call.reply(configuration(runtime, deploy))


async def delete_function(call: Call) -> None:
    """DeleteFunction: all of it, or one published version."""
    target = call.target()
    call.runtime.deploy(target.name)
    if target.qualifier is None:
        await call.runtime.remove_function(target.name)
    elif target.qualifier == LATEST:
        raise ApiError.invalid("$LATEST version cannot be deleted without deleting the function.")
    elif not target.qualifier.isdecimal():
        raise ApiError.invalid(f"{target.qualifier} is an alias: DeleteAlias removes it, DeleteFunction a version")
    else:
        await call.runtime.remove_function(key_of(target.name, target.qualifier))
    call.send(204)


ROUTES: Sequence[Route] = (
    Route("POST", _FUNCTIONS, "CreateFunction", create_function),
    Route("GET", _FUNCTIONS, "ListFunctions", list_functions),
    Route("GET", f"{_FUNCTIONS}/{{FunctionName}}", "GetFunction", get_function),
    Route("DELETE", f"{_FUNCTIONS}/{{FunctionName}}", "DeleteFunction", delete_function),
    Route(
        "GET", f"{_FUNCTIONS}/{{FunctionName}}/configuration", "GetFunctionConfiguration", get_function_configuration
    ),
    Route(
        "PUT",
        f"{_FUNCTIONS}/{{FunctionName}}/configuration",
        "UpdateFunctionConfiguration",
        update_function_configuration,
    ),
)


# --- what the other operations on functions need too


def changeable(call: Call) -> str:
    """The name of the function that is to be changed. Raises ApiError for a version, which never changes."""
    target = call.target()
    if target.qualifier not in {None, LATEST}:
        raise ApiError.invalid(f"{target.name}:{target.qualifier} cannot be changed: only $LATEST can")
    call.runtime.deploy(target.name)
    return target.name


def check_revision(wanted: str | None, found: str) -> None:
    """Raises ApiError, 412, where something has changed since the caller looked."""
    if wanted and wanted != found:
        raise ApiError(
            412,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
        )


def refuse_s3(bucket: str | None) -> None:
    """Raises ApiError for code that is in S3."""
    if bucket is not None:
        raise ApiError.invalid("S3 is not within reach of this endpoint: send the zip itself, as ZipFile")


async def published(runtime: LambdaRuntime, deploy: Deploy) -> Deploy:
    """This very deploy as a version. Raises ApiError where another took its place."""
    name = deploy.function.name

    def check() -> None:
        if runtime.deploy(name).deploy_id != deploy.deploy_id:
            raise ApiError.conflict(f"{name} was changed by another request before it could be published")

    function = await runtime.publish_version(name, check=check)
    return runtime.deploy(function.function_name)


# --- from requests to functions


def _name_of_new(call: Call, given: str) -> str:
    target = parse_function(given)
    if target.qualifier not in {None, LATEST}:
        raise ApiError.invalid(f"{given} names a version or an alias; a new function has neither")
    call.function_name = target.name
    return target.name


def _fields(wanted: shapes.Configuration) -> dict[str, Any]:
    """What the request says of the function itself, but for its layers."""
    fields: dict[str, Any] = {
        "runtime": wanted.runtime,
        "handler": wanted.handler,
        "description": wanted.description,
        "timeout": wanted.timeout,
        "memory_size": wanted.memory_size,
        "environment": None if wanted.environment is None else wanted.environment.variables or {},
        "ephemeral_storage": None if wanted.ephemeral_storage is None else wanted.ephemeral_storage.size,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    if (image := wanted.image_config) is not None:
        fields["image_config"] = (
            ImageConfig(tuple(image.entry_point or ()), tuple(image.command or ()), image.working_directory or None)
            if image.entry_point or image.command or image.working_directory
            else None
        )
    return fields


def _has_variables(wanted: shapes.Configuration) -> bool:
    """Whether there is an Environment, which may be empty."""
    return wanted.environment is not None and wanted.environment.variables is not None


def _code_fields(wanted: CreateFunction, zipped: bytes | None) -> dict[str, Any]:
    """Where the code is; that of a zip is set when it is in the store."""
    image = wanted.code.image_uri
    if wanted.package_type == "Image":
        if zipped is not None or image is None:
            raise ApiError.invalid("a function of package type Image needs an ImageUri, and no ZipFile")
        return {"image_uri": image}
    if image is not None:
        raise ApiError.invalid("ImageUri is for functions of package type Image: set PackageType to Image")
    if not zipped:
        raise ApiError.invalid("Uploaded file must be a non-empty zip")
    if wanted.runtime is None or wanted.handler is None:
        raise ApiError.invalid(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    return {}


def _settled(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those that were given in place of the ones before; what is given empty is gone."""
    return {name: value for name, value in {**before, **given}.items() if _says_something(value)}


def _says_something(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_says_something(each) for each in value.values())
    return value not in (None, "", [])


async def _layers(runtime: LambdaRuntime, arns: Sequence[str]) -> dict[str, Layer]:
    """The published layers of these ARNs, by ARN; those that are not there are left out."""
    found: dict[str, Layer] = {}
    versions: dict[str, int | None] = {}
    for arn in arns:
        wanted = parse_layer_version(arn)
        if wanted.name in versions and versions[wanted.name] != wanted.version:
            raise ApiError.invalid(
                f"Two different versions of the same layer are not allowed to be referenced in the same function: {arn}"
            )
        versions[wanted.name] = wanted.version
        entry = runtime.registry.layers.get(wanted.name, str(wanted.version))
        if entry is None or entry.deleted:
            continue
        try:
            archive = await runtime.archive(entry.digest)
        except KeyError:
            continue
        found[arn] = Layer(name=layer_arn(wanted.name, wanted.version), content=archive.path)
    return found


def _attached(arn: str, published: Mapping[str, Layer], attached: Mapping[str, Layer]) -> Layer:
    """A layer by its ARN. One that is attached already may stay, even where it is published no more."""
    wanted = parse_layer_version(arn)
    layer = attached.get(layer_arn(wanted.name, wanted.version)) or published.get(arn)
    if layer is None:
        raise ApiError.invalid(f"Layer version {arn} does not exist.")
    return layer


# --- from functions to answers


def _code_location(call: Call, deploy: Deploy) -> dict[str, str]:
    function = deploy.function
    if function.image_uri is not None:
        return {"RepositoryType": "ECR", "ImageUri": function.image_uri, "ResolvedImageUri": function.image_uri}
    if deploy.code is None:
        return {"RepositoryType": "S3"}
    return {"RepositoryType": "S3", "Location": f"{call.base}/_stoker/functions/{function.function_name}/code"}


def _place(function: LambdaFunction) -> str:
    """Sorts by name, the unpublished version before the others and those by number."""
    number = 0 if function.version == LATEST else int(function.version)
    return f"{function.name} {number:018}"
