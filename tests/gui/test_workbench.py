"""The workbench on a real runtime: what is on screen while a function still writes, and what stops it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMessageBox

from core.instances import InstanceState
from core.runtime import LambdaRuntime
from gui.context import Context
from gui.models.coalescer import Coalescer
from gui.panels.workbench import WorkbenchPanel
from gui.tasks import Tasks
from gui.theme import Theme
from gui.workbench.run import RunState
from tests.core.sources import Gate, python_function, scripted_function
from tests.gui.workbench.waiting import front, over, run_of, show, until

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[LambdaRuntime]:
    async with LambdaRuntime.open(home=tmp_path / "home", max_instances=1) as opened:
        yield opened


@pytest.fixture
async def panel(runtime: LambdaRuntime, tasks: Tasks, theme: Theme) -> AsyncIterator[WorkbenchPanel]:
    coalescer = Coalescer(runtime.events)
    made = WorkbenchPanel(Context(runtime, tasks, theme, coalescer))
    made.resize(1155, 330)
    made.show()
    yield made
    await made.cancel_all()
    coalescer.close()
    made.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path / "gate")
    yield made
    made.close()


async def scripted(runtime: LambdaRuntime, panel: WorkbenchPanel, folder: Path, steps: list[object]) -> None:
    await runtime.add_function(scripted_function(folder))
    panel.show_function("scripted")
    front(panel).event_editor.use(None, json.dumps(steps))


async def settled(runtime: LambdaRuntime) -> None:
    """What still ends an instance must not step after the test: pytest-qt handles events where no loop runs."""
    await runtime.close()


async def test_the_first_chunk_is_on_screen_while_the_function_is_still_writing(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path, gate: Gate
) -> None:
    await scripted(runtime, panel, tmp_path, [["chunk", "first "], gate.step, ["chunk", "second"]])
    tab = front(panel)
    text = tab.response.text
    empty = text.viewport().grab().toImage()

    QTest.mouseClick(tab.invoke_button, LEFT)
    await until(lambda: text.toPlainText() == "first ")

    # the function waits at the gate, so nothing later can have been written
    assert text.isVisible()
    assert text.viewport().grab().toImage() != empty
    assert run_of(tab).state is RunState.STREAMING
    assert tab.facts.value("status") == "streaming"
    assert tab.title().plain == "scripted ● streaming"
    assert [instance.state for instance in runtime.instances()] == [InstanceState.BUSY]

    gate.open()
    await over(panel)
    assert text.toPlainText() == "first second"
    assert tab.facts.value("status") == "succeeded"
    assert tab.facts.value("chunks") == "2"
    assert tab.facts.value("instance").endswith("· cold")
    assert runtime.instances()[0].state is InstanceState.IDLE


async def test_escape_stops_the_function_and_keeps_what_had_arrived(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path, gate: Gate
) -> None:
    await scripted(runtime, panel, tmp_path, [["chunk", "before"], gate.step, ["chunk", "after"]])
    tab = front(panel)
    panel.invoke()
    await until(lambda: tab.response.text.toPlainText() == "before")
    assert tab.cancel_button.isEnabled()

    tab.event_editor.editor.setFocus()
    QTest.keyClick(tab.event_editor.editor, Qt.Key.Key_Escape)
    await over(panel)

    assert tab.facts.value("status") == "cancelled"
    assert tab.response.text.toPlainText() == "before"
    assert not tab.cancel_button.isEnabled()
    assert panel.running() == 0
    await until(lambda: not runtime.instances())
    await settled(runtime)


async def test_one_that_waits_in_the_queue_says_so_and_can_leave_it(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path, gate: Gate
) -> None:
    await scripted(runtime, panel, tmp_path, [["chunk", "held"], gate.step])
    first = front(panel)
    panel.invoke()
    await until(lambda: first.response.text.toPlainText() == "held")

    panel.invoke()
    second = front(panel)
    assert second is not first
    assert panel.running() == 2
    # events of the pool tell it: nothing asks again and again
    await until(lambda: second.facts.value("status") == "queued · 1")

    QTest.mouseClick(second.cancel_button, LEFT)
    await over(panel)
    assert second.facts.value("status") == "cancelled"
    assert runtime.waiting() == 0
    assert first.running
    gate.open()
    await until(lambda: not first.running)
    assert run_of(first).state is RunState.SUCCEEDED


async def test_what_the_function_raises_is_shown_with_its_stack_trace(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path
) -> None:
    source = """\
        def handler(event, context):
            print("about to fail")
            raise ValueError("no such candle")
    """
    await runtime.add_function(python_function(tmp_path, source))
    panel.show_function("python")
    panel.invoke()
    tab = await over(panel)

    failure = tab.response.failure
    assert failure.isVisible()
    assert failure.title.text() == "ValueError"
    assert failure.message.text() == "no such candle"
    assert 'File "app.py", line 3, in handler' in failure.trace.toPlainText()
    assert tab.facts.value("status") == "function error"
    assert tab.title().plain == "python · ValueError"

    show(panel, "logs")
    assert "about to fail" in tab.response.logs.toPlainText()
    assert "REPORT RequestId" in tab.response.logs.toPlainText()


async def test_an_error_after_some_text_keeps_both(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path
) -> None:
    await scripted(runtime, panel, tmp_path, [["chunk", "half of it"], ["fail", "Out.OfWax", "the candle is gone"]])
    panel.invoke()
    tab = await over(panel)
    assert tab.response.failure.title.text() == "Out.OfWax"
    assert tab.response.failure.advice.text() == "10 B had arrived before; see Text."
    show(panel, "text")
    assert tab.response.text.toPlainText() == "half of it"


async def test_a_function_that_is_gone_is_named_with_what_to_do(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path
) -> None:
    await scripted(runtime, panel, tmp_path, [["chunk", "once"]])
    panel.invoke()
    await over(panel)
    await runtime.remove_function("scripted")
    panel.invoke()
    tab = await over(panel)
    failure = tab.response.failure
    assert failure.isVisible()
    assert "scripted" in failure.message.text()
    assert "removed" in failure.advice.text()
    assert tab.facts.value("status") == "failed"
    await settled(runtime)


async def test_closing_the_tab_of_a_running_invocation_asks_and_then_stops_it(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path, gate: Gate
) -> None:
    await scripted(runtime, panel, tmp_path, [["chunk", "x"], gate.step])
    tab = front(panel)
    panel.invoke()
    await until(lambda: tab.response.text.toPlainText() == "x")

    tab.event_editor.editor.setFocus()
    QTest.keyClick(tab.event_editor.editor, Qt.Key.Key_W, Qt.KeyboardModifier.ControlModifier)
    box = panel.findChild(QMessageBox, "close_running_tab")
    assert isinstance(box, QMessageBox)
    assert panel.tabs == (tab,)
    close = next(button for button in box.buttons() if button.text() == "Cancel it and close")
    QTest.mouseClick(close, LEFT)
    assert not panel.tabs
    await until(lambda: not runtime.instances())
    assert runtime.running() == 0
    await settled(runtime)


async def test_saved_events_are_kept_by_the_runtime_and_stand_ready_the_next_time(
    runtime: LambdaRuntime, panel: WorkbenchPanel, tmp_path: Path
) -> None:
    await runtime.add_function(scripted_function(tmp_path))
    await runtime.save_event("scripted", "greeting", '{"a": 1}')
    panel.show_function("scripted")
    tab = front(panel)
    await until(lambda: tab.event_editor.title == "greeting")
    assert tab.event_editor.text == '{"a": 1}'
    assert tab.event_editor.picker.text() == "greeting ▾"

    editor = tab.event_editor.editor
    editor.setPlainText('{"a": 2}')
    assert tab.event_editor.picker.text() == "greeting • ▾"
    editor.setFocus()
    QTest.keyClick(editor, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    await until(lambda: not tab.event_editor.modified)
    assert [event.payload for event in await runtime.saved_events("scripted")] == ['{"a": 2}']
