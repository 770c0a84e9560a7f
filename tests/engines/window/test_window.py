"""Through the window as a person goes: a function on an engine, invoked, looked into, ended."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton

from core.functions import LambdaFunction
from core.images import PullState
from core.instances import InstanceState
from core.runtime import LambdaRuntime
from gui.dialogs.function import FunctionDialog
from gui.main_window import MainWindow
from gui.models.instance_row import Column
from gui.theme import Theme
from gui.widgets.backend_badge import BackendBadge
from gui.workbench.facts_view import FactsView
from gui.workbench.run import Run
from tests.engines.engine import EngineUnderTest
from tests.engines.held_relay import build_layers, held_relay
from tests.engines.local_registry import LocalRegistry
from tests.gui.window_support import appears, click, find, until

_MB = 1024 * 1024
_WORDS = """\
#!/usr/bin/python3
import http.client, os, time
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
while True:
    link = http.client.HTTPConnection(api)
    link.request("GET", "/2018-06-01/runtime/invocation/next")
    event = link.getresponse()
    request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    event.read()

    def words():
        for word in (b"one ", b"two ", b"three "):
            yield word
            time.sleep(0.15)

    link = http.client.HTTPConnection(api)
    headers = {"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked"}
    link.request(
        "POST", f"/2018-06-01/runtime/invocation/{request}/response", words(), headers, encode_chunked=True
    )
    link.getresponse().read()
"""


def _words(folder: Path) -> Path:
    folder.mkdir()
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(_WORDS)
    bootstrap.chmod(0o755)
    return folder


async def test_a_function_is_added_invoked_looked_into_and_ended(
    window: MainWindow, engine: EngineUnderTest, tmp_path: Path
) -> None:
    runtime = window.context.runtime
    await until(lambda: engine.name in find(window, BackendBadge, f"backend_{engine.name}").words)
    assert "offline" not in find(window, BackendBadge, f"backend_{engine.name}").words

    window.actions_.add.trigger()
    dialog = await appears(window, FunctionDialog, "function_dialog")
    find(dialog, QLineEdit, "function_name").setText("words")
    find(dialog, QLineEdit, "code").setText(str(_words(tmp_path / "words")))
    chosen = find(dialog, QComboBox, "runtime")
    chosen.setCurrentIndex(chosen.findData("provided.al2023"))
    find(dialog, QLineEdit, "handler").setText("bootstrap")
    backend = find(dialog, QComboBox, "backend")
    backend.setCurrentIndex(backend.findData(engine.name))
    dialog.form.timeout.setValue(20)
    click(dialog, "yes")
    await until(lambda: window.functions.selected() == "words")

    await until(window.actions_.invoke.isEnabled)
    window.actions_.invoke.trigger()
    await until(lambda: window.workbench.current is not None and window.workbench.current.run is not None, 60)
    tab = window.workbench.current
    assert tab is not None
    assert tab.run is not None
    run = tab.run
    await until(lambda: run.over, 90)
    assert run.error is None, run.error
    assert run.response.chunks >= 3, "it streams: no emulator gathers its response"

    await until(lambda: window.instances.model.rowCount() == 1)
    row = window.instances.model.row_at(0)
    await until(lambda: row.snapshot.state is InstanceState.IDLE and row.first_byte_ms is not None)
    parts = [part.name for part in row.cold_start(0.0)]
    assert parts[0] == "prepare"
    assert parts[-1] == "first byte"
    assert {"create", "start", "init"} <= set(parts)
    assert len(window.instances.model.cell(0, Column.START).segments) == len(parts)
    assert window.instances.model.cell(0, Column.BACKEND).text == f"{engine.name} {row.container[:12]}"

    window.instances.select([row.snapshot.id])
    await until(window.actions_.copy_shell.isEnabled)
    window.actions_.copy_container.trigger()
    assert QGuiApplication.clipboard().text() == engine.inspect(row.container)["Id"]
    window.actions_.copy_shell.trigger()
    command = QGuiApplication.clipboard().text()
    assert shlex.split(command)[0] == engine.name
    assert row.container[:12] in command

    await until(lambda: window.instances.model.tells_cpu, 30)
    assert window.instances.model.cell(0, Column.CPU).text.endswith(" %")
    assert window.instances.model.cell(0, Column.MEMORY).text.endswith("MB")

    window.actions_.terminate.trigger()
    await until(lambda: not runtime.instances(), 60)
    await until(lambda: not engine.containers(runtime.owner_id), 60)
    await until(lambda: not window.actions_.copy_shell.isEnabled())
    assert not window.problems.kept


async def test_the_copied_command_opens_a_shell_in_the_container(window: MainWindow, tmp_path: Path) -> None:
    runtime = window.context.runtime
    code = _words(tmp_path / "words")
    await runtime.add_function(
        LambdaFunction(function_name="words", runtime="provided.al2023", handler="bootstrap", code=code, timeout=20)
    )
    (instance,) = await runtime.launch("words")
    command = runtime.shell_command(instance.id)
    assert command is not None
    # a pipe is no terminal
    words = [word for word in shlex.split(command) if word not in {"-t", "--tty"}]
    words = ["-i" if word in {"-it", "-ti"} else word for word in words]
    said = await asyncio.to_thread(
        subprocess.run, words, input=b"echo inside $LAMBDA_TASK_ROOT\n", capture_output=True, timeout=60, check=False
    )
    if b"not found" in said.stderr or said.returncode == 125:
        pytest.skip(f"the engine's own program does not know the container: {said.stderr.decode()[:200]}")
    assert said.stdout.decode().strip() == "inside /var/task"


async def test_a_pull_shows_how_far_it_is_and_is_given_up(
    window: MainWindow, runtime: LambdaRuntime, engine: EngineUnderTest, registry: LocalRegistry
) -> None:
    name, tag = f"window/{engine.name}", f"stoker-tests/window-{engine.name}:1"
    base = "public.ecr.aws/lambda/provided:al2023"
    await asyncio.to_thread(build_layers, engine.client, base, tag, [4 * _MB, 4 * _MB, 4 * _MB])
    await asyncio.to_thread(registry.push, engine.client, tag, name, "1")
    await asyncio.to_thread(engine.client.remove_image, tag)
    port = int(registry.address.rpartition(":")[2])
    async with held_relay(("127.0.0.1", port), 3 * _MB) as relay:
        image = f"127.0.0.1:{relay.port}/{name}:1"
        await runtime.add_function(
            LambdaFunction(function_name="pulled", package_type="Image", image_uri=image, backend=engine.name)
        )
        await until(window.pulls.isVisible, 60)
        assert find(window.pulls, QLabel, "pull_image_name").text() == image
        assert find(window.pulls, QLabel, "pull_detail").text() == f"on {engine.name}, for pulled"
        async with asyncio.timeout(60):
            await relay.held.wait()
        await until(lambda: "of" in find(window.pulls, QLabel, "pull_layers").text(), 60)
        click(window.pulls, "pull_cancel")
        await until(lambda: not runtime.pulls() and window.pulls.isHidden(), 60)
        assert "Gave up the pull" in window.toast.text

        window.functions.select("pulled")
        await until(window.actions_.pull_image.isEnabled)
        window.actions_.pull_image.trigger()
        await until(window.pulls.isVisible, 60)
        relay.release()
        await until(window.pulls.isHidden, 90)
        await until(lambda: "is there" in window.toast.text or "Pulled" in window.toast.text)
    await asyncio.to_thread(engine.client.remove_image, image)
    assert not window.problems.kept


async def test_an_image_that_is_not_there_stays_as_a_row_with_its_reason(
    window: MainWindow, runtime: LambdaRuntime, engine: EngineUnderTest, registry: LocalRegistry
) -> None:
    image = f"{registry.address}/window/nothing:9"
    await runtime.add_function(
        LambdaFunction(function_name="missing", package_type="Image", image_uri=image, backend=engine.name)
    )
    await until(lambda: [pull.state for pull in window.pulls.model.all()] == [PullState.FAILED], 60)
    assert "manifest" in find(window.pulls, QLabel, "pull_detail").text()
    first = window.pulls.model.all()[0].id
    await until(lambda: find(window.pulls, QPushButton, "pull_retry").isVisible())
    click(window.pulls, "pull_retry")
    await until(
        lambda: [(pull.state, pull.id != first) for pull in window.pulls.model.all()] == [(PullState.FAILED, True)], 60
    )
    assert not window.problems.kept, "the row says it, once"


async def test_a_response_that_does_not_stream_says_so_beside_it(
    engine: EngineUnderTest, tmp_path: Path, theme: Theme
) -> None:
    async with LambdaRuntime.open(
        tmp_path / "home", container_transport="image", default_backend=engine.name
    ) as runtime:
        await until(lambda: runtime.backends()[engine.name].online, 60)
        code = _words(tmp_path / "words")
        await runtime.add_function(
            LambdaFunction(function_name="words", runtime="provided.al2023", handler="bootstrap", code=code, timeout=20)
        )
        run = Run("words", b"{}", lambda: None)
        await run.drive(runtime)
        assert run.error is None, run.error
        facts = FactsView(theme)
        facts.show_run(run)
        assert facts.value("delivery").startswith("buffered by RIE")
        facts.deleteLater()
