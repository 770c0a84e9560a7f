"""Where functions start that choose no backend: changed while Stoker runs, and remembered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.backends.process import ProcessBackend
from core.errors import BackendUnavailableError, HomeUnusableError
from core.events import DefaultBackendChanged, Event
from core.local_emulators import LocalEmulators
from core.runtime import LambdaRuntime
from core.settings import change_settings, load_settings
from tests.core.sources import python_function


class Other(ProcessBackend):
    """Processes too, under another name."""

    name = "other"


def _backends(home: Path) -> list[ProcessBackend]:
    local = LocalEmulators()
    return [ProcessBackend(home, "o-first", local=local), Other(home / "second", "o-second", local=local)]


async def test_new_instances_start_on_the_new_default_and_old_ones_stay(home: Path, tmp_path: Path) -> None:
    async with LambdaRuntime.open(home, backends=_backends(home)) as runtime:
        told: list[Event] = []
        runtime.events.subscribe(told.append)
        free = python_function(tmp_path, "def handler(event, context):\n    return 1\n", "free")
        bound = free.replace(function_name="bound", backend="process")
        await runtime.add_function(free)
        await runtime.add_function(bound)
        (before,) = await runtime.launch("free")
        await runtime.set_default_backend("other")
        assert runtime.default_backend() == "other"
        assert [each.backend for each in told if isinstance(each, DefaultBackendChanged)] == ["other"]
        (after,) = await runtime.launch("free")
        (stays,) = await runtime.launch("bound")
        assert [before.backend, after.backend, stays.backend] == ["process", "other", "process"]
        assert runtime.instance(before.id).current_deploy, "an instance is not old for where it runs"
    async with LambdaRuntime.open(home, backends=_backends(home)) as runtime:
        assert runtime.default_backend() == "other"
        (again,) = await runtime.launch("free")
        assert again.backend == "other"


async def test_the_same_default_again_changes_nothing(home: Path) -> None:
    async with LambdaRuntime.open(home, backends=_backends(home)) as runtime:
        told: list[Event] = []
        runtime.events.subscribe(told.append)
        await runtime.set_default_backend("process")
        assert not told


async def test_a_backend_that_is_not_there_is_refused_with_those_that_are(home: Path) -> None:
    async with LambdaRuntime.open(home, backends=_backends(home)) as runtime:
        with pytest.raises(BackendUnavailableError, match="process, other"):
            await runtime.set_default_backend("kubernetes")
        assert runtime.default_backend() == "process"


async def test_what_cannot_be_kept_is_not_changed(home: Path) -> None:
    async with LambdaRuntime.open(home, backends=_backends(home)) as runtime:
        (home / "settings.json").mkdir()
        with pytest.raises(HomeUnusableError):
            await runtime.set_default_backend("other")
        assert runtime.default_backend() == "process"


async def test_settings_that_change_at_once_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    changes: list[dict[str, object]] = [
        {"endpoint_port": 9100},
        {"default_backend": "docker"},
        {"endpoint_on": True},
        {"idle_ttl": 7.0},
    ]
    await asyncio.gather(*(asyncio.to_thread(change_settings, file, **each) for each in changes))
    kept = load_settings(file)
    assert (kept.endpoint_port, kept.default_backend, kept.endpoint_on, kept.idle_ttl) == (9100, "docker", True, 7.0)


async def test_an_engine_tells_where_it_is_looked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{home}/no-podman.sock")
    async with LambdaRuntime.open(home) as runtime:
        facts = runtime.backend_facts("podman")
        text = " ".join(facts.values())
        assert f"{home}/no-podman.sock" in text or "address" in facts
        with pytest.raises(BackendUnavailableError):
            runtime.backend_facts("kubernetes")
