"""What a function is: `LambdaFunction`, its layers and image settings, and Lambda's own limits.

A definition is checked where it is made or changed, so that one that exists is a valid one. Sources
of the rules: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html and
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from core import limits
from core.errors import InvalidFunctionError
from core.names import split_key
from core.runtimes import Runtime, runtime_of

__all__ = ["ImageConfig", "LambdaFunction", "Layer", "host_architecture"]


_Part = TypeVar("_Part", "Layer", "ImageConfig")


def host_architecture() -> str:
    """This machine's architecture by Lambda's name for it: `x86_64` or `arm64`."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Layer:
    """Files that are put under `/opt` (or on the search paths) of a function: a zip or a folder.

    `name` is for people. A relative path is taken from the current folder, once, here.
    Raises InvalidFunctionError.
    """

    name: str
    content: Path

    def __post_init__(self) -> None:
        limits.text("layers", self.name, longest=256)
        _set(self, "content", limits.path("layers", self.content))


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What overrides an image's own settings. Raises InvalidFunctionError.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_ImageConfig.html
    """

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str | None = None

    def __post_init__(self) -> None:
        _set(self, "entry_point", limits.strings("image_config.entry_point", self.entry_point))
        _set(self, "command", limits.strings("image_config.command", self.command))
        if self.working_directory is not None:
            limits.text("image_config.working_directory", self.working_directory, longest=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaFunction:
    """One function's whole definition; immutable, valid, and equal where its fields are.

    `function_name` of a published version ends in `:NUMBER`; `name` and `version` are its parts.

    `timeout` is in seconds, `memory_size` and `ephemeral_storage` in MB, `idle_ttl` in seconds.
    `code` is a zip or a folder (None: nothing to run yet); layers are in attach order, and a bare
    path stands for a layer of that file's name. Without an architecture it is the host's.
    Environment values never appear in its `repr` or in an error, as they may be secrets.

    Raises InvalidFunctionError, which names the field, the value and the rule.
    """

    function_name: str
    runtime: str | None = None
    handler: str | None = None
    package_type: str = "Zip"
    code: Path | None = None
    image_uri: str | None = None
    image_config: ImageConfig | None = None
    layers: Sequence[Layer] = ()
    environment: Mapping[str, str] = field(default_factory=_nothing, repr=False, hash=False)
    timeout: int = 3
    memory_size: int = 128
    ephemeral_storage: int = 512
    architecture: str = field(default_factory=host_architecture)
    tags: Mapping[str, str] = field(default_factory=_nothing, hash=False)
    description: str = ""
    backend: str | None = None
    # Stoker's own, per function; None means the setting's value
    max_instances: int | None = None
    idle_ttl: float | None = None
    min_warm: int = 0
    record_payloads: bool = True

    def __post_init__(self) -> None:
        limits.function_name(self.function_name)
        limits.choice("package_type", self.package_type, ("Zip", "Image"))
        if self.package_type == "Zip":
            self._check_zip()
        else:
            self._check_image()
        _set(self, "layers", _layers(self.layers))
        _set(self, "environment", MappingProxyType(limits.environment(self.environment)))
        limits.whole("timeout", self.timeout, 1, 900, "s")
        limits.whole("memory_size", self.memory_size, 128, 10_240, "MB")
        limits.whole("ephemeral_storage", self.ephemeral_storage, 512, 10_240, "MB")
        if self.architecture is None:
            _set(self, "architecture", host_architecture())
        limits.choice("architecture", self.architecture, ("x86_64", "arm64"))
        _set(self, "tags", MappingProxyType(limits.tags(self.tags)))
        limits.text("description", self.description, shortest=0, longest=256)
        if self.backend is not None:
            limits.text("backend", self.backend, longest=64)
        self._check_pool()

    @property
    def name(self) -> str:
        """The function's own name, the same for all its versions."""
        return split_key(self.function_name)[0]

    @property
    def version(self) -> str:
        """`$LATEST`, or the number of a published version."""
        return split_key(self.function_name)[1]

    @property
    def runtime_info(self) -> Runtime | None:
        """What is known of the runtime; None for an image, which brings its own."""
        return runtime_of(self.runtime) if self.runtime is not None else None

    def replace(self, **changes: Any) -> LambdaFunction:
        """A copy with these fields changed, checked anew. Raises InvalidFunctionError."""
        known = {each.name for each in dataclasses.fields(self)}
        for name in changes:
            if name not in known:
                raise InvalidFunctionError(name, "...", "a function has no such field")
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """The definition as a JSON object; `from_json` gives back an equal one.

        It holds the environment's values in the clear: for the functions table only.
        """
        document = {each.name: _plain(getattr(self, each.name)) for each in dataclasses.fields(self)}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> LambdaFunction:
        """Read what `to_json` wrote. Keys of a newer version are ignored.

        Raises InvalidFunctionError where it is not JSON, lacks a field or breaks a rule.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            # the text itself is not shown: it may hold secrets
            raise InvalidFunctionError("document", type(text).__name__, f"is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise InvalidFunctionError("document", type(document).__name__, "must be a JSON object")
        known = {each.name for each in dataclasses.fields(cls)}
        given = {name: value for name, value in document.items() if name in known}
        if isinstance(given.get("layers"), list):
            given["layers"] = [_part(Layer, f"layers.{n}", each) for n, each in enumerate(given["layers"])]
        if given.get("image_config") is not None:
            given["image_config"] = _part(ImageConfig, "image_config", given["image_config"])
        if "function_name" not in given:
            raise InvalidFunctionError("function_name", None, "is missing")
        return cls(**given)

    def _check_zip(self) -> None:
        if self.runtime is None:
            raise InvalidFunctionError("runtime", None, "a Zip function needs a runtime, as in python3.13")
        limits.text("runtime", self.runtime)
        runtime_of(self.runtime)
        if self.handler is None:
            raise InvalidFunctionError("handler", None, "a Zip function needs a handler, as in app.handler")
        limits.handler(self.handler)
        if self.code is not None:
            _set(self, "code", limits.path("code", self.code))
        for name in ("image_uri", "image_config"):
            if getattr(self, name) is not None:
                raise InvalidFunctionError(name, getattr(self, name), "is for functions of package type Image")

    def _check_image(self) -> None:
        if self.image_uri is None:
            raise InvalidFunctionError("image_uri", None, "an Image function needs the name of its image")
        limits.image_uri(self.image_uri)
        if self.image_config is not None and not isinstance(self.image_config, ImageConfig):
            raise InvalidFunctionError("image_config", self.image_config, "must be an ImageConfig")
        for name in ("runtime", "handler", "code"):
            if getattr(self, name) is not None:
                raise InvalidFunctionError(
                    name, getattr(self, name), "is for functions of package type Zip; an image brings its own"
                )
        if self.layers:
            raise InvalidFunctionError("layers", self.layers, "an Image function takes no layers")

    def _check_pool(self) -> None:
        if self.max_instances is not None:
            limits.whole("max_instances", self.max_instances, 1, None)
        if self.idle_ttl is not None:
            _set(self, "idle_ttl", limits.seconds("idle_ttl", self.idle_ttl))
        limits.whole("min_warm", self.min_warm, 0, None)
        if self.max_instances is not None and self.min_warm > self.max_instances:
            raise InvalidFunctionError(
                "min_warm", self.min_warm, f"must be at most max_instances, {self.max_instances}"
            )
        if not isinstance(self.record_payloads, bool):
            raise InvalidFunctionError("record_payloads", self.record_payloads, "must be True or False")


def _set(owner: object, name: str, value: object) -> None:
    # the one way to write to a frozen dataclass while it is being made
    object.__setattr__(owner, name, value)


def _layers(value: object) -> tuple[Layer, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise InvalidFunctionError("layers", value, "must be a list of layers")
    if len(value) > limits.MOST_LAYERS:
        raise InvalidFunctionError("layers", f"{len(value)} layers", f"at most {limits.MOST_LAYERS} can be attached")
    found = []
    for each in value:
        if isinstance(each, Layer):
            found.append(each)
        elif isinstance(each, str | Path):
            content = limits.path("layers", each)
            found.append(Layer(name=content.stem or str(content), content=content))
        else:
            raise InvalidFunctionError("layers", each, "must be a Layer, or the path of a zip or folder")
    return tuple(found)


def _plain(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case Layer() | ImageConfig():
            return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        case tuple():
            return [_plain(each) for each in value]
        case Mapping():
            return dict(value)
        case _:
            return value


def _part(kind: type[_Part], field_name: str, value: object) -> _Part:
    """A layer or an image's settings, from the object that stands for it. Keys of a newer version are ignored."""
    if not isinstance(value, dict):
        raise InvalidFunctionError(field_name, type(value).__name__, "must be a JSON object")
    fields = dataclasses.fields(kind)
    for each in fields:
        missing = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        if missing and each.name not in value:
            raise InvalidFunctionError(f"{field_name}.{each.name}", None, "is missing")
    return kind(**{each.name: value[each.name] for each in fields if each.name in value})
