"""Sample functions for a first start, and sample events of AWS services for the workbench."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import LambdaRuntimeError
from core.events import Trouble
from core.functions import LambdaFunction

if TYPE_CHECKING:
    from core.runtime import LambdaRuntime

__all__ = ["SampleEvent", "install_samples", "sample_events"]

_log = logging.getLogger(__name__)

_META = "samples"


@dataclass(frozen=True, slots=True)
class SampleEvent:
    """An event to start from: its title, and its payload as indented JSON."""

    title: str
    payload: str


@dataclass(frozen=True, slots=True)
class _Sample:
    name: str
    definition: dict[str, Any]
    events: tuple[SampleEvent, ...]
    code: Path


async def install_samples(runtime: LambdaRuntime) -> list[str]:
    """Add the sample functions that this home has never had; returns the names of those added.

    Their code is copied to `home/samples/NAME`, where a person can edit it. A function that has
    the name already is left alone, and a sample that was removed does not come back. Samples that
    cannot run on this machine are added too: the list says why they cannot. One that cannot be
    added is told as a `Trouble`, and tried again at the next start. Files are read and copied on a
    thread. Raises HomeUnusableError where the journal cannot be written.
    """
    had: list[str] = json.loads(await runtime.journal.get_meta(_META) or "[]")
    taken = {function.function_name for function in runtime.functions()}
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stoker-samples")
    added: list[str] = []
    try:
        for name in await asyncio.wrap_future(thread.submit(_names)):
            if name in had:
                continue
            if name not in taken:
                try:
                    sample = await asyncio.wrap_future(thread.submit(_unpack, name, runtime.home / "samples"))
                    await _add(runtime, sample)
                except (LambdaRuntimeError, OSError) as error:
                    _log.warning("%s was not installed", name, exc_info=True)
                    message = f"{name} was not installed: {error}. It is tried again at the next start."
                    runtime.events.publish(Trouble(about="samples", message=message))
                    continue
                added.append(name)
            # noted one by one: a kill in between neither loses the rest nor brings one back
            had.append(name)
            await runtime.journal.set_meta(_META, json.dumps(had))
    finally:
        thread.shutdown(wait=False)
    return added


def sample_events() -> list[SampleEvent]:
    """Events as AWS services send them, by title. Reads a few small files."""
    return _events(files("resources") / "events")


async def _add(runtime: LambdaRuntime, sample: _Sample) -> None:
    function = LambdaFunction(function_name=sample.name, code=sample.code, **sample.definition)
    await runtime.add_function(function)
    for event in sample.events:
        await runtime.save_event(sample.name, event.title, event.payload)


def _names() -> list[str]:
    return sorted(entry.name for entry in (files("resources") / "samples").iterdir() if _is_sample(entry))


def _is_sample(entry: Traversable) -> bool:
    return entry.is_dir() and (entry / "function.json").is_file()


def _unpack(name: str, into: Path) -> _Sample:
    source = files("resources") / "samples" / name
    return _Sample(
        name=name,
        definition=json.loads((source / "function.json").read_text("utf-8")),
        events=tuple(_events(source / "events")),
        code=_copy_code(source / "code", into / name),
    )


def _events(folder: Traversable) -> list[SampleEvent]:
    found = []
    for entry in folder.iterdir():
        if entry.name.endswith(".json"):
            content = json.loads(entry.read_text("utf-8"))
            found.append(SampleEvent(content["title"], json.dumps(content["payload"], indent=2, ensure_ascii=False)))
    return sorted(found, key=lambda event: event.title.casefold())


def _copy_code(source: Traversable, target: Path) -> Path:
    """Copy in one step, so that what is there is whole; what a person has edited stays."""
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            _copy_folder(source, scratch)
            scratch.chmod(0o755)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _copy_folder(source: Traversable, target: Path) -> None:
    for entry in source.iterdir():
        if entry.name == "__pycache__":
            continue
        copy = target / entry.name
        if entry.is_dir():
            copy.mkdir(mode=0o755)
            _copy_folder(entry, copy)
        else:
            content = entry.read_bytes()
            copy.write_bytes(content)
            # a wheel does not always keep the executable bit; without it a bootstrap cannot start
            copy.chmod(0o755 if content.startswith(b"#!") else 0o644)
