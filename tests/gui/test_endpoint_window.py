"""The endpoint in the real window: switched on and off, called by a real client, and closed with the window."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QDialog, QLabel, QLineEdit, QPushButton, QSpinBox, QToolButton, QWidget

from core.instances import InstanceState
from core.runtime import LambdaRuntime
from core.settings import load_settings
from gui.endpoint import EndpointState, is_free
from gui.main_window import MainWindow, open_window
from gui.shutdown import Answer, Stage
from tests.core.sources import scripted_function
from tests.gui.endpoint_support import client_of, taken
from tests.gui.window_support import ECHO, FAILS, SLOW, appears, click, find, python_code, python_function, until

CONTROL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
async def on(window: MainWindow) -> str:
    """The window's endpoint is on at some free port; its URL."""
    window.endpoint.port = 0
    click(window, "endpoint_switch")
    await until(lambda: window.endpoint.on)
    await until(lambda: saved(window).endpoint_on)
    return window.endpoint.url


def saved(window: MainWindow) -> Any:
    return load_settings(window.context.runtime.home / "settings.json")


def address(window: MainWindow) -> str:
    return find(window, QPushButton, "endpoint_address").text()


def switch(window: MainWindow) -> QAbstractButton:
    return find(window, QAbstractButton, "endpoint_switch")


def rows(window: MainWindow) -> list[str]:
    """The words in the list of calls, a row each."""
    model = window.calls.model
    return [
        " ".join(str(model.index(row, column).data() or "") for column in range(model.columnCount()))
        for row in range(model.rowCount())
    ]


async def functions(window: MainWindow, folder: Path) -> None:
    runtime = window.context.runtime
    for name, text in (("echo", ECHO), ("fails", FAILS), ("slow", SLOW)):
        await runtime.add_function(python_function(name, python_code(folder / name, text), timeout=60))
    await until(lambda: window.functions.model.row("slow"))


def invoke(url: str, name: str, event: object, **given: str) -> str:
    """What a client gets, or the name of its error. Blocks."""
    try:
        answer = client_of(url).invoke(FunctionName=name, Payload=json.dumps(event).encode(), **given)
    except Exception as error:
        return type(error).__name__
    return str(answer["Payload"].read().decode())


async def begin(window: MainWindow, url: str, seconds: float) -> asyncio.Task[str]:
    """A client that waits for a function that takes so long; returns once an instance is busy with it."""
    task = asyncio.ensure_future(asyncio.to_thread(invoke, url, "slow", {"seconds": seconds}))
    await until(lambda: any(each.request_id for each in window.context.runtime.instances("slow")))
    return task


# --- the switch


async def test_off_it_says_so_and_offers_nothing_to_copy(window: MainWindow) -> None:
    assert address(window) == "endpoint off"
    assert not switch(window).isChecked()
    assert not find(window, QWidget, "endpoint_copy").isVisible()
    assert not window.actions_.endpoint_copy.isEnabled()
    assert "the endpoint is off" in window.actions_.endpoint_copy.toolTip()


async def test_the_switch_turns_it_on_shows_the_address_and_copies_it(window: MainWindow, on: str) -> None:
    assert on == f"http://{address(window)}"
    assert switch(window).isChecked()
    assert window.actions_.endpoint.isChecked()
    copy = find(window, QPushButton, "endpoint_copy")
    width = copy.width()
    click(window, "endpoint_copy")
    assert QGuiApplication.clipboard().text() == on
    assert copy.text() == "copied"
    assert copy.sizeHint().width() <= width
    await until(lambda: copy.text() == "copy")
    click(window, "endpoint_switch")
    await until(lambda: address(window) == "endpoint off")
    assert not switch(window).isChecked()
    assert is_free(int(on.rpartition(":")[2]))
    await until(lambda: not saved(window).endpoint_on)


async def test_the_keyboard_alone_turns_it_on_copies_and_turns_it_off(window: MainWindow) -> None:
    window.endpoint.port = 0
    QTest.keyClick(window, Qt.Key.Key_E, CONTROL_SHIFT)
    await until(lambda: window.endpoint.on)
    QTest.keyClick(window, Qt.Key.Key_C, CONTROL_SHIFT)
    assert QGuiApplication.clipboard().text() == window.endpoint.url
    QTest.keyClick(window, Qt.Key.Key_L, CONTROL_SHIFT)
    assert window.calls.isVisible()
    QTest.keyClick(window, Qt.Key.Key_E, CONTROL_SHIFT)
    await until(lambda: not window.endpoint.on)
    # by Tab and Space too
    switch(window).setFocus(Qt.FocusReason.TabFocusReason)
    QTest.keyClick(switch(window), Qt.Key.Key_Space)
    await until(lambda: window.endpoint.on)


async def test_every_part_can_be_reached_by_tab(window: MainWindow, on: str) -> None:
    for name in ("endpoint_address", "endpoint_copy", "endpoint_switch"):
        assert find(window, QWidget, name).focusPolicy() & Qt.FocusPolicy.TabFocus
        assert find(window, QWidget, name).accessibleName()


async def test_a_taken_port_opens_the_dialog_with_the_reason_and_another_one_is_remembered(window: MainWindow) -> None:
    with taken() as port:
        window.endpoint.port = port
        click(window, "endpoint_switch")
        dialog = await appears(window, QDialog, "endpoint_dialog")
        assert "Another program listens there already" in find(dialog, QLabel, "port_error").text()
        assert address(window) == "endpoint failed"
        assert str(port) in find(window, QPushButton, "endpoint_address").toolTip()
        click(dialog, "endpoint_apply")
        await until(lambda: find(dialog, QLabel, "port_error").isVisible())
        with taken() as other:
            pass
        find(dialog, QSpinBox, "endpoint_port").setValue(other)
        assert not find(dialog, QLabel, "port_error").isVisible()
        assert str(other) in find(dialog, QLineEdit, "endpoint_line_cli").text()
        click(dialog, "endpoint_apply")
        await until(lambda: address(window) == f"127.0.0.1:{other}")
        assert not find(dialog, QPushButton, "endpoint_apply").isEnabled()
        click(dialog, "close")
        await until(lambda: (saved(window).endpoint_on, saved(window).endpoint_port) == (True, other))
    assert not window.banner.isVisible()


async def test_the_dialog_has_the_lines_to_paste(window: MainWindow, on: str, tmp_path: Path) -> None:
    await functions(window, tmp_path)
    window.functions.select("fails")
    window.actions_.endpoint_setup.trigger()
    dialog = await appears(window, QDialog, "endpoint_dialog")
    for name, line in (
        ("cli", f"aws lambda invoke --endpoint-url {on} --function-name fails /dev/stdout"),
        ("boto3", f'boto3.client("lambda", endpoint_url="{on}")'),
        ("export", f"export AWS_ENDPOINT_URL_LAMBDA={on}"),
    ):
        field = find(dialog, QLineEdit, f"endpoint_line_{name}")
        button = find(dialog, QPushButton, f"endpoint_copy_{name}")
        assert field.text() == line
        # side by side, and both inside
        assert field.geometry().right() < button.geometry().left()
        assert dialog.contentsRect().contains(button.geometry())
        assert QFontMetrics(field.font()).horizontalAdvance(line) < field.width()
        click(dialog, f"endpoint_copy_{name}")
        assert QGuiApplication.clipboard().text() == line
        assert find(dialog, QPushButton, f"endpoint_copy_{name}").text() == "Copied"
    click(dialog, "close")
    await until(lambda: window.findChild(QDialog, "endpoint_dialog") is None)


async def test_what_was_on_is_on_at_the_next_start_and_a_failure_then_is_told(live_runtime: LambdaRuntime) -> None:
    window = await open_window(live_runtime)
    with taken() as port:
        window.endpoint.port = port
        window.endpoint_commands.restore()
        await until(window.banner.isVisible)
        assert find(window, QLabel, "error_text").text() == (
            f"the endpoint cannot be opened on 127.0.0.1:{port}: "
            "another program listens there already; choose another port"
        )
        assert address(window) == "endpoint failed"
    window.endpoint_commands.restore()
    await until(lambda: address(window) == f"127.0.0.1:{port}")
    window.shutdown.request(Answer.CANCEL)
    await window.shutdown.closed.wait()
    assert is_free(port)
    await window.dispose()
    window.theme.uninstall()


# --- who calls


@pytest.fixture
async def calls(window: MainWindow, on: str, tmp_path: Path) -> str:
    """Functions, and the list of calls in sight; the endpoint's URL."""
    await functions(window, tmp_path)
    window.actions_.calls.setChecked(True)
    return on


async def test_a_call_is_seen_while_it_runs_and_its_instance_is_busy(window: MainWindow, calls: str) -> None:
    call = await begin(window, calls, 1.0)
    await until(lambda: any("Invoke slow" in row and "running" in row for row in rows(window)))
    (instance,) = window.context.runtime.instances("slow")
    await until(lambda: (row := window.instances.model.find(instance.id)) and row.snapshot.state is InstanceState.BUSY)
    assert rows(window)[0].split()[1].startswith("Boto3/")
    assert instance.id in rows(window)[0]
    row = window.instances.model.find(instance.id)
    assert row is not None
    assert "a client of the endpoint" in row.tooltip(row.snapshot.changed)
    assert await call == '"done"'
    await until(lambda: " 200 " in rows(window)[0])


async def test_a_streamed_response_is_seen_streaming(window: MainWindow, calls: str, tmp_path: Path) -> None:
    await window.context.runtime.add_function(scripted_function(tmp_path, "stream"))
    steps = json.dumps([["chunk", "one "], ["sleep", 1.0], ["chunk", "two"]]).encode()

    def read() -> bytes:
        answer = client_of(calls).invoke_with_response_stream(FunctionName="stream", Payload=steps)
        return b"".join(event["PayloadChunk"]["Payload"] for event in answer["EventStream"] if "PayloadChunk" in event)

    reading = asyncio.ensure_future(asyncio.to_thread(read))
    await until(lambda: any("streaming" in row for row in rows(window)))
    (instance,) = window.context.runtime.instances("stream")
    await until(
        lambda: (row := window.instances.model.find(instance.id)) and "streaming" in row.last(row.snapshot.changed)
    )
    assert await reading == b"one two"


async def test_errors_are_told_with_their_code(window: MainWindow, calls: str) -> None:
    assert await asyncio.to_thread(invoke, calls, "nobody", {}) == "ResourceNotFoundException"
    await until(lambda: any("404" in row and "ResourceNotFoundException" in row for row in rows(window)))
    await asyncio.to_thread(invoke, calls, "fails", {})
    await until(lambda: any("fails" in row and "ValueError" in row for row in rows(window)))


async def test_a_click_on_a_call_selects_its_function_and_instance_and_moves_no_row(
    window: MainWindow, calls: str
) -> None:
    for name in ("echo", "fails", "echo"):
        await asyncio.to_thread(invoke, calls, name, {})
    await until(lambda: len(rows(window)) == 3 and all(" 200 " in row for row in rows(window)))
    before = rows(window)
    rect = window.calls.table.visualRect(window.calls.model.index(1, 0))
    QTest.mouseClick(
        window.calls.table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, rect.center()
    )
    (instance,) = window.context.runtime.instances("fails")
    assert window.functions.selected() == "fails"
    assert window.instances.selected_ids() == [instance.id]
    assert rows(window) == before
    only = find(window, QToolButton, "calls_only")
    assert not only.isChecked()
    only.click()
    assert len(rows(window)) == 1
    window.functions.select("echo")
    assert len(rows(window)) == 2
    window.calls.table.setFocus()
    QTest.keyClick(window.calls.table, Qt.Key.Key_Escape)
    assert window.functions.selected() is None
    assert len(rows(window)) == 3


async def test_logs_and_calls_share_one_place(window: MainWindow, calls: str) -> None:
    assert window.calls.isVisible()
    click(window.calls, "calls_tab_logs")
    assert window.logs.isVisible()
    assert not window.calls.isVisible()
    assert not window.actions_.calls.isChecked()
    click(window.logs, "logs_tab_calls")
    assert window.calls.isVisible()
    await asyncio.to_thread(invoke, calls, "echo", {})
    await until(lambda: " 200 " in "".join(rows(window)))
    window.calls.table.select_keys(window.calls.model.keys())
    QTest.keyClick(window.calls.table, Qt.Key.Key_L)
    assert window.logs.isVisible()
    (instance,) = window.context.runtime.instances("echo")
    assert window.logs.instance_id == instance.id
    window.actions_.logs.trigger()
    assert not window.bottom.isVisible()


# --- closing


async def test_turned_off_with_a_call_under_way_it_asks_and_may_stay_on(window: MainWindow, calls: str) -> None:
    call = await begin(window, calls, 0.8)
    click(window, "endpoint_switch")
    dialog = await appears(window, QDialog, "confirm")
    assert "1 call is being answered" in find(dialog, QLabel, "confirm_text").text()
    click(dialog, "no")
    await until(lambda: window.findChild(QDialog, "confirm") is None)
    assert window.endpoint.on
    assert await call == '"done"'


async def test_turned_off_it_answers_first_and_says_so(window: MainWindow, calls: str) -> None:
    call = await begin(window, calls, 1.2)
    click(window, "endpoint_switch")
    click(await appears(window, QDialog, "confirm"), "drain_endpoint")
    await until(lambda: address(window) == "endpoint closes · 1 call")
    assert not switch(window).isEnabled()
    assert find(window, QPushButton, "endpoint_cut").isVisible()
    assert await call == '"done"'
    await until(lambda: address(window) == "endpoint off")
    assert switch(window).isEnabled()


async def test_a_drain_can_be_cut_short(window: MainWindow, calls: str) -> None:
    call = await begin(window, calls, 2.0)
    click(window, "endpoint_switch")
    click(await appears(window, QDialog, "confirm"), "drain_endpoint")
    await until(lambda: window.endpoint.state is EndpointState.CLOSING)
    click(window, "endpoint_cut")
    await until(lambda: address(window) == "endpoint off", 5)
    assert await call != '"done"'
    await until(lambda: "client gone" in rows(window)[0])


async def test_closing_the_window_counts_the_calls_and_waits_for_them(window: MainWindow, calls: str) -> None:
    port = int(calls.rpartition(":")[2])
    call = await begin(window, calls, 1.2)
    window.close()
    dialog = await appears(window, QDialog, "confirm")
    assert "1 invocation and 1 call to the endpoint are running" in find(dialog, QLabel, "confirm_text").text()
    click(dialog, "wait")
    await until(lambda: window.shutdown.stage is Stage.WAITING)
    await until(lambda: is_free(port))
    assert await call == '"done"'
    await window.shutdown.closed.wait()


async def test_closing_the_window_may_cut_them(window: MainWindow, calls: str) -> None:
    call = await begin(window, calls, 50)
    window.close()
    click(await appears(window, QDialog, "confirm"), "cancel_running")
    async with asyncio.timeout(15):
        await window.shutdown.closed.wait()
        assert await call != '"done"'


async def test_closing_again_does_not_wait_for_a_call(window: MainWindow, calls: str) -> None:
    call = await begin(window, calls, 50)
    window.shutdown.request(Answer.WAIT)
    await until(lambda: window.shutdown.stage is Stage.WAITING)
    window.close()
    async with asyncio.timeout(15):
        await window.shutdown.closed.wait()
        assert await call != '"done"'


# --- published versions


async def test_versions_stand_below_their_function_and_cannot_be_changed(window: MainWindow, calls: str) -> None:
    runtime = window.context.runtime
    await runtime.publish_version("echo", "first")
    await until(lambda: window.functions.model.row("echo:1"))
    assert window.functions.model.shown == ["echo", "echo:1", "fails", "slow"]
    assert find(window, QLabel, "functions_count").text().startswith("3 ·")
    window.functions.select("echo:1")
    await until(window.actions_.launch.isEnabled)
    for action in (window.actions_.edit, window.actions_.reload):
        assert not action.isEnabled()
        assert "a published version cannot be changed" in action.toolTip()
    assert await asyncio.to_thread(invoke, calls, "echo", {"n": 1}, Qualifier="1") == '{"n": 1}'
    await until(lambda: [i.function_name for i in runtime.instances()] == ["echo:1"])
    await until(lambda: len(rows(window)) == 1)
    window.actions_.clone.trigger()
    dialog = await appears(window, QDialog, "function_dialog")
    assert find(dialog, QLineEdit, "function_name").text() == "echo-copy"
    click(dialog, "no")


async def test_removing_a_version_leaves_the_rest_and_an_alias_protects_it(window: MainWindow, calls: str) -> None:
    runtime, client = window.context.runtime, client_of(calls)
    await runtime.publish_version("echo", "first")
    await asyncio.to_thread(client.create_alias, FunctionName="echo", Name="live", FunctionVersion="1")
    await until(lambda: window.functions.model.row("echo:1"))
    window.functions.select("echo:1")
    await until(window.actions_.remove.isEnabled)
    window.actions_.remove.trigger()
    dialog = await appears(window, QDialog, "confirm")
    assert dialog.accessibleName() == "echo:1 cannot be removed"
    assert "The alias live stands for it" in find(dialog, QLabel, "confirm_text").text()
    click(dialog, "no")
    await until(lambda: window.findChild(QDialog, "confirm") is None)
    await asyncio.to_thread(client.delete_alias, FunctionName="echo", Name="live")
    window.actions_.remove.trigger()
    dialog = await appears(window, QDialog, "confirm")
    assert "echo and its other versions stay" in find(dialog, QLabel, "confirm_text").text()
    click(dialog, "remove")
    await until(lambda: window.functions.model.row("echo:1") is None)
    assert runtime.function("echo")


async def test_removing_a_function_says_how_many_versions_go_with_it(window: MainWindow, calls: str) -> None:
    runtime, client = window.context.runtime, client_of(calls)
    for timeout in (11, 12):
        await runtime.add_function(runtime.function("echo").replace(timeout=timeout))
        await runtime.publish_version("echo")
    await asyncio.to_thread(client.create_alias, FunctionName="echo", Name="live", FunctionVersion="1")
    await until(lambda: window.functions.model.row("echo:2"))
    window.functions.select("echo")
    await until(window.actions_.remove.isEnabled)
    window.actions_.remove.trigger()
    dialog = await appears(window, QDialog, "confirm")
    assert "2 published versions and 1 alias go with it" in find(dialog, QLabel, "confirm_text").text()
    click(dialog, "remove")
    await until(lambda: window.functions.model.names() == ["fails", "slow"])
    assert not window.problems.kept


async def test_a_version_has_its_function_s_saved_events(window: MainWindow, calls: str) -> None:
    runtime = window.context.runtime
    await runtime.save_event("echo", "greeting", '{"hello": 1}')
    await runtime.publish_version("echo", "first")
    await until(lambda: window.functions.model.row("echo:1"))
    window.functions.select("echo:1")
    await until(lambda: (tab := window.workbench.current) is not None and tab.event_editor.text == '{"hello": 1}')
    click(window, "invoke")
    await until(lambda: (tab := window.workbench.current) is not None and tab.run is not None and tab.run.over)
    tab = window.workbench.current
    assert tab is not None
    assert tab.run is not None
    assert tab.run.result is not None
    assert tab.run.result.executed_version == "1"
