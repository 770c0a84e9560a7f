"""What a Python function sees beside its own code: AWS's client, and boto3 if it is installed.

Each is a directory of links to the installed packages and nothing else, so that Stoker's own
packages cannot be imported even where they are installed into the very same interpreter.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

__all__ = ["ClientBundle", "make_bundle"]

_CLIENT = "awslambdaric"
_BOTO3 = "boto3"
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
# native, and fits one interpreter only; resources/runtimes/python has one that fits all
_LEFT_OUT = re.compile(r"runtime_client(\..*)?\.(so|pyd)$|__pycache__$|\.\.?$|.*\.pth$")


class ClientBundle(NamedTuple):
    """The directories for the end of a function's search path, and the versions in them."""

    directories: tuple[Path, ...]
    versions: dict[str, str]


def make_bundle(home: Path) -> ClientBundle:
    """Make the bundles under `home/bundle` unless they are there. Blocks (some 20 ms).

    Raises LookupError if awslambdaric is not installed, OSError if the links cannot be made.
    """
    directories: list[Path] = []
    versions: dict[str, str] = {}
    for root in (_CLIENT, _BOTO3):
        try:
            distributions = _closure(root)
        except metadata.PackageNotFoundError as error:
            if root == _CLIENT:
                raise LookupError("awslambdaric is not installed beside Stoker") from error
            continue
        directories.append(_linked(home / "bundle", root, distributions))
        versions |= {name: distribution.version for name, distribution in distributions.items() if name == root}
    return ClientBundle(tuple(directories), versions)


def _closure(root: str) -> dict[str, metadata.Distribution]:
    """`root` and everything it requires, as far as it is installed."""
    found = {root: metadata.distribution(root)}
    waiting = [found[root]]
    while waiting:
        for requirement in waiting.pop().requires or ():
            if "extra ==" in requirement or (match := _NAME.match(requirement)) is None:
                continue
            name = match[1]
            key = name.lower().replace("_", "-")
            if key in found:
                continue
            try:
                found[key] = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            waiting.append(found[key])
    return found


def _linked(bundles: Path, root: str, distributions: dict[str, metadata.Distribution]) -> Path:
    links: dict[str, Path] = {}
    digest = hashlib.sha256(sys.version.encode())
    for name in sorted(distributions):
        distribution = distributions[name]
        digest.update(f"{name} {distribution.version} {distribution.locate_file('')}\n".encode())
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in links and not _LEFT_OUT.match(top):
                links[top] = Path(str(distribution.locate_file(top)))
    directory = bundles / f"{root}-{digest.hexdigest()[:16]}"
    if directory.is_dir() and all((directory / top).exists() for top in links):
        return directory
    bundles.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = bundles / f".{root}-{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        for top, target in links.items():
            if target.exists():
                (temporary / top).symlink_to(target.resolve())
        if directory.exists():
            shutil.rmtree(directory)
        try:
            temporary.rename(directory)
        except OSError:
            # another Stoker was quicker; its links are the same
            if not directory.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory
