"""The `stoker` command from outside: how it starts, refuses, is raised and ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.journal import Journal
from gui.single_instance import raise_first

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gui", *map(str, arguments)]


def environment(**changes: str | None) -> dict[str, str]:
    given = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT), **changes}
    return {name: value for name, value in given.items() if value is not None}


def refuse(*arguments: object, **changes: str | None) -> str:
    """Run it, and return the one line that it refused with."""
    done = subprocess.run(
        command(*arguments), env=environment(**changes), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("stoker:")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A Stoker whose window is up."""
    home = tmp_path / "home"
    with subprocess.Popen(
        command("--home", home), env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not raise_first(home):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            # its window listens once it is up; from outside there is nothing else to wait for
            time.sleep(0.05)
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_version_needs_no_screen() -> None:
    done = subprocess.run(
        command("--version"),
        env=environment(QT_QPA_PLATFORM=None, DISPLAY=None, WAYLAND_DISPLAY=None),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("stoker ")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS always has a screen")
def test_without_a_screen_it_refuses_in_one_line(tmp_path: Path) -> None:
    line = refuse("--home", tmp_path / "home", QT_QPA_PLATFORM=None, DISPLAY=None, WAYLAND_DISPLAY=None)
    assert "there is no screen" in line
    assert not (tmp_path / "home").exists()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    assert str(tmp_path / "file") in refuse("--home", tmp_path / "file")


async def test_a_journal_of_a_newer_stoker_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = await Journal.open(path)
    await journal.close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 9999")
    newer.close()
    before = path.read_bytes()
    assert "newer Stoker" in refuse("--home", tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_closes_it_in_stages_and_leaves_no_process(
    started: subprocess.Popen[str], number: signal.Signals
) -> None:
    children = psutil.Process(started.pid).children(recursive=True)
    started.send_signal(number)
    assert started.wait(30) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_second_start_raises_the_first_and_says_so(started: subprocess.Popen[str], tmp_path: Path) -> None:
    second = subprocess.run(
        command("--home", tmp_path / "home"), env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 0
    assert "its window was raised" in second.stdout
    assert started.poll() is None


def test_a_home_in_use_without_a_window_is_refused(tmp_path: Path) -> None:
    holder = (
        "import sys\nfrom pathlib import Path\nfrom core.owners import HomeLock\n"
        "lock = HomeLock(Path(sys.argv[1]))\nlock.acquire()\nprint('held', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert "another Stoker is using" in refuse("--home", tmp_path)
        process.communicate("")
