"""Typed settings of one home, in one JSON file that may hold only what differs from the defaults."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from core.errors import HomeUnusableError, InvalidSettingError
from core.image_rules import ImageRules

__all__ = ["Settings", "change_settings", "load_settings", "save_settings"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a number may be. `unit` is only for the text."""

    low: float
    high: float
    unit: str = ""

    def __str__(self) -> str:
        return f"must be {self.low:,g} to {self.high:,g}{' ' if self.unit else ''}{self.unit}"


_RULES: Mapping[str, _Rule] = {
    "max_instances": _Rule(1, 10_000, "instances"),
    "queue_limit": _Rule(0, 1_000_000, "invocations"),
    "queue_timeout": _Rule(0, 86_400, "seconds"),
    "idle_ttl": _Rule(0, 31_536_000, "seconds"),
    "start_limit": _Rule(1, 1_000, "launches at once"),
    "instance_budget": _Rule(1, 100_000, "instances"),
    "memory_budget_mb": _Rule(0, 1_073_741_824, "MB (0: no limit)"),
    "init_timeout": _Rule(0.001, 900, "seconds"),
    "history_limit": _Rule(0, 10_000_000, "invocations"),
    "history_days": _Rule(0, 36_500, "days"),
    "record_limit": _Rule(0, 209_715_200, "bytes"),
    "async_retry_delay": _Rule(0, 86_400, "seconds"),
    "endpoint_port": _Rule(0, 65_535),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {"container_transport": ("auto", "host", "image")}
_BACKEND_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How Stoker works in one home. Every field is checked when the object is made.

    `max_instances` is per function; `queue_limit` (waiting invocations) is per function;
    `queue_timeout`, `idle_ttl` and `init_timeout` are seconds; `start_limit` is how many launches
    may be under way at once; `instance_budget` and `memory_budget_mb` (0: no limit) are over all
    functions; `history_limit` and `history_days` bound the invocations kept; `record_limit` is
    how many bytes of a payload and of a response are kept, unless `record_payloads` is off;
    `async_retry_delay` is how many seconds a queued event waits before its second attempt, and half of
    what it waits before its third; `endpoint_on` opens the local endpoint with the window, on
    `endpoint_port` (0: any free one); `container_transport` says how events reach a runtime in a
    container: "host" (streams), "image" (buffered by the image's own emulator) or "auto" (tries);
    `image_rules` put mirrors' and local registries' names in the place of images' own (`core.image_rules`).
    Raises InvalidSettingError.
    """

    max_instances: int = 10
    queue_limit: int = 1000
    queue_timeout: float = 60.0
    idle_ttl: float = 300.0
    start_limit: int = 16
    instance_budget: int = 100
    memory_budget_mb: int = 0
    default_backend: str = "process"
    init_timeout: float = 10.0
    history_limit: int = 10_000
    history_days: float = 30.0
    record_limit: int = 262_144
    record_payloads: bool = True
    async_retry_delay: float = 60.0
    endpoint_on: bool = False
    endpoint_port: int = 9001
    container_transport: str = "auto"
    image_rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.image_rules, list):
            # as JSON has it
            object.__setattr__(self, "image_rules", tuple(self.image_rules))
        for item in fields(self):
            _check(item.name, str(item.type), getattr(self, item.name))

    def with_overrides(self, **overrides: object) -> Settings:
        """A copy with these fields changed. Raises InvalidSettingError, also for an unknown name."""
        for name, value in overrides.items():
            if name not in _DEFAULTS:
                raise InvalidSettingError(name, value, f"there is no such setting; known are {', '.join(_DEFAULTS)}")
        return replace(self, **overrides)  # type: ignore[arg-type]


_DEFAULTS: Mapping[str, object] = {item.name: item.default for item in fields(Settings) if item.default is not MISSING}


def load_settings(path: Path) -> Settings:
    """The settings in `path`; the defaults where there is no such file.

    Keys this Stoker does not know are passed over (and kept by `save_settings`).
    Raises InvalidSettingError that names the file and the line, and HomeUnusableError where the
    file cannot be read.
    """
    text = _read(path)
    found = _parse(path, text)
    settings = Settings()
    for name in found.keys() & _DEFAULTS.keys():
        try:
            settings = settings.with_overrides(**{name: found[name]})
        except InvalidSettingError as error:
            place = f"{path}, line {_line_of(text, name)}"
            raise InvalidSettingError(error.name, error.value, f"{error.rule} ({place})") from None
    return settings


def save_settings(path: Path, settings: Settings) -> None:
    """Write `settings` to `path` (0600), in one step: a reader sees the old file or the new one.

    Keeps keys that this Stoker does not know; leaves out what is at its default and was never in
    the file. Raises InvalidSettingError (and changes nothing) where the file there is broken, and
    HomeUnusableError where it cannot be written.
    """
    kept = _parse(path, _read(path))
    for name, default in _DEFAULTS.items():
        value = getattr(settings, name)
        if name in kept or value != default:
            kept[name] = value
    try:
        _write(path, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise HomeUnusableError(str(path), f"it cannot be written ({error.strerror})") from error


def change_settings(path: Path, **changes: object) -> None:
    """Change these settings in the file and leave the others as the file has them.

    What this start was told beside its file is not for the next. May be called on any thread: changes
    follow one another. Raises what `load_settings` and `save_settings` raise.
    """
    with _CHANGING:
        save_settings(path, load_settings(path).with_overrides(**changes))


_CHANGING = threading.Lock()


def _check(name: str, kind: str, value: object) -> None:
    if kind == "bool":
        if not isinstance(value, bool):
            raise InvalidSettingError(name, value, "must be true or false")
    elif name in _CHOICES:
        if value not in _CHOICES[name]:
            raise InvalidSettingError(name, value, f"must be one of {', '.join(_CHOICES[name])}")
    elif name == "image_rules":
        if not isinstance(value, tuple) or not all(isinstance(rule, str) for rule in value):
            raise InvalidSettingError(name, value, "must be a list of texts, each PATTERN => REPLACEMENT")
        try:
            ImageRules(value)
        except ValueError as error:
            raise InvalidSettingError(name, value, str(error)) from None
    elif kind == "str":
        if not isinstance(value, str) or not _BACKEND_NAME.fullmatch(value):
            raise InvalidSettingError(name, value, "must be a backend's name, such as process or docker")
    else:
        rule = _RULES[name]
        allowed = (int,) if kind == "int" else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise InvalidSettingError(name, value, f"must be a {'whole ' if kind == 'int' else ''}number; {rule}")
        if not math.isfinite(value) or not rule.low <= value <= rule.high:
            raise InvalidSettingError(name, value, str(rule))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return "{}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidSettingError(f"file {path}", "", f"line {line}: not UTF-8 text") from error
    except OSError as error:
        raise HomeUnusableError(str(path), f"it cannot be read ({error.strerror})") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("not an object")
        return found
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        shown = lines[error.lineno - 1].strip()[:80] if error.lineno <= len(lines) else ""
        rule = f"line {error.lineno}: {error.msg}; repair the file or remove it"
        raise InvalidSettingError(f"file {path}", shown, rule) from error
    except (TypeError, RecursionError) as error:
        rule = 'line 1: must be one JSON object, as in {"max_instances": 5}'
        raise InvalidSettingError(f"file {path}", text.strip()[:80], rule) from error


def _line_of(text: str, name: str) -> int:
    """Where a key stands; the last one counts, as in JSON."""
    found = [match.start() for match in re.finditer(rf'"{re.escape(name)}"\s*:', text)]
    return text.count("\n", 0, found[-1]) + 1 if found else 1


def _write(path: Path, text: str) -> None:
    # mkstemp makes the file 0600; in the same directory, so that the rename is one step
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
