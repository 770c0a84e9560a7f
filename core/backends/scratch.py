"""Instance directories: `home/instances/OWNER/INSTANCE/`, each with a record of what runs in it.

The record is written before the process is started and completed afterwards, so that whatever a
killed Stoker leaves can be told apart and removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

__all__ = ["InstanceDirectory", "InstanceRecord", "remove_tree", "stored_instances"]

_RECORD = "instance.json"
# anything shorter could be found in the environment of a process that is not ours
_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """What `instance.json` holds. `created` is `time.time()`; `pid` is 0 until the process runs."""

    owner: str
    instance: str
    function: str
    token: str
    created: float = field(default_factory=time.time)
    pid: int = 0
    started: str = ""
    cgroup: str = ""


class InstanceDirectory:
    """The directory of one instance. `tmp` is the function's own `/tmp`."""

    def __init__(self, instances: Path, record: InstanceRecord) -> None:
        self.path = instances / record.owner / record.instance
        self.tmp = self.path / "tmp"
        self.record = record

    def create(self) -> None:
        """Make the directory with its record. Raises OSError; then nothing is left."""
        for directory in (self.path.parent.parent, self.path.parent, self.path):
            directory.mkdir(mode=0o700, parents=True, exist_ok=directory is not self.path)
        try:
            self._write()
            self.tmp.mkdir(mode=0o700)
        except OSError:
            remove_tree(self.path)
            raise

    def update(self, *, pid: int, started: str, cgroup: str = "") -> None:
        """Complete the record once the process is there."""
        self.record = replace(self.record, pid=pid, started=started, cgroup=cgroup)
        self._write()

    def remove_quickly(self) -> bool:
        """Remove it if the function left nothing in its `/tmp`; False where there is more to do."""
        try:
            self.tmp.rmdir()
            (self.path / _RECORD).unlink()
            self.path.rmdir()
        except FileNotFoundError:
            return not self.path.exists()
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove everything. Blocks for as long as the files take."""
        remove_tree(self.path)

    def _write(self) -> None:
        temporary = self.path / f"{_RECORD}.new"
        temporary.write_text(json.dumps(asdict(self.record)))
        temporary.replace(self.path / _RECORD)


def stored_instances(instances: Path) -> Iterator[tuple[Path, InstanceRecord | None]]:
    """Every instance directory of every owner, with its record (None where it cannot be read)."""
    for owner in _directories(instances):
        for path in _directories(owner):
            yield path, _read(path)


def remove_tree(path: Path) -> None:
    """Remove a directory whatever modes its function gave it. Missing is success; never raises."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    # a function may have made directories that even their owner cannot enter or change
    _open_up(path)
    shutil.rmtree(path, ignore_errors=True)


def _open_up(path: Path) -> None:
    waiting = [path]
    while waiting:
        directory = waiting.pop()
        try:
            directory.chmod(stat.S_IRWXU)
            with os.scandir(directory) as entries:
                waiting.extend(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue


def _directories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _read(path: Path) -> InstanceRecord | None:
    try:
        raw = json.loads((path / _RECORD).read_text())
        record = InstanceRecord(**{f.name: raw[f.name] for f in fields(InstanceRecord)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    sound = (
        all(isinstance(v, str) for v in (record.owner, record.instance, record.function, record.token))
        and isinstance(record.created, int | float)
        and isinstance(record.pid, int)
        and isinstance(record.started, str)
        and isinstance(record.cgroup, str)
    )
    return record if sound and _TOKEN.fullmatch(record.token) else None
