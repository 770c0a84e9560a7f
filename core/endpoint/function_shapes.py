"""The requests about functions, versions and aliases, as far as they are checked by their shape.

Members that are not named here are ignored; what a function may be is `core.functions`' to say.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html and its siblings.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.endpoint.setting_shapes import Settings
from core.endpoint.shape import Shape

__all__ = [
    "Code",
    "CreateAlias",
    "CreateFunction",
    "PublishVersion",
    "TagResource",
    "UpdateAlias",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
]

Architecture = Literal["x86_64", "arm64"]
Architectures = Annotated[list[Architecture], Field(min_length=1, max_length=1)]
Role = Annotated[str, Field(pattern=r"^arn:(aws[a-zA-Z-]*)?:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$")]
Handler = Annotated[str, Field(max_length=128, pattern=r"^[^\s]+$")]
ImageStrings = Annotated[list[str], Field(max_length=1500)]
Description = Annotated[str, Field(max_length=256)]
LayerArn = Annotated[str, Field(pattern=r"^arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9-_]+:[0-9]+$")]
AliasName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[0-9]*[a-zA-Z-_][a-zA-Z0-9-_]*$")]
Version = Annotated[str, Field(pattern=r"^(\$LATEST|[0-9]{1,12})$")]


class Code(Shape):
    """Where a function's code is; `ZipFile` is base64."""

    zip_file: str | None = None
    image_uri: str | None = None
    s3_bucket: str | None = None
    s3_key: str | None = None


class Environment(Shape):
    """A function's environment."""

    variables: dict[str, str] | None = None


class ImageConfig(Shape):
    """What overrides an image's own settings."""

    entry_point: ImageStrings | None = None
    command: ImageStrings | None = None
    working_directory: Annotated[str, Field(max_length=1000)] | None = None


class EphemeralStorage(Shape):
    """The size of /tmp in MB."""

    size: Annotated[int, Field(ge=512, le=10_240)]


class Configuration(Settings):
    """What can be given when a function is made, and changed later."""

    runtime: str | None = None
    handler: Handler | None = None
    description: Description | None = None
    timeout: Annotated[int, Field(ge=1, le=900)] | None = None
    memory_size: Annotated[int, Field(ge=128, le=10_240)] | None = None
    environment: Environment | None = None
    layers: list[LayerArn] | None = None
    image_config: ImageConfig | None = None
    ephemeral_storage: EphemeralStorage | None = None


class CreateFunction(Configuration):
    """The request of CreateFunction."""

    function_name: Annotated[str, Field(min_length=1, max_length=140)]
    role: Role
    code: Code
    package_type: Literal["Zip", "Image"] = "Zip"
    architectures: Architectures | None = None
    tags: dict[str, str] | None = None
    publish: bool | None = None


class UpdateFunctionConfiguration(Configuration):
    """The request of UpdateFunctionConfiguration."""

    role: Role | None = None
    revision_id: str | None = None


class UpdateFunctionCode(Code):
    """The request of UpdateFunctionCode."""

    architectures: Architectures | None = None
    publish: bool | None = None
    dry_run: bool | None = None
    revision_id: str | None = None


class PublishVersion(Shape):
    """The request of PublishVersion."""

    code_sha256: str | None = None
    description: Description | None = None
    revision_id: str | None = None


class RoutingConfig(Shape):
    """What share of an alias's invocations goes to other versions."""

    additional_version_weights: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None


class CreateAlias(Shape):
    """The request of CreateAlias."""

    name: AliasName
    function_version: Version
    description: Description | None = None
    routing_config: RoutingConfig | None = None


class UpdateAlias(Shape):
    """The request of UpdateAlias."""

    function_version: Version | None = None
    description: Description | None = None
    routing_config: RoutingConfig | None = None
    revision_id: str | None = None


class TagResource(Shape):
    """The request of TagResource."""

    tags: dict[str, str]
