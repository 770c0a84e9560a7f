"""Python functions as local processes, through AWS's own client."""

from __future__ import annotations

import json
import sys

import pytest

from core.errors import InitFailedError
from tests.core.backends.conftest import Bench
from tests.core.backends.support import Recorder, invoke

ECHO = "def handler(event, context):\n    return event\n"


async def test_an_event_comes_back_from_a_warm_instance(bench: Bench) -> None:
    started = await bench.launch({"app.py": ECHO})
    assert started.warm.endpoint.startswith("emulator://i-")
    assert started.recorder.phases == ["spawn", "init"]
    for number in range(3):
        answer = await invoke(started.api, json.dumps({"n": number}).encode())
        assert json.loads(answer.payload) == {"n": number}
        assert answer.outcome.function_error is None
        assert answer.outcome.reusable


async def test_what_a_handler_prints_belongs_to_its_invocation_in_order(bench: Bench) -> None:
    code = """
import os, sys
def handler(event, context):
    print("out", event["n"])
    print("err", event["n"], file=sys.stderr)
    os.write(1, b"raw %d\\n" % event["n"])
"""
    started = await bench.launch({"app.py": code})
    for number in range(20):
        answer = await invoke(started.api, json.dumps({"n": number}).encode())
        written = [line for line in answer.outcome.log_tail.splitlines() if line[:3] in ("out", "err", "raw")]
        assert written == [f"out {number}", f"err {number}", f"raw {number}"]


async def test_a_failing_handler_is_a_result_with_awss_error_json(bench: Bench) -> None:
    started = await bench.launch({"app.py": "def handler(e, c):\n    raise ValueError('no such word')\n"})
    answer = await invoke(started.api)
    assert answer.outcome.function_error == "Unhandled"
    assert answer.outcome.error_type == "ValueError"
    error = json.loads(answer.outcome.error_payload or b"")
    assert error["errorMessage"] == "no such word"
    assert any("app.py" in line for line in error["stackTrace"])
    assert answer.outcome.reusable
    assert (await invoke(started.api)).outcome.function_error == "Unhandled"


async def test_an_import_error_is_an_init_error_with_what_was_printed(bench: Bench) -> None:
    with pytest.raises(InitFailedError) as caught:
        await bench.launch({"app.py": "print('before', flush=True)\nimport no_such_module\n"})
    assert caught.value.error_type == "Runtime.ImportModuleError"
    assert b"no_such_module" in caught.value.payload
    assert not caught.value.timed_out
    assert "before" in caught.value.log_tail


@pytest.mark.parametrize(
    ("files", "handler", "error_type"),
    [
        ({"app.py": "def handler(:"}, "app.handler", "Runtime.UserCodeSyntaxError"),
        ({"app.py": ECHO}, "app.other", "Runtime.HandlerNotFound"),
        ({"app.py": ECHO}, "nodot", "Runtime.MalformedHandlerName"),
        ({"app.py": "raise OSError('at import')"}, "app.handler", "OSError"),
    ],
)
async def test_init_errors_have_lambdas_types(
    bench: Bench, files: dict[str, str], handler: str, error_type: str
) -> None:
    with pytest.raises(InitFailedError) as caught:
        await bench.launch(files, handler=handler)
    assert caught.value.error_type == error_type


async def test_an_exit_in_the_init_says_its_status(bench: Bench) -> None:
    with pytest.raises(InitFailedError) as caught:
        await bench.launch({"app.py": "import os\nos._exit(7)\n"})
    assert caught.value.error_type == "Runtime.ExitError"
    assert b"exit status 7" in caught.value.payload


async def test_an_init_that_takes_too_long_is_ended(bench: Bench) -> None:
    with pytest.raises(InitFailedError) as caught:
        await bench.launch({"app.py": "print('slow', flush=True)\nimport time\ntime.sleep(60)\n"}, init_timeout=0.3)
    assert caught.value.timed_out
    assert "slow" in caught.value.log_tail


async def test_an_exit_during_an_invocation_is_an_exit_error_and_the_instance_leaves(bench: Bench) -> None:
    started = await bench.launch(
        {"app.py": "import os\ndef handler(e, c):\n    print('last words', flush=True)\n    os._exit(3)\n"}
    )
    answer = await invoke(started.api)
    assert answer.outcome.error_type == "Runtime.ExitError"
    assert "exit status 3" in (answer.outcome.error_message or "")
    assert "last words" in answer.outcome.log_tail
    assert not answer.outcome.reusable
    assert len(started.recorder.exits) == 1
    assert started.recorder.exits[0].code == 3
    assert "last words" in started.recorder.exits[0].log_tail


async def test_exit_and_quit_are_there_as_site_would_have_them(bench: Bench) -> None:
    started = await bench.launch(
        {"app.py": "def handler(e, c):\n    return [callable(exit), callable(quit), callable(help)]\n"}
    )
    assert json.loads((await invoke(started.api)).payload) == [True, True, True]


async def test_a_function_sees_lambdas_variables_and_its_own_but_not_the_users(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "hush")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    code = "import os\nSEEN = dict(os.environ)\ndef handler(e, c):\n    return [SEEN, os.getcwd(), c.log_stream_name]\n"
    started = await bench.launch(
        {"app.py": code}, environment={"MINE": "1", "TZ": "Europe/Berlin"}, memory_size=256, runtime="python3.12"
    )
    seen, directory, stream = json.loads((await invoke(started.api)).payload)
    unwanted = set(seen) - {
        *("_HANDLER", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME"),
        *("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE"),
        *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "TZ", "LANG"),
        *("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR", "HOME", "MINE"),
        # what a shell and the interpreter's own start add on every machine
        *("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"),
    }
    assert unwanted == set()
    assert seen["MINE"] == "1"
    assert seen["TZ"] == "Europe/Berlin"
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert directory == seen["LAMBDA_TASK_ROOT"]
    assert stream.endswith(f"[$LATEST]{started.handle.token}")


async def test_nothing_of_stokers_own_packages_can_be_imported(bench: Bench) -> None:
    code = """
import importlib
def found(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
def handler(event, context):
    return {name: found(name) for name in event}
"""
    started = await bench.launch({"app.py": code})
    hidden = ["core", "gui", "resources", "PySide6", "httpx", "h11", "pydantic", "psutil", "pytest", "pip"]
    seen = json.loads(
        (await invoke(started.api, json.dumps([*hidden, "awslambdaric", "boto3", "json"]).encode())).payload
    )
    assert {name for name, there in seen.items() if there} == {"awslambdaric", "boto3", "json"}


async def test_boto3_is_there_unless_the_function_brings_its_own(bench: Bench) -> None:
    code = "import boto3\ndef handler(e, c):\n    return boto3.__version__\n"
    ours = await bench.launch({"app.py": code})
    assert json.loads((await invoke(ours.api)).payload)[0].isdigit()
    theirs = await bench.launch({"app.py": code, "boto3/__init__.py": "__version__ = 'own'\n"})
    assert json.loads((await invoke(theirs.api)).payload) == "own"


async def test_later_layers_come_before_earlier_ones_and_the_function_before_all(bench: Bench) -> None:
    def layer(name: str, *modules: str) -> dict[str, str | bytes]:
        files: dict[str, str | bytes] = {f"python/{module}.py": f"FROM = {name!r}\n" for module in modules}
        files[f"python/lib/python3.11/site-packages/only_{name}.py"] = f"FROM = {name!r}\n"
        files[f"bin/tool-{name}"] = f"#!/bin/sh\necho {name}\n"
        return files

    first = bench.archive(layer("first", "a", "b", "c"))
    second = bench.archive(layer("second", "b", "c"))
    code = """
import subprocess, a, b, c, only_first, only_second
def handler(event, context):
    tools = [subprocess.run([f"tool-{n}"], capture_output=True, text=True).stdout.strip() for n in ("first", "second")]
    return [a.FROM, b.FROM, c.FROM, only_first.FROM, only_second.FROM, *tools]
"""
    started = await bench.launch({"app.py": code, "c.py": "FROM = 'function'\n"}, layers=[first, second])
    answer = await invoke(started.api)
    assert json.loads(answer.payload) == ["first", "second", "function", "first", "second", "first", "second"]


async def test_a_functions_own_files_do_not_stand_in_the_clients_way(bench: Bench) -> None:
    started = await bench.launch({"app.py": ECHO, "logging.py": "raise SystemExit(9)\n", "runtime_client.py": "1/0\n"})
    assert (await invoke(started.api, b"[1]")).payload == b"[1]"


async def test_the_code_directory_stays_clean(bench: Bench) -> None:
    code = bench.archive({"app.py": "import helper\n" + ECHO, "helper.py": ""})
    started = await bench.launch(code)
    await invoke(started.api)
    assert sorted(path.name for path in code.directory.iterdir()) == ["app.py", "helper.py"]


async def test_open_files_are_limited_as_on_lambda(bench: Bench) -> None:
    code = "import resource\ndef handler(e, c):\n    return resource.getrlimit(resource.RLIMIT_NOFILE)\n"
    started = await bench.launch({"app.py": code})
    assert json.loads((await invoke(started.api)).payload) == [1024, 1024]


async def test_tmp_is_the_instances_own_and_goes_with_it(bench: Bench) -> None:
    code = """
import os, tempfile
def handler(event, context):
    made = tempfile.mkdtemp()
    os.mkdir(made + "/locked"); open(made + "/locked/file", "w").close(); os.chmod(made + "/locked", 0o500)
    return [made, oct(os.stat(os.environ["TMPDIR"]).st_mode)]
"""
    one, two = await bench.launch({"app.py": code}), await bench.launch({"app.py": code})
    first, mode = json.loads((await invoke(one.api)).payload)
    second, _ = json.loads((await invoke(two.api)).payload)
    assert mode.endswith("700")
    assert first.rpartition("/")[0] != second.rpartition("/")[0]
    await bench.backend.terminate(one.handle)
    assert [path.name for path in bench.directories()] == [two.recorder.notes.get("id", bench.directories()[0].name)]
    assert not any(str(path) in first for path in bench.directories())


async def test_another_minor_version_runs_under_that_interpreter_or_says_so(bench: Bench) -> None:
    code = "import sys\ndef handler(e, c):\n    return '%d.%d' % sys.version_info[:2]\n"
    recorder = Recorder()
    started = await bench.launch({"app.py": code}, runtime="python3.14", recorder=recorder)
    version = json.loads((await invoke(started.api)).payload)
    if version == "3.14":
        assert "runtime" not in recorder.notes
    else:
        assert recorder.notes["runtime"] == f"python3.14 asked for; runs under python{version}"
        assert started.warm.details["runtime"] == recorder.notes["runtime"]
    own = await bench.launch({"app.py": code}, runtime=f"python3.{sys.version_info[1]}")
    assert "runtime" not in own.warm.details


async def test_signals_reach_the_main_thread_while_it_waits_for_an_event(bench: Bench) -> None:
    code = """
import signal, sys
def ended(*_):
    print("handled the signal", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, ended)
def handler(event, context):
    return None
"""
    started = await bench.launch({"app.py": code})
    await invoke(started.api)
    await bench.backend.terminate(started.handle)
    assert "handled the signal" in started.recorder.lines
    assert started.recorder.exits == []
