"""Settings: what is refused, and how the file is read and written."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import HomeUnusableError, InvalidSettingError
from core.settings import Settings, load_settings, save_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_defaults_are_those_of_the_design() -> None:
    settings = Settings()
    assert (settings.max_instances, settings.queue_limit, settings.queue_timeout) == (10, 1000, 60.0)
    assert (settings.idle_ttl, settings.start_limit, settings.default_backend) == (300.0, 16, "process")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_instances", 0),
        ("max_instances", 2.0),
        ("max_instances", "10"),
        ("max_instances", True),
        ("queue_limit", -1),
        ("queue_timeout", -0.1),
        ("queue_timeout", math.nan),
        ("idle_ttl", math.inf),
        ("idle_ttl", None),
        ("start_limit", 0),
        ("instance_budget", 0),
        ("memory_budget_mb", -1),
        ("default_backend", ""),
        ("default_backend", "Docker!"),
        ("default_backend", 3),
        ("init_timeout", 0),
        ("history_limit", -1),
        ("history_days", -1),
        ("record_limit", -1),
        ("record_payloads", 1),
        ("record_payloads", "yes"),
    ],
)
def test_a_value_nobody_can_work_with_is_refused_with_its_name_and_rule(name: str, value: object) -> None:
    with pytest.raises(InvalidSettingError) as raised:
        Settings().with_overrides(**{name: value})
    assert raised.value.name == name
    assert raised.value.value is value
    assert "must be" in raised.value.rule
    assert name in str(raised.value)


def test_an_unknown_override_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InvalidSettingError, match="max_instances") as raised:
        Settings().with_overrides(max_instance=3)
    assert raised.value.name == "max_instance"


def test_overrides_make_a_copy() -> None:
    settings = Settings()
    assert settings.with_overrides(idle_ttl=5).idle_ttl == 5
    assert settings.idle_ttl == 300.0


def test_without_a_file_the_defaults_count(file: Path) -> None:
    assert load_settings(file) == Settings()
    assert not file.exists()


@given(
    limit=st.integers(1, 10_000),
    ttl=st.floats(0, 31_536_000, allow_nan=False),
    backend=st.sampled_from(["process", "docker", "podman", "kubernetes"]),
    record=st.booleans(),
)
def test_what_is_saved_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, limit: int, ttl: float, backend: str, record: bool
) -> None:
    file = tmp_path_factory.mktemp("settings") / "settings.json"
    settings = Settings(max_instances=limit, idle_ttl=ttl, default_backend=backend, record_payloads=record)
    save_settings(file, settings)
    assert load_settings(file) == settings
    save_settings(file, Settings())
    assert load_settings(file) == Settings()


def test_only_what_differs_is_written_and_only_for_its_owner(file: Path) -> None:
    save_settings(file, Settings(max_instances=3))
    assert json.loads(file.read_text()) == {"max_instances": 3}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_keys_of_a_newer_stoker_are_kept(file: Path) -> None:
    file.write_text('{"max_instances": 4, "teleport": {"range_km": [1, 2]}}')
    settings = load_settings(file)
    assert settings.max_instances == 4
    save_settings(file, settings.with_overrides(max_instances=5))
    assert json.loads(file.read_text()) == {"max_instances": 5, "teleport": {"range_km": [1, 2]}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'{\n  "max_instances": 4,\n  "idle_ttl": \n}\n', 4),
        (b'{"max_instances": 4\n', 2),
        (b"", 1),
        (b"[1, 2]\n", 1),
        (b'{\n "a": 1,\n "b": "\xff"}\n', 3),
        (b"[" * 100_000, 1),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_left_as_it_is(file: Path, text: bytes, line: int) -> None:
    file.write_bytes(text)
    with pytest.raises(InvalidSettingError) as raised:
        load_settings(file)
    assert str(file) in str(raised.value)
    assert f"line {line}:" in str(raised.value)
    with pytest.raises(InvalidSettingError):
        save_settings(file, Settings(max_instances=3))
    assert file.read_bytes() == text


def test_a_wrong_value_in_the_file_is_named_with_its_line(file: Path) -> None:
    file.write_text('{\n  "max_instances": 4,\n  "queue_limit": -5\n}\n')
    with pytest.raises(InvalidSettingError) as raised:
        load_settings(file)
    assert raised.value.name == "queue_limit"
    assert f"{file}, line 3" in raised.value.rule


def test_a_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf{"max_instances": 4}')
    assert load_settings(file).max_instances == 4


def test_a_directory_in_place_of_the_file_is_named(file: Path) -> None:
    file.mkdir()
    with pytest.raises(HomeUnusableError, match=r"settings\.json"):
        load_settings(file)


def test_a_disk_without_room_leaves_the_old_file_whole(file: Path) -> None:
    save_settings(file, Settings(max_instances=3))
    before = file.read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; from core.settings import Settings, save_settings\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))\n"
        "try: save_settings(Path(sys.argv[1]), Settings(max_instances=7))\n"
        "except Exception as error: sys.exit(3 if type(error).__name__ == 'HomeUnusableError' else 4)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code, str(file)], env=environment, check=False, timeout=60)
    assert done.returncode == 3
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
