"""Closing the window: it asks, waits or cancels, shows what it waits for, and leaves nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
from PySide6.QtWidgets import QDialog, QLabel

from core.errors import RuntimeClosedError
from core.runtime import LambdaRuntime
from gui.errors import Problems
from gui.main_window import MainWindow
from gui.shutdown import Answer, Shutdown, Stage
from tests.gui.window_support import SLOW, appears, click, find, python_code, python_function, until


async def begin(window: MainWindow, folder: Path, seconds: float) -> asyncio.Task[object]:
    """Start an invocation that takes so long, and wait until an instance serves it."""
    runtime = window.context.runtime
    await runtime.add_function(python_function("slow", python_code(folder / "slow", SLOW), timeout=60))

    async def run() -> object:
        try:
            return await runtime.invoke("slow", f'{{"seconds": {seconds}}}')
        except Exception as error:
            return error

    task = asyncio.ensure_future(run())
    await until(lambda: any(instance.request_id for instance in runtime.instances()))
    return task


def pids(runtime: LambdaRuntime) -> list[int]:
    return [instance.pid for instance in runtime.instances() if instance.pid is not None]


async def gone(numbers: list[int]) -> None:
    await until(lambda: not any(psutil.pid_exists(number) for number in numbers))


async def test_an_idle_window_closes_without_a_question_and_its_instances_with_it(
    window: MainWindow, tmp_path: Path
) -> None:
    runtime = window.context.runtime
    await runtime.add_function(python_function("slow", python_code(tmp_path / "slow", SLOW)))
    await runtime.launch("slow", 2)
    processes = pids(runtime)
    assert len(processes) == 2
    stages: list[Stage] = []
    window.shutdown.stage_changed.connect(stages.append)
    assert not window.close()
    await window.shutdown.closed.wait()
    assert stages == [Stage.ENDING, Stage.CLOSED]
    await gone(processes)
    with pytest.raises(RuntimeClosedError):
        await runtime.invoke("slow")


async def test_with_something_running_it_asks_and_may_stay_open(window: MainWindow, tmp_path: Path) -> None:
    running = await begin(window, tmp_path, 0.8)
    window.close()
    dialog = await appears(window, QDialog, "confirm")
    assert "1 invocation is running" in find(dialog, QLabel, "confirm_text").text()
    click(dialog, "no")
    await until(lambda: window.shutdown.stage is Stage.OPEN)
    assert window.actions_.stop_all.isEnabled()
    result = await running
    assert getattr(result, "payload", None) == b'"done"'


async def test_it_waits_for_what_runs_and_says_so(window: MainWindow, tmp_path: Path) -> None:
    running = await begin(window, tmp_path, 1.5)
    processes = pids(window.context.runtime)
    window.close()
    click(await appears(window, QDialog, "confirm"), "wait")
    await until(lambda: window.shutdown.stage is Stage.WAITING)
    assert window.closing_card.isVisible()
    assert window.closing_card.text == "Waiting for 1 invocation to end…"
    assert not window.actions_.launch.isEnabled()
    assert "Stoker is closing" in window.actions_.launch.toolTip()
    result = await running
    assert getattr(result, "payload", None) == b'"done"'
    await window.shutdown.closed.wait()
    await gone(processes)


async def test_it_cancels_what_runs_when_told_so(window: MainWindow, tmp_path: Path) -> None:
    running = await begin(window, tmp_path, 60)
    processes = pids(window.context.runtime)
    window.close()
    click(await appears(window, QDialog, "confirm"), "cancel_running")
    async with asyncio.timeout(20):
        await window.shutdown.closed.wait()
        await running
    await gone(processes)


@pytest.mark.parametrize("first", [None, Answer.WAIT], ids=["while it asks", "while it waits"])
async def test_closing_again_does_not_wait(window: MainWindow, tmp_path: Path, first: Answer | None) -> None:
    running = await begin(window, tmp_path, 60)
    processes = pids(window.context.runtime)
    window.shutdown.request(first)
    await until(lambda: window.shutdown.stage in {Stage.ASKING, Stage.WAITING})
    await asyncio.sleep(0)
    window.close()
    async with asyncio.timeout(20):
        await window.shutdown.closed.wait()
        await running
    await gone(processes)
    await until(lambda: not any(dialog.isVisible() for dialog in window.findChildren(QDialog)))


async def test_the_button_on_the_card_does_not_wait_either(window: MainWindow, tmp_path: Path) -> None:
    running = await begin(window, tmp_path, 60)
    window.shutdown.request(Answer.WAIT)
    await until(window.closing_card.isVisible)
    click(window, "closing_hurry")
    async with asyncio.timeout(20):
        await window.shutdown.closed.wait()
        await running


class Broken:
    """A runtime that cannot close."""

    def running(self) -> int:
        return 0

    def instances(self) -> list[object]:
        return []

    async def close(self, *, drain: bool = False) -> None:
        raise OSError(28, "No space left on device")


async def test_a_runtime_that_cannot_close_does_not_hold_the_window() -> None:
    problems = Problems()

    async def never(_: int) -> Answer:
        raise AssertionError("nothing runs: nobody is asked")

    shutdown = Shutdown(Broken(), problems, never)  # type: ignore[arg-type]
    shutdown.request()
    async with asyncio.timeout(5):
        await shutdown.closed.wait()
    assert problems.kept[0].sentence == "Close: No space left on device"


async def test_a_window_leaves_no_task_behind(live_runtime: LambdaRuntime) -> None:
    from gui.main_window import open_window

    before = asyncio.all_tasks()
    window = await open_window(live_runtime)
    window.status_line.ask()
    window.shutdown.request()
    await window.shutdown.closed.wait()
    await window.dispose()
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert not left
    window.theme.uninstall()
