"""What a zip may hold, and every way in which one is refused."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.archives.extraction import contents_of
from core.archives.unpacking import matches, remove_tree, unpack
from core.archives.zip_entries import Bounds, Contents, Kind
from core.errors import ZipExtractionFailedError
from tests.core.zips import DEFLATED, Record, a_zip, device, link, raw_zip

SMALL = Bounds(unpacked=100_000, packed=200_000, entries=50)


def contents(data: bytes, bounds: Bounds = SMALL) -> Contents:
    return contents_of(io.BytesIO(data), "app.zip", bounds)


def refused(data: bytes, bounds: Bounds = SMALL) -> ZipExtractionFailedError:
    """The refusal that comes before anything could have been written."""
    with pytest.raises(ZipExtractionFailedError) as caught:
        contents(data, bounds)
    assert caught.value.archive == "app.zip"
    return caught.value


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "out"
    yield directory
    remove_tree(directory)


def unpacked(data: bytes, out: Path, bounds: Bounds = SMALL) -> Path:
    file = io.BytesIO(data)
    unpack(file, "app.zip", contents_of(file, "app.zip", bounds), out)
    return out


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_directories_and_content_come_out(out: Path) -> None:
    unpacked(a_zip({"app.py": "print()", "lib/": "", "lib/deep/x.txt": "x" * 5000, "empty/": ""}), out)
    assert (out / "app.py").read_text() == "print()"
    assert (out / "lib/deep/x.txt").read_text() == "x" * 5000
    assert (out / "empty").is_dir()
    assert sorted(each.name for each in out.iterdir()) == ["app.py", "empty", "lib"]


def test_everything_is_read_only_and_readable_by_every_user(out: Path) -> None:
    unpacked(a_zip({"a.py": "", "run.sh": "", "d/e": ""}, modes={"a.py": 0o600, "run.sh": 0o700, "d/e": 0o777}), out)
    assert mode(out) == mode(out / "d") == 0o555
    assert mode(out / "a.py") == 0o444
    assert mode(out / "run.sh") == mode(out / "d/e") == 0o555


def test_setuid_setgid_and_sticky_bits_are_dropped(out: Path) -> None:
    unpacked(raw_zip(Record(b"tool", b"x", mode=stat.S_IFREG | 0o7755)), out)
    assert mode(out / "tool") == 0o555


@pytest.mark.parametrize(("system", "bits"), [(0, 0), (10, 0), (0, stat.S_IFREG | 0o666), (3, 0)])
def test_a_bootstrap_from_a_system_without_executable_bits_gets_its_own(system: int, bits: int, out: Path) -> None:
    names = (b"bootstrap", b"lib/bootstrap", b"other")
    unpacked(raw_zip(*(Record(name, b"#!/bin/sh", mode=bits, system=system) for name in names)), out)
    assert mode(out / "bootstrap") == 0o555
    assert mode(out / "lib/bootstrap") == mode(out / "other") == 0o444


def test_a_bootstrap_that_unix_says_is_not_executable_stays_so(out: Path) -> None:
    unpacked(raw_zip(Record(b"bootstrap", b"#!/bin/sh", mode=stat.S_IFREG | 0o644)), out)
    assert mode(out / "bootstrap") == 0o444


def test_links_inside_the_archive_are_kept(out: Path) -> None:
    data = raw_zip(
        Record(b"lib/libx.so.1", b"elf"),
        link("lib/libx.so", "libx.so.1"),
        link("current", "./lib"),
        link("bin/x", "../current/libx.so"),
        link("dangling", "lib/none"),
    )
    unpacked(data, out)
    assert (out / "bin/x").read_bytes() == b"elf"
    assert os.readlink(out / "current") == "./lib"  # noqa: PTH115
    assert (out / "dangling").is_symlink()


def test_dots_in_the_middle_of_a_name_and_a_leading_dot_slash_are_harmless(out: Path) -> None:
    unpacked(
        raw_zip(Record(b"./", mode=stat.S_IFDIR | 0o755), Record(b"./a..b/...c", b"1"), Record(b"d/./e", b"2")), out
    )
    assert (out / "a..b/...c").read_bytes() == b"1"
    assert (out / "d/e").read_bytes() == b"2"


def test_a_zip_after_other_bytes_is_read(out: Path) -> None:
    unpacked(b"#!/bin/sh self-extracting\n" + a_zip({"a": "1"}), out)
    assert (out / "a").read_bytes() == b"1"


def test_a_zip64_is_read(out: Path) -> None:
    target = io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened,
        opened.open("big", "w", force_zip64=True) as entry,
    ):
        entry.write(b"z" * 50_000)
    assert b"PK\x03\x04\x2d" in target.getvalue()[:6]  # needs version 4.5, which is zip64
    unpacked(target.getvalue(), out)
    assert (out / "big").read_bytes() == b"z" * 50_000


def test_entries_with_data_descriptors_are_read(out: Path) -> None:
    class OneWay(io.BytesIO):
        def seekable(self) -> bool:
            return False

    target = OneWay()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", "1" * 900)
        opened.writestr("b", "2" * 900)
    unpacked(target.getvalue(), out)
    assert (out / "b").read_bytes() == b"2" * 900


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"/etc/passwd", "absolute"),
        (b"//host/share", "absolute"),
        (b"../evil", r"\.\."),
        (b"a/../../evil", r"\.\."),
        (b"a/..", r"\.\."),
        (b"..", r"\.\."),
        (b"C:/evil", "drive"),
        (b"c:evil", "drive"),
        (b"..\\evil", "backslash"),
        (b"a\\b", "backslash"),
        (b"a\0b", "NUL"),
        (b"", "no name"),
        (b"n" * 256, "longer than 255"),
        ("é".encode() * 128, "longer than 255"),
        (b"d/" * 511 + b"abc", "longer than 1,024"),
    ],
)
def test_a_bad_name_is_refused(name: bytes, reason: str) -> None:
    error = refused(raw_zip(Record(b"good", b""), Record(name, b"x")))
    assert error.entry == name.decode()
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(error.reason)


def test_a_name_that_is_not_the_utf8_it_claims_is_refused() -> None:
    assert "damaged" in refused(raw_zip(Record(b"\xff\xfe", b""))).reason


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("a", "a", "twice"),
        ("a/", "a/", "twice"),
        ("a", "./a", "twice"),
        ("a/b", "a//b", "twice"),
        ("a", "a/", "twice"),
        ("a", "A", "case"),
        ("lib/a", "LIB/b", "case"),
        ("straße", "STRASSE", "case"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "case"),
        ("a", "a/b", "as a directory"),
        ("a/b", "a", "needs a directory"),
    ],
)
def test_names_that_collide_are_refused(one: str, other: str, reason: str) -> None:
    kinds = [stat.S_IFDIR | 0o755 if name.endswith("/") else stat.S_IFREG | 0o644 for name in (one, other)]
    error = refused(raw_zip(Record(one.encode(), mode=kinds[0]), Record(other.encode(), mode=kinds[1])))
    assert reason in error.reason
    assert error.entry == other


@pytest.mark.parametrize(
    "links",
    [
        [("a", "/etc/passwd")],
        [("a", "..")],
        [("a", "../x")],
        [("d/a", "../../x")],
        [("d/a", "b/../../../x")],
        [("a", "b"), ("b", "/etc")],
        [("a", "b/../../.."), ("b", "d/e")],
        [("d/a", "../L/../x"), ("l", ".")],
        [("d/e/up", "../.."), ("out", "d/e/up/../x")],
        [("a", "none/../../x")],
    ],
)
def test_links_that_leave_the_archive_are_refused_also_through_chains(links: list[tuple[str, str]]) -> None:
    error = refused(raw_zip(*(link(*each) for each in links)))
    assert "link" in error.reason
    assert error.entry in {name for name, _ in links}


def test_the_chain_that_stays_inside_is_not_refused() -> None:
    assert len(contents(raw_zip(link("a", "b/x"), link("b", "d/e/.."), Record(b"d/e/f"))).entries) == 5


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([link("a", "a")], "loop"),
        ([link("a", "b"), link("b", "a")], "loop"),
        ([link(f"l{n}", f"l{n + 1}") for n in range(45)], "chain of over 40"),
        ([link("a", "")], "link to nothing"),
        ([link("a", "b\0c")], "link to nothing"),
        ([link("a", "b" * 1025)], "longer than 1,024"),
        ([Record(b"a", b"\xff", mode=stat.S_IFLNK | 0o777)], "not UTF-8"),
        ([link("a/", "b")], "name of a directory"),
        ([link("d", "e"), Record(b"d/file", b"x")], "behind the link"),
        ([Record(b"d/file", b"x"), link("d", "e")], "needs a directory"),
        ([Record(b"d/", b"x", mode=stat.S_IFDIR | 0o755)], "directory with content"),
        ([device("a", stat.S_IFCHR)], "device"),
        ([device("a", stat.S_IFBLK)], "device"),
        ([device("a", stat.S_IFIFO)], "pipe"),
        ([device("a", stat.S_IFSOCK)], "socket"),
        ([Record(b"a", b"x", flags=0x801)], "encrypted"),
        ([Record(b"a", b"x", flags=0x841)], "encrypted"),
        ([Record(b"a", b"x", flags=0x820)], "patch"),
        ([Record(b"a", b"x", method=14)], "method 14"),
        ([Record(b"a", b"x", method=12)], "method 12"),
        ([Record(b"a", b"x", method=99)], "method 99"),
        ([Record(b"a", b"x", local_name=b"b")], "disagree"),
        ([Record(b"a", b"xyz"), Record(b"b", b"xyz", offset=0, local_name=b"a")], "overlaps"),
        ([Record(b"a", b"x" * 40, packs=30), Record(b"b", b"", offset=50)], "overlaps|missing"),
        ([Record(b"a", b"x", packs=5000)], "outside the zip"),
        ([Record(b"a", b"x", offset=9000)], "cut off|outside|missing|overlaps|damaged"),
        ([Record(b"a", b"x", claims=100_001)], "unpacks to 100,001 bytes"),
        ([Record(b"a", b"", claims=60_000), Record(b"b", b"", claims=60_000)], "unpacks to 120,000 bytes"),
        ([Record(b"f%d" % n) for n in range(51)], "more than 50"),
        ([Record(b"/".join([b"d"] * 40) + b"/%d/%d" % (n, n)) for n in range(10)], "more than 50"),
    ],
)
def test_a_bad_record_is_refused(records: list[Record], reason: str) -> None:
    with pytest.raises(ZipExtractionFailedError, match=reason):
        contents(raw_zip(*records))


def test_more_entries_than_the_end_record_admits_are_counted_all_the_same() -> None:
    data = raw_zip(*(Record(b"f%d" % n) for n in range(51)), count=1)
    assert "more than 50" in refused(data).reason


def test_a_hundred_thousand_entries_are_too_many_by_default() -> None:
    data = raw_zip(*(Record(b"%d" % n, offset=0) for n in range(100_001)), count=65_535)
    assert "more than 100,000 entries" in refused(data, Bounds()).reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not a zip"),
        (b"hello", "is not a zip"),
        (b"\x1f\x8b" + b"\0" * 500, "is not a zip"),
        (a_zip({"a": "1" * 999})[:-30], "cut off"),
        (a_zip({"a": "1" * 999})[:40], "cut off"),
        (a_zip({}), "is empty"),
        (raw_zip(Record(b"./", mode=stat.S_IFDIR)), "is empty"),
    ],
)
def test_what_is_no_whole_zip_is_refused(data: bytes, reason: str) -> None:
    assert reason in refused(data).reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(b"a", b"x" * 9000, method=DEFLATED, claims=100), "more than the 100 bytes it declares"),
        (Record(b"a", bytes(50_000_000), method=DEFLATED, claims=10), "more than the 10 bytes"),
        (Record(b"a", b"x" * 90, claims=10), "more than the 10 bytes it declares"),
        (Record(b"a", b"x" * 90, method=DEFLATED, claims=91), "holds 90 bytes where it declares 91"),
        (Record(b"a", b"xyz", claims=4), "declares 4"),
        (Record(b"a", b"xyz", crc=1), "CRC"),
        (Record(b"a", b"x" * 90, method=DEFLATED, crc=1), "CRC"),
        (Record(b"a", b"x" * 900, method=DEFLATED, packs=5), "breaks off"),
    ],
)
def test_data_that_lies_is_refused_while_it_is_unpacked(record: Record, reason: str, out: Path) -> None:
    with pytest.raises(ZipExtractionFailedError, match=reason) as caught:
        unpacked(raw_zip(record), out)
    assert caught.value.entry == "a"


def test_a_lying_entry_never_writes_more_than_it_declared(out: Path) -> None:
    record = Record(b"a", bytes(50_000_000), method=DEFLATED, claims=99_999)
    with pytest.raises(ZipExtractionFailedError):
        unpacked(raw_zip(record), out)
    assert (out / "a").stat().st_size <= 99_999


def test_damaged_and_trailing_compressed_data_is_refused(out: Path) -> None:
    good = Record(b"a", b"hello " * 50, method=DEFLATED)
    packed = good.packed()
    crc = zlib.crc32(good.data)
    trailing = _as_deflated(raw_zip(Record(b"a", packed + b"more", claims=300, crc=crc)))
    with pytest.raises(ZipExtractionFailedError, match="after its end"):
        unpacked(trailing, out)
    remove_tree(out)
    damaged = _as_deflated(raw_zip(Record(b"a", b"\xff" * 40, claims=300, crc=crc)))
    with pytest.raises(ZipExtractionFailedError, match="damaged"):
        unpacked(damaged, out)


def _as_deflated(data: bytes) -> bytes:
    """The same zip of one stored entry, said to be deflated."""
    at = data.index(b"PK\x01\x02") + 10
    return data[:8] + b"\x08\x00" + data[10:at] + b"\x08\x00" + data[at + 2 :]


@pytest.mark.parametrize("change", ["write", "remove", "add", "mode", "relink", "replace", "root"])
def test_a_damaged_directory_does_not_match_any_more(change: str, out: Path) -> None:
    data = raw_zip(Record(b"d/a", b"one"), Record(b"b", b"two"), link("l", "b"))
    unpacked(data, out)
    assert matches(contents(data), out)
    (out / "d").chmod(0o755)
    out.chmod(0o755)
    match change:
        case "write":
            (out / "b").chmod(0o644)
            (out / "b").write_bytes(b"TWO")
            (out / "b").chmod(0o444)
        case "remove":
            (out / "d/a").unlink()
        case "add":
            (out / "d/new").touch()
        case "mode":
            (out / "b").chmod(0o644)
        case "relink":
            (out / "l").unlink()
            (out / "l").symlink_to("d/a")
        case "replace":
            (out / "b").unlink()
            (out / "b").mkdir(mode=0o444)
    (out / "d").chmod(0o555)
    if change != "root":
        out.chmod(0o555)
    assert not matches(contents(data), out)


def test_byte_code_that_a_runtime_left_is_no_damage(out: Path) -> None:
    data = a_zip({"a.py": "", "lib/b.py": "", "lib/__pycache__/b.cpython-39.pyc": "x"})
    unpacked(data, out)
    for folder in (out, out / "lib", out / "lib/__pycache__"):
        folder.chmod(0o755)
    (out / "__pycache__").mkdir()
    (out / "__pycache__/a.cpython-311.pyc").touch()
    (out / "lib/__pycache__/b.cpython-311.pyc").touch()
    for folder in (out, out / "lib", out / "lib/__pycache__"):
        folder.chmod(0o555)
    assert matches(contents(data), out)


def test_a_directory_that_is_gone_does_not_match(out: Path) -> None:
    assert not matches(contents(a_zip({"a": ""})), out)


raw_names = st.lists(
    st.sampled_from(["a", "A", "b", "..", ".", "", "é", "e\u0301", "C:", "\\", "x" * 300, "a\0", "~", "ſ", "s"]),
    min_size=1,
    max_size=4,
).map("/".join)
record = st.builds(
    lambda name, data, mode, method: Record(name.encode(), data.encode(), mode=mode, method=method),
    raw_names,
    raw_names,
    st.sampled_from([0, stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO]),
    st.sampled_from([0, 8]),
)


@settings(max_examples=400, deadline=None)
@given(records=st.lists(record, min_size=1, max_size=6))
def test_whatever_the_names_and_links_nothing_leaves_the_directory(
    records: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    above = tmp_path_factory.mktemp("above")
    out = above / "x" / "out"
    out.parent.mkdir()
    file = io.BytesIO(raw_zip(*records))
    try:
        found = contents_of(file, "app.zip", SMALL)
    except ZipExtractionFailedError:
        assert not out.exists()
        return
    unpack(file, "app.zip", found, out)
    try:
        assert matches(found, out)
        assert [each.name for each in above.iterdir()] == ["x"]
        assert [each.name for each in out.parent.iterdir()] == ["out"]
        for name, entry in found.entries.items():
            assert ".." not in PurePosixPath(name).parts
            if entry.kind is Kind.LINK:
                inside = (out / name).resolve()
                assert inside == out.resolve() or out.resolve() in inside.parents
    finally:
        remove_tree(above)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_zip_with_any_bytes_changed_is_read_or_refused_but_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = bytearray(a_zip({"a/b.txt": "hello " * 30, "c": "x"}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    out = tmp_path_factory.mktemp("above") / "out"
    try:
        with contextlib.suppress(ZipExtractionFailedError):
            unpacked(bytes(good), out)
            assert {each.name for each in out.rglob("*")}
    finally:
        remove_tree(out)
