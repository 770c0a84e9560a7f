"""An engine that does not see this machine's files gets code and layers copied into its containers, read-only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.engine import EngineUnderTest

_WANTED = {
    "code": ["app.py", "inner", "link"],
    "data": "within",
    "layer": "layered",
    "opt": ["layered.py"],
    "into code": "Permission denied",
    "over code": "Permission denied",
    "into layer": "Permission denied",
    "link": "inner/data",
}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare, to hide files from an engine"
)
def test_what_an_engine_cannot_see_is_copied(engine: EngineUnderTest, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    told = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", "tests.engines.hidden_stoker", str(hidden), engine.name],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        check=True,
        timeout=100,
    )
    found = json.loads(told.stdout)
    assert found["payloads"] == [_WANTED, _WANTED]
    # the first finds out; what was found out is remembered
    assert "copy" in found["phases"][0]
    assert found["phases"][1] == ["prepare", "create", "copy", "start", "init"]
