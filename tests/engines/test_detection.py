"""Where engines are looked for, who is found there, and what is said of those that are none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.backends.container.connection import Connection
from core.backends.container.engine import Engine
from core.backends.container.engines import Place, places
from core.backends.container.tls import Tls
from core.runtime import LambdaRuntime
from tests.engines.base_image import import_image
from tests.engines.engine import EngineUnderTest
from tests.engines.private_docker import DockerDaemon, private_docker
from tests.engines.trouble import contained, nothing_left, online, serves, steps

# --- places


def found(env: dict[str, str], home: Path) -> dict[str, list[Place]]:
    """Where each engine is looked for."""
    every = places({"XDG_RUNTIME_DIR": str(home / "run"), "TMPDIR": str(home / "tmp"), **env}, home)
    return {name: [each for each in every if each.name == name] for name in ("docker", "podman")}


def a_context(home: Path, name: str, **docker: object) -> None:
    """As `docker context create` writes it."""
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": docker}}))


def use_context(home: Path, name: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}))


def test_the_usual_sockets_are_looked_at_where_nothing_is_said(tmp_path: Path) -> None:
    there = found({}, tmp_path)
    assert [each.url for each in there["docker"]] == [
        "unix:///var/run/docker.sock",
        f"unix://{tmp_path}/run/docker.sock",
        f"unix://{tmp_path}/.docker/run/docker.sock",
        f"unix://{tmp_path}/.docker/desktop/docker.sock",
        f"unix://{tmp_path}/.colima/default/docker.sock",
        f"unix://{tmp_path}/.orbstack/run/docker.sock",
    ]
    assert [each.url for each in there["podman"]] == [
        f"unix://{tmp_path}/run/podman/podman.sock",
        "unix:///run/podman/podman.sock",
        f"unix://{tmp_path}/.local/share/containers/podman/machine/podman.sock",
    ]
    assert all(each.usual and not each.tls for every in there.values() for each in every)


@pytest.mark.parametrize(
    "path",
    [
        "tmp/podman/podman-machine-default-api.sock",
        "run/podman/podman-machine-default-api.sock",
        ".local/share/containers/podman/machine/qemu/podman.sock",
    ],
)
def test_podmans_machine_is_looked_for_where_each_of_its_ages_has_it(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    assert f"unix://{tmp_path}/{path}" in [each.url for each in found({}, tmp_path)["podman"]]


def test_who_names_an_engine_means_that_one(tmp_path: Path) -> None:
    a_context(tmp_path, "far", Host="tcp://10.0.0.9:2376", SkipTLSVerify=False)
    use_context(tmp_path, "far")
    there = found({"DOCKER_HOST": "unix:///tmp/x.sock", "CONTAINER_HOST": "unix:///tmp/p.sock"}, tmp_path)
    assert [(each.url, each.found_by) for each in there["docker"]] == [("unix:///tmp/x.sock", "DOCKER_HOST")]
    assert [(each.url, each.found_by) for each in there["podman"]] == [("unix:///tmp/p.sock", "CONTAINER_HOST")]


def test_a_docker_host_that_is_podmans_is_podman(tmp_path: Path) -> None:
    there = found({"DOCKER_HOST": "unix:///run/user/1/podman/podman.sock"}, tmp_path)
    assert [each.found_by for each in there["podman"]] == ["DOCKER_HOST"]
    assert all(each.usual for each in there["docker"])


def test_one_socket_under_two_names_is_one_place(tmp_path: Path) -> None:
    """Podman's package for Docker's command line makes Docker's socket a link to its own."""
    (tmp_path / "run" / "podman").mkdir(parents=True)
    (tmp_path / "run" / "podman" / "podman.sock").touch()
    (tmp_path / "run" / "docker.sock").symlink_to(tmp_path / "run" / "podman" / "podman.sock")
    there = found({}, tmp_path)
    assert [each.url for each in there["podman"] if str(tmp_path / "run") in each.url] == [
        f"unix://{tmp_path}/run/docker.sock"
    ]
    assert not [each.url for each in there["docker"] if str(tmp_path / "run") in each.url]


def test_the_current_context_is_docker(tmp_path: Path) -> None:
    a_context(tmp_path, "desktop-linux", Host="unix:///home/me/.docker/desktop/docker.sock")
    a_context(tmp_path, "far", Host="tcp://10.0.0.9:2376", SkipTLSVerify=False)
    use_context(tmp_path, "desktop-linux")
    (place,) = found({}, tmp_path)["docker"]
    assert (place.url, place.found_by) == (
        "unix:///home/me/.docker/desktop/docker.sock",
        "Docker's context desktop-linux",
    )
    (place,) = found({"DOCKER_CONTEXT": "far"}, tmp_path)["docker"]
    assert (place.url, place.tls) == ("tcp://10.0.0.9:2376", None)
    use_context(tmp_path, "default")
    assert all(each.usual for each in found({}, tmp_path)["docker"])


def test_a_contexts_own_certificates(tmp_path: Path) -> None:
    a_context(tmp_path, "far", Host="tcp://10.0.0.9:2376", SkipTLSVerify=False)
    folder = tmp_path / ".docker" / "contexts" / "tls" / hashlib.sha256(b"far").hexdigest() / "docker"
    folder.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).touch()
    (place,) = found({"DOCKER_CONTEXT": "far"}, tmp_path)["docker"]
    assert place.tls == Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", verify=True)


@pytest.mark.parametrize("said", [{}, {"Host": 5}, {"Host": ""}])
def test_a_context_without_a_host_is_said_to_be_one(tmp_path: Path, said: dict[str, object]) -> None:
    a_context(tmp_path, "broken", **said)
    (place,) = found({"DOCKER_CONTEXT": "broken"}, tmp_path)["docker"]
    assert place.trouble == "it names no host"


def test_nonsense_in_dockers_folder_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / ".docker" / "contexts" / "meta" / "x"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_bytes(b"\xff not json")
    (tmp_path / ".docker" / "config.json").write_text("[" * 100_000)
    assert all(each.usual for each in found({}, tmp_path)["docker"])


# --- who answers

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.5)


def _answers(body: bytes, status: str = "200 OK") -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return handler


def _says(words: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()

    return handler


NO_ENGINE = "what answers there is no container engine"
STRANGERS: dict[str, tuple[Handler, str]] = {
    "silent": (_silent, "it does not answer"),
    "endless": (_endless, "it does not come to an end with its answer"),
    "hangs up": (_hangs_up, "it hung up without an answer"),
    "ssh": (_says(b"SSH-2.0-OpenSSH_9.2\r\n"), NO_ENGINE),
    "html": (_answers(b"<html>hello</html>"), NO_ENGINE),
    "a list": (_answers(b"[]"), NO_ENGINE),
    "another document": (_answers(b'{"hello": 1}'), NO_ENGINE),
    "an error": (_answers(b'{"message": "come back later"}', "503 Service Unavailable"), "come back later"),
}


@asynccontextmanager
async def looked_for(*where: Place) -> AsyncIterator[Connection]:
    """A connection that has tried them once."""

    async def arrived(engine: Engine) -> None:
        return None

    connection = Connection(
        "docker", where, "o-nobody", changed=lambda: None, arrived=arrived, happened=lambda *_: None
    )
    connection.start()
    try:
        await connection.asked()
        yield connection
    finally:
        await connection.aclose()


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_who_is_no_engine_is_told_so_and_nothing_hangs(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, stranger: str
) -> None:
    handler, words = STRANGERS[stranger]
    monkeypatch.setattr("core.backends.container.connection._PATIENCE", 2.0)  # less to wait for
    async with nothing_left():
        serving: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            try:
                await handler(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_unix_server(serve, short_path / "x.sock")
        async with looked_for(Place("docker", f"unix://{short_path}/x.sock", "a test")) as connection:
            assert connection.now is None
            assert not connection.health.online
            assert words in connection.health.detail
            assert connection.health.detail.endswith("(a test)")
            assert "Traceback" not in connection.health.detail
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("unix:///nowhere/at/all.sock", "nothing is at unix:///nowhere/at/all.sock (DOCKER_HOST)"),
        ("tcp://127.0.0.1:1", "connection refused"),
        ("tcp://[::1", "tcp://[::1 is no address"),
        ("gopher://x", "gopher"),
        ("ssh://nobody@localhost", "ssh:// are not supported"),
    ],
)
async def test_an_address_that_leads_nowhere_is_told_in_plain_words(url: str, words: str) -> None:
    async with nothing_left(), looked_for(Place("docker", url, "DOCKER_HOST")) as connection:
        assert words in connection.health.detail


async def test_a_socket_that_is_nobodys_any_more(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(short_path / "x.sock"))
    async with looked_for(Place("docker", f"unix://{short_path}/x.sock", "a test")) as connection:
        assert connection.health.detail == "connection refused (a test)"


async def test_a_missing_context_is_told(tmp_path: Path) -> None:
    (place,) = found({"DOCKER_CONTEXT": "gone"}, tmp_path)["docker"]
    async with looked_for(place) as connection:
        assert connection.health.detail == "there is no such context (Docker's context gone)"


async def test_closed_in_the_middle_of_a_look(short_path: Path) -> None:
    async with nothing_left():
        asked = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()
            writer.close()

        server = await asyncio.start_unix_server(serve, short_path / "x.sock")
        connection = Connection(
            "docker",
            [Place("docker", f"unix://{short_path}/x.sock", "a test")],
            "o-nobody",
            changed=lambda: None,
            arrived=lambda _: asyncio.sleep(0),
            happened=lambda *_: None,
        )
        connection.start()
        await asked.wait()
        await connection.aclose()
        # a thread that still waited for the engine would keep the program from ending
        for thread in threading.enumerate():
            if thread.name.startswith("stoker-docker"):
                await asyncio.to_thread(thread.join, 3)
                assert not thread.is_alive()
        server.close()


async def test_the_next_place_is_taken_where_the_first_is_none(engine: EngineUnderTest, short_path: Path) -> None:
    nobody = Place("docker", "tcp://127.0.0.1:1", "first")
    async with looked_for(nobody, Place("docker", engine.url, "second")) as connection:
        now = connection.now
        assert now is not None
        assert now.place.found_by == "second"
        told = engine.client.version()
        assert now.facts.version == told["Version"]
        assert now.facts.product.lower() == engine.name
        assert now.facts.architecture == ("arm64" if os.uname().machine == "aarch64" else "x86_64")
        assert connection.health.detail == f"{engine.name.title()} {told['Version']}, {now.facts.architecture}"


# --- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server for 127.0.0.1, and a client; made by openssl."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (folder / "extension").write_text(extension)
        key = "key.pem" if name == "client" else "server-key.pem"
        out = "cert.pem" if name == "client" else "server.pem"
        openssl("req", *new_key, "-keyout", key, "-out", "request", "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial"),
            *("-out", out, "-days", "2", "-extfile", "extension"),
        )
    return folder


@pytest.fixture(scope="module")
def behind_tls(may_start_daemons: None, certificates: Path) -> Iterator[tuple[DockerDaemon, str]]:
    """A Docker that wants its clients' certificates, and its address."""
    import tempfile

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [
        f"--host=tcp://127.0.0.1:{port}",
        "--tlsverify",
        f"--tlscacert={certificates / 'ca.pem'}",
        f"--tlscert={certificates / 'server.pem'}",
        f"--tlskey={certificates / 'server-key.pem'}",
    ]
    with (
        tempfile.TemporaryDirectory(prefix="stk-", ignore_cleanup_errors=True) as folder,
        private_docker(Path(folder) / "d", options=options) as daemon,
    ):
        import_image(daemon.command, "provided.al2023")
        yield daemon, f"tcp://127.0.0.1:{port}"


@pytest.mark.parametrize("by", ["environment", "context"])
async def test_functions_run_behind_tls(
    behind_tls: tuple[DockerDaemon, str],
    certificates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    _, url = behind_tls
    if by == "environment":
        monkeypatch.setenv("DOCKER_HOST", url)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    else:
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / ".docker"))
        monkeypatch.setenv("DOCKER_CONTEXT", "safe")
        a_context(tmp_path, "safe", Host=url, SkipTLSVerify=False)
        folder = tmp_path / ".docker" / "contexts" / "tls" / hashlib.sha256(b"safe").hexdigest() / "docker"
        folder.mkdir(parents=True)
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (folder / name).write_bytes((certificates / name).read_bytes())
    async with (
        nothing_left(),
        LambdaRuntime.open(home=tmp_path / "home", default_backend="docker") as runtime,
    ):
        await online(runtime, "docker")
        await runtime.add_function(contained(tmp_path))
        instance = await serves(runtime)
        lines = [["say", f"line {number} {'x' * 4000}"] for number in range(200)]
        result = await runtime.invoke("scripted", steps(*lines, ["chunk", "said"]))
        assert (result.payload, result.instance_id) == (b"said", instance)
        assert any("line 199" in line for line in runtime.log_lines(instance))


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nowhere"}, "certificate"),
        ({}, "client sent an http request to an https server"),
    ],
)
async def test_without_the_right_certificates_it_is_offline_and_says_why(
    behind_tls: tuple[DockerDaemon, str], tmp_path: Path, env: dict[str, str], words: str
) -> None:
    _, url = behind_tls
    (place,) = found({"DOCKER_HOST": url, **env}, tmp_path)["docker"]
    async with nothing_left(), looked_for(place) as connection:
        assert connection.now is None
        assert words in connection.health.detail.lower()
