"""What a function is: `LambdaFunction`, its layers and image settings, and Lambda's own limits.

(contract sketch: fields final, validation to be written)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

__all__ = ["ImageConfig", "LambdaFunction", "Layer"]


@dataclass(frozen=True, slots=True)
class Layer:
    """Files that are put under `/opt` (or on the search paths) of a function: a zip or a folder."""

    name: str
    content: Path


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What overrides an image's own settings."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaFunction:
    function_name: str
    runtime: str | None = None
    handler: str | None = None
    package_type: str = "Zip"
    code: Path | None = None
    image_uri: str | None = None
    image_config: ImageConfig | None = None
    layers: Sequence[Layer] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    timeout: int = 3
    memory_size: int = 128
    ephemeral_storage: int = 512
    architecture: str = "x86_64"
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    description: str = ""
    backend: str | None = None
    # Stoker's own, per function; None means the setting's value
    max_instances: int | None = None
    idle_ttl: float | None = None
    min_warm: int = 0
    record_payloads: bool = True
