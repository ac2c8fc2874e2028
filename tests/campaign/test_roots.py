"""The content of a root: its hash, packing, and unpacking of what may come from an enemy."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign.made_roots import ELF, make_root
from triage_tui.campaign import root_cache, root_walk
from triage_tui.campaign.roots import hash_root, pack_root, unpack_root
from triage_tui.errors import Stopped, TriageError

FILES = {f"/etc/file{number}": f"text {number}\n" for number in range(12)} | {
    "/sbin/init": "-> ../bin/busybox",
    "/etc/mtab": "-> /proc/mounts",
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _root(tmp_path: Path) -> Path:
    root = make_root(tmp_path / "root", {**FILES, "/bin/busybox": ELF})
    os.link(root / "bin/busybox", root / "bin/sh")
    os.mkfifo(root / "etc/fifo")
    (root / "etc/shadow").write_text("root::\n")
    (root / "etc/shadow").chmod(0o600)
    (root / "bin/busybox").chmod(0o4755)
    (root / "odd").mkdir()
    (root / os.fsdecode(b"odd/\xff\xfe")).write_bytes(b"no UTF-8")
    (root / "odd").chmod(0o500)
    return root


def _link(tmp_path: Path, target: str) -> Path:
    (tmp_path / "link").symlink_to(target)
    return tmp_path / "link"


def test_the_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    root = _root(tmp_path)
    first = hash_root(root)
    for path in root.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1, 1))
    assert hash_root(root) == first
    seen = {first.sha256}
    changes: tuple[Callable[[], object], ...] = (
        lambda: (root / "etc/shadow").chmod(0o640),
        lambda: (root / "etc/file1").write_text("text 0\n"),
        lambda: (root / "etc/file2").rename(root / "etc/file2x"),
        lambda: os.rename(_link(tmp_path, "/proc/mountz"), root / "etc/mtab"),
        lambda: (root / "empty").mkdir(),
    )
    for change in changes:
        change()
        seen.add(hash_root(root).sha256)
    assert len(seen) == 6


def test_a_root_comes_out_as_it_went_in(tmp_path: Path) -> None:
    root = _root(tmp_path)
    packed = tmp_path / "root.tar.gz"
    told = pack_root(root, packed)
    assert told == hash_root(root)
    tree = unpack_root(packed, told.sha256, tmp_path / "store")
    assert tree == tmp_path / "store" / told.sha256 / "root"
    assert hash_root(tree) == told
    assert stat.S_IMODE(tree.parent.stat().st_mode) == 0o700
    assert (tree / "bin/sh").stat().st_ino == (tree / "bin/busybox").stat().st_ino
    assert os.readlink(tree / "etc/mtab") == "/proc/mounts"
    packed.unlink()
    assert unpack_root(packed, told.sha256, tmp_path / "store") == tree


def test_a_second_look_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _root(tmp_path)
    monkeypatch.setattr(root_cache, "_LEAST_AGE_NS", -(10**12))
    before = hash_root(root)
    opened: list[str] = []
    real = root_walk.Reading.opened

    def counted(self: root_walk.Reading, entry: root_walk.Entry) -> object:
        opened.append(entry.path)
        return real(self, entry)

    monkeypatch.setattr(root_walk.Reading, "opened", counted)
    assert hash_root(root) == before
    assert opened == []
    (root / "etc/file3").write_text("text X\n")
    os.utime(root / "etc/file3", ns=(1, 1))
    assert hash_root(root) != before
    assert opened == ["etc/file3"]


def test_what_was_changed_just_now_is_not_believed(tmp_path: Path) -> None:
    root = _root(tmp_path)
    hash_root(root)
    assert not list((tmp_path / "cache").rglob("*.digests"))


def test_a_damaged_cache_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _root(tmp_path)
    monkeypatch.setattr(root_cache, "_LEAST_AGE_NS", -(10**12))
    before = hash_root(root)
    [kept] = (tmp_path / "cache").rglob("*.digests")
    for rubbish in (b"", b"\x81\xa1a", b"\xc1" * 100, kept.read_bytes()[:-3]):
        kept.write_bytes(rubbish)
        assert hash_root(root) == before


def test_a_root_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TriageError, match="cannot be read: No such file"):
        hash_root(tmp_path / "nowhere")
    monkeypatch.setattr(root_walk, "MAX_ENTRIES", 5)
    with pytest.raises(TriageError, match="holds more than 5 files"):
        hash_root(_root(tmp_path))


def test_a_file_of_terabytes_is_refused_unread(tmp_path: Path) -> None:
    root = _root(tmp_path)
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(TriageError, match="16 GiB"):
        pack_root(root, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    root = _root(tmp_path)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Stopped):
        hash_root(root, cancel=cancel)
    with pytest.raises(Stopped):
        pack_root(root, tmp_path / "packed", cancel=cancel)
    told = pack_root(root, tmp_path / "packed")
    with pytest.raises(Stopped):
        unpack_root(tmp_path / "packed", told.sha256, tmp_path / "store", cancel=cancel)
    assert list((tmp_path / "store").iterdir()) == []


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b""
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size, member.mode = kind, link, len(data), 0o755
    return member, data


TOP = _member(".", tarfile.DIRTYPE)
HOSTILE = {
    "climbs": [TOP, _member("../evil", data=b"x")],
    "climbs in the middle": [TOP, _member("a", tarfile.DIRTYPE), _member("a/../../evil", data=b"x")],
    "is absolute": [TOP, _member("/tmp/evil", data=b"x")],
    "writes through a link": [TOP, _member("l", tarfile.SYMTYPE, "/tmp"), _member("l/evil", data=b"x")],
    "makes a directory through a link": [
        TOP,
        _member("l", tarfile.SYMTYPE, ".."),
        _member("l/evil", tarfile.DIRTYPE),
    ],
    "links hard to the outside": [TOP, _member("h", tarfile.LNKTYPE, "/etc/passwd")],
    "links hard by climbing": [TOP, _member("h", tarfile.LNKTYPE, "../../../../etc/passwd")],
    "links hard through a link": [
        TOP,
        _member("l", tarfile.SYMTYPE, "/etc"),
        _member("h", tarfile.LNKTYPE, "l/passwd"),
    ],
    "holds a device": [TOP, _member("dev", tarfile.CHRTYPE)],
    "holds a block device": [TOP, _member("dev", tarfile.BLKTYPE)],
    "names a file twice": [TOP, _member("a", data=b"1"), _member("a", data=b"2")],
    "replaces a link": [TOP, _member("a", tarfile.SYMTYPE, "/etc/passwd"), _member("a", data=b"2")],
    "has a file for a directory": [TOP, _member("a", data=b"1"), _member("a/b", data=b"2")],
    "nests deep": [TOP, _member("/".join("d" * 200), data=b"1")],
    "has a long header": [TOP, _member("a", tarfile.GNUTYPE_LONGNAME, data=b"n" * (3 << 20))],
    "has headers of headers": [TOP, *[_member("a", tarfile.XHDTYPE, data=b"11 a=bcdef\n")] * 3000],
    "is of another content": [TOP, _member("a", data=b"1")],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_an_enemy_packed_is_refused(tmp_path: Path, what: str) -> None:
    packed = tmp_path / "packed"
    with gzip.open(packed, "wb") as stream:
        for member, data in HOSTILE[what]:
            stream.write(member.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512))
        stream.write(bytes(1024))
    with pytest.raises(TriageError, match="packed") as told:
        unpack_root(packed, "0" * 64, tmp_path / "a" / "store")
    assert "\n" not in str(told.value)
    assert not Path("/tmp/evil").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "packed", "store"]


def test_bombs_go_off_nowhere(tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    member, _ = _member("zeros")
    member.size = 64 << 20
    with gzip.open(packed, "wb", compresslevel=1) as stream:
        stream.write(TOP[0].tobuf() + member.tobuf() + bytes(64 << 20) + bytes(1024))
    with pytest.raises(TriageError, match="more than 1048576 bytes"):
        unpack_root(packed, "0" * 64, tmp_path / "store", most_bytes=1 << 20)
    assert list((tmp_path / "store").iterdir()) == []


def test_rubbish_is_no_root(tmp_path: Path) -> None:
    good = tmp_path / "good"
    told = pack_root(_root(tmp_path), good)
    raw = good.read_bytes()
    (tmp_path / "fifo").parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / "fifo")
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        archive.add(tmp_path / "good", "good")
    for number, rubbish in enumerate(
        (
            b"",
            b"rubbish",
            raw[: len(raw) // 2],
            raw[:40] + b"\xff" * 20 + raw[60:],
            plain.getvalue(),
        )
    ):
        bad = tmp_path / f"bad{number}"
        bad.write_bytes(rubbish)
        with pytest.raises(TriageError, match=f"bad{number}"):
            unpack_root(bad, told.sha256, tmp_path / "store")
    with pytest.raises(TriageError, match="no regular file"):
        unpack_root(tmp_path / "fifo", told.sha256, tmp_path / "store")
    with pytest.raises(TriageError, match="is no hash"):
        unpack_root(good, "../../etc", tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_holes_travel_as_holes(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", {"/bin/busybox": ELF})
    with (root / "flash.img").open("wb") as file:
        file.write(b"begin")
        file.seek(40 << 20)
        file.write(b"end")
        file.truncate(64 << 20)
    sha256 = pack_root(root, tmp_path / "packed").sha256
    there = unpack_root(tmp_path / "packed", sha256, tmp_path / "store") / "flash.img"
    assert there.stat().st_size == 64 << 20
    assert there.stat().st_blocks * 512 < 4 << 20
    assert there.read_bytes() == (root / "flash.img").read_bytes()
