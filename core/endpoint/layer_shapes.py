"""Layers as the API takes and shows them."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.endpoint.limit_shapes import millis
from core.endpoint.shape import Shape
from core.names import layer_arn
from core.registry import LayerVersion
from core.runtimes import known_runtimes

__all__ = ["ARCHITECTURES", "PublishLayer", "known_runtime", "shown", "shown_with_content"]

ARCHITECTURES = ("x86_64", "arm64")

# the API lists one that no function is created with
_RUNTIMES = frozenset({each.identifier for each in known_runtimes()} | {"custom"})


def known_runtime(value: str) -> str:
    """The value itself. Raises ValueError for what is no runtime of Lambda's."""
    if value not in _RUNTIMES:
        raise ValueError(f"{value[:80]!r} is not a runtime of Lambda's")
    return value


class Content(Shape):
    """Where a layer's zip is: here in base64, or in S3."""

    zip_file: str | None = None
    s3_bucket: str | None = None
    s3_key: str | None = None


class PublishLayer(Shape):
    """PublishLayerVersion."""

    content: Content
    description: str = Field(default="", max_length=256)
    license_info: str = Field(default="", max_length=512)
    compatible_runtimes: list[Annotated[str, AfterValidator(known_runtime)]] = Field(default=[], max_length=15)
    compatible_architectures: list[Literal["x86_64", "arm64"]] = Field(default=[], max_length=2)


def shown(layer: LayerVersion) -> dict[str, object]:
    """A version as a list shows it. Members that were not given are left out, as on AWS."""
    version = int(layer.qualifier)
    document: dict[str, object] = {
        "LayerVersionArn": layer_arn(layer.name, version),
        "Version": version,
        "Description": layer.description,
        "CreatedDate": millis(layer.modified),
    }
    if layer.runtimes:
        document["CompatibleRuntimes"] = list(layer.runtimes)
    if layer.architectures:
        document["CompatibleArchitectures"] = list(layer.architectures)
    if layer.license:
        document["LicenseInfo"] = layer.license
    return document


def shown_with_content(layer: LayerVersion, base: str) -> dict[str, object]:
    """A version by itself; its zip can be fetched from the endpoint, which is at `base`."""
    return {
        "Content": {
            "Location": f"{base}/_stoker/layers/{layer.name}/{layer.qualifier}/content",
            "CodeSha256": base64.b64encode(bytes.fromhex(layer.digest)).decode("ascii"),
            "CodeSize": layer.size,
        },
        "LayerArn": layer_arn(layer.name),
        **shown(layer),
    }
