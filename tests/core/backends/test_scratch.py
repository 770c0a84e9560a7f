"""Instance directories and their records."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from core.backends.scratch import InstanceDirectory, InstanceRecord, remove_tree, stored_instances

TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def directory(tmp_path: Path) -> InstanceDirectory:
    made = InstanceDirectory(tmp_path / "instances", InstanceRecord("owner", "i-1", "f", TOKEN))
    made.create()
    return made


def test_the_record_is_there_before_the_process_and_complete_after(
    tmp_path: Path, directory: InstanceDirectory
) -> None:
    [(path, before)] = stored_instances(tmp_path / "instances")
    assert path == directory.path
    assert before is not None
    assert (before.owner, before.instance, before.function, before.pid) == ("owner", "i-1", "f", 0)
    directory.update(pid=42, started="77")
    [(_, after)] = stored_instances(tmp_path / "instances")
    assert after is not None
    assert (after.pid, after.started, after.created) == (42, "77", before.created)


def test_directories_are_their_owners_alone(directory: InstanceDirectory) -> None:
    for path in (directory.tmp, directory.path, directory.path.parent, directory.path.parent.parent):
        assert path.stat().st_mode & 0o777 == 0o700


def test_an_untouched_directory_goes_quickly_and_a_used_one_does_not(directory: InstanceDirectory) -> None:
    (directory.tmp / "file").touch()
    assert not directory.remove_quickly()
    assert (directory.tmp / "file").exists()
    directory.remove()
    assert not directory.path.exists()
    directory.create()
    assert directory.remove_quickly()
    assert not directory.path.exists()
    assert directory.remove_quickly()


def test_a_name_that_is_taken_is_an_error_and_stays_untouched(directory: InstanceDirectory) -> None:
    (directory.tmp / "file").touch()
    with pytest.raises(FileExistsError):
        InstanceDirectory(directory.path.parent.parent, directory.record).create()
    assert (directory.tmp / "file").exists()


def test_many_files_and_closed_directories_are_removed_but_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    root = tmp_path / "root"
    for number in range(300):
        (root / f"{number % 10}" / f"{number}").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    closed = root / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner" / "file").touch()
    (closed / "inner").chmod(0o000)
    closed.chmod(0o500)
    remove_tree(root)
    remove_tree(root)
    assert not root.exists()
    assert (outside / "kept").exists()


def test_closed_directories_are_opened_by_whoever_owns_them() -> None:
    # not below pytest's own directory, which no other user can reach; and root needs to be another one
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                closed = Path(name) / "root" / "closed"
                closed.mkdir(parents=True)
                (closed / "file").touch()
                closed.chmod(0o000)
                remove_tree(Path(name) / "root")
                status = int((Path(name) / "root").exists())
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "o"}', '{"owner": 1}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, directory: InstanceDirectory, text: str) -> None:
    (directory.path / "instance.json").write_text(text)
    assert [record for _, record in stored_instances(tmp_path / "instances")] == [None]


def test_links_and_files_are_no_instances(tmp_path: Path, directory: InstanceDirectory) -> None:
    (directory.path.parent / "link").symlink_to(tmp_path)
    (directory.path.parent / "file").touch()
    (tmp_path / "instances" / "owner-link").symlink_to(directory.path.parent)
    assert [path for path, _ in stored_instances(tmp_path / "instances")] == [directory.path]
    assert list(stored_instances(tmp_path / "nowhere")) == []
