"""What goes wrong is kept once, in words."""

from __future__ import annotations

import asyncio
import sys

import pytest
from pytestqt.qtbot import QtBot

from core.errors import ContainerStartFailedError, FunctionNotFoundError, InvalidFunctionError
from gui.errors import Problems, words_for
from gui.tasks import Tasks
from tests.gui.window_support import until


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FunctionNotFoundError("x"), "there is no function named 'x'"),
        (InvalidFunctionError("memory_size", 1, "must be more"), "memory size must be more"),
        (FileNotFoundError(2, "No such file or directory", "/a/b"), "/a/b: No such file or directory"),
        (TimeoutError(), "it took too long"),
        (ExceptionGroup("two", [TimeoutError(), ValueError("b")]), "it took too long (and 1 more)"),
        (KeyError(), "something went wrong (KeyError)"),
    ],
)  # fmt: skip
def test_errors_read_as_a_person_would_say_them(error: BaseException, words: str) -> None:
    assert words_for(error) == words


def test_the_last_lines_of_an_instance_are_in_the_details(qtbot: QtBot) -> None:
    problems = Problems()
    problems.report("Launch x", ContainerStartFailedError("x", "it exited", ["one", "two"]))
    (problem,) = problems.kept
    assert problem.sentence.startswith("Launch x: ")
    assert problem.details.startswith("Its last lines:\n  one\n  two\n")


def test_what_repeats_is_counted_until_it_was_seen(qtbot: QtBot) -> None:
    problems = Problems()
    for _ in range(3):
        problems.add("journal", "the disk is full")
    assert [(p.words, p.count) for p in problems.kept] == [("the disk is full", 3)]
    assert problems.unseen == 1
    problems.dismiss()
    problems.add("journal", "the disk is full")
    assert problems.unseen == 1
    assert len(problems.kept) == 2


async def test_a_failed_task_is_reported_under_its_name(tasks: Tasks) -> None:
    problems = Problems()
    tasks.failed.connect(problems.report)

    async def fail() -> None:
        raise FunctionNotFoundError("x")

    tasks.start("Edit x", fail())
    await until(lambda: problems.kept)
    assert problems.kept[0].sentence == "Edit x: there is no function named 'x'"


async def test_what_nothing_catches_is_heard_in_slots_and_in_the_loop() -> None:
    problems = Problems()
    loop = asyncio.get_running_loop()
    before = sys.excepthook
    problems.install(loop)
    try:
        sys.excepthook(ValueError, ValueError("in a slot"), None)
        loop.call_exception_handler({"message": "m", "exception": ValueError("in the loop")})
        loop.call_exception_handler({"message": "a remark"})
    finally:
        problems.uninstall()
    assert sys.excepthook is before
    assert [problem.words for problem in problems.kept] == [
        "something in Stoker went wrong (ValueError: in a slot)",
        "something in Stoker went wrong (ValueError: in the loop)",
    ]
