"""On both engines: services on this machine, as functions in containers find them by the URLs in their environment."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from core.endpoint.endpoint import Endpoint
from core.events import InstanceLogged
from core.runtime import LambdaRuntime
from tests.core.ports import free_port, listening_at
from tests.core.sources import scripted_function
from tests.core.waiting import until
from tests.engines.conformance import Bench, in_containers, steps

pytestmark = in_containers

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nhere"

# It says what it got, or what kind of error it saw.
ASK = """
    import os, urllib.request

    def handler(event, context):
        try:
            with urllib.request.urlopen(os.environ["SERVICE"], timeout=20) as found:
                return found.read().decode()
        except Exception as error:
            return type(getattr(error, "reason", error)).__name__
"""


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


def service(address: str, port: int) -> AbstractAsyncContextManager[None]:
    """A small HTTP service."""
    return listening_at(address, port, _answer)


async def got(bench: Bench) -> str:
    """What the function that asks gets."""
    result = await bench.runtime.invoke("python")
    assert result.function_error is None, result.error_message
    return result.payload.decode().strip('"')


@pytest.mark.parametrize("where", ["127.0.0.1", "localhost"])
async def test_a_function_reaches_a_service_on_this_machines_loopback(bench: Bench, where: str) -> None:
    await bench.scripted(environment={"SERVICE": f"http://{where}:{bench.gate.port}"})
    bench.gate.open("asked")
    result = await bench.runtime.invoke("scripted", steps(["ask", "SERVICE", "asked"], ["chunk", "answered"]))
    assert (result.function_error, result.payload) == (None, b"answered")


async def test_a_function_may_ask_its_own_stokers_endpoint(bench: Bench) -> None:
    endpoint = Endpoint(bench.runtime)
    url = await endpoint.open()
    try:
        await bench.python(ASK, environment={"SERVICE": f"http://{url}/_stoker/health"})
        assert bench.runtime.owner_id in (await bench.runtime.invoke("python")).payload.decode()
    finally:
        await endpoint.close()
        await endpoint.aclose()


async def test_a_service_may_be_started_on_any_address_once_the_instance_is_warm(bench: Bench) -> None:
    with free_port() as port:
        await bench.python(ASK, environment={"SERVICE": f"http://localhost:{port}/"})
        (instance,) = await bench.runtime.launch("python")
        for address in ("0.0.0.0", "::", "127.0.0.1", "::1"):
            async with service(address, port):
                assert await got(bench) == "here", address
        assert [each.id for each in bench.runtime.instances()] == [instance.id]


@pytest.mark.parametrize("where", ["localhost", "127.0.0.1", "[::1]"])
async def test_a_function_reaches_a_service_that_listens_on_ipv6_only(bench: Bench, where: str) -> None:
    with free_port() as port:
        async with service("::1", port):
            await bench.python(ASK, environment={"SERVICE": f"http://{where}:{port}"})
            assert await got(bench) == "here"


async def test_two_stokers_with_functions_that_name_the_same_service_both_reach_it(
    bench: Bench, tmp_path: Path
) -> None:
    bench.gate.open("asked", times=2)
    event = steps(["ask", "SERVICE", "asked"], ["chunk", "answered"])
    environment = {"SERVICE": bench.gate.url}
    await bench.scripted(environment=environment)
    await bench.runtime.launch("scripted")
    folder = tmp_path / "second"
    folder.mkdir()
    async with LambdaRuntime.open(home=tmp_path / "other", default_backend=bench.backend) as other:
        await until(other, lambda: other.backends()[bench.backend].online)
        await other.add_function(
            scripted_function(folder, "scripted", python="/usr/bin/python3", environment=environment)
        )
        for runtime in (other, bench.runtime):
            result = await runtime.invoke("scripted", event)
            assert (result.function_error, result.payload) == (None, b"answered")


async def test_where_nothing_listens_the_function_sees_an_error_and_its_log_says_why(bench: Bench) -> None:
    with free_port() as port:
        line = f"nothing listens at localhost:{port} on this machine: the function's connection was refused"

        def said() -> int:
            return [one for event in bench.told(InstanceLogged) for one in event.lines].count(line)

        await bench.python(ASK, environment={"SERVICE": f"http://localhost:{port}"}, max_instances=1)
        assert [await got(bench) for _ in range(2)] == ["ConnectionResetError"] * 2
        assert said() == 1
        async with service("127.0.0.1", port):
            assert await got(bench) == "here"
        assert await got(bench) == "ConnectionResetError"
        assert said() == 2
