"""The window's loop: its timers are exact, in order, and gone when cancelled."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from gui.loop import QtLoop, make_loop


def the_loop() -> QtLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, QtLoop)
    return loop


async def test_a_timer_is_never_early() -> None:
    loop = the_loop()
    rung: asyncio.Future[float] = loop.create_future()
    when = loop.time() + 0.25
    loop.call_at(when, lambda: rung.set_result(loop.time()))
    assert await rung >= when


async def test_timers_ring_in_the_order_of_their_times() -> None:
    loop = the_loop()
    order: list[str] = []
    done = asyncio.Event()
    loop.call_later(0.03, done.set)
    loop.call_later(0.02, order.append, "second")
    loop.call_later(0.01, order.append, "first")
    loop.call_later(0.015, order.append, "never").cancel()
    await done.wait()
    assert order == ["first", "second"]


async def test_cancelled_timers_do_not_pile_up() -> None:
    loop = the_loop()
    kept = loop.call_later(600, lambda: None)
    for _ in range(5_000):
        loop.call_later(900, lambda: None).cancel()
    assert len(loop._due) < 250
    kept.cancel()


async def test_a_callback_that_raises_does_not_stop_the_timers_after_it() -> None:
    loop = the_loop()
    heard: list[str] = []
    loop.set_exception_handler(lambda _, context: heard.append(str(context["exception"])))
    done = asyncio.Event()

    def fail() -> None:
        raise ValueError("no")

    loop.call_later(0.01, fail)
    loop.call_later(0.02, done.set)
    await done.wait()
    loop.set_exception_handler(None)
    assert heard == ["no"]


async def test_timeouts_and_sleeps_work_on_it() -> None:
    loop = the_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(0.05):
            await asyncio.sleep(5)
    except TimeoutError:
        pass
    assert 0.05 <= loop.time() - began < 2


def test_what_is_due_when_a_run_ends_waits_for_the_next_run(qapp: QApplication) -> None:
    """Outside of a running loop a task's step, or a timer that starts one, would fail."""
    loop = make_loop(qapp)
    seen: list[asyncio.AbstractEventLoop] = []

    def note() -> None:
        seen.append(asyncio.get_running_loop())

    async def leave_something() -> None:
        for _ in range(20):
            QTimer.singleShot(0, note)
            loop.call_soon(note)

    loop.run_until_complete(leave_something())
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    assert len(seen) == 40
    assert set(seen) == {loop}


async def test_callbacks_are_called_in_order_and_those_they_make_in_the_next_turn() -> None:
    loop = the_loop()
    order: list[str] = []
    done = asyncio.Event()
    # a timer of Qt's rings between two turns, however many callbacks there are
    QTimer.singleShot(0, lambda: order.append("Qt"))

    def first() -> None:
        order.append("first")
        loop.call_soon(order.append, "third")
        loop.call_soon(done.set)

    loop.call_soon(first)
    loop.call_soon(order.append, "second")
    loop.call_soon(order.append, "never").cancel()
    await done.wait()
    assert [each for each in order if each != "Qt"] == ["first", "second", "third"]
    assert order.index("Qt") < order.index("third")


async def test_a_callback_that_handles_events_as_a_dialog_does_loses_and_repeats_none() -> None:
    loop = the_loop()
    order: list[str] = []
    done = asyncio.Event()

    def dialog() -> None:
        order.append("opened")
        QApplication.processEvents()
        order.append("closed")

    loop.call_soon(dialog)
    loop.call_soon(order.append, "inside")
    loop.call_soon(done.set)
    await done.wait()
    assert order == ["opened", "inside", "closed"]


async def test_a_callback_that_raises_does_not_stop_the_callbacks_after_it() -> None:
    loop = the_loop()
    heard: list[str] = []
    loop.set_exception_handler(lambda _, context: heard.append(str(context["exception"])))
    done = asyncio.Event()

    def fail() -> None:
        raise ValueError("no")

    loop.call_soon(fail)
    loop.call_soon(done.set)
    await done.wait()
    loop.set_exception_handler(None)
    assert heard == ["no"]
