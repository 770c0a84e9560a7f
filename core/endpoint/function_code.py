"""A function's code: replaced, and given back.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.endpoint.configuration import configuration, find, revision
from core.endpoint.errors import ApiError
from core.endpoint.function_shapes import UpdateFunctionCode
from core.endpoint.functions import changeable, check_revision, published, refuse_s3
from core.endpoint.routes import Route
from core.endpoint.uploads import read_upload
from core.errors import BackendUnavailableError

if TYPE_CHECKING:
    from core.endpoint.call import Call
    from core.functions import LambdaFunction
    from core.registry import Details

__all__ = ["ROUTES"]

_PIECE = 64 * 1024  # bytes read from the disk at a time


async def update_function_code(call: Call) -> None:
    """UpdateFunctionCode. With DryRun all is checked, the zip too, and nothing kept.

    A function whose code was a folder has a zip from then on, in the store.
    """
    name = changeable(call)
    wanted, zipped = await read_upload(call, UpdateFunctionCode, lambda shape: shape.zip_file)
    refuse_s3(wanted.s3_bucket)
    if zipped is not None and not zipped:
        raise ApiError.invalid("Uploaded file must be a non-empty zip")
    if (zipped is None) == (wanted.image_uri is None):
        raise ApiError.invalid("give the code once: as ZipFile, or as ImageUri")
    runtime = call.runtime

    def change(function: LambdaFunction, _: Details) -> tuple[LambdaFunction, None]:
        check_revision(wanted.revision_id, revision(runtime, runtime.deploy(name)))
        return function.replace(**_fields(function, wanted)), None

    deploy = await runtime.change_function(name, change, zipped, keep=not wanted.dry_run)
    if wanted.image_uri is not None and not wanted.dry_run:
        # a tag is looked up with each update: it may mean another image now
        with suppress(BackendUnavailableError):
            await runtime.refresh_code(name)
    if wanted.dry_run:
        call.reply(configuration(runtime, replace(deploy, modified=runtime.deploy(name).modified)))
    elif wanted.publish:
        deploy = await published(runtime, deploy)
        call.reply(configuration(runtime, deploy, deploy.function.version))
    else:
        call.reply(configuration(runtime, deploy))


async def download(call: Call) -> None:
    """The zip that a function's code is, as `Code.Location` of GetFunction says."""
    target = call.target()
    deploy = find(call.runtime, target)
    if deploy.code is None:
        raise ApiError.not_found(f"{deploy.function.function_name} has no zip")
    try:
        file = deploy.code.open()
    except FileNotFoundError:
        raise ApiError.not_found(f"the zip of {deploy.function.function_name} is no longer in the store") from None
    with file:
        call.start(200, [("content-type", "application/zip")])
        while not call.exchange.gone and (piece := file.read(_PIECE)):
            await call.exchange.write(piece)
    call.exchange.end()


ROUTES: Sequence[Route] = (
    Route("PUT", "/2015-03-31/functions/{FunctionName}/code", "UpdateFunctionCode", update_function_code),
    Route("GET", "/_stoker/functions/{FunctionName}/code", "DownloadFunctionCode", download),
)


def _fields(function: LambdaFunction, wanted: UpdateFunctionCode) -> dict[str, Any]:
    if function.package_type == "Image" and wanted.image_uri is None:
        raise ApiError.invalid("Please provide ImageUri when updating a function with packageType Image.")
    if function.package_type == "Zip" and wanted.image_uri is not None:
        raise ApiError.invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
    fields: dict[str, Any] = {}
    if wanted.image_uri is not None:
        fields["image_uri"] = wanted.image_uri
    if wanted.architectures is not None:
        fields["architecture"] = wanted.architectures[0]
    return fields
