"""Images come from a real registry: ahead of a launch or with it, with progress, once for all who wait."""

from __future__ import annotations

import asyncio
import io
import os
import platform
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core.errors import ContainerStartFailedError, ImagePullError
from core.events import Event, ImagePullChanged, InstancePhaseChanged
from core.functions import ImageConfig, LambdaFunction
from core.images import ImagePull, PullState
from core.runtime import LambdaRuntime
from tests.core.waiting import until
from tests.engines.base_image import image_names
from tests.engines.engine import EngineUnderTest
from tests.engines.local_registry import LocalRegistry
from tests.engines.slow_registry import narrow_way

_IMAGE = image_names("python3.11")[0]
_LARGE = 12_000_000  # bytes that no compression makes fewer
_CODE = "def handler(event, context):\n    return 'from an image'\n"


class Pulls:
    """Every step of every pull that a Stoker tells of."""

    def __init__(self, runtime: LambdaRuntime) -> None:
        self.steps: list[ImagePull] = []
        runtime.events.subscribe(self._heard)

    def _heard(self, event: Event) -> None:
        if isinstance(event, ImagePullChanged):
            self.steps.append(event.pull)

    @property
    def last(self) -> ImagePull | None:
        return self.steps[-1] if self.steps else None

    def is_(self, state: PullState) -> Callable[[], bool]:
        return lambda: self.last is not None and self.last.state is state


@asynccontextmanager
async def stoker(engine: EngineUnderTest, home: Path, **settings: Any) -> AsyncIterator[LambdaRuntime]:
    async with LambdaRuntime.open(home=home, default_backend=engine.name, **settings) as runtime:
        await until(runtime, lambda: runtime.backends()[engine.name].online)
        yield runtime


def image_function(image: str, name: str = "pictured") -> LambdaFunction:
    return LambdaFunction(
        function_name=name,
        package_type="Image",
        image_uri=image,
        image_config=ImageConfig(command=("app.handler",)),
        timeout=10,
        memory_size=256,
    )


@pytest.fixture(scope="module")
def pushed() -> dict[str, str]:
    """By engines' names: an image of each in the registry."""
    return {}


@pytest.fixture
def image(engine: EngineUnderTest, registry: LocalRegistry, pushed: dict[str, str]) -> Iterator[str]:
    """An image that the registry has and the engine has not: a function on AWS's own, and a large file."""
    if engine.name not in pushed:
        pushed[engine.name] = _made(engine, registry)
    yield pushed[engine.name]
    remove(engine, pushed[engine.name])


def _built(engine: EngineUnderTest, code: str = _CODE) -> str:
    local = f"stoker-test/{uuid4().hex}"
    container = engine.client.create_container(_IMAGE)["Id"]
    try:
        engine.client.put_archive(container, "/var/task", _archive({"app.py": code, "large": os.urandom(_LARGE)}))
        engine.client.commit(container, local, "1")
    finally:
        engine.client.remove_container(container)
    return local


def _made(engine: EngineUnderTest, registry: LocalRegistry, code: str = _CODE) -> str:
    local = _built(engine, code)
    try:
        return registry.push(engine.client, f"{local}:1", local, "1")
    finally:
        remove(engine, f"{local}:1")


def _archive(files: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    # without the padding, on which Podman may fail
    return packed.getvalue()[: tar.offset]


def remove(engine: EngineUnderTest, image: str) -> None:
    from docker.errors import NotFound

    with suppress(NotFound):
        engine.client.remove_image(image, force=True)


def has(engine: EngineUnderTest, image: str) -> bool:
    from docker.errors import NotFound

    try:
        engine.client.inspect_image(image)
    except NotFound:
        return False
    return True


async def test_a_function_that_is_added_has_its_image_pulled_ahead(
    engine: EngineUnderTest, image: str, tmp_path: Path
) -> None:
    async with stoker(engine, tmp_path / "home") as runtime:
        pulls = Pulls(runtime)
        await runtime.add_function(image_function(image))
        await until(runtime, pulls.is_(PullState.DONE))

        assert pulls.steps[0].state is PullState.PULLING
        assert pulls.last is not None
        assert pulls.last.image == image
        assert pulls.last.layers == pulls.last.layers_done > 0
        assert runtime.pulls() == []
        assert has(engine, image)

        result = await runtime.invoke("pictured")
        assert result.payload == b'"from an image"'
        assert "pull" not in result.phases


async def test_an_image_for_another_architecture_is_none(
    engine: EngineUnderTest, registry: LocalRegistry, tmp_path: Path
) -> None:
    here = "arm64" if platform.machine() in {"arm64", "aarch64"} else "amd64"
    name = f"{registry.address}/stoker-test/only-here:1"
    engine.client.tag(_IMAGE, *name.rsplit(":", 1))
    try:
        async with stoker(engine, tmp_path / "home") as runtime:
            other = "x86_64" if here == "arm64" else "arm64"
            await runtime.add_function(replace(image_function(name), architecture=other))
            with pytest.raises(ImagePullError, match=f"{engine.name} has it for {here} only"):
                await runtime.prepull("pictured")
            with pytest.raises(ContainerStartFailedError, match=f"{engine.name} has it for {here} only"):
                await runtime.invoke("pictured")
    finally:
        remove(engine, name)


_NEWER = "def handler(event, context):\n    return 'from a newer image'\n"


async def test_a_tag_that_was_moved_here_is_taken_up_when_the_code_is_reloaded(
    engine: EngineUnderTest, tmp_path: Path
) -> None:
    older, newer, name = _built(engine), _built(engine, _NEWER), f"stoker-test/{uuid4().hex}"
    try:
        async with stoker(engine, tmp_path / "home") as runtime:
            engine.client.tag(f"{older}:1", name, "1")
            await runtime.add_function(image_function(f"{name}:1"))
            first = await runtime.invoke("pictured")
            assert not await runtime.refresh_code("pictured")
            engine.client.tag(f"{newer}:1", name, "1")
            assert await runtime.refresh_code("pictured")
            second = await runtime.invoke("pictured")
            assert [first.payload, second.payload] == [b'"from an image"', b'"from a newer image"']
            assert first.instance_id not in {each.id for each in runtime.instances()}
    finally:
        for each in (older, newer, name):
            remove(engine, f"{each}:1")


async def test_an_image_that_was_pushed_anew_is_pulled_when_the_code_is_reloaded(
    engine: EngineUnderTest, image: str, registry: LocalRegistry, tmp_path: Path
) -> None:
    newer = _made(engine, registry, _NEWER)
    try:
        async with stoker(engine, tmp_path / "home") as runtime:
            # by a name of the test's own: other tests want what the image's name means
            name = image.rpartition(":")[0] + ":moving"
            registry.point(name, at=image)
            await runtime.add_function(image_function(name))
            first = await runtime.invoke("pictured")
            registry.point(name, at=newer)
            assert await runtime.refresh_code("pictured")
            second = await runtime.invoke("pictured")
            assert [first.payload, second.payload] == [b'"from an image"', b'"from a newer image"']
    finally:
        remove(engine, name)
        remove(engine, newer)


async def test_a_launch_that_misses_its_image_pulls_it_and_says_how_long_that_took(
    engine: EngineUnderTest, image: str, tmp_path: Path
) -> None:
    async with stoker(engine, tmp_path / "home") as runtime:
        await runtime.add_function(image_function(image))
        await runtime.prepull("pictured")
        remove(engine, image)
        phases: list[str] = []
        runtime.events.subscribe(
            lambda event: (
                phases.append(event.phase.name)
                if isinstance(event, InstancePhaseChanged) and event.phase.seconds is not None
                else None
            )
        )
        result = await runtime.invoke("pictured")
        assert result.payload == b'"from an image"'
        assert phases == ["prepare", "create", "pull", "create", "start", "init"]
        assert result.phases["pull"] > 0


async def test_progress_is_told_while_bytes_come_and_a_pull_can_be_cancelled_and_begun_again(
    engine: EngineUnderTest, image: str, registry: LocalRegistry, tmp_path: Path
) -> None:
    port = int(registry.address.rpartition(":")[2])
    async with narrow_way(port, 2_000_000) as way, stoker(engine, tmp_path / "home") as runtime:
        name = image.replace(registry.address, way.address)
        pulls = Pulls(runtime)
        await runtime.add_function(image_function(name))
        await until(runtime, lambda: pulls.last is not None and pulls.last.layers > pulls.last.layers_done)
        if engine.name == "docker":
            # Podman tells of bytes now and then only
            await until(runtime, lambda: pulls.last is not None and 0 < pulls.last.received < pulls.last.total)
        (running,) = runtime.pulls()
        waiting = asyncio.ensure_future(runtime.invoke("pictured"))
        await until(runtime, lambda: any(p.name == "pull" for i in runtime.instances() for p in i.phases))
        assert len({pull.id for pull in pulls.steps}) == 1, "one pull for all who wait"

        assert runtime.cancel_pull(running.id)
        with pytest.raises(ContainerStartFailedError, match=f"{name} .*pull was cancelled"):
            await waiting
        assert pulls.is_(PullState.CANCELLED)()
        assert not has(engine, name)
        assert not runtime.cancel_pull(running.id)

        way.open.set()
        try:
            await runtime.prepull("pictured")
            assert pulls.is_(PullState.DONE)()
            assert (await runtime.invoke("pictured")).payload == b'"from an image"'
        finally:
            await runtime.stop_all()
            remove(engine, name)


async def test_closing_gives_up_a_pull_and_leaves_nothing(
    engine: EngineUnderTest, image: str, registry: LocalRegistry, tmp_path: Path
) -> None:
    port = int(registry.address.rpartition(":")[2])
    async with narrow_way(port, 2_000_000) as way:
        async with stoker(engine, tmp_path / "home") as runtime:
            pulls = Pulls(runtime)
            await runtime.add_function(image_function(image.replace(registry.address, way.address)))
            await until(runtime, pulls.is_(PullState.PULLING))
        assert pulls.last is not None
        assert pulls.last.state is PullState.CANCELLED
        left = [task.get_name() for task in asyncio.all_tasks() if "pull" in task.get_name()]
        assert left == []


async def test_an_image_that_nobody_has_is_named_in_the_error(
    engine: EngineUnderTest, registry: LocalRegistry, tmp_path: Path
) -> None:
    name = f"{registry.address}/nobody/has:this"
    async with stoker(engine, tmp_path / "home") as runtime:
        pulls = Pulls(runtime)
        await runtime.add_function(image_function(name))
        await until(runtime, pulls.is_(PullState.FAILED))
        assert pulls.last is not None
        assert pulls.last.detail
        with pytest.raises(ImagePullError, match=name):
            await runtime.prepull("pictured")
        with pytest.raises(ContainerStartFailedError, match=f"{name} is not on {engine.name} and could not be pulled"):
            await runtime.invoke("pictured")
        assert runtime.instances() == []


async def test_rules_put_a_local_registry_in_the_place_of_a_private_one(
    engine: EngineUnderTest, image: str, registry: LocalRegistry, tmp_path: Path
) -> None:
    private = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    rules = [f"*.dkr.ecr.*.amazonaws.com/* => {registry.address}/{{3}}"]
    async with stoker(engine, tmp_path / "home", image_rules=rules) as runtime:
        await runtime.add_function(image_function(image.replace(registry.address, private)))
        assert (await runtime.invoke("pictured")).payload == b'"from an image"'
        (container,) = engine.containers(runtime.owner_id)
        assert engine.inspect(container)["Config"]["Image"] == image


async def test_rules_put_a_mirror_in_the_place_of_aws_s_base_images(
    engine: EngineUnderTest, image: str, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text(_CODE)
    async with stoker(engine, tmp_path / "home", image_rules=[f"public.ecr.aws/lambda/python:* => {image}"]) as runtime:
        await runtime.add_function(
            LambdaFunction(function_name="zipped", runtime="python3.13", handler="app.handler", code=code, timeout=10)
        )
        assert (await runtime.invoke("zipped")).payload == b'"from an image"'
