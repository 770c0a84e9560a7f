"""Which folder is meant by what was chosen as the home."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from core.home import home_path


def test_without_a_choice_or_with_an_empty_one_it_is_the_users_data_folder() -> None:
    for chosen in (None, ""):
        assert home_path(chosen) == platformdirs.user_data_path("stoker")


def test_a_chosen_one_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert home_path("here") == tmp_path / "here"
    assert home_path("~/there") == tmp_path / "me" / "there"
    assert home_path(Path("/srv/stoker")) == Path("/srv/stoker")
