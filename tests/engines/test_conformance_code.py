"""On every backend: a function finds its code, its layers and its environment as it would on Lambda."""

from __future__ import annotations

import io
import json
import re
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core.functions import ImageConfig, LambdaFunction, Layer
from tests.engines.base_image import image_names
from tests.engines.conformance import Bench, in_containers, steps


def layer(folder: Path, name: str, modules: str) -> Layer:
    """A layer with these Python modules, one of its own, and a program."""
    files = {f"python/{module}.py": f"FROM = {name!r}\n" for module in modules}
    files[f"python/lib/python3.11/site-packages/only_{name}.py"] = f"FROM = {name!r}\n"
    files[f"bin/tool-{name}"] = f"#!/bin/sh\necho {name}\n"
    for path, text in files.items():
        made = folder / name / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        made.chmod(0o755 if made.parent.name == "bin" else 0o644)
    return Layer(name, folder / name)


async def test_layers_are_searched_the_last_one_first_and_after_the_code(bench: Bench, tmp_path: Path) -> None:
    source = """
        import subprocess, a, b, c

        def handler(event, context):
            tools = [subprocess.check_output([f"tool-{name}"], text=True).strip() for name in ("first", "second")]
            return [a.FROM, b.FROM, c.FROM, *tools]
    """
    layers = [layer(tmp_path / "layers", "first", "abc"), layer(tmp_path / "layers", "second", "bc")]
    function = await bench.python(source, layers=layers)
    assert function.code is not None
    (function.code / "c.py").write_text("FROM = 'function'\n")
    assert await bench.runtime.refresh_code("python")
    result = await bench.runtime.invoke("python")
    assert json.loads(result.payload) == ["first", "second", "function", "first", "second"]


@in_containers
async def test_layers_are_merged_in_opt(bench: Bench, tmp_path: Path) -> None:
    source = """
        import os, sys, only_first, only_second

        def handler(event, context):
            found = [os.path.join(at, name) for at, _, names in os.walk("/opt") for name in names]
            return {path: open(path).read() for path in sorted(found) if "__pycache__" not in path}
    """
    layers = [layer(tmp_path / "layers", "first", "ab"), layer(tmp_path / "layers", "second", "b")]
    await bench.python(source, layers=layers)
    assert json.loads((await bench.runtime.invoke("python")).payload) == {
        "/opt/bin/tool-first": "#!/bin/sh\necho first\n",
        "/opt/bin/tool-second": "#!/bin/sh\necho second\n",
        "/opt/python/a.py": "FROM = 'first'\n",
        "/opt/python/b.py": "FROM = 'second'\n",
        "/opt/python/lib/python3.11/site-packages/only_first.py": "FROM = 'first'\n",
        "/opt/python/lib/python3.11/site-packages/only_second.py": "FROM = 'second'\n",
    }


@pytest.mark.parametrize("where", ["code", "layer"])
async def test_a_custom_runtime_is_the_bootstrap_of_the_package_or_a_layer(
    bench: Bench, tmp_path: Path, where: str
) -> None:
    # a shell script: no interpreter but the system's own is needed to speak HTTP
    code, of_layer = tmp_path / "shell", tmp_path / "shell-layer"
    code.mkdir()
    of_layer.mkdir()
    bootstrap = (code if where == "code" else of_layer) / "bootstrap"
    bootstrap.write_text(
        "#!/bin/bash\n"
        "host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API##*:}\n"
        "while true; do\n"
        '  exec 3<>"/dev/tcp/$host/$port"\n'
        '  printf "GET %s HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n" /2018-06-01/runtime/invocation/next >&3\n'
        "  id=\n"
        "  while IFS= read -r line <&3 && line=${line%$'\\r'} && [ -n \"$line\" ]; do\n"
        "    case ${line,,} in lambda-runtime-aws-request-id:*) id=${line#*: };; esac\n"
        "  done\n"
        "  exec 3>&-\n"
        '  body="$_HANDLER $(cat "$LAMBDA_TASK_ROOT/data.txt")"\n'
        '  exec 3<>"/dev/tcp/$host/$port"\n'
        '  printf "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nHost: x\\r\\n" "$id" >&3\n'
        '  printf "Connection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" "${#body}" "$body" >&3\n'
        "  cat <&3 >/dev/null\n"
        "done\n"
    )
    bootstrap.chmod(0o755)
    (code / "data.txt").write_text("and its files")
    await bench.runtime.add_function(
        LambdaFunction(
            function_name="shell",
            runtime="provided.al2023",
            handler="my.handler",
            code=code,
            layers=[Layer("shell", of_layer)] if where == "layer" else [],
            timeout=20,
        )
    )
    for _ in range(2):
        result = await bench.runtime.invoke("shell")
        assert (result.function_error, result.payload) == (None, b"my.handler and its files")


ENVIRONMENT = """
    import os

    def handler(event, context):
        return dict(os.environ)
"""


async def test_the_environment_is_lambdas_and_the_functions_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKER_OF_THE_PERSON", "not for functions")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a real one")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    await bench.python(ENVIRONMENT, memory_size=192, environment={"TABLE_NAME": "things", "TZ": "Europe/Berlin"})
    found = json.loads((await bench.runtime.invoke("python")).payload)
    expected = {
        "TABLE_NAME": "things",
        "TZ": "Europe/Berlin",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "ASIASTOKERLOCALDUMMY",
        "AWS_SECRET_ACCESS_KEY": "stoker/local/dummy/secret/access/key0000",
        "AWS_SESSION_TOKEN": "stoker-local-dummy-session-token",
        "AWS_LAMBDA_FUNCTION_NAME": "python",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/python",
        "_HANDLER": "app.handler",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["AWS_EXECUTION_ENV"].startswith("AWS_Lambda_python3.")
    assert "/[$LATEST]" in found["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert {"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "PATH"} <= found.keys()
    assert not {"STOKER_OF_THE_PERSON", "AWS_PROFILE"} & found.keys()
    if bench.contained:
        assert (found["LAMBDA_TASK_ROOT"], found["LAMBDA_RUNTIME_DIR"]) == ("/var/task", "/var/runtime")
        where, _, port = found["GATE_URL"].rpartition(":")
        assert (where, port.isdecimal()) == ("http://host.docker.internal", True)
        # a port of the relay's own
        assert int(port) != bench.gate.port
    else:
        assert found["GATE_URL"] == bench.gate.url


async def test_no_value_of_the_environment_shows_anywhere_but_in_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    secret = uuid.uuid4().hex
    caplog.set_level("DEBUG")
    await bench.scripted(environment={"DATABASE_PASSWORD": secret, "DATABASE_URL": f"http://me:{secret}@localhost:1/"})
    result = await bench.runtime.invoke("scripted", steps(["say", "hello"], ["chunk", "fine"]))
    assert result.function_error is None
    (instance,) = bench.runtime.instances()
    if bench.contained:
        inspected = bench.inspect(instance)
        environment = inspected["Config"].pop("Env")
        (url,) = (each for each in environment if each.startswith("DATABASE_URL="))
        assert re.fullmatch(rf"DATABASE_URL=http://me:{secret}@host\.docker\.internal:\d+/", url)
        assert secret not in json.dumps(inspected)
    assert secret not in repr(bench.events)
    assert secret not in repr(instance)
    assert secret not in caplog.text
    assert secret not in result.log_tail


# --- images of functions


APP = """\
import json, os, sys

def handler(event, context):
    return {"event": event, "where": os.getcwd(), "arguments": sys.argv[1:]}

def other(event, context):
    return "the other handler"
"""


@pytest.fixture
def image(bench: Bench) -> Iterator[str]:
    """A function's own image, made of the base image as a Dockerfile would; taken away again."""
    assert bench.engine is not None
    client = bench.engine.client
    name = f"stoker-test/{uuid.uuid4().hex[:12]}"
    made = client.create_container(image_names("python3.11")[0], command=["app.handler"])
    try:
        client.put_archive(made["Id"], "/", archive_of({"srv/app/app.py": APP, "var/task/app.py": APP}))
        client.commit(made["Id"], name, "1", changes=['CMD ["app.handler"]', "ENV FROM_IMAGE=yes"])
    finally:
        client.remove_container(made["Id"], force=True)
    yield f"{name}:1"
    client.remove_image(f"{name}:1", force=True)


def archive_of(files: Mapping[str, str]) -> bytes:
    """A tar archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            for folder in reversed(Path(path).parents[:-1]):
                entry = tarfile.TarInfo(str(folder))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def image_function(image: str, config: ImageConfig | None = None) -> LambdaFunction:
    """A function that is an image."""
    return LambdaFunction(function_name="image", package_type="Image", image_uri=image, image_config=config, timeout=20)


@in_containers
async def test_an_image_runs_as_it_was_made(bench: Bench, image: str) -> None:
    await bench.runtime.add_function(image_function(image))
    result = await bench.runtime.invoke("image", b'{"a": 1}')
    assert result.function_error is None
    assert json.loads(result.payload) == {"event": {"a": 1}, "where": "/var/task", "arguments": ["app.handler"]}
    (instance,) = bench.runtime.instances()
    assert bench.inspect(instance)["Config"]["Image"].endswith(image)


@in_containers
async def test_an_images_command_can_be_another(bench: Bench, image: str) -> None:
    await bench.runtime.add_function(image_function(image, ImageConfig(command=("app.other",))))
    assert json.loads((await bench.runtime.invoke("image")).payload) == "the other handler"


@in_containers
async def test_an_images_entry_point_and_working_directory_can_be_others(bench: Bench, image: str) -> None:
    config = ImageConfig(
        entry_point=("/usr/bin/env", "PYTHONPATH=/var/runtime", "/var/lang/bin/python3.11", "-m", "awslambdaric"),
        command=("app.handler",),
        working_directory="/srv/app",
    )
    await bench.runtime.add_function(image_function(image, config))
    result = await bench.runtime.invoke("image", b"1")
    assert result.function_error is None
    assert json.loads(result.payload) == {"event": 1, "where": "/srv/app", "arguments": ["app.handler"]}


@in_containers
async def test_an_entry_point_by_itself_keeps_the_images_command(bench: Bench, image: str) -> None:
    config = ImageConfig(
        entry_point=("/usr/bin/env", "PYTHONPATH=/var/runtime", "/var/lang/bin/python3.11", "-m", "awslambdaric")
    )
    await bench.runtime.add_function(image_function(image, config))
    result = await bench.runtime.invoke("image", b"1")
    assert result.function_error is None
    assert json.loads(result.payload)["arguments"] == ["app.handler"]
