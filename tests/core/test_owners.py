"""Owners and homes, with real locks across real processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import HomeInUseError, HomeUnusableError
from core.owners import (
    HomeLock,
    Owner,
    OwnerState,
    forget_owner,
    mark_owner_dead,
    owner_facts,
    owner_state,
    owners_directory,
    runtime_directory,
)

ROOT = Path(__file__).parents[2]

HOLD_OWNER = """
import sys
from core.owners import Owner
owner = Owner.acquire()
print(owner.id, flush=True)
sys.stdin.read()
"""
HOLD_OWNER_WITH_CHILD = """
import subprocess, sys
from core.owners import Owner
owner = Owner.acquire()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False, start_new_session=True)
print(owner.id, child.pid, flush=True)
sys.stdin.read()
"""
HOLD_HOME = """
import sys
from pathlib import Path
from core.owners import HomeLock
lock = HomeLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""

Stoker = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "run"
    monkeypatch.setenv("STOKER_RUNTIME_DIR", str(directory))
    return directory


@pytest.fixture
def stoker() -> Iterator[Stoker]:
    """Starts a second process that holds something until it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_an_owner_is_alive_while_it_holds_its_lock() -> None:
    owner = Owner.acquire(Path("/some/home"))
    assert owner_state(owner.id) is OwnerState.ALIVE
    assert owner_facts(owner.id)["home"] == "/some/home"
    assert owner_facts(owner.id)["pid"] == os.getpid()
    owner.release()
    assert owner_state(owner.id) is OwnerState.UNKNOWN
    owner.release()


def test_ids_are_random_and_never_a_pid() -> None:
    owners = [Owner.acquire() for _ in range(5)]
    ids = {owner.id for owner in owners}
    assert len(ids) == 5
    assert all(owner.id.startswith("o-") and len(owner.id) == 14 for owner in owners)
    for owner in owners:
        owner.release()


def test_another_process_sees_that_an_owner_lives(stoker: Stoker) -> None:
    owner = Owner.acquire()
    asking = "import sys; from core.owners import owner_state; print(owner_state(sys.argv[1]))"
    assert said(stoker(asking, owner.id)) == ["alive"]
    owner.release(keep=True)
    assert said(stoker(asking, owner.id)) == ["dead"]


def test_a_killed_owner_is_dead_until_it_is_forgotten(stoker: Stoker) -> None:
    process = stoker(HOLD_OWNER)
    (owner_id,) = said(process)
    assert owner_state(owner_id) is OwnerState.ALIVE
    killed(process)
    assert owner_state(owner_id) is OwnerState.DEAD
    assert owner_state(owner_id) is OwnerState.DEAD
    assert forget_owner(owner_id)
    assert owner_state(owner_id) is OwnerState.UNKNOWN


def test_a_child_does_not_keep_its_dead_owner_alive(stoker: Stoker) -> None:
    process = stoker(HOLD_OWNER_WITH_CHILD)
    owner_id, child = said(process)
    killed(process)
    try:
        os.kill(int(child), 0)
        assert owner_state(owner_id) is OwnerState.DEAD
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_a_living_owner_is_not_forgotten() -> None:
    owner = Owner.acquire()
    assert not forget_owner(owner.id)
    assert owner_state(owner.id) is OwnerState.ALIVE
    owner.release()


def test_asking_from_many_sides_at_once_never_changes_the_answer() -> None:
    living, dead = Owner.acquire(), Owner.acquire()
    dead.release(keep=True)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(owner_state, [living.id, dead.id] * 400))
    assert set(answers[0::2]) == {OwnerState.ALIVE}
    assert set(answers[1::2]) == {OwnerState.DEAD}
    living.release()


@pytest.mark.parametrize("owner_id", ["", "../../etc/passwd", "a/b", "o-\0", ".", "-x", "o" * 65, "o-1\n"])
def test_an_id_that_is_none_is_unknown_and_names_no_file(owner_id: str, runtime_dir: Path) -> None:
    assert owner_state(owner_id) is OwnerState.UNKNOWN
    assert owner_facts(owner_id) == {}
    assert forget_owner(owner_id)
    with pytest.raises(ValueError, match="not an owner id"):
        mark_owner_dead(owner_id)
    assert list(owners_directory().iterdir()) == []


def test_a_link_in_place_of_a_lock_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (owners_directory() / "o-link.lock").symlink_to(tmp_path / "elsewhere")
    assert owner_state("o-link") is OwnerState.UNKNOWN


def test_who_holds_the_home_can_tell_that_an_owner_without_a_file_is_dead() -> None:
    mark_owner_dead("o-before-the-reboot")
    assert owner_state("o-before-the-reboot") is OwnerState.DEAD
    living = Owner.acquire()
    mark_owner_dead(living.id)
    assert owner_state(living.id) is OwnerState.ALIVE
    living.release()


def test_the_runtime_directory_is_closed_to_others(runtime_dir: Path) -> None:
    runtime_dir.mkdir(mode=0o755)
    runtime_dir.chmod(0o755)
    assert runtime_directory() == runtime_dir
    assert stat.S_IMODE(runtime_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(owners_directory().stat().st_mode) == 0o700
    owner = Owner.acquire()
    assert {stat.S_IMODE(path.stat().st_mode) for path in owners_directory().iterdir()} == {0o600}
    owner.release()


def test_a_runtime_directory_of_someone_else_is_refused(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime_dir.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(HomeUnusableError, match="another user"):
        Owner.acquire()
    assert owner_state("o-any") is OwnerState.UNKNOWN


def test_without_a_login_session_there_is_a_private_directory_still(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STOKER_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file" / "below"))
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    facts = runtime_directory().stat()
    assert facts.st_uid == os.getuid()
    assert stat.S_IMODE(facts.st_mode) == 0o700


def test_one_stoker_a_home(tmp_path: Path, stoker: Stoker) -> None:
    home = tmp_path / "deep" / "home"
    process = stoker(HOLD_HOME, str(home))
    assert said(process) == ["held"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    with pytest.raises(HomeInUseError) as raised:
        HomeLock(home).acquire()
    assert raised.value.home == str(home)
    killed(process)
    lock = HomeLock(home)
    lock.acquire()
    with pytest.raises(HomeInUseError):
        HomeLock(home).acquire()
    lock.release()
    lock.release()
    HomeLock(home).acquire()


def test_two_homes_do_not_disturb_each_other(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path / "a"), HomeLock(tmp_path / "b")
    first.acquire()
    second.acquire()
    first.release()
    second.release()


def test_a_home_that_others_could_read_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    HomeLock(home).acquire()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_file_in_place_of_a_home_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for home in (file, file / "below"):
        with pytest.raises(HomeUnusableError, match="a file where a directory must be") as raised:
            HomeLock(home).acquire()
        assert raised.value.path == str(home)
    assert file.read_text() == "mine"


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    if os.getuid() == 0 and Path("/proc").is_dir():
        home = Path("/proc/stoker-home")  # root may write anywhere else
    else:
        tmp_path.chmod(0o500)
        home = tmp_path / "home"
    with pytest.raises(HomeUnusableError) as raised:
        HomeLock(home).acquire()
    assert str(home) in str(raised.value)


def test_a_home_without_room_is_named(tmp_path: Path, stoker: Stoker) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from core.owners import HomeLock\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: HomeLock(Path(sys.argv[1])).acquire()\n"
        "except Exception as error: print(type(error).__name__, error, flush=True)\n"
    )
    words = said(stoker(code, str(tmp_path / "home")))
    assert words[0] == "HomeUnusableError"
    assert "there is no room left on its disk" in " ".join(words)
    HomeLock(tmp_path / "home").acquire()
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["stoker.lock"]


def test_what_a_kill_left_halfway_is_swept_from_a_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".salvage-x").mkdir(parents=True)
    (home / ".salvage-x" / "copy").touch()
    (home / ".settings.json-y").touch()
    (home / "settings.json").write_text("{}")
    HomeLock(home).acquire()
    assert sorted(path.name for path in home.iterdir()) == ["settings.json", "stoker.lock"]


@pytest.mark.parametrize("shared", ["/", "/tmp", "~"])
def test_a_shared_directory_is_no_home(shared: str) -> None:
    directory = Path(shared).expanduser()
    before = stat.S_IMODE(directory.stat().st_mode)
    with pytest.raises(HomeUnusableError, match="choose one inside it"):
        HomeLock(directory).acquire()
    assert stat.S_IMODE(directory.stat().st_mode) == before
