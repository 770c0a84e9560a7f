"""An engine that answers late, with errors, with half an answer or not at all: each is told, and nothing is left.

A small proxy stands in front of the real engine's socket and makes the trouble.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.backends.container import client, connection
from core.backends.container import engine as engine_module
from core.errors import BackendUnavailableError, ContainerStartFailedError, LambdaRuntimeError
from core.events import BackendChanged, Event
from core.functions import ImageConfig, LambdaFunction
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from tests.core.waiting import until
from tests.engines.base_image import image_names
from tests.engines.conformance import ECHO_RUNTIME
from tests.engines.engine import EngineUnderTest
from tests.engines.trouble import (
    EngineProxy,
    Request,
    busy,
    contained,
    container_of,
    gone,
    nothing_left,
    online,
    serves,
    until_removed,
)

CREATE = r"POST .*/containers/create"
START = r"POST .*/containers/\w+/start"
REMOVE = r"DELETE .*/containers/"
EVENTS = r"GET .*/events"


@pytest_asyncio.fixture
async def proxy(
    engine: EngineUnderTest, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EngineProxy]:
    made = EngineProxy(short_path / "p.sock", engine.url)
    monkeypatch.setenv("DOCKER_HOST" if engine.name == "docker" else "CONTAINER_HOST", made.url)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def stoker(engine: EngineUnderTest, proxy: EngineProxy, tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    """A Stoker behind the proxy that leaves nothing, whatever a test does to it."""
    async with nothing_left(engine):
        async with LambdaRuntime.open(home=tmp_path / "home", default_backend=engine.name) as opened:
            await online(opened, engine.name)
            await opened.add_function(contained(tmp_path, timeout=600))
            yield opened
            proxy.forget()
            await online(opened, engine.name)
            await serves(opened)
        assert engine.containers(opened.owner_id) == set()
        await proxy.cut()


def goes_offline(stoker: LambdaRuntime, backend: str) -> asyncio.Event:
    """Set once this backend has gone."""
    gone_off = asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, BackendChanged) and event.backend == backend and not event.online:
            gone_off.set()

    stoker.events.subscribe(note)
    return gone_off


async def _error(request: Request) -> bool:
    request.answer(500, "the disk is on fire")
    return False


async def _cut(request: Request) -> bool:
    return False


@pytest.mark.parametrize("call", [CREATE, START, r"POST .*/attach", r"GET .*/containers/\w+/json"])
async def test_an_error_of_the_engine_fails_the_launch_in_its_words(
    stoker: LambdaRuntime, proxy: EngineProxy, call: str
) -> None:
    proxy.when(call, _error)
    with pytest.raises(ContainerStartFailedError, match=r"an instance of scripted did not start: .*disk is on fire"):
        await stoker.invoke("scripted", b"{}")
    assert stoker.instances() == []


@pytest.mark.parametrize("call", [CREATE, START])
async def test_a_call_that_is_cut_off_fails_the_launch_and_the_engine_is_looked_for(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy, call: str
) -> None:
    seen: list[BackendChanged] = []
    stoker.events.subscribe(lambda event: seen.append(event) if isinstance(event, BackendChanged) else None)
    proxy.when(call, _cut)
    with pytest.raises(ContainerStartFailedError, match="an instance of scripted did not start"):
        await stoker.invoke("scripted", b"{}")
    await until(stoker, lambda: seen and stoker.backends()[engine.name].online)
    assert [each.online for each in seen if each.backend == engine.name][:1] == [False]


@pytest.mark.parametrize("call", [CREATE, START])
async def test_what_the_engine_did_though_its_answer_was_lost_is_undone(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy, call: str
) -> None:
    proxy.swallow(call)
    with pytest.raises(ContainerStartFailedError):
        await stoker.invoke("scripted", b"{}")
    proxy.forget()
    while engine.containers(stoker.owner_id):
        await proxy.asked(REMOVE)
        await asyncio.sleep(0.05)  # the engine removes it; nothing tells a test so


async def test_cancelled_while_the_engine_creates_slowly(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy
) -> None:
    let_go = asyncio.Event()

    async def slowly(request: Request) -> bool:
        return await let_go.wait()

    proxy.when(CREATE, slowly)
    invoking = asyncio.ensure_future(stoker.invoke("scripted", b"{}"))
    await proxy.asked(CREATE)
    (starting,) = stoker.instances()
    assert starting.state is InstanceState.STARTING
    invoking.cancel()
    await asyncio.gather(invoking, return_exceptions=True)
    ending = asyncio.ensure_future(stoker.terminate(starting.id, force=True))
    await until(stoker, lambda: stoker.instance(starting.id).state is InstanceState.TERMINATING)
    let_go.set()
    await ending
    await gone(stoker, starting.id)
    assert engine.containers(stoker.owner_id) == set()


async def test_removals_that_fail_are_tried_again(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy
) -> None:
    launched = await stoker.launch("scripted", 2)
    proxy.when(REMOVE, _error)
    await stoker.evict("scripted")
    assert stoker.instances() == []
    assert engine.containers(stoker.owner_id) == {container_of(each) for each in launched}
    proxy.forget()
    await until_removed(engine, engine.containers(stoker.owner_id))


async def test_events_that_break_off_are_taken_up_again(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy
) -> None:
    kept, killed = await stoker.launch("scripted", 2)
    offline = goes_offline(stoker, engine.name)

    async def deaf(request: Request) -> bool:
        request.answer(500, "no events today")
        return False

    proxy.when(EVENTS, deaf)
    await proxy.cut()
    await offline.wait()
    await asyncio.to_thread(engine.client.kill, container_of(killed))
    await until(stoker, lambda: "no events today" in stoker.backends()[engine.name].detail)
    proxy.forget()
    await online(stoker, engine.name)
    await gone(stoker, killed.id)
    assert await serves(stoker) == kept.id, "what ran on goes on"
    await asyncio.to_thread(engine.client.kill, container_of(kept))
    await gone(stoker, kept.id)


async def test_what_a_container_writes_is_heard_again_after_a_break(
    stoker: LambdaRuntime, proxy: EngineProxy, engine: EngineUnderTest
) -> None:
    (instance,) = await stoker.launch("scripted")
    offline = goes_offline(stoker, engine.name)
    await proxy.cut()
    await offline.wait()
    await online(stoker, engine.name)
    result = await stoker.invoke("scripted", json.dumps([["say", "heard again"], ["chunk", "x"]]).encode())
    assert result.instance_id == instance.id
    await until(stoker, lambda: "heard again" in stoker.log_lines(instance.id))


async def test_offline_and_back_without_a_restart(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy
) -> None:
    invocation = await busy(stoker)
    await proxy.stop()
    await until(stoker, lambda: not stoker.backends()[engine.name].online)
    with pytest.raises(BackendUnavailableError) as raised:
        await stoker.invoke("scripted", b"{}")
    assert engine.name in str(raised.value)
    assert await stoker.reap_stale(dry_run=True) is not None
    await proxy.start()
    await online(stoker, engine.name)
    assert [each.state for each in stoker.instances()] == [InstanceState.BUSY]
    await invocation.cancel()
    await gone(stoker, invocation.instance_id)


async def test_ended_while_the_engine_was_away(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy
) -> None:
    (instance,) = await stoker.launch("scripted")
    await proxy.stop()
    await until(stoker, lambda: not stoker.backends()[engine.name].online)
    await stoker.terminate(instance.id)
    await gone(stoker, instance.id)
    assert engine.containers(stoker.owner_id) == {container_of(instance)}
    await proxy.start()
    await online(stoker, engine.name)
    await serves(stoker)
    await until_removed(engine, [container_of(instance)])


async def test_an_engine_that_hangs_is_offline_and_keeps_nobody_waiting(
    engine: EngineUnderTest, proxy: EngineProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    make = client.make_client

    def noted(*args: Any, **named: Any) -> Any:
        made.append(make(*args, **named))
        return made[-1]

    monkeypatch.setattr(client, "make_client", noted)
    let_go = asyncio.Event()

    async def hangs(request: Request) -> bool:
        return await let_go.wait()

    async with nothing_left(engine):
        async with LambdaRuntime.open(home=tmp_path / "home", default_backend=engine.name) as runtime:
            await online(runtime, engine.name)
            await runtime.add_function(contained(tmp_path))
            await runtime.launch("scripted", 10)
            for each in made:
                each.timeout = 2  # not the minute for which a busy engine may think
            proxy.when("", hangs)
            # ten calls, for eight threads: two find out before they have begun
            await runtime.evict("scripted")
            assert runtime.instances() == []
            await until(runtime, lambda: "it does not answer" in runtime.backends()[engine.name].detail)
            with pytest.raises(BackendUnavailableError, match="it does not answer"):
                await runtime.invoke("scripted", b"{}")
            proxy.forget()
            let_go.set()
            await online(runtime, engine.name)
            await serves(runtime)
        assert engine.containers(runtime.owner_id) == set()
        await proxy.cut()
        made.clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stoker looks after a call that waits at once, not after ten seconds."""
    monkeypatch.setattr(engine_module, "_LATE", 0.1)
    monkeypatch.setattr(connection, "_ALIVE", 1)


@pytest.mark.usefixtures("impatient")
async def test_a_close_does_not_wait_for_an_engine_that_answers_nobody(
    engine: EngineUnderTest, proxy: EngineProxy, tmp_path: Path
) -> None:
    let_go = asyncio.Event()

    async def hangs(request: Request) -> bool:
        return await let_go.wait()

    async with nothing_left(engine):
        async with LambdaRuntime.open(home=tmp_path / "home", default_backend=engine.name) as runtime:
            await online(runtime, engine.name)
            await runtime.add_function(contained(tmp_path))
            (instance,) = await runtime.launch("scripted")
            proxy.when("", hangs)
            # a removal by itself has a minute for its answer
            async with asyncio.timeout(40):
                await runtime.close()
            assert "it does not answer" in runtime.backends()[engine.name].detail
        proxy.forget()
        let_go.set()
        async with LambdaRuntime.open(home=tmp_path / "home") as second:
            await online(second, engine.name)
            await second.reap_stale()
            await until_removed(engine, [container_of(instance)])
        await proxy.cut()


@pytest.mark.usefixtures("impatient")
async def test_a_call_that_takes_long_is_waited_for_while_the_engine_answers(
    engine: EngineUnderTest, stoker: LambdaRuntime, proxy: EngineProxy
) -> None:
    asked = 0
    let_go = asyncio.Event()

    async def slowly(request: Request) -> bool:
        return await let_go.wait()

    async def is_there(request: Request) -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            let_go.set()
        return True

    proxy.when(CREATE, slowly)
    proxy.when(r"GET .*/_ping", is_there)
    offline = goes_offline(stoker, engine.name)
    await serves(stoker)
    assert asked >= 3
    assert not offline.is_set()


async def test_closed_while_the_engine_is_away_the_next_stoker_is_offered_what_is_left(
    engine: EngineUnderTest, proxy: EngineProxy, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    async with nothing_left(engine):
        async with LambdaRuntime.open(home=home, default_backend=engine.name) as first:
            await online(first, engine.name)
            await first.add_function(contained(tmp_path))
            (instance,) = await first.launch("scripted")
            await proxy.stop()
            await until(first, lambda: not first.backends()[engine.name].online)
        assert engine.containers(first.owner_id) == {container_of(instance)}
        async with LambdaRuntime.open(home=home) as second:
            await second.reap_stale()
            # the engine is away still: what is known of the owner must not be forgotten
            await proxy.start()
            await online(second, engine.name)
            (candidate,) = [each for each in await second.reap_stale(dry_run=True) if each.owner == first.owner_id]
            assert candidate.reap
            assert candidate.reason == "its Stoker has ended"
            await second.reap_stale(only={candidate.id})
            assert engine.containers(first.owner_id) == set()
        await proxy.cut()


async def test_a_published_port_that_is_taken_names_it(
    engine: EngineUnderTest, proxy: EngineProxy, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def want_it(request: Request) -> bool:
            body = re.sub(rb'"HostPort": ?""', b'"HostPort": "%d"' % port, request.body)
            assert body != request.body, request.body
            request.replace(request.body, body)
            return True

        async with nothing_left(engine):
            async with LambdaRuntime.open(
                home=tmp_path / "home", default_backend=engine.name, container_transport="image"
            ) as runtime:
                await online(runtime, engine.name)
                await runtime.add_function(contained(tmp_path))
                proxy.when(CREATE, want_it)
                with pytest.raises(
                    ContainerStartFailedError, match=r"(?i)scripted did not start: .*address already in"
                ):
                    await runtime.invoke("scripted", b"{}")
                assert engine.containers(runtime.owner_id) == set()
            await proxy.cut()


async def test_an_image_that_is_deleted_between_two_launches(
    engine: EngineUnderTest, stoker: LambdaRuntime, tmp_path: Path
) -> None:
    name = "localhost/stoker-test/deleted:1"
    engine.client.tag(image_names("provided.al2023")[0], *name.rsplit(":", 1))
    try:
        image = LambdaFunction(
            function_name="of-image", package_type="Image", image_uri=name, timeout=20, memory_size=256,
            image_config=ImageConfig(entry_point=("/usr/bin/python3", "-IS", "-c", ECHO_RUNTIME)),
        )  # fmt: skip
        await stoker.add_function(image)
        await serves(stoker, "of-image")
        await stoker.evict("of-image")
    finally:
        engine.client.remove_image(name)
    with pytest.raises(LambdaRuntimeError, match=re.escape(name)):
        await stoker.invoke("of-image", b"{}")
