"""Makes images that start as AWS's Lambda base images do: `python -m tests.engines.base_image docker [RUNTIME ...]`.

No image is downloaded. The root is a minimal Debian 12, whose Python is 3.11, with AWS's emulator (RIE) from the
wheel of `aws-sam-cli`, AWS's Python client, and an entrypoint that follows the rule of AWS's images: RIE, unless
`AWS_LAMBDA_RUNTIME_API` names a Runtime API to use instead. `boto3` is not in it. The archives are kept in
`STOKER_TEST_CACHE`, or the person's cache. Needs `mmdebstrap` (a Debian package), pip, and an engine that answers.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

__all__ = ["RUNTIMES", "CannotMakeImageError", "image_names", "import_image", "make_archive"]

RUNTIMES = {"python3.11": "python:3.11", "provided.al2023": "provided:al2023"}
"""What can be made, and as what AWS publishes it. In `provided.al2023` there is a `python3` too, for bootstraps."""

_SUITE = "bookworm"
_SECONDS = 600
_REPOSITORY = "public.ecr.aws/lambda"

# https://docs.aws.amazon.com/lambda/latest/dg/images-test.html and the variables of
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TZ": ":/etc/localtime",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}

_START = """\
if [ -z "$AWS_LAMBDA_RUNTIME_API" ]; then
  exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
fi
exec /var/runtime/bootstrap
"""

# The Python images take the handler as their one argument; the others take any, or none.
_ENTRYPOINTS = {
    "python3.11": f"""\
#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" >&2
  exit 142
fi
export _HANDLER="$1"
{_START}""",
    "provided.al2023": f"""\
#!/bin/sh
export _HANDLER="$1"
{_START}""",
}

_BOOTSTRAP = """\
#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python3.11
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}/opt/python/lib/python3.11/site-packages:/opt/python:/var/runtime"
set -- /var/lang/bin/python3.11 -m awslambdaric "$_HANDLER"
[ -z "$AWS_LAMBDA_EXEC_WRAPPER" ] || set -- "$AWS_LAMBDA_EXEC_WRAPPER" "$@"
exec "$@"
"""


class CannotMakeImageError(Exception):
    """What it is made from or with is missing, or a step of it failed; the message says which and why."""


def image_names(runtime: str) -> tuple[str, ...]:
    """The names of a runtime's base image: AWS's own, and the one with the architecture that SAM CLI asks for."""
    name = f"{_REPOSITORY}/{RUNTIMES[runtime]}"
    return name, f"{name}-{_architecture()}"


def make_archive(runtime: str) -> Path:
    """The image's root as a tar archive, from the cache where it is there already. Raises CannotMakeImageError."""
    if runtime not in RUNTIMES:
        raise CannotMakeImageError(f"there is no recipe for {runtime}; there are {', '.join(RUNTIMES)}")
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    key = f"lambda-{runtime}-{_architecture()}"
    archive = cache / f"{key}.tar"
    with FileLock(cache / "lambda-images.lock", timeout=2 * _SECONDS):
        if not archive.exists():
            with tempfile.TemporaryDirectory(prefix="stoker-image-", dir=cache) as folder:
                # Only a whole archive gets the name that is looked for.
                unfinished = Path(folder) / "root.tar"
                shutil.copyfile(_debian(cache), unfinished)
                _add_lambda(unfinished, runtime, Path(folder))
                unfinished.rename(archive)
    return archive


def import_image(engine: Sequence[str], runtime: str) -> tuple[str, ...]:
    """Make the image known to an engine under all its names, which are returned.

    `engine` is the command that drives it, as in `("docker",)` or `("podman", "--root", "...")`; of an image that is
    there already only the names are renewed. Raises CannotMakeImageError.
    """
    names = image_names(runtime)
    present = subprocess.run([*engine, "image", "inspect", names[0]], capture_output=True, check=False).returncode == 0
    if not present:
        changes = [f"ENV {name}={value}" for name, value in _ENVIRONMENT.items()]
        changes += ["WORKDIR /var/task", 'ENTRYPOINT ["/lambda-entrypoint.sh"]']
        options = [option for change in changes for option in ("--change", change)]
        _run([*engine, "import", *options, str(make_archive(runtime)), names[0]])
    for name in names[1:]:
        _run([*engine, "tag", names[0], name])
    return names


def _debian(cache: Path) -> Path:
    """A minimal Debian with Python, shared by all runtimes."""
    archive = cache / f"debian-{_SUITE}-{_architecture()}.tar"
    if not archive.exists():
        if shutil.which("mmdebstrap") is None:
            raise CannotMakeImageError("mmdebstrap is needed: apt-get install mmdebstrap")
        unfinished = archive.with_name(f"{archive.stem}.unfinished.tar")
        without = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "info", "locale", "man")]
        _run(
            ["mmdebstrap", "--variant=minbase", "--include=python3,ca-certificates", *without, _SUITE, str(unfinished)]
        )
        unfinished.rename(archive)
    return archive


def _add_lambda(archive: Path, runtime: str, scratch: Path) -> None:
    with tarfile.open(archive, "a") as root:
        for folder in ("./var/runtime", "./var/task", "./var/lang", "./var/lang/bin"):
            root.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
        _add_bytes(root, "./usr/local/bin/aws-lambda-rie", _emulator(scratch), 0o755)
        _add_bytes(root, "./lambda-entrypoint.sh", _ENTRYPOINTS[runtime].encode(), 0o755)
        if runtime == "python3.11":
            for name in ("python3", "python3.11"):
                link = _entry(f"./var/lang/bin/{name}", tarfile.SYMTYPE, 0o777)
                link.linkname = "/usr/bin/python3.11"
                root.addfile(link)
            _add_bytes(root, "./var/runtime/bootstrap", _BOOTSTRAP.encode(), 0o755)
            client = _python_client(scratch)
            for path in sorted(client.rglob("*")):
                root.add(path, f"./var/runtime/{path.relative_to(client)}", recursive=False, filter=_for_all)


def _emulator(scratch: Path) -> bytes:
    """RIE, which `aws-sam-cli` carries for both architectures."""
    _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(scratch / "sam"), "aws-sam-cli"])
    arch = "arm64" if _architecture() == "arm64" else "x86_64"
    with zipfile.ZipFile(next((scratch / "sam").glob("*.whl"))) as wheel:
        return wheel.read(f"samcli/local/rapid/aws-lambda-rie-{arch}")


def _python_client(scratch: Path) -> Path:
    """AWS's client for the image's Python, which need not be the one that runs this."""
    target = scratch / "client"
    options = ["--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:", "--no-compile"]
    _run([sys.executable, "-m", "pip", "install", "-q", "--target", str(target), *options, "awslambdaric"])
    shutil.rmtree(target / "bin", ignore_errors=True)
    return target


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _add_bytes(root: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(content)
    root.addfile(entry, io.BytesIO(content))


def _for_all(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, and readable by any user inside."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise CannotMakeImageError(f"there is no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise CannotMakeImageError(f"`{command[0]} {command[1]}` took longer than {_SECONDS} s") from None
    if done.returncode != 0:
        last = " | ".join(done.stdout.splitlines()[-4:])
        raise CannotMakeImageError(f"`{command[0]} {command[1]}` failed with {done.returncode}: {last}")


def _architecture() -> str:
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def _cache() -> Path:
    named = os.environ.get("STOKER_TEST_CACHE")
    return Path(named) if named else user_cache_path("stoker-tests")


def main() -> int:
    """Make the images that were asked for, all without a name."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines.base_image", description=__doc__)
    parser.add_argument("engine", help="docker or podman")
    parser.add_argument("runtimes", nargs="*", metavar="RUNTIME", help=f"{', '.join(RUNTIMES)}; without any, all")
    options = parser.parse_args()
    try:
        for runtime in options.runtimes or RUNTIMES:
            print(*import_image((options.engine,), runtime), sep="\n")
    except CannotMakeImageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
