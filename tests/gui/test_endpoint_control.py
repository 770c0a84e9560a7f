"""The endpoint as the window has it: opened, moved, closed, remembered, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.errors import EndpointUnusableError, InvalidSettingError
from core.runtime import LambdaRuntime
from core.settings import load_settings
from gui.endpoint import EndpointControl, EndpointState, is_free
from tests.gui.endpoint_support import client_of, taken
from tests.gui.window_support import SLOW, python_code, python_function, until


@pytest.fixture
async def control(live_runtime: LambdaRuntime) -> AsyncIterator[EndpointControl]:
    made = EndpointControl(live_runtime)
    made.port = 0
    yield made
    await live_runtime.close()
    await made.aclose()


def states(control: EndpointControl) -> list[EndpointState]:
    seen: list[EndpointState] = []
    control.changed.connect(lambda: seen.append(control.state))
    return seen


async def listed(control: EndpointControl) -> list[str]:
    found = await asyncio.to_thread(client_of(control.url).list_functions)
    return [each["FunctionName"] for each in found["Functions"]]


async def slow_call(
    runtime: LambdaRuntime, control: EndpointControl, folder: Path, seconds: float
) -> asyncio.Task[str]:
    """A client that waits for a function; returns once an instance is busy with it."""
    await runtime.add_function(python_function("slow", python_code(folder / "slow", SLOW), timeout=60))
    client = client_of(control.url)

    def call() -> str:
        try:
            payload = json.dumps({"seconds": seconds}).encode()
            return str(client.invoke(FunctionName="slow", Payload=payload)["Payload"].read().decode())
        except Exception as error:
            return type(error).__name__

    task = asyncio.ensure_future(asyncio.to_thread(call))
    await until(lambda: any(instance.request_id for instance in runtime.instances()))
    return task


async def test_it_opens_answers_and_closes(control: EndpointControl) -> None:
    seen = states(control)
    address = await control.open()
    assert control.on
    assert control.url == f"http://{address}"
    assert address.startswith("127.0.0.1:")
    assert await listed(control) == []
    await control.close()
    assert not control.on
    assert control.address is None
    assert is_free(int(address.rpartition(":")[2]))
    assert seen[-1] is EndpointState.OFF
    assert list(dict.fromkeys(seen))[:2] == [EndpointState.OPENING, EndpointState.ON]


async def test_it_opens_again_and_again(control: EndpointControl) -> None:
    for _ in range(3):
        await control.open()
        assert await listed(control) == []
        await control.close()


async def test_a_port_that_is_taken_is_a_problem_in_words_and_another_one_is_not(control: EndpointControl) -> None:
    with taken() as port:
        assert not is_free(port)
        with pytest.raises(EndpointUnusableError, match="another program listens there already"):
            await control.open(port)
        assert control.state is EndpointState.OFF
        assert control.problem is not None
        assert str(port) in str(control.problem)
        await control.open(0)
        assert control.problem is None


async def test_it_moves_to_another_port(control: EndpointControl) -> None:
    first = await control.open()
    with taken() as port:
        pass
    await control.open(port)
    assert control.address == f"127.0.0.1:{port}"
    assert control.port == port
    assert is_free(int(first.rpartition(":")[2]))
    assert await listed(control) == []


async def test_where_it_cannot_move_it_stays_where_it_was(control: EndpointControl) -> None:
    first = await control.open()
    with taken() as port, pytest.raises(EndpointUnusableError):
        await control.open(port)
    assert control.address == first
    assert control.problem is not None
    assert await listed(control) == []


async def test_asked_for_the_port_it_has_it_cuts_nobody_off(
    control: EndpointControl, live_runtime: LambdaRuntime, tmp_path: Path
) -> None:
    address = await control.open()
    call = await slow_call(live_runtime, control, tmp_path, 0.3)
    assert await control.open(int(address.rpartition(":")[2])) == address
    assert await call == '"done"'


async def test_drained_it_listens_no_more_and_answers_what_was_asked(
    control: EndpointControl, live_runtime: LambdaRuntime, tmp_path: Path
) -> None:
    address = await control.open()
    call = await slow_call(live_runtime, control, tmp_path, 0.8)
    closing = asyncio.ensure_future(control.close(drain=True))
    await until(lambda: control.state is EndpointState.CLOSING)
    await until(lambda: is_free(int(address.rpartition(":")[2])))
    assert not closing.done()
    assert await call == '"done"'
    await closing
    assert control.state is EndpointState.OFF


async def test_a_drain_that_is_cut_waits_no_longer_and_the_function_goes_on(
    control: EndpointControl, live_runtime: LambdaRuntime, tmp_path: Path
) -> None:
    await control.open()
    call = await slow_call(live_runtime, control, tmp_path, 1.5)
    closing = asyncio.ensure_future(control.close(drain=True))
    await until(lambda: control.state is EndpointState.CLOSING)
    control.cut()
    async with asyncio.timeout(10):
        await closing
        assert await call != '"done"'
    assert live_runtime.running() == 1
    await control.open(0)
    assert await listed(control) == ["slow"]
    await until(lambda: live_runtime.running() == 0)
    (instance,) = live_runtime.instances()
    assert instance.served == 1


async def test_what_is_remembered_is_the_switch_and_with_it_a_port_that_was_chosen(
    control: EndpointControl, live_runtime: LambdaRuntime
) -> None:
    path = live_runtime.home / "settings.json"
    path.write_text('{"idle_ttl": 77, "from a newer one": true}')
    path.chmod(0o600)
    with taken() as port:
        pass
    await control.open(port)
    await control.remember()
    assert (load_settings(path).endpoint_on, load_settings(path).endpoint_port) == (True, 9001)
    await control.remember(port=True)
    assert load_settings(path).endpoint_port == port
    await control.close()
    await control.remember()
    assert json.loads(path.read_text()) == {
        "idle_ttl": 77,
        "from a newer one": True,
        "endpoint_on": False,
        "endpoint_port": port,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_broken_settings_file_is_left_as_it_is(control: EndpointControl, live_runtime: LambdaRuntime) -> None:
    path = live_runtime.home / "settings.json"
    path.write_text("{ not json")
    await control.open()
    with pytest.raises(InvalidSettingError, match=r"settings\.json"):
        await control.remember()
    assert path.read_text() == "{ not json"
    assert control.on


async def test_closed_for_good_it_opens_no_more(live_runtime: LambdaRuntime) -> None:
    control = EndpointControl(live_runtime)
    await control.open(0)
    await control.aclose()
    await control.aclose()
    with pytest.raises(EndpointUnusableError, match="Stoker is closing"):
        await control.open(0)


def test_a_window_without_an_endpoint_does_not_read_it_in() -> None:
    code = (
        "import sys, gui.main_window, gui.app\n"
        "found = [name for name in sys.modules if name.startswith('core.endpoint') or name == 'pydantic']\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
