"""The members of a function that are kept and given back, and have no effect here.

They are checked all the same: what is kept is shown to every client, which reads it by these shapes.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html#API_CreateFunction_RequestSyntax
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from core.endpoint.shape import Shape

__all__ = ["Settings"]

_ARN = r"^((arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|())$"
_FILE_SYSTEM = (
    r"^(arn:aws[a-zA-Z-]*:elasticfilesystem:[a-z0-9-]+:[0-9]{12}:access-point/fsap-[a-f0-9]{17}"
    r"|arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40})$"
)

Arn = Annotated[str, Field(max_length=10_000, pattern=_ARN)]
SubnetId = Annotated[str, Field(max_length=1024, pattern=r"^subnet-[0-9a-z]*$")]
SecurityGroupId = Annotated[str, Field(max_length=1024, pattern=r"^sg-[0-9a-zA-Z]*$")]


class VpcConfig(Shape):
    """The network that a function is attached to."""

    subnet_ids: Annotated[list[SubnetId], Field(max_length=16)] | None = None
    security_group_ids: Annotated[list[SecurityGroupId], Field(max_length=5)] | None = None
    ipv6_allowed_for_dual_stack: bool | None = None


class DeadLetterConfig(Shape):
    """Where events go that could not be delivered; nowhere where it is empty."""

    target_arn: Arn | None = None


class TracingConfig(Shape):
    """Whether invocations are traced."""

    mode: Literal["Active", "PassThrough"] | None = None


class S3FilesConfig(Shape):
    """How files in S3 are read."""

    direct_s3_read: Annotated[Literal["ENABLED", "DISABLED", "AUTO"] | None, Field(alias="DirectS3Read")] = None


class FileSystemConfig(Shape):
    """A file system, and where it is mounted."""

    arn: Annotated[str, Field(max_length=256, pattern=_FILE_SYSTEM)]
    local_mount_path: Annotated[str, Field(max_length=160, pattern=r"^/mnt/[a-zA-Z0-9-_.]+$")]
    s3_files_config: Annotated[S3FilesConfig | None, Field(alias="S3FilesConfig")] = None


class SnapStart(Shape):
    """Of what versions a snapshot is taken."""

    apply_on: Literal["PublishedVersions", "None"] | None = None


class LoggingConfig(Shape):
    """How and where a function logs."""

    log_format: Literal["JSON", "Text"] | None = None
    application_log_level: Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"] | None = None
    system_log_level: Literal["DEBUG", "INFO", "WARN"] | None = None
    log_group: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[.\-_/#A-Za-z0-9]+$")] | None = None


class Settings(Shape):
    """All of them, as CreateFunction and UpdateFunctionConfiguration take them."""

    vpc_config: VpcConfig | None = None
    dead_letter_config: DeadLetterConfig | None = None
    kms_key_arn: Annotated[Arn | None, Field(alias="KMSKeyArn")] = None
    tracing_config: TracingConfig | None = None
    file_system_configs: Annotated[list[FileSystemConfig], Field(max_length=1)] | None = None
    snap_start: SnapStart | None = None
    logging_config: LoggingConfig | None = None

    def settings(self) -> dict[str, Any]:
        """Those that were given, by the API's names."""
        return self.model_dump(by_alias=True, exclude_none=True, include=set(Settings.model_fields))
