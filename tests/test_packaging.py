"""What is built from the checkout is whole, and runs from any folder."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

pytestmark = [pytest.mark.timeout(240), pytest.mark.any_python]


def _run(command: Sequence[str | Path], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _sources(*folders: str) -> set[str]:
    """What the wheel must hold of these folders: all files but byte code and the README's pictures."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in name.parts and name.parts[:2] != ("resources", "screenshots"):
                found.add(name.as_posix())
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("setuptools is not installed (the extra `dev` brings it)")
    if int(version.split(".")[0]) < 77:
        pytest.skip(f"setuptools {version} is too old to build with; 77 is needed")
    # A copy, so that no build/ or egg-info is left in the checkout.
    source = tmp_path_factory.mktemp("source") / "stoker"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source / name)
    for name in ("core", "gui", "resources", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    out = tmp_path_factory.mktemp("wheel")
    build = _run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "-w",
            out,
            source,
        ],
        cwd=out,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (built,) = out.glob("stoker-*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh venv with the wheel in it; the dependencies are borrowed from the venv that runs the tests."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    made = _run([sys.executable, "-m", "venv", folder], cwd=folder.parent)
    assert made.returncode == 0, made.stderr
    python = folder / "bin" / "python"
    installed = _run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], cwd=folder.parent)
    assert installed.returncode == 0, installed.stderr
    (site,) = folder.glob("lib/python3*/site-packages")
    # A plain path line: the borrowed folder comes after the venv's own, and no .pth of it is read, so an
    # editable install of the checkout stays out.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder whose own packages have the names of Stoker's."""
    for name in ("core", "gui", "resources"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('the wrong {name} was imported')\n")
    return tmp_path


def test_the_wheel_holds_every_source_and_resource_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {info.filename for info in archive.infolist() if not info.is_dir()}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == _sources("core", "gui", "resources")
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


def test_the_wheel_keeps_what_is_executable(wheel: Path) -> None:
    executable = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "resources").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.stat().st_mode & 0o111
    }
    with zipfile.ZipFile(wheel) as archive:
        kept = {info.filename for info in archive.infolist() if info.external_attr >> 16 & 0o111}
    assert executable <= kept


def test_the_installed_command_works_in_a_folder_with_a_core_and_a_gui_of_its_own(
    elsewhere: Path, foreign: Path
) -> None:
    run = _run([elsewhere / "bin" / "stoker", "--version"], cwd=foreign)
    assert (run.returncode, run.stdout.strip()) == (0, f"stoker {VERSION}"), run.stderr


def test_what_is_installed_elsewhere_is_what_runs_there(elsewhere: Path, foreign: Path) -> None:
    program = "import core, gui, resources; print(core.__file__, gui.__file__, resources.__file__)"
    run = _run([elsewhere / "bin" / "python", "-P", "-c", program], cwd=foreign)
    assert run.returncode == 0, run.stderr
    assert all(Path(path).is_relative_to(elsewhere.resolve()) for path in run.stdout.split()), run.stdout


def test_an_installed_copy_runs_a_function_in_a_foreign_folder(elsewhere: Path, foreign: Path) -> None:
    """Helpers and bootstraps must be found by path, not by the folder one happens to stand in."""
    program = foreign / "program.py"
    program.write_text(_PROGRAM)
    run = _run([elsewhere / "bin" / "python", "-P", program], cwd=foreign, STOKER_RUNTIME_DIR=str(foreign / "run"))
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.split() == ['{"got":', "1}", "streamed"]


_PROGRAM = '''
import asyncio, os, pathlib
from core.functions import LambdaFunction
from core.runtime import LambdaRuntime

here = pathlib.Path(__file__).resolve().parent
(here / "run").mkdir(mode=0o700, exist_ok=True)
python, custom = here / "python-code", here / "custom-code"
python.mkdir()
(python / "app.py").write_text("def handler(event, context):\\n    return {'got': event['n']}\\n")
custom.mkdir()
(custom / "bootstrap").write_text("""#!/bin/sh
exec "$PYTHON" "$LAMBDA_TASK_ROOT/runtime.py"
""")
(custom / "bootstrap").chmod(0o755)
(custom / "runtime.py").write_text("""
import http.client, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    event = api.getresponse(); event.read()
    api.request(
        "POST", "/2018-06-01/runtime/invocation/%s/response" % event.headers["Lambda-Runtime-Aws-Request-Id"],
        body=iter([b"stre", b"amed"]), encode_chunked=True,
        headers={"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked"})
    api.getresponse().read()
""")


async def main():
    import sys
    async with LambdaRuntime.open(home=here / "home") as runtime:
        minor = "python3.%d" % sys.version_info[1]
        await runtime.add_function(LambdaFunction(
            function_name="one", runtime=minor, handler="app.handler", code=python))
        await runtime.add_function(LambdaFunction(
            function_name="two", runtime="provided.al2023", handler="bootstrap", code=custom,
            environment={"PYTHON": sys.executable}))
        print((await runtime.invoke("one", b'{"n": 1}')).payload.decode())
        stream = await runtime.invoke_streaming("two", b"{}")
        print(b"".join([chunk async for chunk in stream]).decode())

asyncio.run(main())
'''


def test_a_checkout_runs_as_a_module() -> None:
    run = _run([sys.executable, "-m", "gui", "--version"], cwd=ROOT)
    assert run.returncode == 0, run.stderr
    # a checkout that was never installed has no version of its own
    assert run.stdout.strip() in {f"stoker {VERSION}", "stoker checkout"}


def test_help_names_the_home_option(elsewhere: Path, foreign: Path) -> None:
    run = _run([elsewhere / "bin" / "stoker", "--help"], cwd=foreign)
    assert run.returncode == 0, run.stderr
    assert "--home" in run.stdout
