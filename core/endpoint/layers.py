"""Layers: published as zips, listed, fetched and taken back.

Source: https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.endpoint.errors import ApiError
from core.endpoint.layer_shapes import ARCHITECTURES, PublishLayer, known_runtime, shown, shown_with_content
from core.endpoint.limit_shapes import listed
from core.endpoint.routes import Route
from core.endpoint.uploads import read_upload
from core.names import layer_arn, parse_layer_version
from core.registry import LayerVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.archives import Archive
    from core.endpoint.call import Call

__all__ = ["ROUTES"]

_PIECE = 256 * 1024
_LAST = 10**18


async def publish(call: Call) -> None:
    """PublishLayerVersion. The zip comes with the request: there is no S3 here to fetch it from."""
    name = _name(call)
    request, zipped = await read_upload(call, PublishLayer, lambda given: given.content.zip_file)
    content = request.content
    if content.s3_bucket is not None or content.s3_key is not None:
        raise ApiError.invalid(
            "A layer cannot be taken from S3 here: send its zip itself, as Content.ZipFile "
            "(--zip-file with the AWS CLI)."
        )
    if not zipped:
        raise ApiError.invalid("Please provide a zip as Content.ZipFile; it was empty or missing.")

    def entry(archive: Archive, number: int) -> LayerVersion:
        return LayerVersion(
            name=name,
            qualifier=str(number),
            digest=archive.digest,
            size=archive.size,
            description=request.description,
            license=request.license_info,
            runtimes=tuple(request.compatible_runtimes),
            architectures=tuple(request.compatible_architectures),
        )

    layer = await call.runtime.add_layer(zipped, entry, name)
    call.reply(shown_with_content(layer, call.base), 201)


async def list_layers(call: Call) -> None:
    """ListLayers, and GetLayerVersionByArn, which shares its path."""
    if call.query("find") == "LayerVersion":
        call.operation = "GetLayerVersionByArn"
        await _get_by_arn(call)
        return
    latest: dict[str, LayerVersion] = {}
    for layer in _matching(call, list(call.runtime.registry.layers)):
        if layer.name not in latest or int(latest[layer.name].qualifier) < int(layer.qualifier):
            latest[layer.name] = layer

    def item(layer: LayerVersion) -> object:
        return {
            "LayerName": layer.name,
            "LayerArn": layer_arn(layer.name),
            "LatestMatchingVersion": shown(layer),
        }

    listed(call, "Layers", list(latest.values()), lambda layer: layer.name, item)


async def list_versions(call: Call) -> None:
    """ListLayerVersions, the latest first; none for a layer that is not there, as on AWS."""
    found = _matching(call, call.runtime.registry.layers.of(_name(call)))
    listed(call, "LayerVersions", found, lambda layer: f"{_LAST - int(layer.qualifier):019}", shown)


async def get_version(call: Call) -> None:
    """GetLayerVersion."""
    call.reply(shown_with_content(_found(call, _name(call), _version(call)), call.base))


async def _get_by_arn(call: Call) -> None:
    arn = call.query("Arn") or ""
    target = parse_layer_version(arn)
    if not arn.startswith("arn:") or target.version is None:
        raise ApiError(400, "ValidationException", "Arn must be the ARN of a layer's version")
    call.reply(shown_with_content(_found(call, target.name, target.version), call.base))


async def delete_version(call: Call) -> None:
    """DeleteLayerVersion: nobody can attach it any more; functions that have it keep it. None there is fine."""
    await call.runtime.remove_layer(_name(call), _version(call))
    call.send(204)


async def download(call: Call) -> None:
    """A version's zip, byte for byte as it was published; where `Content.Location` points."""
    layer = _found(call, _name(call), _version(call))
    try:
        archive = await call.runtime.archive(layer.digest)
        file = archive.open()
    except (KeyError, FileNotFoundError):
        raise ApiError.not_found("This layer's zip has vanished from Stoker's home.") from None
    # once it is open it can be read to its end, whatever becomes of the layer
    with file:
        name = f'attachment; filename="{layer.name}-{layer.qualifier}.zip"'
        call.start(200, [("content-type", "application/zip"), ("content-disposition", name)])
        while (piece := file.read(_PIECE)) and not call.exchange.gone:
            await call.exchange.write(piece)
    call.exchange.end()


def _name(call: Call) -> str:
    target = parse_layer_version(call.parameters["LayerName"])
    if target.version is not None:
        raise ApiError(400, "ValidationException", "LayerName must be a layer's name or ARN, without a version")
    return target.name


def _version(call: Call) -> int:
    text = call.parameters["VersionNumber"]
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 19:
        raise ApiError(400, "ValidationException", "VersionNumber must be a whole number")
    if int(text) < 1:
        raise ApiError.invalid("Layer Version Cannot be less than 1")
    return int(text)


def _found(call: Call, name: str, version: int) -> LayerVersion:
    layer = call.runtime.registry.layers.get(name, str(version))
    if layer is None or layer.deleted:
        raise ApiError.not_found("The resource you requested does not exist.")
    return layer


def _matching(call: Call, layers: Sequence[LayerVersion]) -> list[LayerVersion]:
    """Those that are there and say that they suit the runtime and the architecture that are asked for."""
    runtime, architecture = call.query("CompatibleRuntime"), call.query("CompatibleArchitecture")
    if architecture is not None and architecture not in ARCHITECTURES:
        raise ApiError(400, "ValidationException", f"CompatibleArchitecture must be {' or '.join(ARCHITECTURES)}")
    if runtime is not None:
        try:
            known_runtime(runtime)
        except ValueError as error:
            raise ApiError(400, "ValidationException", f"CompatibleRuntime: {error}") from None
    return [
        layer
        for layer in layers
        if not layer.deleted
        and (runtime is None or runtime in layer.runtimes)
        and (architecture is None or architecture in layer.architectures)
    ]


_LAYERS = "/2018-10-31/layers"

ROUTES: Sequence[Route] = (
    Route("POST", f"{_LAYERS}/{{LayerName}}/versions", "PublishLayerVersion", publish),
    Route("GET", _LAYERS, "ListLayers", list_layers),
    Route("GET", f"{_LAYERS}/{{LayerName}}/versions", "ListLayerVersions", list_versions),
    Route("GET", f"{_LAYERS}/{{LayerName}}/versions/{{VersionNumber}}", "GetLayerVersion", get_version),
    Route("DELETE", f"{_LAYERS}/{{LayerName}}/versions/{{VersionNumber}}", "DeleteLayerVersion", delete_version),
    Route("GET", "/_stoker/layers/{LayerName}/{VersionNumber}/content", "DownloadLayerVersion", download),
)
