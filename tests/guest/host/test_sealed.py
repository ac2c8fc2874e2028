"""What a guest reaches through /proc, the emulator's memory and files of the host, cannot be written to."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import as_ordinary_user, spec
from tests.programs import build, root_with
from triage_tui.errors import TriageError
from triage_tui.guest.host.sealed import Copies, open_sealed
from triage_tui.guest.supervisor import Guest

KEPT = ["memory of the thread", "memory", "input", "emulator"]

_RUN = """
import json, sys
from pathlib import Path
from tests.guest.helpers import spec
from triage_tui.guest.supervisor import Guest
root, qemu, given = sys.argv[1:]
with Guest.start(spec(Path(root), Path(qemu), "/bin/overwrites", stdin=Path(given))) as guest:
    guest.run_until_stop()
    print(json.dumps([guest.output().decode(), guest.problems]))
"""


def kept(output: str) -> list[str]:
    return [
        line.partition(" ")[2].partition(":")[0] for line in output.splitlines() if line.startswith("kept")
    ]


@pytest.mark.parametrize(("arch", "other"), [("arm", "mips"), ("mips", "aarch64"), ("x86_64", "s390x")])
def test_neither_the_emulator_nor_the_input_can_be_overwritten(
    tmp_path: Path, qemu_dir: Path, arch: str, other: str
) -> None:
    root = root_with(tmp_path / "root", arch, "overwrites")
    shutil.copy(build("overwrites", other), root / "bin/second")
    given = tmp_path / "input"
    given.write_bytes(b"as it was")
    given.chmod(0o666)
    with Guest.start(spec(root, qemu_dir, "/bin/overwrites", stdin=given)) as guest:
        guest.run_until_stop()
        assert kept(guest.output().decode()) == KEPT
        notes = [call.note or "" for call in guest.history() if (call.path or "").endswith("/mem")]
        assert len(notes) == 2
        assert all("refused by the cell" in note for note in notes)
    assert given.read_bytes() == b"as it was"


def test_nor_by_a_guest_whose_root_owns_them(qemu_dir: Path) -> None:
    # An ordinary user's guest has that user's rights: only the seals keep its files.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        top = Path(directory)
        top.chmod(0o755)
        emulators = top / "emulators"
        emulators.mkdir()
        for arch in ("arm", "mips"):
            shutil.copy(qemu_dir / f"qemu-{arch}-static", emulators)
        root = root_with(top / "root", "arm", "overwrites")
        shutil.copy(build("overwrites", "mips"), root / "bin/second")
        (top / "input").write_bytes(b"as it was")
        if os.geteuid() == 0:
            for path in (top, *top.rglob("*")):
                os.chown(path, 65534, 65534)
        done = subprocess.run(
            as_ordinary_user([sys.executable, "-c", _RUN, str(root), str(emulators), str(top / "input")]),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        output, problems = json.loads(done.stdout)
        assert kept(output) == KEPT
        assert problems == []
        assert (top / "input").read_bytes() == b"as it was"


def test_a_sealed_copy_is_whole_and_cannot_be_written_to(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    fd = open_sealed(source)
    with open(fd, "rb") as copy:
        assert copy.read() == source.read_bytes()
        with open(f"/proc/self/fd/{fd}", "r+b", buffering=0) as again, pytest.raises(PermissionError):
            again.write(b"x")


def test_a_copy_is_used_by_one_after_the_other_and_never_by_two(tmp_path: Path) -> None:
    copies, source = Copies(), tmp_path / "source"
    source.write_bytes(b"first")
    one, two = copies.borrow(source), copies.borrow(source)
    assert os.fstat(one).st_ino != os.fstat(two).st_ino
    first = os.fstat(one).st_ino
    copies.give_back(one, again=True)
    one = copies.borrow(source)
    assert os.fstat(one).st_ino == first
    # A forked process has those that wait, too.
    inode = os.fstat(two).st_ino
    copies.give_back(two, again=True)
    child = os.fork()
    if child == 0:
        os._exit(os.fstat(copies.borrow(source)).st_ino == inode)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # Another file by the same name, and one whose guest may still be there, are copied anew.
    source.write_bytes(b"second")
    third = copies.borrow(source)
    assert os.pread(third, 10, 0) == b"second"
    copies.give_back(third, again=False)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(third)
    copies.give_back(one, again=False)


@pytest.mark.parametrize(
    "leave",
    [
        lambda fd: os.fchmod(fd, 0o700),
        lambda fd: os.utime(fd, ns=(0, 0)),
        lambda fd: os.fchown(fd, os.getuid(), os.getgid()),
    ],
    ids=["mode", "times", "owner"],
)
def test_a_copy_at_which_somebody_left_something_is_not_used_again(
    tmp_path: Path, leave: Callable[[int], None]
) -> None:
    copies, source = Copies(), tmp_path / "source"
    source.write_bytes(b"emulator")
    fd = copies.borrow(source)
    # What the clock of the file system counts must have passed.
    time.sleep(0.02)
    leave(fd)
    copies.give_back(fd, again=True)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_nothing_of_a_guests_open_file_comes_to_the_next(tmp_path: Path) -> None:
    copies, source = Copies(), tmp_path / "source"
    source.write_bytes(b"emulator")
    fd = copies.borrow(source)
    inode = os.fstat(fd).st_ino
    # What a thread can do to the descriptor that its process is given to execute a program.
    os.lseek(fd, 1234, os.SEEK_SET)
    os.set_blocking(fd, False)
    fcntl.flock(fd, fcntl.LOCK_EX)
    copies.give_back(fd, again=True)
    fd = copies.borrow(source)
    assert os.fstat(fd).st_ino == inode
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    assert os.get_blocking(fd)
    with open(f"/proc/self/fd/{fd}", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    copies.give_back(fd, again=False)


def test_an_input_that_is_too_large_for_memory_is_one_sentence(tmp_path: Path, qemu_dir: Path) -> None:
    given = tmp_path / "input"
    with open(given, "wb") as file:
        # Nothing but a hole: it takes no room on the disk.
        file.truncate(1 << 41)
    root = root_with(tmp_path / "root", "arm", "overwrites")
    with pytest.raises(TriageError, match="it has 2097152 MiB, and the guest gets a copy in memory"):
        Guest.start(spec(root, qemu_dir, "/bin/overwrites", stdin=given))
