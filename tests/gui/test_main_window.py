"""The real window over a real runtime: what a person clicks happens, and what happens is shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QLabel, QLineEdit, QToolButton, QWidget

from core.backends.scratch import InstanceDirectory, InstanceRecord
from core.errors import LambdaRuntimeError
from core.events import Trouble
from core.instances import InstanceState
from core.owners import Owner
from core.runtime import LambdaRuntime
from gui.main_window import MainWindow, open_window
from gui.shutdown import Answer
from tests.gui.window_support import (
    ECHO,
    FAILS,
    SLOW,
    appears,
    click,
    find,
    python_code,
    python_function,
    until,
)

BUTTONS = ("launch", "invoke", "cancel", "terminate", "kill", "evict", "reap_idle", "reap_stale", "stop_all")


@pytest.fixture
async def echo(window: MainWindow, tmp_path: Path) -> str:
    """A function that is there and selected."""
    code = python_code(tmp_path / "echo", ECHO)
    await window.context.runtime.add_function(python_function("echo", code))
    await until(lambda: window.functions.model.row("echo"))
    window.functions.select("echo")
    return "echo"


async def test_every_button_of_the_design_is_there_once(window: MainWindow, echo: str) -> None:
    for name in BUTTONS:
        found = [each for each in window.findChildren(QWidget, name) if each.isVisible()]
        assert len(found) == 1, name
        assert window.findChild(QAction, f"{name}_action") is not None


async def test_launch_by_mouse_brings_an_instance_up_and_evict_ends_it(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    click(window, "launch")
    await until(lambda: [i.state for i in runtime.instances(echo)] == [InstanceState.IDLE])
    await until(lambda: window.functions.model.total() == 1)
    assert "1 instance" in find(window, QLabel, "functions_count").text()
    assert find(window, QLabel, "status_instances").text() == "instances 1 / 100"
    await until(lambda: find(window, QToolButton, "evict").isEnabled())
    click(window, "evict")
    await until(lambda: not runtime.instances())
    await until(lambda: find(window, QLabel, "status_instances").text() == "instances 0 / 100")


async def test_the_launch_menu_starts_several(window: MainWindow, echo: str) -> None:
    window.actions_.launch_requested.emit(2)
    await until(lambda: len(window.context.runtime.instances(echo)) == 2)
    await until(lambda: "Launched 2 instances" in window.toast.text)


async def test_terminate_and_kill_act_on_the_selected_instances(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    first, second = await runtime.launch(echo, 2)
    await until(lambda: window.instances.model.rowCount() == 2)
    assert not find(window, QToolButton, "terminate").isEnabled()
    assert "no instance is selected" in find(window, QToolButton, "terminate").toolTip()
    window.instances.select([first.id])
    await until(lambda: find(window, QToolButton, "terminate").isEnabled())
    window.instances.table.setFocus()
    QTest.keyClick(window.instances.table, Qt.Key.Key_Delete)
    await until(lambda: [i.id for i in runtime.instances()] == [second.id])
    window.instances.select([second.id])
    await until(lambda: find(window, QToolButton, "kill").isEnabled())
    click(window, "kill")
    await until(lambda: not runtime.instances())
    if window.instances.selected_ids():
        # its row stays for a while, and nothing can be done to it
        await until(lambda: "has ended" in find(window, QToolButton, "kill").toolTip())
    assert not find(window, QToolButton, "kill").isEnabled()
    assert not window.problems.kept


async def test_delete_in_a_text_field_terminates_nothing(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    (instance,) = await runtime.launch(echo)
    await until(lambda: window.instances.model.rowCount() == 1)
    window.instances.select([instance.id])
    field = find(window, QLineEdit, "functions_filter")
    field.setText("ec")
    field.setFocus()
    field.home(False)
    QTest.keyClick(field, Qt.Key.Key_Delete)
    await asyncio.sleep(0)
    assert field.text() == "c"
    assert [i.state for i in runtime.instances()] == [InstanceState.IDLE]


async def test_pin_exempts_from_reaping_and_a_second_time_no_longer(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    (instance,) = await runtime.launch(echo)
    await until(lambda: window.instances.model.rowCount() == 1)
    window.instances.select([instance.id])
    await until(window.actions_.pin.isEnabled)
    window.actions_.pin.trigger()
    assert runtime.instance(instance.id).pinned
    await until(lambda: window.actions_.pin.text() == "Unpin")
    window.actions_.pin.trigger()
    assert not runtime.instance(instance.id).pinned


async def test_reap_idle_tells_how_many_it_would_take_and_takes_them(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    instances = await runtime.launch(echo, 3)
    runtime.pin(instances[0].id)
    await until(lambda: find(window, QToolButton, "reap_idle").isEnabled())
    click(window, "reap_idle")
    dialog = await appears(window, QDialog, "reap_idle_dialog")
    assert "This ends 2 instances" in find(dialog, QLabel, "reap_idle_count").text()
    click(dialog, "yes")
    await until(lambda: [i.id for i in runtime.instances()] == [instances[0].id])
    await until(lambda: "Reaped 2" in window.toast.text)


async def test_stop_all_asks_and_then_stops(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    await runtime.launch(echo, 2)
    await until(lambda: find(window, QToolButton, "stop_all").isEnabled())
    click(window, "stop_all")
    dialog = await appears(window, QDialog, "confirm")
    assert "2 instances" in find(dialog, QLabel, "confirm_text").text()
    click(dialog, "no")
    await until(lambda: window.findChild(QDialog, "confirm") is None)
    assert len(runtime.instances()) == 2
    click(window, "stop_all")
    dialog = await appears(window, QDialog, "confirm")
    click(dialog, "kill_all")
    await until(lambda: not runtime.instances())


async def test_evicting_a_busy_function_asks_how(window: MainWindow, tmp_path: Path) -> None:
    runtime = window.context.runtime
    await runtime.add_function(python_function("slow", python_code(tmp_path / "slow", SLOW), timeout=60))
    running = asyncio.ensure_future(runtime.invoke("slow", b'{"seconds": 30}'))
    await until(lambda: window.functions.model.instances()[InstanceState.BUSY] == 1)
    window.functions.select("slow")
    await until(window.actions_.evict.isEnabled)
    click(window, "evict")
    dialog = await appears(window, QDialog, "confirm")
    click(dialog, "end_now")
    result = await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), 20)
    assert isinstance(result[0], LambdaRuntimeError) or result[0].function_error  # type: ignore[union-attr]
    await until(lambda: not runtime.instances())


async def test_invoke_and_escape_by_keyboard(window: MainWindow, tmp_path: Path) -> None:
    runtime = window.context.runtime
    await runtime.add_function(python_function("slow", python_code(tmp_path / "slow", SLOW), timeout=60))
    await until(lambda: window.functions.model.row("slow"))
    window.functions.select("slow")
    await until(lambda: window.workbench.current is not None)
    tab = window.workbench.current
    assert tab is not None
    tab.event_editor.editor.setPlainText('{"seconds": 30}')
    QTest.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    await until(lambda: window.functions.model.instances()[InstanceState.BUSY] == 1)
    await until(window.actions_.cancel.isEnabled)
    tab.event_editor.editor.setFocus()
    focus = window.focusWidget()
    assert focus is not None
    QTest.keyClick(focus, Qt.Key.Key_Escape)
    await until(lambda: window.workbench.running() == 0)
    assert window.functions.selected() == "slow"
    await until(lambda: runtime.running() == 0)


async def test_escape_in_the_list_shows_all_functions_again(window: MainWindow, echo: str) -> None:
    assert window.functions.selected() == echo
    window.functions.list.setFocus()
    QTest.keyClick(window.functions.list, Qt.Key.Key_Escape)
    assert window.functions.selected() is None


async def test_a_failure_is_shown_once_in_words_with_its_details_behind_a_button(
    window: MainWindow, tmp_path: Path
) -> None:
    runtime = window.context.runtime
    code = python_code(tmp_path / "broken", "raise RuntimeError('broken at import')\n")
    await runtime.add_function(python_function("broken", code))
    await until(lambda: window.functions.model.row("broken"))
    window.functions.select("broken")
    click(window, "launch")
    await until(window.banner.isVisible)
    text = find(window, QLabel, "error_text").text()
    assert text.startswith("Launch broken:")
    assert len(window.problems.kept) == 1
    click(window, "error_details")
    dialog = await appears(window, QDialog, "details")
    assert "broken at import" in dialog._text.toPlainText()  # type: ignore[attr-defined]
    click(dialog, "close")
    await until(lambda: not window.banner.isVisible())


async def test_trouble_behind_the_scenes_reaches_the_banner(window: MainWindow) -> None:
    window.context.runtime.events.publish(Trouble(about="journal", message="the disk is full"))
    await until(window.banner.isVisible)
    assert find(window, QLabel, "error_text").text() == "journal: the disk is full"


async def test_a_failed_invocation_marks_its_function(window: MainWindow, tmp_path: Path) -> None:
    runtime = window.context.runtime
    await runtime.add_function(python_function("fails", python_code(tmp_path / "fails", FAILS)))
    result = await runtime.invoke("fails")
    assert result.function_error
    await until(lambda: (row := window.functions.model.row("fails")) is not None and row.failed == "ValueError")


async def test_a_folder_dropped_anywhere_opens_the_dialog_prefilled(window: MainWindow, tmp_path: Path) -> None:
    code = python_code(tmp_path / "from-a-folder", ECHO)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(code))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(700, 400), Qt.DropAction.CopyAction, data, left, none)
    window.dragEnterEvent(enter)
    assert enter.isAccepted()
    assert window.drop_overlay.isVisible()
    drop = QDropEvent(QPointF(700, 400), Qt.DropAction.CopyAction, data, left, none)
    window.drop_overlay.dropEvent(drop)
    assert not window.drop_overlay.isVisible()
    dialog = await appears(window, QDialog, "function_dialog")
    assert find(dialog, QLineEdit, "code").text() == str(code)
    assert find(dialog, QLineEdit, "function_name").text() == "from-a-folder"
    await until(lambda: find(dialog, QLineEdit, "handler").text() == "app.handler")
    click(dialog, "yes")
    await until(lambda: window.functions.selected() == "from-a-folder")
    await until(lambda: window.findChild(QDialog, "function_dialog") is None)
    result = await window.context.runtime.invoke("from-a-folder", b'{"a": 1}')
    assert result.payload == b'{"a": 1}'


async def test_no_text_field_takes_a_file_away_from_the_window(window: MainWindow, echo: str) -> None:
    await until(lambda: window.workbench.current is not None)
    body = window.centralWidget()
    assert body is not None
    await until(lambda: not any(each.acceptDrops() for each in body.findChildren(QWidget)))
    assert window.acceptDrops()


async def test_other_files_are_not_taken(window: MainWindow, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no function")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(text))])
    enter = QDragEnterEvent(
        QPoint(1, 1), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    enter.ignore()
    window.dragEnterEvent(enter)
    assert not enter.isAccepted()
    assert not window.drop_overlay.isVisible()


async def test_edit_keeps_what_was_not_changed_and_clone_takes_saved_events_along(
    window: MainWindow, echo: str
) -> None:
    runtime = window.context.runtime
    await runtime.save_event(echo, "greeting", '{"hello": 1}')
    await runtime.add_function(runtime.function(echo).replace(environment={"TOKEN": "s3cret"}, tags={"team": "a"}))
    await until(window.actions_.edit.isEnabled)
    window.actions_.edit.trigger()
    dialog = await appears(window, QDialog, "function_dialog")
    dialog.form.timeout.setValue(17)  # type: ignore[attr-defined]
    click(dialog, "yes")
    await until(lambda: runtime.function(echo).timeout == 17)
    assert dict(runtime.function(echo).environment) == {"TOKEN": "s3cret"}
    await until(lambda: window.findChild(QDialog, "function_dialog") is None)
    window.actions_.clone.trigger()
    dialog = await appears(window, QDialog, "function_dialog")
    click(dialog, "yes")
    await until(lambda: window.functions.selected() == "echo-copy")
    copy = runtime.function("echo-copy")
    assert (copy.timeout, dict(copy.tags)) == (17, {"team": "a"})
    assert [event.title for event in await runtime.saved_events("echo-copy")] == ["greeting"]


async def test_reload_takes_edited_code_in(window: MainWindow, tmp_path: Path) -> None:
    runtime = window.context.runtime
    code = python_code(tmp_path / "edited", ECHO)
    await runtime.add_function(python_function("edited", code))
    window.coalescer.flush()
    window.functions.select("edited")
    (instance,) = await runtime.launch("edited")
    said: list[str] = []
    window.commands.done.connect(said.append)
    window.actions_.reload.trigger()
    await until(lambda: said == ["The code of edited has not changed"])
    (code / "app.py").write_text("def handler(event, context):\n    return 'edited'\n")
    window.actions_.reload.trigger()
    await until(lambda: said[1:] == ["Reloaded the code of edited"])
    await until(lambda: all(i.id != instance.id for i in runtime.instances()))
    assert (await runtime.invoke("edited")).payload == b'"edited"'


async def test_what_an_earlier_stoker_left_is_told_at_the_start(window: MainWindow) -> None:
    said: list[str] = []
    window.commands.done.connect(said.append)
    await window.commands.tell_of_stale()
    assert said == []
    home = window.context.runtime.home
    owner = Owner.acquire(home)
    InstanceDirectory(home / "instances", InstanceRecord(owner.id, "i-left", "echo", "0" * 32)).create()
    owner.release(keep=True)
    await window.commands.tell_of_stale()
    assert said == ["An earlier Stoker left 1 instance behind: see Reap stale…"]


async def test_remove_asks_first(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    await until(window.actions_.remove.isEnabled)
    window.actions_.remove.trigger()
    dialog = await appears(window, QDialog, "confirm")
    click(dialog, "no")
    await until(lambda: window.findChild(QDialog, "confirm") is None)
    assert [each.function_name for each in runtime.functions()] == [echo]
    window.actions_.remove.trigger()
    dialog = await appears(window, QDialog, "confirm")
    click(dialog, "remove")
    await until(lambda: window.functions.selected() is None and not runtime.functions())
    await until(lambda: find(window, QLabel, "functions_empty").isVisible())


async def test_the_status_line_counts_the_journal_and_the_memory(window: MainWindow, echo: str) -> None:
    await window.context.runtime.launch(echo)
    await until(lambda: "MB" in find(window, QLabel, "status_memory").text())
    await until(lambda: find(window, QLabel, "status_memory").text() != "memory 0 MB")
    await until(lambda: find(window, QLabel, "status_journal").text().endswith(" events"))


async def test_the_logs_open_for_the_selected_instance(window: MainWindow, echo: str) -> None:
    runtime = window.context.runtime
    (instance,) = await runtime.launch(echo)
    await until(lambda: window.instances.model.rowCount() == 1)
    assert not window.logs.isVisible()
    window.instances.select([instance.id])
    await until(window.actions_.show_logs.isEnabled)
    window.actions_.show_logs.trigger()
    assert window.logs.isVisible()
    assert window.logs.instance_id == instance.id


async def test_the_window_remembers_its_sizes_and_its_selection(live_runtime: LambdaRuntime, tmp_path: Path) -> None:
    for name in ("one", "two"):
        await live_runtime.add_function(python_function(name, python_code(tmp_path / name, ECHO)))
    first = await open_window(live_runtime)
    first.resize(first.minimumSizeHint().width(), 640)
    first.across.setSizes([400, 700])
    first.functions.select("two")
    first.actions_.logs.setChecked(True)
    first._remember()
    sizes, size = first.across.sizes(), first.size()
    await first.dispose()
    second = await open_window(live_runtime)
    assert second.size() == size
    assert second.across.sizes() == sizes
    assert second.functions.selected() == "two"
    assert second.logs.isVisible()
    second.shutdown.request(Answer.CANCEL)
    await second.shutdown.closed.wait()
    await second.dispose()
    assert (live_runtime.home / "window.ini").is_file()
