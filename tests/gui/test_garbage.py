"""Cyclic garbage with Qt objects in it is collected on the window's thread only."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QObject

from gui.garbage import Garbage


class _Probe(QObject):
    """In a cycle with itself; notes the thread on which it is finalised."""

    def __init__(self, finalised: list[int]) -> None:
        super().__init__()
        self.itself = self
        self._finalised = finalised

    def __del__(self) -> None:
        self._finalised.append(threading.get_ident())


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    keeper = Garbage()
    yield keeper
    keeper.stop()


def _allocate() -> None:
    """What a collection of every generation would need to start by itself, many times over."""
    for _ in range(60):
        kept = [[number] for number in range(5000)]
        del kept


def _allocate_on_another_thread() -> None:
    thread = threading.Thread(target=_allocate)
    thread.start()
    thread.join()


async def test_garbage_made_by_the_window_is_not_collected_on_a_worker_thread(garbage: Garbage) -> None:
    garbage.start()
    finalised: list[int] = []
    for _ in range(20):
        _Probe(finalised)
    _allocate_on_another_thread()
    assert finalised == []
    async with asyncio.timeout(30):
        while len(finalised) < 20:
            # the young generation is due as soon as enough has been allocated since
            kept = [[number] for number in range(5000)]
            await asyncio.sleep(0)
            del kept
    assert set(finalised) == {threading.get_ident()}


async def test_without_the_keeper_it_would_be(garbage: Garbage) -> None:
    """The danger is real: this is what the keeper prevents."""
    finalised: list[int] = []
    gc.collect()
    for _ in range(20):
        _Probe(finalised)
    _allocate_on_another_thread()
    gc.collect()
    assert set(finalised) - {threading.get_ident()}


async def test_what_was_collected_by_itself_before_is_again_after_a_stop(garbage: Garbage) -> None:
    garbage.start()
    assert not gc.isenabled()
    garbage.stop()
    garbage.stop()
    assert gc.isenabled()
