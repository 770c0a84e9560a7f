"""Finding interpreters, and what functions see of packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.backends.bundle import make_bundle
from core.backends.node import NodeFinder
from core.backends.programs import ProgramFacts
from core.backends.pythons import Interpreter, Pythons, nearest
from tests.core.backends.conftest import Bench
from tests.core.backends.support import invoke


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def interpreter(minor: int, name: str = "python") -> Interpreter:
    return Interpreter(Path(f"/{name}3.{minor}"), (3, minor, 0))


def test_the_nearest_is_exact_then_closest_then_newer_then_first() -> None:
    several = [interpreter(10), interpreter(12, "first"), interpreter(12, "second"), interpreter(14)]
    assert nearest(several, 12).path == Path("/first3.12")
    assert nearest(several, 13).version[1] == 14
    assert nearest(several, 9).version[1] == 10
    assert nearest(several, 99).version[1] == 14


async def test_stokers_own_interpreter_serves_without_a_search(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    facts = ProgramFacts(tmp_path / "programs.json")
    found = await Pythons(facts, executor).find(f"3.{sys.version_info[1]}")
    assert found.version == sys.version_info[:3]
    # the one below a virtual environment, which has none of its packages
    assert found.path.resolve() == Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    assert not (tmp_path / "programs.json").exists()


async def test_programs_are_asked_once_and_remembered_on_disk_until_they_change(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    calls = tmp_path / "calls"
    fake = bin_directory / "python3.77"
    fake.write_text(f"#!/bin/sh\necho x >> {calls}\necho 3.77.1 cpython {fake}\n")
    fake.chmod(0o755)
    broken = bin_directory / "python3.78"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_directory}:/usr/bin:/bin")
    for _ in range(2):
        pythons = Pythons(ProgramFacts(tmp_path / "programs.json"), executor)
        found = await pythons.find("3.77")
        assert found == Interpreter(fake, (3, 77, 1))
        assert (await pythons.find("3.78")).version[1] == 77
    assert calls.read_text().split() == ["x"]
    fake.write_text(fake.read_text() + "# changed\n")
    await Pythons(ProgramFacts(tmp_path / "programs.json"), executor).find("3.77")
    assert calls.read_text().split() == ["x", "x"]


async def test_an_old_or_foreign_interpreter_is_passed_over(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, says in (("python3.6", "3.6.1 cpython"), ("python3.55", "3.55.0 pypy"), ("python3.56", "nonsense")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {says} {program}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    pythons = Pythons(ProgramFacts(tmp_path / "programs.json"), executor)
    assert (await pythons.find("3.55")).version[1] not in (55, 56)
    assert (await pythons.find("3.6")).version >= (3, 9)


async def test_a_damaged_memory_of_programs_only_costs_time(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    (tmp_path / "programs.json").write_text("[1, 2")
    assert (await Pythons(ProgramFacts(tmp_path / "programs.json"), executor).find("3.99")).version >= (3, 9)
    json.loads((tmp_path / "programs.json").read_text())


async def test_a_node_that_does_not_answer_is_none(
    tmp_path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\nexit 1\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await NodeFinder(ProgramFacts(tmp_path / "programs.json"), executor).find() is None
    node.write_text("#!/bin/sh\necho '22.1.0 /elsewhere/node'\n")
    found = await NodeFinder(ProgramFacts(tmp_path / "programs.json"), executor).find()
    assert found is not None
    assert (found.version, found.path) == ((22, 1, 0), Path("/elsewhere/node"))


def test_a_bundle_holds_the_client_and_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    client, boto3 = bundle.directories
    modules = {path.name for path in client.iterdir() if not path.name.endswith(".dist-info")}
    assert modules == {"awslambdaric", "simplejson", "snapshot_restore_py.py"}
    assert {"boto3", "botocore", "s3transfer"} <= {path.name for path in boto3.iterdir()}
    assert make_bundle(tmp_path) == bundle


def test_a_bundle_whose_links_are_broken_is_made_anew(tmp_path: Path) -> None:
    client = make_bundle(tmp_path).directories[0]
    (client / "awslambdaric").unlink()
    (client / "awslambdaric").symlink_to(tmp_path / "nowhere")
    assert make_bundle(tmp_path).directories[0] == client
    assert (client / "awslambdaric" / "__init__.py").exists()
    assert [path.name for path in client.parent.iterdir() if path.name.startswith(".")] == []


async def test_packages_of_the_very_interpreter_that_runs_a_function_stay_hidden(bench: Bench) -> None:
    """As where Stoker is installed without a virtual environment: its packages are that interpreter's own."""
    base = sys._base_executable  # type: ignore[attr-defined]
    seen = subprocess.run(
        [base, "-c", "import sys; print(*sys.path, sep='\\n')"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert any("site-packages" in path for path in seen)
    code = "import sys\ndef handler(e, c):\n    return sys.path\n"
    started = await bench.launch({"app.py": code}, runtime=f"python3.{sys.version_info[1]}")
    path = json.loads((await invoke(started.api)).payload)
    assert [each for each in path if "site-packages" in each or "dist-packages" in each] == []
    assert str(Path.cwd()) not in path
    assert "" not in path
    assert path[0] == str(bench.root / "code-1")


@pytest.mark.parametrize("minor", ["3.9", "3.10", "3.12", "3.13"])
async def test_awss_client_runs_under_interpreters_that_its_native_part_does_not_fit(bench: Bench, minor: str) -> None:
    code = """
import sys
def handler(event, context):
    assert context.get_remaining_time_in_millis() > 0
    return sys.version_info[1]
"""
    started = await bench.launch({"app.py": code}, runtime=f"python{minor}")
    # where it is not installed, under the nearest, which is told
    runs_under = started.warm.details.get("runtime", f"python{minor}").rpartition("python")[2]
    assert (await invoke(started.api)).payload.decode() == runs_under.partition(".")[2]


def test_a_bundle_tells_what_is_missing(tmp_path: Path) -> None:
    # a fresh interpreter without any packages, as a broken installation has them
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from core.backends.bundle import make_bundle\nfrom pathlib import Path\n"
        "try:\n    make_bundle(Path(sys.argv[2]))\nexcept LookupError as error:\n    print(error)\n"
    )
    repository = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys._base_executable, "-I", "-S", "-c", script, repository, str(tmp_path)],  # type: ignore[attr-defined]
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert "awslambdaric is not installed" in done.stdout, done.stderr
