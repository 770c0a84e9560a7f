"""What the window remembers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from gui.window_state import WindowState

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_put_is_there_at_the_next_start(tmp_path: Path) -> None:
    state = WindowState(tmp_path)
    state.put("function", "echo")
    state.put("logs", True)
    state.save()
    again = WindowState(tmp_path)
    assert again.text("function") == "echo"
    assert again.flag("logs")


def test_a_home_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    state = WindowState(home)
    shutil.rmtree(home)
    state.put("function", "echo")
    state.save()
    del state
    assert not home.exists()
