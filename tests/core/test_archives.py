"""The store of archives: what it keeps, what it shares, and what it survives."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from core.archives import Archive, ArchiveStore, check_unzipped_size, deploy_id
from core.archives import store as archives_module
from core.archives.unpacking import remove_tree, unpack
from core.archives.zip_entries import Bounds
from core.errors import InvalidFunctionError, ZipExtractionFailedError
from core.functions import ImageConfig, LambdaFunction
from tests.core.zips import Record, a_zip, link, raw_zip

ROOT = Path(__file__).parents[2]
GOOD = a_zip({"app.py": "print()", "lib/a.txt": "a" * 5000, "run.sh": "#!/bin/sh"}, modes={"run.sh": 0o755})


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "store"
    yield found
    remove_tree(found)


@pytest.fixture
def store(root: Path, executor: ThreadPoolExecutor) -> ArchiveStore:
    return ArchiveStore(root, executor)


def leftovers(root: Path) -> list[str]:
    """Everything that is neither a zip, nor an unpacked directory, nor a lock."""
    found = [each.name for each in (root / "incoming").iterdir()]
    found += [each.name for each in (root / "unpacked").iterdir() if each.name.startswith(".")]
    return found


def digests(root: Path) -> tuple[set[str], set[str]]:
    return {each.stem for each in (root / "zips").iterdir()}, {each.name for each in (root / "unpacked").iterdir()}


# --- taking in


async def test_a_zip_is_kept_under_its_digest_and_unpacked(store: ArchiveStore, tmp_path: Path) -> None:
    path = tmp_path / "app.zip"
    path.write_bytes(GOOD)
    archive = await store.add(path)
    assert archive.digest == hashlib.sha256(GOOD).hexdigest()
    assert archive.size == len(GOOD)
    assert archive.unpacked_size == len("print()") + 5000 + len("#!/bin/sh")
    assert (archive.directory / "lib/a.txt").read_text() == "a" * 5000
    with archive.open() as file:
        assert file.read() == GOOD


async def test_bytes_a_file_and_a_second_store_give_the_same_archive(
    store: ArchiveStore, tmp_path: Path, root: Path, executor: ThreadPoolExecutor
) -> None:
    path = tmp_path / "app.zip"
    path.write_bytes(GOOD)
    first = await store.add(GOOD)
    assert await store.add(str(path)) == first
    assert await ArchiveStore(root, executor).add(GOOD) == first
    assert await ArchiveStore(root, executor).get(first.digest) == first


async def test_it_is_unpacked_once_however_often_it_is_added(store: ArchiveStore) -> None:
    first = await store.add(GOOD)
    before = first.directory.stat()
    await asyncio.gather(*(store.add(GOOD) for _ in range(8)), *(store.get(first.digest) for _ in range(8)))
    after = first.directory.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def some_folder(at: Path, order: int = 1) -> Path:
    at.mkdir()
    for name in ["b.py", "a.py", ".env", "ü.txt", "lib/x/deep.py"][::order]:
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(f"# {name}")
    (at / "bootstrap").write_text("#!/bin/sh")
    (at / "bootstrap").chmod(0o755)
    (at / "empty").mkdir()
    (at / "link").symlink_to("lib/x")
    return at


async def test_a_folder_gives_the_same_digest_every_time_and_anywhere(store: ArchiveStore, tmp_path: Path) -> None:
    one, other = some_folder(tmp_path / "one"), some_folder(tmp_path / "other", -1)
    for each in other.rglob("*.py"):
        os.utime(each, (1, 1))
        each.chmod(0o600)
    (other / "__pycache__").mkdir()
    (other / "__pycache__/a.cpython-311.pyc").write_bytes(b"x")
    (other / "lib/.git").mkdir()
    (other / "lib/.git/HEAD").write_text("ref")
    found = await store.add(one)
    assert (await store.add(other)).digest == found.digest
    # fixed for good: another digest would replace every instance of every folder function
    assert found.digest == "3a2049c488493f7baf064f09c1d584531e7edc8b75c52b4495721c6ef49dc1b3"


async def test_a_folder_keeps_hidden_files_links_empty_folders_and_executable_bits(
    store: ArchiveStore, tmp_path: Path
) -> None:
    directory = (await store.add(some_folder(tmp_path / "one"))).directory
    assert (directory / ".env").read_text() == "# .env"
    assert (directory / "empty").is_dir()
    assert (directory / "link").readlink() == Path("lib/x")
    assert (directory / "link/deep.py").read_text() == "# lib/x/deep.py"
    assert stat.S_IMODE((directory / "bootstrap").stat().st_mode) == 0o555
    assert stat.S_IMODE((directory / "a.py").stat().st_mode) == 0o444


@pytest.mark.parametrize("change", ["content", "name", "executable", "removed"])
async def test_what_changes_in_a_folder_changes_its_digest(store: ArchiveStore, tmp_path: Path, change: str) -> None:
    folder = some_folder(tmp_path / "one")
    before = (await store.add(folder)).digest
    match change:
        case "content":
            (folder / "a.py").write_text("# A.py")
        case "name":
            (folder / "a.py").rename(folder / "c.py")
        case "executable":
            (folder / "a.py").chmod(0o755)
        case "removed":
            (folder / "empty").rmdir()
    assert (await store.add(folder)).digest != before


# --- refusals


def a_fifo(at: Path) -> Path:
    os.mkfifo(at)
    return at


def many_files(at: Path, count: int) -> None:
    for number in range(count):
        (at / str(number)).touch()


def a_folder(at: Path, fill: Callable[[Path], object]) -> Path:
    at.mkdir()
    (at / "ok.py").touch()
    fill(at)
    return at


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda at: at / "none.zip", "no such file"),
        (lambda at: a_fifo(at / "pipe"), "neither a zip file nor a folder"),
        (lambda at: b"hello", "is not a zip"),
        (lambda at: b"", "is not a zip"),
        (lambda at: GOOD[:-40], "cut off"),
        (lambda at: raw_zip(Record(b"../evil", b"x")), r"\.\."),
        (lambda at: raw_zip(Record(b"a", b"xyz", crc=1)), "CRC"),
        (lambda at: raw_zip(link("a", "/etc/passwd")), "absolute"),
        (lambda at: a_zip({"a": bytes(10_001)}), "unpacks to 10,001 bytes"),
        (lambda at: b"PK" + bytes(20_001), "more than 20,000 bytes"),
        (lambda at: a_folder(at / "f", lambda f: None).joinpath("ok.py"), "is not a zip"),
        (lambda at: a_folder(at / "f", lambda f: (f / "ok.py").unlink()), "is empty"),
        (lambda at: a_folder(at / "f", lambda f: (f / "big").write_bytes(bytes(10_001))), "more than 10,000 bytes"),
        (lambda at: a_folder(at / "f", lambda f: many_files(f, 50)), "more than 50"),
        (lambda at: a_folder(at / "f", lambda f: os.mkfifo(f / "pipe")), "pipe"),
        (lambda at: a_folder(at / "f", lambda f: (f / "l").symlink_to("/etc/passwd")), "absolute"),
        (lambda at: a_folder(at / "f", lambda f: (f / "l").symlink_to("../x")), "leaves the archive"),
        (lambda at: a_folder(at / "f", lambda f: (f / "a\\b").touch()), "backslash"),
        (lambda at: a_folder(at / "f", lambda f: open(bytes(f) + b"/\xff", "w").close()), "UTF-8"),
    ],
)
async def test_a_refusal_says_why_and_leaves_nothing(
    make: Callable[[Path], Any], reason: str, root: Path, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    store = ArchiveStore(root, executor, Bounds(unpacked=10_000, packed=20_000, entries=50))
    kept = await store.add(a_zip({"kept": "1"}))
    with pytest.raises(ZipExtractionFailedError, match=reason):
        await store.add(make(tmp_path))
    assert leftovers(root) == []
    assert digests(root) == ({kept.digest}, {kept.digest})
    assert not (tmp_path / "evil").exists()


def test_it_works_for_an_ordinary_user_and_names_what_that_user_cannot_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    home = tmp_path / "home"
    folder = some_folder(tmp_path / "folder")
    (folder / "lib/secret").touch(0o000)
    home.mkdir()
    become = ""
    if os.getuid() == 0:
        os.chown(home, 65534, 65534)
        # once as root first: the interpreter's own files may be unreadable to anybody else
        warm = f"asyncio.run(make_store({str(tmp_path / 'warm')!r}).add({GOOD!r}))"
        become = f"{warm}; os.setgid(65534); os.setuid(65534)"
    script = f"""
{become}
os.umask(0o077)
store = make_store({str(home / "store")!r})
try:
    asyncio.run(store.add(Path({str(folder)!r})))
except ZipExtractionFailedError as error:
    assert error.entry == "lib/secret" and "Permission" in error.reason, error
else:
    raise SystemExit("read what it could not read")
archive = asyncio.run(store.add({GOOD!r}))
(archive.directory / "lib").chmod(0o755)
(archive.directory / "lib/a.txt").unlink()
assert asyncio.run(store.get(archive.digest)) == archive
assert (archive.directory / "lib/a.txt").exists()
assert asyncio.run(store.collect([])) > 5000
assert os.listdir({str(home / "store/unpacked")!r}) == []
"""
    finished = run_script(script)
    assert finished.returncode == 0, finished.stderr


# --- getting and repairing


async def test_an_unknown_digest_is_a_key_error(store: ArchiveStore) -> None:
    for digest in ("0" * 64, "", "../../etc/passwd", "A" * 64):
        with pytest.raises(KeyError):
            await store.get(digest)


@pytest.mark.parametrize("damage", ["gone", "file gone", "changed", "extra"])
async def test_a_damaged_directory_is_unpacked_again(store: ArchiveStore, root: Path, damage: str) -> None:
    archive = await store.add(GOOD)
    directory = archive.directory
    directory.chmod(0o755)
    match damage:
        case "gone":
            remove_tree(directory)
        case "file gone":
            (directory / "app.py").unlink()
        case "changed":
            (directory / "app.py").chmod(0o644)
            (directory / "app.py").write_text("hacked!")
        case "extra":
            (directory / "evil.py").touch()
    again = await store.get(archive.digest)
    assert again == archive
    assert (directory / "app.py").read_text() == "print()"
    assert sorted(each.name for each in directory.iterdir()) == ["app.py", "lib", "run.sh"]
    assert leftovers(root) == []


async def test_adding_repairs_too_even_a_damaged_zip(
    store: ArchiveStore, root: Path, executor: ThreadPoolExecutor
) -> None:
    archive = await store.add(GOOD)
    remove_tree(archive.directory)
    archive.path.chmod(0o644)
    archive.path.write_bytes(GOOD[:-1] + b"x")
    with pytest.raises(ZipExtractionFailedError, match="damaged"):
        await ArchiveStore(root, executor).get(archive.digest)
    assert await ArchiveStore(root, executor).add(GOOD) == archive
    assert archive.path.read_bytes() == GOOD
    assert await store.get(archive.digest) == archive


async def test_a_zip_that_is_gone_is_a_key_error_though_its_directory_is_there(store: ArchiveStore) -> None:
    archive = await store.add(GOOD)
    archive.path.unlink()
    with pytest.raises(KeyError):
        await store.get(archive.digest)


# --- collecting


async def test_what_is_not_used_is_collected_and_counted(store: ArchiveStore, root: Path) -> None:
    kept, gone = await store.add(GOOD), await store.add(a_zip({"d/x": "1" * 700}))
    assert await store.collect({kept.digest}) == gone.size + gone.unpacked_size
    assert digests(root) == ({kept.digest}, {kept.digest})
    assert await store.get(kept.digest) == kept
    with pytest.raises(KeyError):
        await store.get(gone.digest)
    assert await store.collect({kept.digest}) == 0
    assert await store.add(a_zip({"d/x": "1" * 700})) == gone


async def test_collecting_while_the_same_is_added_never_gives_half_of_it(store: ArchiveStore, root: Path) -> None:
    async def adding() -> None:
        for _ in range(10):
            archive = await store.add(GOOD)
            assert archive.digest

    async def collecting() -> None:
        for _ in range(20):
            await store.collect(())

    await asyncio.gather(adding(), adding(), collecting())
    archive = await store.add(GOOD)
    assert await store.get(archive.digest) == archive
    assert leftovers(root) == []


# --- cancellation


async def test_a_cancelled_add_stops_and_leaves_nothing(
    store: ArchiveStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacking, go_on = threading.Event(), threading.Event()
    original = unpack

    def slow(file: Any, archive: str, contents: Any, into: Path, checkpoint: Any) -> None:
        def waiting() -> None:
            if sum(1 for _ in into.iterdir()) > 2:
                unpacking.set()
                go_on.wait(30)
            checkpoint()

        original(file, archive, contents, into, waiting)

    monkeypatch.setattr(archives_module, "unpack", slow)
    data = a_zip({f"f{n}": "x" for n in range(20)})
    adding = asyncio.create_task(store.add(data))
    await asyncio.to_thread(unpacking.wait, 30)
    adding.cancel()
    await asyncio.sleep(0)
    adding.cancel()  # impatience changes nothing
    assert not adding.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert leftovers(root) == []
    assert digests(root) == (set(), set())
    monkeypatch.setattr(archives_module, "unpack", original)
    assert (await store.add(data)).unpacked_size == 20


async def test_a_cancelled_add_that_has_not_begun_never_begins(root: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        go_on = threading.Event()
        executor.submit(go_on.wait, 30)
        store = ArchiveStore(root, executor)
        adding = asyncio.create_task(store.add(GOOD))
        await asyncio.sleep(0)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        go_on.set()
    assert not root.exists()


# --- other processes, kills, full disks

PREAMBLE = """
import asyncio, os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from core.archives import store as archives
from core.archives import ArchiveStore
from core.errors import ZipExtractionFailedError
def make_store(root):
    return ArchiveStore(Path(root), ThreadPoolExecutor(2))
"""


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options)


def run_script(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-c", PREAMBLE + script], **options)


def start_script(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


STOPS_IN_THE_MIDDLE = """
original = archives.unpack
def slow(file, archive, contents, into, checkpoint):
    def waiting():
        if len(os.listdir(into)) == 10:
            print("in the middle", flush=True)
            sys.stdin.read()
        checkpoint()
    original(file, archive, contents, into, waiting)
archives.unpack = slow
"""


async def test_a_kill_in_the_middle_of_unpacking_is_swept_and_a_new_add_is_whole(
    root: Path, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(a_zip({f"f{n}": "x" for n in range(30)}))
    script = STOPS_IN_THE_MIDDLE + f"asyncio.run(make_store({str(root)!r}).add(Path({str(path)!r})))"
    with start_script(script) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "in the middle\n"
        # while it lives, another start leaves its things alone
        other = ArchiveStore(root, executor)
        await other.add(GOOD)
        half = leftovers(root)
        assert len(half) == 2
        child.kill()
    assert leftovers(root) == half
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(KeyError):
        await other.get(digest)
    store = ArchiveStore(root, executor)
    archive = await store.add(path)
    assert len(list(archive.directory.iterdir())) == 30
    assert leftovers(root) == []


async def test_a_kill_between_directory_and_zip_is_swept(root: Path, executor: ThreadPoolExecutor) -> None:
    script = f"""
import signal
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(make_store({str(root)!r}).add({GOOD!r}))
"""
    assert run_script(script).returncode == -signal.SIGKILL
    assert digests(root)[0] == set()
    assert len(digests(root)[1]) == 1
    await ArchiveStore(root, executor).collect(())
    assert digests(root) == (set(), set())
    assert leftovers(root) == []


async def test_two_processes_that_add_the_same_at_once_share_one_directory(
    root: Path, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(a_zip({f"d{n % 7}/f{n}": "x" * n for n in range(300)}))
    script = f"""
print("ready", flush=True)
sys.stdin.readline()
archive = asyncio.run(make_store({str(root)!r}).add(Path({str(path)!r})))
print(archive.directory.stat().st_ino, len([each for each in archive.directory.rglob("f*")]))
"""
    children = [start_script(script) for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0, 0]
    archive = await ArchiveStore(root, executor).add(path)
    assert answers == {f"{archive.directory.stat().st_ino} 300\n"}
    assert leftovers(root) == []


async def test_a_process_waits_for_another_that_unpacks_the_same(
    root: Path, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(a_zip({f"f{n}": "x" for n in range(30)}))
    script = STOPS_IN_THE_MIDDLE + f"asyncio.run(make_store({str(root)!r}).add(Path({str(path)!r})))"
    store = ArchiveStore(root, executor)
    with start_script(script) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "in the middle\n"
        abandoned = asyncio.create_task(store.add(path))
        adding = asyncio.create_task(store.add(path))
        done, _ = await asyncio.wait({adding}, timeout=0.5)
        assert not done
        abandoned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(abandoned, 10)
        child.stdin.close()
        archive = await asyncio.wait_for(adding, 30)
        assert child.wait(30) == 0
    assert len(list(archive.directory.iterdir())) == 30
    assert leftovers(root) == []


def test_a_file_size_limit_is_a_clean_refusal(root: Path) -> None:
    data = a_zip({"small": "1", "large": bytes(2_000_000)})

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    script = f"""
store = make_store({str(root)!r})
try:
    asyncio.run(store.add({data!r}))
except ZipExtractionFailedError as error:
    assert "disk is full" in error.reason, error
    raise SystemExit(3)
"""
    finished = run_script(script, preexec_fn=limited)
    assert finished.returncode == 3, finished.stderr
    assert leftovers(root) == []
    assert digests(root) == (set(), set())


def test_a_full_disk_is_a_clean_refusal_and_room_makes_it_good(root: Path) -> None:
    root.mkdir()
    data = a_zip({f"f{n}": bytes(20_000) for n in range(60)})
    script = f"""
store = make_store({str(root)!r})
try:
    asyncio.run(store.add({data!r}))
except ZipExtractionFailedError as error:
    assert "disk is full" in error.reason, error
else:
    raise SystemExit("there was room")
for name in ("incoming", "zips", "unpacked"):
    assert os.listdir({str(root)!r} + "/" + name) == [], name
make_room()
archive = asyncio.run(store.add({data!r}))
assert archive.unpacked_size == 60 * 20_000
"""
    for mounting in (["unshare", "--mount"], ["unshare", "--mount", "--user", "--map-root-user"]):
        mount = [*mounting, "sh", "-c", f'mount -t tmpfs -o size=1m none {root} && exec "$@"', "sh"]
        if shutil.which("unshare") and run([*mount, "true"]).returncode == 0:
            room = f"def make_room():\n    assert os.system('mount -o remount,size=8m {root}') == 0\n"
            break
    else:
        # a small file system cannot be mounted here: let the kernel's answer come from os.write
        mount, room = [], FULL_DISK
    finished = run([*mount, sys.executable, "-c", PREAMBLE + room + script])
    assert finished.returncode == 0, finished.stderr


FULL_DISK = """
import errno
left, write = 1_000_000, os.write
def scarce(file, data):
    global left
    left -= len(data)
    if left < 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    return write(file, data)
def make_room():
    global left
    left = 8_000_000
os.write = scarce
"""


async def test_no_descriptor_is_left_open(store: ArchiveStore, tmp_path: Path) -> None:
    folder = some_folder(tmp_path / "one")
    await store.add(GOOD)
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    for _ in range(5):
        archive = await store.add(folder)
        await store.get(archive.digest)
        with pytest.raises(ZipExtractionFailedError):
            await store.add(GOOD[:-40])
        await store.collect(())
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


# --- deploys


def an_archive(digest: str, unpacked_size: int = 1) -> Archive:
    return Archive(digest, Path("/z"), Path("/d"), 1, unpacked_size)


def a_function(**changes: Any) -> LambdaFunction:
    fields: dict[str, Any] = {"function_name": "echo", "runtime": "python3.13", "handler": "app.handler"}
    return LambdaFunction(**{**fields, **changes})


CODE, ONE, TWO = an_archive("c"), an_archive("1"), an_archive("2")
BASE = deploy_id(a_function(), CODE, [ONE, TWO])


@pytest.mark.parametrize(
    "changes",
    [
        {"function_name": "other"},
        {"runtime": "python3.12"},
        {"handler": "app.other"},
        {"environment": {"AB": "1"}},
        {"timeout": 4},
        {"memory_size": 256},
        {"ephemeral_storage": 1024},
        {"architecture": "arm64" if a_function().architecture == "x86_64" else "x86_64"},
        {"backend": "docker"},
    ],
)
def test_the_launch_configuration_is_in_the_deploy_id(changes: dict[str, Any]) -> None:
    assert deploy_id(a_function(**changes), CODE, [ONE, TWO]) != BASE


def test_code_and_layers_in_order_are_in_the_deploy_id() -> None:
    function = a_function()
    ids = {
        BASE,
        deploy_id(function, None, [ONE, TWO]),
        deploy_id(function, TWO, [ONE, TWO]),
        deploy_id(function, CODE, [TWO, ONE]),
        deploy_id(function, CODE, [ONE]),
        deploy_id(function, CODE, []),
    }
    assert len(ids) == 6
    assert all(len(each) == 64 for each in ids)


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": {"a": "b"}},
        {"description": "x"},
        {"max_instances": 3},
        {"idle_ttl": 3},
        {"min_warm": 1},
        {"record_payloads": False},
        {"code": "/elsewhere.zip"},
    ],
)
def test_what_changes_no_instance_is_not_in_the_deploy_id(changes: dict[str, Any]) -> None:
    assert deploy_id(a_function(**changes), CODE, [ONE, TWO]) == BASE


def test_an_images_uri_and_settings_are_in_the_deploy_id() -> None:
    image = LambdaFunction(function_name="i", package_type="Image", image_uri="a:1")
    ids = {
        deploy_id(each, None, ())
        for each in (
            image,
            image.replace(image_uri="a:2"),
            image.replace(image_config=ImageConfig()),
            image.replace(image_config=ImageConfig(entry_point=("a", "b"))),
            image.replace(image_config=ImageConfig(entry_point=("a",), command=("b",))),
            image.replace(image_config=ImageConfig(working_directory="/w")),
        )
    }
    assert len(ids) == 6


def test_the_order_of_environment_variables_is_not_in_the_deploy_id() -> None:
    one, other = a_function(environment={"AB": "1", "CD": "2"}), a_function(environment={"CD": "2", "AB": "1"})
    assert deploy_id(one, CODE, ()) == deploy_id(other, CODE, ())


def test_code_and_layers_together_may_have_250_mb() -> None:
    half = an_archive("c", 131_072_000)
    check_unzipped_size(a_function(), half, [half])
    with pytest.raises(InvalidFunctionError, match="262,144,001 bytes") as caught:
        check_unzipped_size(a_function(), half, [half, an_archive("l", 1)])
    assert caught.value.field == "code"
    check_unzipped_size(LambdaFunction(function_name="i", package_type="Image", image_uri="a"), None, [])


async def test_get_of_a_whole_archive_takes_no_lock(store: ArchiveStore, root: Path) -> None:
    archive = await store.add(GOOD)
    with FileLock(root / "locks" / f"{archive.digest[0]}.lock").acquire(timeout=1):
        assert await asyncio.wait_for(store.get(archive.digest), 30) == archive
