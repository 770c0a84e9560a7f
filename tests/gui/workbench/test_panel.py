"""Tabs, validation, views and limits, on streams that the test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QInputDialog, QLabel, QMenu, QPushButton

from core.errors import TooManyRequestsError
from core.events import FunctionRemoved
from gui.panels.workbench import WorkbenchPanel
from gui.theme import Theme
from gui.tokens import DARK, LIGHT
from gui.workbench.chunk_model import ChunkModel
from gui.workbench.live_text import LINES
from gui.workbench.run import RunState
from tests.gui.workbench.scripted import Chunks, Quick, ScriptedRuntime
from tests.gui.workbench.waiting import front, over, run_of, show, until

LEFT = Qt.MouseButton.LeftButton
CTRL = Qt.KeyboardModifier.ControlModifier


def written(*chunks: bytes) -> Chunks:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return stream


def then_wait(gate: asyncio.Event, *chunks: bytes, after: tuple[bytes, ...] = ()) -> Chunks:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        await gate.wait()
        for chunk in after:
            yield chunk

    return stream


# --- invoking


async def test_invalid_json_is_explained_and_not_sent(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    tab = front(panel)
    tab.event_editor.editor.setPlainText('{\n  "a": 1,\n}')
    assert tab.event_editor.message.whole == "line 2, column 9: one comma too many before }"
    QTest.keyClick(tab.event_editor.editor, Qt.Key.Key_Return, CTRL)
    assert runtime.asked == []
    assert tab.run is None
    assert tab.event_editor.editor.textCursor().blockNumber() == 1

    tab.event_editor.editor.setPlainText('{"a": 1}')
    assert tab.event_editor.message.whole == ""
    QTest.keyClick(tab.event_editor.editor, Qt.Key.Key_Return, CTRL)
    await over(panel)
    assert runtime.asked == [b'{"a": 1}']


async def test_an_empty_editor_sends_an_empty_object(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    front(panel).event_editor.editor.setPlainText(" \n")
    assert front(panel).event_editor.message.whole == "empty: sends {}"
    panel.invoke()
    await over(panel)
    assert runtime.asked == [b"{}"]


async def test_buttons_and_words_follow_the_invocation(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    gate = asyncio.Event()
    runtime.chunks = then_wait(gate, b"a")
    changes: list[int] = []
    panel.running_changed.connect(lambda: changes.append(panel.running()))
    invoke, cancel = panel.findChild(QPushButton, "invoke"), panel.findChild(QPushButton, "cancel")
    assert isinstance(invoke, QPushButton)
    assert isinstance(cancel, QPushButton)
    assert not cancel.isEnabled()
    QTest.mouseClick(invoke, LEFT)
    await until(lambda: run_of(front(panel)).state is RunState.STREAMING)
    assert cancel.isEnabled()
    assert panel.running() == 1
    gate.set()
    await over(panel)
    assert not cancel.isEnabled()
    assert changes[0] == 1
    assert changes[-1] == 0


async def test_several_run_at_once_each_in_its_own_tab(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    gate = asyncio.Event()
    runtime.chunks = then_wait(gate, b"one")
    panel.invoke()
    first = front(panel)
    await until(lambda: len(runtime.scripts) == 1)
    runtime.chunks = then_wait(gate, b"two")
    panel.invoke()
    second = front(panel)
    await until(lambda: len(runtime.scripts) == 2)
    panel.show_function("other")
    runtime.chunks = then_wait(gate, b"three")
    panel.invoke()
    third = front(panel)
    await until(lambda: len(runtime.scripts) == 3 and run_of(third).response.size == 5)
    assert [tab.function_name for tab in panel.tabs] == ["words", "words", "other"]
    assert panel.running() == 3

    panel.bar.setCurrentIndex(0)
    assert first.response.text.toPlainText() == "one"
    # only the tab in front is found by the buttons' names
    assert panel.findChild(QPushButton, "invoke") is first.invoke_button
    QTest.mouseClick(first.cancel_button, LEFT)
    await until(lambda: not first.running)
    assert (second.running, third.running) == (True, True)
    gate.set()
    await until(lambda: panel.running() == 0)
    assert {run_of(tab).state for tab in (second, third)} == {RunState.SUCCEEDED}
    assert run_of(first).state is RunState.CANCELLED


async def test_cancel_before_an_instance_is_there_leaves_the_line(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    runtime.gate.clear()
    panel.invoke()
    tab = front(panel)
    await until(lambda: bool(runtime.asked))
    panel.cancel()
    await over(panel)
    assert tab.facts.value("status") == "cancelled"
    assert runtime.scripts == []


async def test_cancel_before_its_first_step_still_ends_it(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    panel.invoke()
    panel.cancel()
    await panel.cancel_all()
    assert run_of(front(panel)).state is RunState.CANCELLED
    await until(lambda: not front(panel).cancel_button.isEnabled())


async def test_a_throttle_says_what_happened_and_what_to_do(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    runtime.refusal = TooManyRequestsError("words", "1000 invocations wait already")
    panel.invoke()
    failure = (await over(panel)).response.failure
    assert failure.message.text() == "words: Rate Exceeded (1000 invocations wait already)"
    assert failure.advice.text().startswith("Wait until running invocations have ended")
    details = failure.findChild(QPushButton, "error_details")
    assert isinstance(details, QPushButton)
    assert failure.trace.toPlainText() == ""
    QTest.mouseClick(details, LEFT)
    assert "TooManyRequestsError" in failure.trace.toPlainText()


async def test_an_unexpected_error_in_the_middle_shows_in_the_tab(
    panel: WorkbenchPanel, runtime: ScriptedRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"some"
        raise ZeroDivisionError("surprise")

    runtime.chunks = stream
    panel.invoke()
    tab = await over(panel)
    assert tab.facts.value("status") == "failed"
    assert tab.facts.value("error") == "ZeroDivisionError"
    assert tab.response.failure.message.text() == "surprise"
    assert tab.title().plain == "words · failed"
    assert "failed in the window" in caplog.text


async def test_the_next_invocation_in_a_tab_replaces_the_last_ones_failure(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    runtime.refusal = TooManyRequestsError("words", "full")
    panel.invoke()
    assert (await over(panel)).response.view == "Error"
    runtime.refusal, runtime.chunks = None, written(b"fine")
    panel.invoke()
    tab = await over(panel)
    assert tab.response.view == "Text"
    assert tab.response.text.toPlainText() == "fine"
    assert not tab.response.segments.offered("Error")


# --- tabs


async def test_selecting_a_function_reuses_its_tab_and_untouched_ones_make_room(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    panel.show_function("a")
    panel.show_function("b")
    assert [tab.function_name for tab in panel.tabs] == ["b"]
    runtime.chunks = written(b"from b")
    panel.invoke()
    await over(panel)
    panel.show_function("c")
    assert [tab.function_name for tab in panel.tabs] == ["b", "c"]
    panel.show_function("b")
    assert [tab.function_name for tab in panel.tabs] == ["b", "c"]
    assert front(panel).response.text.toPlainText() == "from b"
    panel.show_function(None)
    assert front(panel).function_name == "b"


async def test_a_draft_is_remembered_when_its_tab_has_gone(panel: WorkbenchPanel) -> None:
    front(panel).event_editor.editor.setPlainText('{"draft": true}')
    panel.show_function("other")
    assert front(panel).event_editor.text == "{}"
    panel.show_function("words")
    assert front(panel).event_editor.text == '{"draft": true}'


async def test_a_second_tab_of_a_function_starts_with_the_same_event(panel: WorkbenchPanel) -> None:
    front(panel).event_editor.editor.setPlainText('{"n": 1}')
    panel.new_tab()
    assert len(panel.tabs) == 2
    assert front(panel).event_editor.text == '{"n": 1}'


async def test_a_finished_tab_closes_without_a_question(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    runtime.chunks = written(b"done")
    panel.invoke()
    tab = await over(panel)
    middle = panel.bar.tabRect(0).center()
    QTest.mouseClick(panel.bar, Qt.MouseButton.MiddleButton, pos=middle)
    assert tab not in panel.tabs
    assert panel.current is None


async def test_the_tabs_of_a_removed_function_go_unless_they_show_something(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    runtime.chunks = written(b"kept")
    panel.invoke()
    await over(panel)
    panel.new_tab()
    assert len(panel.tabs) == 2
    runtime.events.publish(FunctionRemoved(function_name="words"))
    await until(lambda: len(panel.tabs) == 1)
    assert front(panel).response.text.toPlainText() == "kept"


# --- the response


@pytest.mark.parametrize("cut", [1, 2, 3])
async def test_a_character_split_between_chunks_is_shown_whole(
    panel: WorkbenchPanel, runtime: ScriptedRuntime, cut: int
) -> None:
    gate = asyncio.Event()
    face = "😀".encode()
    runtime.chunks = then_wait(gate, b"a" + face[:cut], after=(face[cut:] + b"z",))
    panel.invoke()
    text = front(panel).response.text
    await until(lambda: text.toPlainText() != "")
    assert text.toPlainText() == "a"
    gate.set()
    await over(panel)
    assert text.toPlainText() == "a😀z"


async def test_the_chunk_list_has_every_chunk_with_its_figures(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    gate = asyncio.Event()
    runtime.chunks = then_wait(gate, b"The ", b"pilot\n", after=(b"x" * 2048,))
    panel.invoke()
    show(panel, "chunks")
    tab = front(panel)
    model = tab.response.model
    await until(lambda: model.rowCount() == 2)
    gate.set()
    await over(panel)
    assert model.rowCount() == 3
    rows = [tab.response.row(index) for index in range(3)]
    assert [row[ChunkModel.NUMBER] for row in rows] == ["1", "2", "3"]
    assert [row[ChunkModel.SIZE] for row in rows] == ["4 B", "6 B", "2 KB"]
    assert [row[ChunkModel.TOTAL] for row in rows] == ["4 B", "10 B", "2.0 KB"]
    assert [row[ChunkModel.PREVIEW] for row in rows] == ["The ", "pilot↵", "x" * 48]
    assert rows[0][ChunkModel.GAP] == ""
    response, base = run_of(tab).response, run_of(tab).base
    offsets = [float(row[ChunkModel.OFFSET].removeprefix("+").removesuffix(" s")) for row in rows]
    assert offsets == [pytest.approx(response.at(index) - base, abs=0.0006) for index in range(3)]
    assert offsets == sorted(offsets)
    assert tab.response.strip.caption.whole.startswith("3 chunks over ")
    assert "largest gap" in tab.response.strip.caption.whole


async def test_binary_comes_up_as_hexadecimal_unless_a_view_was_chosen(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    runtime.chunks = written(b"\x89PNG\r\n\x1a\n\0\0")
    panel.invoke()
    assert (await over(panel)).response.view == "Hex"
    panel.new_tab()
    show(panel, "text")
    panel.invoke()
    assert (await over(panel)).response.view == "Text"


async def test_json_is_laid_out_when_the_response_is_whole(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    gate = asyncio.Event()
    runtime.chunks = then_wait(gate, b'{"a":', after=(b"1}",))
    panel.invoke()
    show(panel, "json")
    view = front(panel).response.json
    await until(lambda: run_of(front(panel)).response.chunks == 1)
    assert view.toPlainText() == ""
    gate.set()
    await over(panel)
    assert view.toPlainText() == '{\n  "a": 1\n}'


async def test_a_hidden_tab_draws_nothing_and_has_everything_when_it_comes_to_the_front(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    gate = asyncio.Event()
    runtime.chunks = then_wait(gate, b"before ", after=(b"after",))
    panel.invoke()
    tab = front(panel)
    await until(lambda: tab.response.text.toPlainText() == "before ")
    panel.show_function("other")
    gate.set()
    await until(lambda: not tab.running and not run_of(tab).dirty)
    assert tab.response.text.toPlainText() == "before "
    panel.show_function("words")
    assert tab.response.text.toPlainText() == "before after"


async def test_following_lets_go_when_one_scrolls_up_and_can_be_taken_up_again(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    lines = b"line\n" * 100

    async def stream() -> AsyncIterator[bytes]:
        yield lines
        await first.wait()
        yield lines
        await second.wait()
        yield lines

    runtime.chunks = stream
    panel.invoke()
    text = front(panel).response.text
    bar = text.verticalScrollBar()
    await until(lambda: text.blockCount() == 101)
    assert bar.value() == bar.maximum() > 0
    bar.setValue(3)
    assert not text.following
    follow = text.findChild(QPushButton, "follow")
    assert isinstance(follow, QPushButton)
    assert follow.isVisible()
    first.set()
    await until(lambda: text.blockCount() == 201)
    assert bar.value() == 3
    QTest.mouseClick(follow, LEFT)
    assert text.following
    second.set()
    await until(lambda: text.blockCount() == 301)
    assert bar.value() == bar.maximum()
    assert not follow.isVisible()


async def test_a_selection_stays_as_it_is_while_text_arrives(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    gate = asyncio.Event()
    runtime.chunks = then_wait(gate, b"selected", after=(b" and more",))
    panel.invoke()
    text = front(panel).response.text
    await until(lambda: text.toPlainText() == "selected")
    text.selectAll()
    gate.set()
    await over(panel)
    assert text.toPlainText() == "selected and more"
    assert text.textCursor().selectedText() == "selected"


async def test_a_line_without_end_is_broken_on_screen_and_whole_when_copied(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    line = "".join(chr(ord("a") + number % 26) for number in range(200_000))
    runtime.chunks = written(b"first\n", line.encode(), b"\nlast")
    panel.invoke()
    tab = await over(panel)
    text = tab.response.text
    await until(lambda: text.toPlainText().endswith("last"))
    longest = max(len(part) for part in text.toPlainText().split("\n"))
    assert longest <= 1000
    text.selectAll()
    assert text.createMimeDataFromSelection().text() == f"first\n{line}\nlast"
    cursor = text.textCursor()
    cursor.setPosition(2)
    cursor.setPosition(8, QTextCursor.MoveMode.KeepAnchor)
    text.setTextCursor(cursor)
    assert text.createMimeDataFromSelection().text() == "rst\nab"
    tab.response.actions_row.copy()
    assert QGuiApplication.clipboard().text() == f"first\n{line}\nlast"


async def test_a_huge_stream_is_shown_in_part_counted_in_full_and_saved_whole(
    panel: WorkbenchPanel, runtime: ScriptedRuntime, tmp_path: Path
) -> None:
    piece = (b"0123456789abcde\n" * 4096)[: 64 * 1024]
    count = 400

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece

    runtime.kind, runtime.chunks = Quick, stream
    panel.invoke()
    tab = await over(panel)
    run = run_of(tab)
    assert run.response.size == count * len(piece)
    assert len(run.response.head) == 8 * 1024 * 1024
    assert tab.facts.value("chunks") == "400"
    await until(lambda: tab.response.text.full)
    assert tab.response.text.blockCount() < LINES + 10_000
    assert tab.response.notice.text().endswith("Save as… has all of it.")
    target = tmp_path / "out"
    await tab.response.actions_row.save(run, target)
    assert target.stat().st_size == run.response.size
    assert target.read_bytes() == piece * count


async def test_the_loop_keeps_its_turns_under_a_stream_that_never_waits(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    stopped = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        while not stopped.is_set():
            yield b"chunk\n"

    runtime.kind, runtime.chunks = Quick, stream
    panel.invoke()
    tab = front(panel)
    # each turn is one that the endless stream had to leave to us, and to the frames that draw it
    await until(lambda: run_of(tab).response.chunks > 5_000 and "chunk" in tab.response.text.toPlainText())
    assert tab.running
    stopped.set()
    await over(panel)
    await until(lambda: tab.response.text.blockCount() >= min(LINES, run_of(tab).response.chunks))


async def test_both_themes_can_be_put_on_while_it_streams(
    panel: WorkbenchPanel, runtime: ScriptedRuntime, theme: Theme
) -> None:
    gate = asyncio.Event()
    runtime.chunks = then_wait(gate, b"text")
    panel.invoke()
    await until(lambda: front(panel).response.text.toPlainText() == "text")
    pictures = []
    for tokens in (LIGHT, DARK):
        theme.force(tokens)
        pictures.append(panel.grab().toImage())
    assert pictures[0] != pictures[1]
    gate.set()
    await over(panel)


# --- the event


async def test_format_lays_out_and_saving_under_a_name_offers_it_again(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    editor = front(panel).event_editor
    editor.editor.setPlainText('{"b":1.0,"a":[]}')
    editor.editor.setFocus()
    QTest.keyClick(editor.editor, Qt.Key.Key_F, CTRL | Qt.KeyboardModifier.ShiftModifier)
    assert editor.text == '{\n  "b": 1.0,\n  "a": []\n}'
    editor.editor.undo()
    assert editor.text == '{"b":1.0,"a":[]}'

    QTest.keyClick(editor.editor, Qt.Key.Key_S, CTRL)
    dialog = panel.findChild(QInputDialog)
    assert isinstance(dialog, QInputDialog)
    dialog.setTextValue("  a  name ")
    dialog.accept()
    await until(lambda: editor.title == "a name")
    assert runtime.saved == {"a name": '{"b":1.0,"a":[]}'}
    names = [action.text() for action in editor.menu().actions()]
    assert names[0] == "a name"
    assert "Delete “a name”" in names


async def test_deleting_a_saved_event_keeps_the_text(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    runtime.saved = {"one": "[1]"}
    editor = front(panel).event_editor
    await editor.load()
    editor.use("one", "[1]")
    delete = next(action for action in editor.menu().actions() if action.text().startswith("Delete"))
    delete.trigger()
    await until(lambda: not runtime.saved and editor.title is None)
    assert editor.text == "[1]"


async def test_a_saved_event_never_replaces_what_one_has_typed(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    runtime.saved = {"one": "[1]"}
    panel.show_function("other")
    editor = front(panel).event_editor
    editor.editor.setPlainText("[2]")
    await asyncio.sleep(0)
    await editor.load()
    assert editor.text == "[2]"


async def test_log_lines_of_the_invocation_are_listed(panel: WorkbenchPanel, runtime: ScriptedRuntime) -> None:
    runtime.result = replace(runtime.result, log_tail="START\nhello\nREPORT Billed Duration: 12 ms\n", duration_ms=11.2)
    runtime.chunks = written(b"x")
    panel.invoke()
    tab = await over(panel)
    show(panel, "logs")
    assert tab.response.logs.toPlainText() == "START\nhello\nREPORT Billed Duration: 12 ms"
    assert tab.facts.value("duration") == "11 ms"


async def test_a_closed_tab_leaves_nothing_that_the_theme_or_a_late_answer_could_stumble_over(
    panel: WorkbenchPanel, runtime: ScriptedRuntime, theme: Theme, tmp_path: Path
) -> None:
    runtime.chunks = written(b"x")
    panel.invoke()
    tab = await over(panel)
    editor, response, run = tab.event_editor, tab.response, run_of(tab)
    saving = asyncio.ensure_future(response.actions_row.save(run, tmp_path / "out"))
    await asyncio.sleep(0)
    panel.close_tab(0)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    theme.force(DARK)
    await editor.load()
    await saving
    assert (tmp_path / "out").read_bytes() == b"x"
    assert panel.current is None


async def test_in_a_narrow_window_one_button_stands_for_copy_and_save(
    panel: WorkbenchPanel, runtime: ScriptedRuntime
) -> None:
    runtime.chunks = written(b"x")
    panel.invoke()
    row = (await over(panel)).response.actions_row
    more = row.findChild(QPushButton, "response_more")
    assert isinstance(more, QPushButton)
    assert (row.copy_button.isVisible(), more.isVisible()) == (True, False)
    panel.resize(panel.minimumSizeHint().width(), 330)
    assert (row.copy_button.isVisible(), more.isVisible()) == (False, True)
    QTest.mouseClick(more, LEFT)
    menu = row.findChild(QMenu)
    assert isinstance(menu, QMenu)
    menu.actions()[0].trigger()
    assert QGuiApplication.clipboard().text() == "x"
    menu.close()


async def test_a_tab_that_takes_the_place_of_another_gets_its_own_width(panel: WorkbenchPanel) -> None:
    panel.show_function("words")
    alone = panel.bar.tabRect(0).width()
    panel.show_function("a-function-with-a-long-name")
    assert panel.bar.tabRect(0).width() == panel.bar.tabSizeHint(0).width() > alone
    panel.show_function("words")
    assert panel.bar.count() == 1
    assert panel.bar.tabRect(0).width() == alone


async def test_an_error_that_comes_does_not_push_at_what_is_around(panel: WorkbenchPanel) -> None:
    panel.show_function("words")
    assert panel.current is not None
    response = panel.current.response
    before = response.minimumSizeHint().width()
    response.segments.offer("Error", True)
    assert response.minimumSizeHint().width() == before


async def test_the_heading_of_a_response_is_whole_or_not_there(panel: WorkbenchPanel) -> None:
    panel.show_function("words")
    assert panel.current is not None
    response = panel.current.response
    (heading,) = [each for each in response.findChildren(QLabel) if each.text() == "Response"]
    seen = set()
    for width in range(1_400, 700, -20):
        panel.resize(width, 330)
        assert not heading.isVisible() or heading.width() >= heading.sizeHint().width(), width
        seen.add(heading.isVisible())
    assert seen == {True, False}


async def test_no_two_buttons_sound_alike(panel: WorkbenchPanel) -> None:
    panel.show_function("words")
    tab = panel.current
    assert tab is not None
    buttons = [button for button in tab.findChildren(QPushButton) if not button.isHidden()]
    names = [button.accessibleName() or button.text() for button in buttons]
    assert len(set(names)) == len(names)


async def test_wrapped_text_has_no_bar_to_scroll_sideways(panel: WorkbenchPanel) -> None:
    panel.show_function("words")
    assert panel.current is not None
    tab = panel.current
    tab.event_editor.editor.setPlainText('{"text": "' + "many words " * 80 + '"}')
    tab.response.text.append("many words " * 80)
    for view in (tab.event_editor.editor, tab.response.text):
        assert not view.horizontalScrollBar().isVisible()
