"""What all tests share: Qt without a display, a private runtime directory, and CI's rule on skips.

With `STOKER_CI` set, a skipped test fails the run: on a machine that CI has prepared nothing may be
missing. `STOKER_CI_ALLOW_SKIPS` holds parts of reasons that are let through, separated by `;`.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

_ALWAYS_ALLOWED = ("macOS",)
_DISPLAY_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY")
_KEY = pytest.StashKey[list[tuple[str, str]]]()
_RUNTIME_KEY = pytest.StashKey[Path]()


def _has_display() -> bool:
    return sys.platform == "darwin" or any(os.environ.get(name) for name in _DISPLAY_VARIABLES)


# Qt reads these when it is first imported, which may be while tests are collected.
if not _has_display():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYTEST_QT_API", "pyside6")


def pytest_configure(config: pytest.Config) -> None:
    """Keep owner locks away from those of a Stoker that the person runs (the path stays short: sockets live there)."""
    config.stash[_KEY] = []
    if "STOKER_RUNTIME_DIR" not in os.environ:
        directory = Path(tempfile.mkdtemp(prefix="stoker-test-"))
        config.stash[_RUNTIME_KEY] = directory
        os.environ["STOKER_RUNTIME_DIR"] = str(directory)


def pytest_unconfigure(config: pytest.Config) -> None:
    directory = config.stash.get(_RUNTIME_KEY, None)
    if directory is not None:
        os.environ.pop("STOKER_RUNTIME_DIR", None)
        shutil.rmtree(directory, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `window` needs a screen, be it Xvfb's."""
    if os.environ.get("QT_QPA_PLATFORM") not in {"offscreen", "minimal"}:
        return
    reason = pytest.mark.skip(reason="needs a display: run it on a desktop, or as `xvfb-run -a pytest -m window`")
    for item in items:
        if item.get_closest_marker("window") is not None:
            item.add_marker(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Collect Qt's objects here: left to a later collection on a worker thread, they end the process.

    What is alive at the end of a file (modules, reports) stays to the end of the run: each collection would
    look through all of it again, for half of the run's time.
    """
    yield
    last_of_file = nextitem is not None and nextitem.path != item.path
    if last_of_file or {"gui", "window"} & set(item.path.parts):
        gc.collect()
    if last_of_file:
        gc.freeze()


def _unwanted(reports: list[pytest.TestReport | pytest.CollectReport]) -> list[tuple[str, str]]:
    extra = tuple(part.strip() for part in os.environ.get("STOKER_CI_ALLOW_SKIPS", "").split(";") if part.strip())
    found = []
    for report in reports:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(part in reason for part in (*_ALWAYS_ALLOWED, *extra)):
            found.append((report.nodeid, reason))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI, turn a skip that nobody allowed into a failure of the run."""
    if not os.environ.get("STOKER_CI"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    unwanted = _unwanted(reporter.stats.get("skipped", []))
    session.config.stash[_KEY] = unwanted
    if unwanted and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    unwanted = config.stash.get(_KEY, [])
    if not unwanted:
        return
    terminalreporter.section("skipped, which CI does not allow", sep="=", red=True, bold=True)
    for nodeid, reason in unwanted:
        terminalreporter.line(f"{nodeid}: {reason}")
