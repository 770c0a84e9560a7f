"""Entries of one kind: what is put is what is found, now and after the next start."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from core.errors import HomeUnusableError
from core.registry import Alias, Details, EventInvoke, LayerVersion, Provisioned, Registry, Reserved, UrlConfig

if TYPE_CHECKING:
    from pathlib import Path

    from core.registry.entries import Entry
    from tests.core.registry.conftest import Reopen

_ENTRIES: tuple[Entry, ...] = (
    Details(name="f", role="arn:aws:iam::0:role/r", settings={"VpcConfig": {"SubnetIds": ["a"]}}, next_version=4),
    Details(name="f", qualifier="3", settings={"TracingConfig": {"Mode": "Active"}}),
    Alias(name="f", qualifier="live", function_version="3", description="für alle", weights={"2": 0.25}),
    Reserved(name="f", count=0),
    Provisioned(name="f", qualifier="live", count=2),
    EventInvoke(name="f", qualifier="$LATEST", retries=0, max_age=60, on_failure="arn:aws:lambda:x"),
    UrlConfig(name="f", qualifier="live", auth_type="AWS_IAM", cors={"AllowOrigins": ["*"]}, created=12.5),
    LayerVersion(name="l", qualifier="7", digest="ab" * 32, size=9, runtimes=("python3.13",), architectures=("arm64",)),
    LayerVersion(name="l", qualifier="8", digest="cd" * 32, size=9, deleted=True),
)


async def _put(registry: Registry, entry: Entry) -> Entry:
    shelf = next(each for each in (*registry._on_functions, registry.layers) if isinstance(entry, each._entry))
    kept: Entry = await shelf.put(entry)
    return kept


def _all(registry: Registry) -> list[Entry]:
    return [entry for shelf in (*registry._on_functions, registry.layers) for entry in shelf]


async def test_every_kind_of_entry_is_the_same_after_a_restart(reopen: Reopen) -> None:
    before = time.time()
    async with reopen([]) as registry:
        kept = [await _put(registry, entry) for entry in _ENTRIES]
        assert all(before <= entry.modified <= time.time() for entry in kept)
    unreadable: list[str] = []
    async with reopen(unreadable) as registry:
        assert unreadable == []
        for entry in kept:
            assert entry in _all(registry)
        assert len(_all(registry)) == len(kept)


async def test_an_entry_takes_the_place_of_the_one_of_its_name_and_qualifier(registry: Registry) -> None:
    shelf = registry.provisioned
    await shelf.put(Provisioned(name="f", qualifier="1", count=1))
    await shelf.put(Provisioned(name="f", qualifier="2", count=2))
    await shelf.put(Provisioned(name="g", qualifier="1", count=3))
    await shelf.put(Provisioned(name="f", qualifier="1", count=4))
    assert [(each.qualifier, each.count) for each in shelf.of("f")] == [("1", 4), ("2", 2)]
    assert shelf.of("h") == []
    found = shelf.get("g", "1")
    assert found is not None
    assert found.count == 3
    assert shelf.get("g") is None
    assert sorted(shelf.keys_of("f")) == [("provisioned", "f", "1"), ("provisioned", "f", "2")]


async def test_what_was_removed_is_gone_for_good(reopen: Reopen) -> None:
    async with reopen([]) as registry:
        await registry.reserved.put(Reserved(name="f", count=1))
        assert await registry.reserved.remove("f")
        assert not await registry.reserved.remove("f")
        assert registry.reserved.get("f") is None
    async with reopen([]) as registry:
        assert _all(registry) == []


async def test_changes_made_at_once_leave_memory_and_journal_the_same(reopen: Reopen) -> None:
    async with reopen([]) as registry:
        shelf = registry.reserved
        changes = [shelf.put(Reserved(name="f", count=n)) if n % 3 else shelf.remove("f") for n in range(30)]
        await asyncio.gather(*changes)
        found = shelf.get("f")
    async with reopen([]) as registry:
        assert registry.reserved.get("f") == found


async def test_what_could_not_be_written_is_not_there(registry: Registry, tmp_path: Path) -> None:
    await registry.reserved.put(Reserved(name="f", count=1))
    for path in tmp_path.glob("journal.db*"):
        path.unlink()
    with pytest.raises(HomeUnusableError):
        await registry.reserved.put(Reserved(name="f", count=2))
    with pytest.raises(HomeUnusableError):
        await registry.reserved.remove("f")
    found = registry.reserved.get("f")
    assert found is not None
    assert found.count == 1


@pytest.mark.parametrize(
    "document",
    ["", "[]", '"text"', "{", "{}", '{"count": 1, "count', "[" * 100_000],
    ids=["empty", "list", "text", "cut off", "without its count", "half", "deep"],
)
async def test_what_cannot_be_read_is_told_and_left_out(reopen: Reopen, document: str) -> None:
    async with reopen([]) as registry:
        await registry.reserved.put(Reserved(name="good", count=1))
        await registry._journal.put_resource("reserved", "bad", "", document)
        await registry._journal.put_resource("invented", "other", "", document)
    unreadable: list[str] = []
    async with reopen(unreadable) as registry:
        assert unreadable == ["reserved bad"]
        assert [each.name for each in registry.reserved] == ["good"]


async def test_members_of_a_newer_stoker_are_passed_over(reopen: Reopen) -> None:
    async with reopen([]) as registry:
        await registry._journal.put_resource("reserved", "f", "", json.dumps({"count": 2, "burst": 5}))
    async with reopen([]) as registry:
        found = registry.reserved.get("f")
        assert found is not None
        assert found.count == 2
