"""The journal, on real SQLite files, with real kills, locks and disks without room."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import core.journal.schema
from core.errors import FunctionNotFoundError, HomeUnusableError, JournalTooNewError, RuntimeClosedError
from core.journal import InvocationRecord, Journal
from core.journal.queue import PendingRows
from core.journal.rows import EventDraft, EventFacts, InvocationDraft, ready, weight_of

ROOT = Path(__file__).parents[2]

WRITER = """
import asyncio, sys, time
from pathlib import Path
from core.journal import Journal

async def main():
    journal = await Journal.open(Path(sys.argv[1]))
    await journal.put_owner(sys.argv[2])
    for number in range(1_000_000):
        name = f"{sys.argv[2]}-{number}"
        await journal.put_instance(name, sys.argv[2], name, "process", "d")
        await journal.put_function(name, "{}", None, [])
        for _ in range(50):
            journal.record_event("Happened", {"filling": "x" * 500}, time.time())
        print(name, flush=True)

asyncio.run(main())
"""


def record(request_id: str = "r-1", name: str = "echo", wall: float | None = None) -> InvocationRecord:
    return InvocationRecord(
        request_id=request_id,
        function_name=name,
        instance_id="i-1",
        source="window",
        started_wall=time.time() if wall is None else wall,
        cold_start=True,
        status="function error",
        error_type="ValueError",
        error_message="no 🕯 left",
        duration_ms=1.25,
        init_ms=30.5,
        queued_ms=0.0,
        first_byte_ms=2.0,
        total_ms=3.0,
        max_memory_mb=31,
        payload_size=2,
        response_size=5,
        payload=b"{}",
        response=b"\x00\xff\xfe!!",
        log_tail="START\nEND",
        phases={"spawn": 0.01, "init": 0.03},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def journal(path: Path, told: list[str]) -> AsyncIterator[Journal]:
    opened = await Journal.open(path, on_trouble=told.append)
    yield opened
    await opened.close()


def files(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(path.parent.iterdir())}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    # what is asked is SQLite, which has no event to wait for
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- functions, saved events, notes


async def test_functions_are_there_again_after_a_restart(path: Path) -> None:
    journal = await Journal.open(path)
    await journal.put_function("words", '{"environment": {"KEY": "secret"}}', "c" * 64, ["a", "b"])
    await journal.put_function("echo", "{}", None, ())
    await journal.close()
    journal = await Journal.open(path)
    echo, words = await journal.functions()
    assert (echo.name, echo.code_digest, echo.layer_digests) == ("echo", None, ())
    assert (words.definition, words.code_digest) == ('{"environment": {"KEY": "secret"}}', "c" * 64)
    assert words.layer_digests == ("a", "b")
    assert abs(words.updated_wall - time.time()) < 60
    await journal.remove_functions(["words"])
    await journal.remove_functions(["never-there"])
    assert [function.name for function in await journal.functions()] == ["echo"]
    await journal.close()


async def test_saved_events_stay_when_their_function_changes_and_go_with_it(journal: Journal) -> None:
    await journal.put_function("echo", "{}", None, [])
    await journal.save_event("echo", "Second", "{}")
    await journal.save_event("echo", "first", '{"a": 1}')
    await journal.save_event("echo", "Second", '{"b": 2}')
    await journal.put_function("echo", '{"timeout": 4}', "d", [])
    assert [(event.title, event.payload) for event in await journal.saved_events("echo")] == [
        ("first", '{"a": 1}'),
        ("Second", '{"b": 2}'),
    ]
    await journal.delete_event("echo", "first")
    await journal.delete_event("echo", "first")
    assert [event.title for event in await journal.saved_events("echo")] == ["Second"]
    await journal.remove_functions(["echo"])
    assert await journal.saved_events("echo") == []


async def test_an_event_cannot_be_saved_for_a_function_nobody_knows(journal: Journal) -> None:
    with pytest.raises(FunctionNotFoundError) as raised:
        await journal.save_event("nobody", "title", "{}")
    assert raised.value.function_name == "nobody"


async def test_notes_are_kept(journal: Journal) -> None:
    assert await journal.get_meta("samples") is None
    await journal.set_meta("samples", "[]")
    await journal.set_meta("samples", '["echo"]')
    assert await journal.get_meta("samples") == '["echo"]'


# --- owners and instances


async def test_what_an_owner_started_and_never_ended_is_remembered(journal: Journal) -> None:
    await journal.put_owner("o-1")
    await journal.put_instance("i-1", "o-1", "echo", "process", "d1")
    await journal.put_instance("i-2", "o-1", "echo", "docker", "d1")
    await journal.put_instance("i-3", "o-2", "echo", "process", "d1")
    journal.end_instance("i-1", "idle for 300 s", 0)
    (left,) = await journal.instances_of_dead({"o-1"})
    assert (left.id, left.owner_id, left.backend, left.ended_wall) == ("i-2", "o-1", "docker", None)
    assert {owner.id: owner.open_instances for owner in await journal.owners()} == {"o-1": 1, "o-2": 1}
    journal.end_instance("i-2", "reaped", None)
    await journal.end_owner("o-1")
    assert await journal.instances_of_dead(["o-1"]) == []
    assert {owner.id: owner.ended_wall is None for owner in await journal.owners()} == {"o-1": False, "o-2": True}


async def test_the_first_end_of_an_instance_counts(journal: Journal, path: Path) -> None:
    await journal.put_instance("i-1", "o-1", "echo", "process", "d1")
    journal.end_instance("i-1", "killed", 137)
    journal.end_instance("i-1", "gone", None)
    await journal.flush()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT reason, exit_code FROM instances").fetchall() == [("killed", 137)]


# --- history and events


async def test_an_invocation_comes_back_as_it_was_recorded(journal: Journal) -> None:
    journal.record_invocation(record())
    assert await journal.invocation("r-1") == record(wall=(await journal.invocations())[0].started_wall)
    assert await journal.invocation("r-2") is None
    (head,) = await journal.invocations(bodies=False)
    assert (head.payload, head.response, head.response_size) == (None, None, 5)


async def test_history_is_newest_first_by_function_and_in_pages(journal: Journal) -> None:
    for number in range(10):
        wall = time.time() - 100 + number
        journal.record_invocation(record(f"n-{number}", "echo" if number % 2 else "words", wall=wall))
    page = await journal.invocations("echo", limit=2)
    assert [row.request_id for row in page] == ["n-9", "n-7"]
    page = await journal.invocations("echo", limit=2, before_wall=page[-1].started_wall)
    assert [row.request_id for row in page] == ["n-5", "n-3"]


async def test_text_that_is_not_unicode_holds_nothing_up(journal: Journal) -> None:
    journal.record_invocation(replace(record("r-\ud800"), log_tail="half \udc80 a pair", error_message="\ud800"))
    journal.record_invocation(record("r-2"))
    assert {row.log_tail for row in await journal.invocations()} == {"half ? a pair", "START\nEND"}


async def test_what_a_person_types_is_kept_even_with_half_a_character(journal: Journal) -> None:
    await journal.put_function("echo", '{"description": "\ud83d"}', None, [])
    await journal.save_event("echo", "half \ud83d", '"\ud83d"')
    journal.end_instance("i-1", "\ud83d", 1)
    assert [(event.title, event.payload) for event in await journal.saved_events("echo")] == [("half ?", '"?"')]
    assert [function.definition for function in await journal.functions()] == ['{"description": "?"}']


async def test_a_row_no_database_takes_is_left_out_and_the_rest_written(journal: Journal, told: list[str]) -> None:
    journal.record_invocation(replace(record("r-huge"), payload_size=2**70))
    journal.record_invocation(record("r-2"))
    assert [row.request_id for row in await journal.invocations()] == ["r-2"]
    assert len(told) == 1


async def test_drafts_become_rows_on_the_journals_own_thread_in_their_order(journal: Journal) -> None:
    threads: set[str] = set()

    def facts(number: int) -> EventFacts:
        threads.add(threading.current_thread().name)
        return float(number), "Drafted", {"number": number, "environment": {"KEY": "hunter2"}}

    def kept(request_id: str) -> InvocationRecord:
        threads.add(threading.current_thread().name)
        return record(request_id)

    for number in range(0, 600, 2):
        journal.draft_event(1, facts, number)
        journal.record_event("Recorded", {"number": number + 1})
    journal.draft_invocation(1, kept, "r-1")
    journal.record_invocation(record("r-2"))
    assert await journal.flush()
    events = await journal.events(1000)
    assert [event.payload for event in events] == [{"number": number} for number in reversed(range(600))]
    assert events[1].wall == 598.0
    assert {row.request_id for row in await journal.invocations()} == {"r-1", "r-2"}
    (thread,) = threads
    assert thread.startswith("stoker-journal")


async def test_a_draft_that_cannot_be_made_is_left_out_and_the_rest_written(journal: Journal, told: list[str]) -> None:
    def fails(_: str) -> InvocationRecord:
        raise AttributeError("no such thing")

    def facts(_: str) -> EventFacts:
        raise AttributeError("no such thing")

    journal.draft_invocation(1, fails, "r-1")
    journal.record_invocation(record("r-2"))
    journal.draft_event(1, facts, "e-1")
    journal.record_event("Happened", {})
    assert [row.request_id for row in await journal.invocations()] == ["r-2"]
    assert [event.kind for event in await journal.events()] == ["Happened"]
    assert len(told) == 1
    assert "2 other rows are missing" in told[0]


async def test_events_are_kept_in_order_and_by_kind(journal: Journal) -> None:
    for number in range(1200):
        journal.record_event("Odd" if number % 2 else "Even", {"number": number}, time.time())
    assert await journal.event_count() == 1200
    assert [event.payload["number"] for event in await journal.events(3)] == [1199, 1198, 1197]
    assert [event.payload["number"] for event in await journal.events(2, "Even")] == [1198, 1196]
    (newest,) = await journal.events(1)
    assert newest.kind == "Odd"


async def test_rows_are_written_without_anybody_asking(journal: Journal, path: Path) -> None:
    journal.record_event("Happened", {}, time.time())

    async def written() -> bool:
        with closing(sqlite3.connect(path)) as other:
            return bool(other.execute("SELECT count(*) FROM events").fetchone() == (1,))

    await until(written)


async def test_no_environment_gets_into_an_event(journal: Journal, path: Path) -> None:
    function = {"name": "echo", "environment": {"KEY": "hunter2"}}
    journal.record_event("FunctionAdded", {"function": function, "all": [function]}, time.time())
    (event,) = await journal.events(1)
    assert event.payload == {"function": {"name": "echo"}, "all": [{"name": "echo"}]}
    await journal.close()
    assert b"hunter2" not in path.read_bytes()


async def test_an_event_that_is_no_json_or_too_large_is_said_to_be(journal: Journal) -> None:
    circle: dict[str, object] = {}
    circle["self"] = circle
    journal.record_event("Round", circle, time.time())
    journal.record_event("Large", {"text": "x" * 1_000_000}, time.time())
    journal.record_event("Odd", {"path": Path("/a")}, time.time())
    odd, large, round_ = await journal.events(3)
    assert odd.payload == {"path": "/a"}
    assert "too large" in str(large.payload["not_recorded"])
    assert "not_recorded" in round_.payload


# --- retention


async def test_the_oldest_go_when_there_are_too_many(path: Path) -> None:
    journal = await Journal.open(path, history_limit=100)
    for number in range(2500):
        journal.record_invocation(record(f"r-{number}"))
        journal.record_event("Happened", {"number": number}, time.time())

    async def pruned() -> bool:
        return len(await journal.invocations(limit=5000)) <= 600 and await journal.event_count() <= 1600

    await until(pruned)
    await journal.close()
    journal = await Journal.open(path, history_limit=100)

    async def exact() -> bool:
        return len(await journal.invocations(limit=5000)) == 100 and await journal.event_count() == 1000

    await until(exact)
    assert (await journal.invocations(limit=1))[0].request_id == "r-2499"
    assert (await journal.events(1000))[-1].payload["number"] == 1500
    await journal.close()


async def test_what_is_too_old_goes(path: Path) -> None:
    long_ago = time.time() - 40 * 86_400
    journal = await Journal.open(path, history_days=365)
    for number in range(700):
        journal.record_invocation(record(f"old-{number}", wall=long_ago))
        journal.record_event("Old", {}, long_ago)
    journal.record_invocation(record("new"))
    journal.record_event("New", {}, time.time())
    await journal.close()
    journal = await Journal.open(path, history_days=30)

    async def pruned() -> bool:
        return [row.request_id for row in await journal.invocations()] == ["new"] and await journal.event_count() == 1

    await until(pruned)
    await journal.close()


async def test_owners_and_instances_that_ended_long_ago_go_and_others_stay(path: Path) -> None:
    journal = await Journal.open(path)
    for owner in ("o-old", "o-killed"):
        await journal.put_owner(owner)
        await journal.put_instance(f"i-{owner}", owner, "echo", "process", "d")
    journal.end_instance("i-o-old", "done", 0)
    await journal.end_owner("o-old")
    await journal.close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE owners SET started_wall = 1, ended_wall = min(ended_wall, 2)")
        other.execute("UPDATE instances SET created_wall = 1, ended_wall = min(ended_wall, 2)")
    journal = await Journal.open(path)

    async def pruned() -> bool:
        return [owner.id for owner in await journal.owners()] == ["o-killed"]

    await until(pruned)
    assert [row.id for row in await journal.instances_of_dead(["o-killed"])] == ["i-o-killed"]
    await journal.close()


async def test_beyond_its_share_of_the_disk_the_oldest_bodies_go_and_the_facts_stay(path: Path) -> None:
    journal = await Journal.open(path, disk_limit=4_000_000)
    body = os.urandom(100_000)
    for number in range(200):
        journal.record_invocation(replace(record(f"r-{number}"), response=body, response_size=len(body)))
    await journal.close()
    journal = await Journal.open(path, disk_limit=4_000_000)

    async def smaller() -> bool:
        return (await journal.invocations(limit=1000))[-1].response is None

    await until(smaller)
    rows = await journal.invocations(limit=1000)
    assert len(rows) == 200
    assert rows[-1].response_size == 100_000
    await journal.close()


# --- the file


async def test_only_its_owner_can_read_the_files(journal: Journal, path: Path) -> None:
    journal.record_event("Happened", {}, time.time())
    await journal.flush()
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert modes == {"journal.sqlite": 0o600, "journal.sqlite-wal": 0o600, "journal.sqlite-shm": 0o600}


async def test_a_file_that_others_could_read_is_closed(path: Path) -> None:
    await (await Journal.open(path)).close()
    path.chmod(0o644)
    await (await Journal.open(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_one_file_is_left_and_no_thread(path: Path) -> None:
    before = set(threading.enumerate())
    journal = await Journal.open(path)
    journal.record_event("Happened", {}, time.time())
    await asyncio.gather(journal.close(), journal.close())
    await journal.close()
    assert set(threading.enumerate()) == before
    assert list(files(path)) == ["journal.sqlite"]
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)


async def test_a_closed_journal_passes_over_what_happens_and_says_so_when_asked(journal: Journal) -> None:
    await journal.close()
    journal.record_event("Late", {}, time.time())
    journal.record_invocation(record())
    journal.end_instance("i-1", "late")
    journal.draft_event(1, ready, (0.0, "Late", "{}"))
    journal.draft_invocation(1, ready, record())
    assert await journal.flush()
    with pytest.raises(RuntimeClosedError):
        await journal.functions()


async def test_opening_that_is_cancelled_leaves_nothing(path: Path) -> None:
    before = set(threading.enumerate())
    opening = asyncio.ensure_future(Journal.open(path))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    async def gone() -> bool:
        return set(threading.enumerate()) == before

    await until(gone)
    await (await Journal.open(path)).close()
    assert list(files(path)) == ["journal.sqlite"]


async def test_a_writer_that_is_killed_at_any_moment_leaves_a_journal_that_opens(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    committed: list[str] = []
    for turn in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"o-{turn}"], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        committed += [process.stdout.readline().strip() for _ in range(7 * turn + 1)]
        process.kill()
        process.communicate()
        told: list[str] = []
        journal = await Journal.open(path, on_trouble=told.append)
        assert told == []
        assert set(committed) <= {function.name for function in await journal.functions()}
        started = {row.id for row in await journal.instances_of_dead([f"o-{number}" for number in range(5)])}
        assert set(committed) <= started
        await journal.close()
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_kill_while_the_file_is_made_leaves_one_that_opens(path: Path) -> None:
    # what is on disk in the middle of the first transaction: a page of zeros and a journal to roll back
    with closing(sqlite3.connect(path, isolation_level=None)) as making:
        making.execute("PRAGMA cache_spill = 1")
        making.execute("PRAGMA cache_size = 1")
        making.execute("BEGIN EXCLUSIVE")
        making.execute("CREATE TABLE meta (key TEXT)")
        making.executemany("INSERT INTO meta VALUES (?)", [("x" * 3000,)] * 200)
        halfway = files(path)
    assert len(halfway) == 2
    for name, content in halfway.items():
        (path.parent / name).write_bytes(content)
    journal = await Journal.open(path)
    assert await journal.functions() == []
    await journal.close()


@pytest.mark.parametrize("unclean", [False, True])
async def test_a_journal_of_a_newer_stoker_is_refused_and_not_touched(path: Path, unclean: bool) -> None:
    journal = await Journal.open(path)
    await journal.put_function("echo", "{}", None, [])
    await journal.close()
    newer = sqlite3.connect(path, isolation_level=None)
    newer.execute("PRAGMA journal_mode = DELETE")
    newer.execute("PRAGMA user_version = 99")
    newer.execute("PRAGMA journal_mode = WAL")
    newer.execute("CREATE TABLE future (text)")
    if not unclean:
        newer.close()
    before = files(path)
    changed = {entry.name: entry.stat().st_mtime_ns for entry in path.parent.iterdir()}
    assert len(before) == (3 if unclean else 1)
    with pytest.raises(JournalTooNewError) as raised:
        await Journal.open(path)
    assert (raised.value.path, raised.value.found) == (str(path), 99)
    assert files(path) == before
    assert {entry.name: entry.stat().st_mtime_ns for entry in path.parent.iterdir()} == changed
    newer.close()


async def test_another_programs_database_is_refused_and_not_touched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (text)")
    before = files(path)
    with pytest.raises(HomeUnusableError, match="another program's database"):
        await Journal.open(path)
    assert files(path) == before


async def test_a_directory_in_place_of_the_file_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(HomeUnusableError, match=r"journal\.sqlite cannot be used: it is not a file"):
        await Journal.open(path)


def no_sqlite(content: bytes) -> bytes:
    return b"not a database at all\n" * 500


def cut_short(content: bytes) -> bytes:
    return content[:50]


def scribbled_over(content: bytes) -> bytes:
    # the second half: pages of history, and not of the functions, which came first
    half = len(content) // 2
    return content[:half] + os.urandom(len(content) - half)


def without_its_schema(content: bytes) -> bytes:
    return content[:100] + b"\xff" * 4000 + content[4100:]


@pytest.mark.parametrize(
    ("damage", "kept"), [(no_sqlite, 0), (cut_short, 0), (scribbled_over, 2), (without_its_schema, 0)]
)
async def test_a_broken_journal_is_set_aside_whole_and_a_new_one_begun(
    path: Path, told: list[str], damage: Callable[[bytes], bytes], kept: int
) -> None:
    journal = await Journal.open(path)
    await journal.put_function("echo", "{}", None, [])
    await journal.save_event("echo", "title", "{}")
    await journal.put_function("words", "{}", None, [])
    for number in range(500):
        journal.record_invocation(record(f"r-{number}"))
    await journal.close()
    broken = damage(path.read_bytes())
    path.write_bytes(broken)

    journal = await Journal.open(path, on_trouble=told.append)
    aside = [entry for entry in path.parent.iterdir() if ".broken-" in entry.name]
    assert [entry.read_bytes() for entry in aside] == [broken]
    assert len(told) == 1
    assert journal.news == tuple(told)
    assert str(path) in told[0]
    assert aside[0].name in told[0]
    assert f"{kept} functions" in told[0]
    assert len(await journal.functions()) == kept
    assert len(await journal.saved_events("echo")) == (1 if kept else 0)
    journal.record_invocation(record("after"))
    assert [row.request_id for row in await journal.invocations()] == ["after"]
    await journal.close()


async def test_a_journal_too_large_to_check_whole_is_opened_all_the_same(
    path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.journal.schema, "_CHECKED_SIZE", 0)
    for _ in range(2):
        journal = await Journal.open(path, on_trouble=told.append)
        await journal.put_function("echo", "{}", None, [])
        journal.record_invocation(record())
        await journal.close()
    path.write_bytes(without_its_schema(path.read_bytes()))
    journal = await Journal.open(path, on_trouble=told.append)
    await journal.close()
    assert len(told) == 1


async def test_a_second_broken_journal_does_not_replace_the_first(path: Path) -> None:
    for turn in range(3):
        path.write_bytes(b"broken %d" % turn * 100)
        await (await Journal.open(path)).close()
    contents = {content for name, content in files(path).items() if ".broken-" in name}
    assert contents == {b"broken %d" % turn * 100 for turn in range(3)}


# --- a disk that is slow, full or broken


@contextmanager
def disk_without_room(limit: int) -> Iterator[None]:
    """No file of this process can grow beyond `limit` bytes: the kernel refuses, as for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_told_once_and_writing_resumes(journal: Journal, path: Path, told: list[str]) -> None:
    await journal.put_function("echo", "{}", None, [])
    size = path.with_name("journal.sqlite-wal").stat().st_size
    with disk_without_room(size):
        for number in range(20):
            journal.record_invocation(replace(record(f"r-{number}"), response=b"x" * 10_000))
            assert not await journal.flush()
        await journal.put_instance("i-1", "o-1", "echo", "process", "d")
        journal.end_instance("i-0", "gone", 1)
        with pytest.raises(HomeUnusableError, match=r"journal\.sqlite"):
            await journal.put_function("words", "{}", None, [])
        assert [function.name for function in await journal.functions()] == ["echo"]
        assert await journal.invocations() == []
    assert len(told) == 1
    assert str(path) in told[0]
    assert await journal.flush()
    assert len(await journal.invocations()) == 20
    assert [row.id for row in await journal.instances_of_dead(["o-1"])] == ["i-1"]
    await journal.put_function("words", "{}", None, [])
    assert len(told) == 1


async def test_writing_resumes_by_itself(journal: Journal, path: Path) -> None:
    with disk_without_room(path.with_name("journal.sqlite-wal").stat().st_size):
        journal.record_invocation(replace(record(), response=b"x" * 10_000))
        assert not await journal.flush()

    async def written() -> bool:
        with closing(sqlite3.connect(path)) as other:
            return bool(other.execute("SELECT count(*) FROM invocations").fetchone() == (1,))

    await until(written)


async def test_closing_with_a_full_disk_ends(path: Path) -> None:
    journal = await Journal.open(path)
    await journal.put_function("echo", "{}", None, [])
    with disk_without_room(path.with_name("journal.sqlite-wal").stat().st_size):
        journal.record_invocation(replace(record(), response=b"x" * 10_000))
        await journal.close()
    journal = await Journal.open(path)
    assert [function.name for function in await journal.functions()] == ["echo"]
    await journal.close()


async def test_a_disk_without_room_at_the_start_is_named(path: Path) -> None:
    with disk_without_room(100), pytest.raises(HomeUnusableError, match=r"journal\.sqlite"):
        await Journal.open(path)
    await (await Journal.open(path)).close()


async def test_while_the_file_is_locked_the_loop_goes_on_and_nothing_is_lost(journal: Journal, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(3000):
            journal.record_event("Happened", {"number": number}, time.time())
        flushing = asyncio.ensure_future(journal.flush())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not flushing.done()
        other.execute("COMMIT")
        assert await flushing
    assert await journal.event_count() == 3000


async def test_an_on_trouble_that_fails_does_no_harm(path: Path) -> None:
    path.write_bytes(b"broken" * 100)

    def fails(message: str) -> None:
        raise RuntimeError(message)

    journal = await Journal.open(path, on_trouble=fails)
    await journal.put_function("echo", "{}", None, [])
    await journal.close()


# --- what waits


def waiting(number: int, weight: int = 1) -> EventDraft:
    return weight, ready, (0.0, "Happened", str(number))


def ended(kept: InvocationRecord) -> InvocationDraft:
    return weight_of(kept), ready, kept


def test_beyond_the_bound_the_oldest_events_go_first_and_are_counted() -> None:
    pending = PendingRows(max_rows=10)
    for number in range(8):
        pending.add_event(waiting(number))
    for number in range(6):
        pending.add_invocation(ended(record(f"r-{number}")))
    pending.add_ending((0.0, "gone", None, "i-1"))
    assert len(pending) == 10
    batch = pending.take()
    assert batch.events == [waiting(5), waiting(6), waiting(7)]
    assert len(batch.invocations) == 6
    assert batch.endings == [(0.0, "gone", None, "i-1")]
    assert pending.take_dropped() == (5, 0)
    assert pending.take_dropped() == (0, 0)


def test_bodies_count_too() -> None:
    pending = PendingRows(max_bytes=10_000)
    for number in range(10):
        pending.add_invocation(ended(replace(record(f"r-{number}"), response=b"x" * 3000)))
    assert [kept.request_id for _, _, kept in pending.take().invocations] == ["r-7", "r-8", "r-9"]
    assert pending.take_dropped() == (0, 7)
    assert len(pending) == 0


def test_what_drafts_keep_in_memory_counts_wherever_they_wait() -> None:
    pending = PendingRows(max_bytes=10_000)
    for number in range(10):
        pending.add_event(waiting(number, 3000))
    batch = pending.take()
    assert batch.events == [waiting(number, 3000) for number in (7, 8, 9)]
    for number in range(10, 12):
        pending.add_event(waiting(number, 3000))
    pending.put_back(batch)
    assert len(pending) == 3
    assert pending.take().events == [waiting(number, 3000) for number in (9, 10, 11)]
    assert pending.take_dropped() == (9, 0)
    pending.add_event(waiting(12, 3000))
    pending.clear()
    for number in range(3):
        pending.add_event(waiting(number, 3000))
    assert (len(pending), pending.dropped) == (3, 0)


def test_a_batch_that_is_put_back_is_the_next_one_again() -> None:
    pending = PendingRows()
    for number in range(1200):
        pending.add_event(waiting(number))
    first = pending.take()
    assert first.rows == 500
    pending.put_back(first)
    assert pending.take().events == first.events
    assert [pending.take().rows for _ in range(3)] == [500, 200, 0]


async def test_a_journal_that_is_removed_while_it_is_open_is_told_once(path: Path, told: list[str]) -> None:
    journal = await Journal.open(path, on_trouble=told.append)
    path.unlink()
    with pytest.raises(HomeUnusableError, match="removed while Stoker worked"):
        await journal.put_function("a", "{}", None, [])
    for _ in range(3):
        journal.record_event("Happened", {}, 1.0)
        assert not await journal.flush()
    assert len(told) == 1
    assert "removed while Stoker worked" in told[0]
    await journal.close()
    assert not path.exists()
