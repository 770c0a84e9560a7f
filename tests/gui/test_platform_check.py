"""What Qt would abort on is told before Qt is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gui.platform_check import missing_libraries, platform_problem

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such libraries")


def loads_all(name: str) -> object:
    return name


def lacks(*missing: str) -> object:
    def load(name: str) -> object:
        if name in missing:
            raise OSError(f"{name}: cannot open shared object file")
        return name

    return load


def test_no_screen_is_one_clear_line() -> None:
    problem = platform_problem({}, loads_all)
    assert problem is not None
    assert "DISPLAY" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("environment", [{"DISPLAY": ":0"}, {"WAYLAND_DISPLAY": "wayland-0"}])
def test_a_screen_and_all_libraries_are_no_problem(environment: dict[str, str]) -> None:
    assert platform_problem(environment, loads_all) is None


def test_a_missing_library_is_named_with_its_package() -> None:
    problem = platform_problem({"DISPLAY": ":0"}, lacks("libxcb-cursor.so.0", "libEGL.so.1"))  # type: ignore[arg-type]
    assert problem is not None
    assert "libxcb-cursor.so.0" in problem
    assert "apt-get install libegl1 libxcb-cursor0" in problem


def test_a_platform_that_draws_off_screen_needs_no_x_libraries() -> None:
    without = lacks("libxcb-cursor.so.0")
    assert platform_problem({"QT_QPA_PLATFORM": "offscreen"}, without) is None  # type: ignore[arg-type]
    assert platform_problem({"QT_QPA_PLATFORM": "xcb"}, without) is not None  # type: ignore[arg-type]


def test_this_machine_has_what_offscreen_needs() -> None:
    assert missing_libraries("offscreen") == {}


def test_the_check_and_the_options_do_without_qt() -> None:
    code = "import sys, gui.app, gui.platform_check, gui.single_instance\nprint('PySide6' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "False"
