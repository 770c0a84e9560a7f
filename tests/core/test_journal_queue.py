"""Queued events in the journal, on real SQLite files."""

from __future__ import annotations

import os
import resource
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

import core.journal.schema
from core.errors import HomeUnusableError
from core.journal import Journal, QueuedEvent, QueuedHead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def event(request_id: str = "r-1", **fields: object) -> QueuedEvent:
    made = QueuedEvent(
        request_id=request_id,
        function_name="words",
        qualifier=None,
        payload=b'{"text": "one"}',
        client_context=None,
        source="api",
        queued_wall=1000.5,
        attempts=0,
        due_wall=1000.5,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(tmp_path / "journal.sqlite")
    yield opened
    await opened.close()


async def test_an_event_is_found_again_by_the_next_start_with_its_attempts_and_its_due_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = await Journal.open(path)
    await first.put_queued_event(event("r-1", qualifier="live", payload=bytes(range(256)), source="window"))
    await first.put_back_queued_event("r-1", 2, 4711.25)
    await first.close()
    second = await Journal.open(path)
    try:
        assert await second.queued_events() == [QueuedHead("r-1", "words", "live", 256, "window", 1000.5, 2, 4711.25)]
        assert await second.queued_payload("r-1") == bytes(range(256))
    finally:
        await second.close()


async def test_events_are_listed_in_the_order_they_came_whatever_the_clock_said(journal: Journal) -> None:
    for number, wall in enumerate((5000.0, 100.0, 3000.0)):
        await journal.put_queued_event(event(f"r-{number}", queued_wall=wall))
    assert [head.request_id for head in await journal.queued_events()] == ["r-0", "r-1", "r-2"]


async def test_an_event_that_was_removed_has_no_payload(journal: Journal) -> None:
    await journal.put_queued_event(event("r-1"))
    await journal.remove_queued_events(["r-1"])
    assert await journal.queued_payload("r-1") is None
    assert await journal.queued_events() == []


async def test_one_event_takes_the_place_of_another_in_one_step(journal: Journal) -> None:
    await journal.put_queued_event(event("r-1"))
    await journal.put_queued_event(event("taken"))
    with pytest.raises(HomeUnusableError):
        await journal.remove_queued_events(["r-1"], event("taken"))
    assert [head.request_id for head in await journal.queued_events()] == ["r-1", "taken"]
    await journal.remove_queued_events(["r-1"], event("r-2", function_name="told"))
    assert [head.request_id for head in await journal.queued_events()] == ["taken", "r-2"]


async def test_an_id_that_is_there_already_is_not_overwritten(journal: Journal) -> None:
    await journal.put_queued_event(event("r-1", payload=b"first"))
    with pytest.raises(HomeUnusableError):
        await journal.put_queued_event(event("r-1", payload=b"second"))
    assert await journal.queued_payload("r-1") == b"first"


async def test_damage_among_queued_events_is_found_when_a_large_journal_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    first = await Journal.open(path)
    for number in range(200):
        await first.put_queued_event(event(f"r-{number}"))
    await first.put_function("words", "{}", None, [])
    await first.close()
    with closing(sqlite3.connect(path)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'queued_events'").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    monkeypatch.setattr(core.journal.schema, "_CHECKED_SIZE", 0)
    second = await Journal.open(path)
    try:
        assert "was damaged" in second.news[0]
        assert await second.queued_events() == []
        assert [function.name for function in await second.functions()] == ["words"]
    finally:
        await second.close()


async def test_a_disk_without_room_takes_no_event_and_says_so(journal: Journal) -> None:
    await journal.put_queued_event(event("r-1"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in journal.path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(HomeUnusableError, match=str(journal.path)):
            await journal.put_queued_event(event("r-2", payload=os.urandom(1024 * 1024)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [head.request_id for head in await journal.queued_events()] == ["r-1"]
    await journal.put_queued_event(event("r-3"))
