"""On both engines: what a function may do in its container, and who may talk to its Runtime API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.engines.base_image import image_names
from tests.engines.conformance import Bench, in_containers, limits, steps

pytestmark = in_containers

_LOOK = """
    import os, resource, subprocess

    def refused(path):
        try:
            with open(path, "w"):
                return None
        except OSError as error:
            return error.strerror

    def handler(event, context):
        with open("/proc/self/status") as file:
            status = dict(line.rstrip("\\n").split(":\\t", 1) for line in file if ":\\t" in line)
        room = os.statvfs("/tmp")
        with open("/tmp/program", "w") as file:
            file.write("#!/bin/sh\\necho ran\\n")
        os.chmod("/tmp/program", 0o755)
        return {
            "capabilities": [status[name] for name in ("CapEff", "CapPrm", "CapBnd")],
            "no_new_privileges": status["NoNewPrivs"],
            "files": resource.getrlimit(resource.RLIMIT_NOFILE),
            "processes": resource.getrlimit(resource.RLIMIT_NPROC),
            "tmp": room.f_blocks * room.f_frsize,
            "program": subprocess.check_output(["/tmp/program"], text=True),
            "code": refused("/var/task/new"),
            "own code": refused("/var/task/app.py"),
            "layers": refused("/opt/new"),
            "mode of tmp": oct(os.stat("/tmp").st_mode),
        }
"""


async def test_a_function_has_no_privileges_and_lambdas_limits(bench: Bench, tmp_path: Any) -> None:
    layer = tmp_path / "layer"
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "one.py").write_text("")
    await bench.python(_LOOK, layers=[layer], ephemeral_storage=600)
    result = await bench.runtime.invoke("python")
    assert result.function_error is None, result.error_message
    assert json.loads(result.payload) == {
        "capabilities": ["0" * 16] * 3,
        "no_new_privileges": "1",
        "files": [1024, 1024],
        "processes": [1024, 1024],
        "tmp": 600 << 20,
        "program": "ran\n",
        "code": "Read-only file system",
        "own code": "Read-only file system",
        "layers": "Read-only file system",
        "mode of tmp": "0o41777",
    }


async def test_a_function_starts_no_more_processes_and_threads_than_lambda_allows(bench: Bench) -> None:
    source = """
        import threading

        def handler(event, context):
            end = threading.Event()
            started = []
            try:
                for _ in range(1100):
                    thread = threading.Thread(target=end.wait)
                    thread.start()
                    started.append(thread)
            except RuntimeError as error:
                return [len(started), str(error)]
            finally:
                end.set()
                for thread in started:
                    thread.join()
            return [len(started), "all of them"]
    """
    await bench.python(source, memory_size=512)
    count, error = json.loads((await bench.runtime.invoke("python")).payload)
    assert error == "can't start new thread"
    assert 900 < count < 1024


async def test_a_full_tmp_leaves_the_functions_memory_alone(bench: Bench) -> None:
    source = """
        def handler(event, context):
            with open("/tmp/big", "wb") as file:
                for _ in range(500):
                    file.write(bytes(1 << 20))
            block = bytearray(60 << 20)
            return len(block)
    """
    await bench.python(source, memory_size=128)
    result = await bench.runtime.invoke("python")
    assert (result.function_error, result.payload) == (None, str(60 << 20).encode())


async def test_a_container_is_limited_as_its_engine_tells_it(bench: Bench) -> None:
    await bench.scripted(memory_size=256, ephemeral_storage=512)
    (instance,) = await bench.runtime.launch("scripted")
    found = bench.inspect(instance)
    host = found["HostConfig"]
    assert host["Memory"] == (256 + 512) << 20
    assert host["Privileged"] is False
    assert host["PidMode"] in {"", "private"}
    assert {(mount["Destination"], mount["RW"]) for mount in found["Mounts"] if mount["Type"] == "bind"} == {
        ("/var/task", False),
        ("/var/runtime", False),
    }
    # nothing of it can be reached from outside
    assert not [port for port in (found["NetworkSettings"]["Ports"] or {}).values() if port]


# --- peers

# It says what becomes of a connection on which it asks as a runtime does.
_INTRUDER = """\
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as found:
        found.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        got = found.recv(100)
        print("nothing" if not got else got, flush=True)
except (ConnectionError, BrokenPipeError):
    print("nothing", flush=True)
"""


@asynccontextmanager
async def stranger(bench: Bench) -> AsyncIterator[str]:
    """A container on the same network that is not Stoker's; gone afterwards."""
    assert bench.engine is not None
    client = bench.engine.client
    made = await asyncio.to_thread(
        client.create_container, image_names("python3.11")[0], entrypoint=["/bin/sleep", "600"],
        host_config=client.create_host_config(ulimits=limits()),
    )  # fmt: skip
    try:
        await asyncio.to_thread(client.start, made["Id"])
        yield str(made["Id"])
    finally:
        await asyncio.to_thread(client.remove_container, made["Id"], force=True)


async def intrude(bench: Bench, container: str, host: str, port: int) -> str:
    """What the stranger gets there."""
    assert bench.engine is not None
    client = bench.engine.client
    command = ["/usr/bin/python3", "-c", _INTRUDER, host, str(port)]
    made = await asyncio.to_thread(client.exec_create, container, command)
    output = await asyncio.to_thread(client.exec_start, made["Id"])
    return str(output.decode()).strip()


async def test_another_container_gets_nothing_from_an_instances_runtime_api(bench: Bench) -> None:
    await bench.scripted()
    (instance,) = await bench.runtime.launch("scripted")
    host, _, port = str(bench.runtime_api(instance)).rpartition(":")
    async with stranger(bench) as container:
        assert await intrude(bench, container, host, int(port)) == "nothing"
        # and while an event is with its runtime
        invocation = await bench.started(["chunk", "to its own runtime"])
        assert await intrude(bench, container, host, int(port)) == "nothing"
        bench.gate.open()
        assert [chunk async for chunk in invocation] == [b"to its own runtime"]
    assert await bench.serves() == instance.id


async def test_this_machine_itself_gets_nothing_from_an_instances_runtime_api(bench: Bench) -> None:
    await bench.scripted()
    (instance,) = await bench.runtime.launch("scripted")
    host, _, port = str(bench.runtime_api(instance)).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(30):
            with suppress(ConnectionError):
                assert await reader.read() == b""
    finally:
        writer.close()
    assert await bench.serves() == instance.id


async def test_one_instance_gets_nothing_from_the_runtime_api_of_another(bench: Bench) -> None:
    source = """
        import socket

        def handler(event, context):
            try:
                with socket.create_connection((event["host"], event["port"]), timeout=20) as found:
                    found.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
                    return found.recv(100).decode()
            except ConnectionError:
                return ""
    """
    await bench.scripted()
    await bench.python(source)
    (victim,) = await bench.runtime.launch("scripted")
    host, _, port = str(bench.runtime_api(victim)).rpartition(":")
    result = await bench.runtime.invoke("python", json.dumps({"host": host, "port": int(port)}))
    assert (result.function_error, json.loads(result.payload)) == (None, "")
    assert await bench.serves() == victim.id


async def test_another_container_gets_nothing_from_what_is_relayed_to_an_instance(bench: Bench) -> None:
    await bench.scripted()
    (instance,) = await bench.runtime.launch("scripted")
    host = str(bench.runtime_api(instance)).rpartition(":")[0]
    relayed = int(bench.variables(instance)["GATE_URL"].rpartition(":")[2])
    async with stranger(bench) as container:
        for port in (relayed, bench.gate.port):
            assert await intrude(bench, container, host, port) == "nothing"
    assert bench.gate.waiting("2018-06-01/runtime/invocation/next") == 0
    # the instance itself is let through
    bench.gate.open()
    result = await bench.runtime.invoke("scripted", steps(bench.wait_at(), ["chunk", "let through"]))
    assert (result.function_error, result.payload) == (None, b"let through")
