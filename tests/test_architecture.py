"""The arrows between the rooms hold, as pyproject.toml's import contracts say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_every_import_contract_is_kept() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    check = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
    assert "0 broken" in check.stdout


def test_the_emulator_runs_without_any_of_the_other_dependencies(tmp_path: Path) -> None:
    """It must be possible to ship `core/emulator` and h11 alone into a pod."""
    program = (
        "import sys\n"
        "import core.emulator.runtime_api\n"
        "import core.emulator.__main__\n"
        "foreign = [m for m in ('httpx', 'psutil', 'PySide6', 'docker', 'qasync') if m in sys.modules]\n"
        "own = [m for m in sys.modules if m.startswith('core.') and not m.startswith('core.emulator')]\n"
        "sys.exit(f'imported: {foreign + own}' if foreign or own else 0)\n"
    )
    check = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert check.returncode == 0, check.stderr


def test_the_core_imports_without_qt() -> None:
    program = (
        "import sys\n"
        "class NoQt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('PySide6', 'shiboken6', 'qasync', 'gui'):\n"
        "            raise ImportError(f'core must not import {name}')\n"
        "sys.meta_path.insert(0, NoQt())\n"
        "import core.runtime\n"
    )
    check = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert check.returncode == 0, check.stderr
