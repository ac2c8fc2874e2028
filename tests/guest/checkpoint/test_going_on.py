"""Real programs go on from a checkpoint in another process, and end as if nothing had been between."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.checkpoint.crit import crit, decoded
from tests.guest.checkpoint.work import both_ends
from tests.guest.helpers import shell, spec
from tests.programs import build
from triage_tui.guest.checkpoint.image_files import read_image
from triage_tui.guest.spec import LaunchSpec

SCRIPT = """
x=0; echo begin >/a; exec 5</bin/busybox 6>>/a; trap "echo trapped" USR1; umask 027
cd /usr; /bin/busybox rm -r share; /bin/busybox mkdir share
echo one >share/one; /bin/busybox ln share/one share/other
while [ $x -lt 20 ]; do x=$((x+1)); echo line $x; echo to6 $x >&6; done
while read z; do echo "got $z"; done </a
kill -USR1 $$; umask; echo more >>share/other; /bin/busybox ls share; /bin/busybox wc -l share/one
 read -r y <&5; echo "${#y}"; exec 6>&-; echo end $x
"""


@pytest.mark.parametrize("name", ["busybox-armel", "busybox-mipsel"])
def test_a_shell_goes_on(rootfs: Callable[[str], Path], qemu_dir: Path, tmp_path: Path, name: str) -> None:
    start = spec(rootfs(name), qemu_dir, *shell(SCRIPT))
    if name == "busybox-armel":
        # By its input, which it reads on from where it was.
        (tmp_path / "script").write_text(SCRIPT)
        start = spec(rootfs(name), qemu_dir, *shell("")[:2], stdin=tmp_path / "script")
    before, after, checkpoint = both_ends(start, "kill", tmp_path / "checkpoint")
    assert after == before
    assert b"trapped\n0027\n" in after.output
    assert after.output.endswith(b"end 20\n")
    assert b"one\nother\n2 share/one\n" in after.output
    changed = [(one.path, one.kind) for one in checkpoint.facts.changed]
    share = [("", "replaced"), ("/one", "file"), ("/other", "name")]
    assert changed == [
        ("/a", "file"),
        ("/usr", "directory"),
        *((f"/usr/share{path}", kind) for path, kind in share),
    ]


@pytest.mark.parametrize("arch", ["mips", "aarch64", "x86_64", "riscv64", "ppc", "s390x"])
def test_everything_that_a_process_has_comes_back(qemu_dir: Path, tmp_path: Path, arch: str) -> None:
    program = build("comes_back", arch)
    start = LaunchSpec(program=str(program), qemu_dir=qemu_dir)
    before, after, checkpoint = both_ends(start, "getppid", tmp_path / "checkpoint")
    assert after == before
    *lines, last = after.output.decode().splitlines()
    # Where memory lies is the same without the checkpoint, and differs by architecture.
    assert last.startswith(f"end e {program} at 0x")
    assert lines == [
        "before",
        "errno 34 own 42 heap 104 map 109 read only by now",
        "filled 0 one page of code shared heap at 5000 98 0",
        "limits 70 90 70 90 70 90 name another name stack 1 65536 alarm 1",
        "sum 2.725956034537",
        "handled 1 blocked 1 0 1 1",
        "read 6 456789 same offset 10 cloexec 1",
        "counts 1 8 8 -1",
        "expired 1, late 1",
        "signal 1 stream back 3 5",
        "told 1122334455667788 told 6 2, broadcast 1",
        "pipe in the pipe listens 8099 umask 37",
        "locked -1 type 1 from 3 for 4 child 6",
        "0123456789end in /made, descriptor 17",
        "watched 3 2 , 3 8000 , 2 20 file, next 5",
    ]
    assert sorted(one.path for one in checkpoint.facts.changed) == ["/made", "/made/file"]
    if arch == "aarch64":
        ((core, _),) = read_image(tmp_path / "checkpoint", "core-2.img", 1)
        assert core["ti_aarch64"]["tls"] > 0


@pytest.mark.parametrize(
    ("name", "argv", "call"),
    [
        ("haveged-armhf", ("/usr/sbin/haveged", "--help"), "write"),
        ("runsv-mipsel", ("/usr/bin/runsv", "/tmp"), "chdir"),
    ],
)
def test_a_program_with_libraries_goes_on(
    rootfs: Callable[[str], Path], qemu_dir: Path, tmp_path: Path, name: str, argv: tuple[str, ...], call: str
) -> None:
    start = spec(rootfs(name), qemu_dir, *argv)
    before, after, checkpoint = both_ends(start, call, tmp_path / "checkpoint")
    assert after == before
    assert any("libc.so" in path for path in checkpoint.facts.mapped)
    assert all(len(digest) == 64 for digest in checkpoint.facts.mapped.values())


def test_a_call_that_failed_is_made_again(
    rootfs: Callable[[str], Path], qemu_dir: Path, tmp_path: Path
) -> None:
    start = spec(rootfs("busybox-mipsel"), qemu_dir, "/bin/busybox", "nc", "127.0.0.1", "9")
    before, after, checkpoint = both_ends(start, "connect:ECONNREFUSED", tmp_path / "checkpoint")
    assert checkpoint.facts.call == "connect"
    assert after == before
    assert after.exit_code == 1


def test_crit_reads_what_is_written(qemu_dir: Path, tmp_path: Path) -> None:
    directory = tmp_path / "checkpoint"
    start = LaunchSpec(program=str(build("comes_back", "thumb")), qemu_dir=qemu_dir)
    _, _, checkpoint = both_ends(start, "getppid", directory)
    pid = checkpoint.pid
    images = [f"{kind}-{pid}.img" for kind in ("core", "mm", "pagemap", "fs")]
    images += ["files.img", "sk-queues.img", "filelocks.img", "pipes-data.img"]
    (core,), (memory,), (head, *pages), (fs,), files, unread, locked, (data,) = decoded(directory, *images)
    assert core["mtype"] == "ARM"
    registers = core["ti_arm"]["gpregs"]
    assert registers["pc"] == checkpoint.registers["pc"]
    assert registers["sp"] == checkpoint.registers["sp"]
    assert any(core["ti_arm"]["fpstate"]["vfp_regs"])
    assert core["ti_arm"]["tls"]
    handled = core["tc"]["sigactions"][8]
    assert handled["sigaction"] == checkpoint.actions[0].handler
    assert handled["mask"] == 1 << 11
    assert core["tc"]["blk_sigset"] == 1 << 27 | 1 | 1 << 10 | 1 << 44
    assert [(area["start"], area["end"]) for area in memory["vmas"]] == [
        (area.start, area.end) for area in checkpoint.areas
    ]
    assert (memory["mm_start_brk"], memory["mm_brk"]) == checkpoint.heap
    assert head["pages_id"] == 1
    assert sum(run["nr_pages"] for run in pages) * 4096 == (directory / "pages-1.img").stat().st_size
    assert fs["umask"] == 0o37
    sockets = [one["isk"] for one in files if one["type"] == "INETSK"]
    assert [(one["src_port"], one["state"]) for one in sockets] == [(8099, 10), (8067, 7)]
    others = {one["type"]: one for one in files}
    assert others["EVENTFD"]["efd"]["counter"] == 3
    assert len(others["EVENTPOLL"]["epfd"]["tfd"]) == 3
    assert [one["tfd"]["isec"] for one in files if one["type"] == "TIMERFD"] == [0, 500]
    assert others["SIGNALFD"]["sgfd"]["sigmask"] == 1
    marks = [(one["wd"], one["f_handle"]["path"]) for one in others["INOTIFY"]["ify"]["wd"]]
    assert marks == [(2, "/made"), (3, "/made/file")]
    assert sorted(one["length"] for one in unread) == [3, 4, 5, 6]
    locks = [(one["type"], one["start"], one["len"]) for one in locked]
    assert sorted(set(locks)) == [(1, 0, 0), (1, 3, 4)]
    assert data["bytes"] == len("in the pipe")
    looks = [("x", str(directory), what) for what in ("ps", "fds", "mems", "rss")]
    processes, descriptors, mappings, resident, shown = crit(*looks, ("show", str(directory / "files.img")))
    assert "another name" in processes
    assert "/made/file" in descriptors
    assert "[stack]" in mappings
    assert resident
    assert shown
    for image in directory.glob("*.img"):
        assert image.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("arch", ["arm", "mipsel", "aarch64", "mips64el", "i386", "riscv64", "s390x"])
def test_threads_go_on(qemu_dir: Path, tmp_path: Path, arch: str) -> None:
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    shutil.copy(build("works_together", arch), root / "program")
    start = LaunchSpec(program="/program", rootfs=root, qemu_dir=qemu_dir)
    before, after, checkpoint = both_ends(start, "getppid", tmp_path / "checkpoint")
    assert after.output == before.output
    assert (before.exit_code, after.exit_code) == (0, 0)
    assert after.output.decode().splitlines() == [
        "before",
        "again 0 held 1 unlock 0",
        "handled where it was sent 1",
        "thread 0 own 0 sum 8.958410677 blocks 0 x same number 1",
        "thread 1 own 101 sum 9.958410677 blocks 1 - same number 1",
        "thread 2 own 202 sum 10.958410677 blocks 0 - same number 1",
        "thread 3 own 303 sum 11.958410677 blocks 0 - same number 1",
        "thread 4 own 404 sum 12.958410677 blocks 0 - same number 1",
        "thread 5 own 505 sum 13.958410677 blocks 0 - same number 1",
        "joined 0 joined 11 joined 22 joined 33 joined 44 joined 55 ",
        "thread 2 own 202 sum 10.958410677 blocks 0 - same number 1",
        "end 22",
    ]
    # Newer architectures have no epoll_wait and poll.
    is_newer = arch in ("aarch64", "riscv64")
    waits = ["epoll_pwait", "accept", "ppoll"] if is_newer else ["epoll_wait", "accept", "poll"]
    # The last one computed, and came to its next call.
    *calls, last = [one.call.removesuffix("32") for one in checkpoint.threads]
    assert (calls, last) == (["read", "futex", *waits], "getuid")
    if arch != "arm":
        return
    images = [f"core-{one.tid}.img" for one in checkpoint.threads]
    (tree,), *cores = decoded(tmp_path / "checkpoint", "pstree.img", *images)
    assert tree["threads"] == [checkpoint.pid, *(one.tid for one in checkpoint.threads)]
    for one, (core,) in zip(checkpoint.threads, cores, strict=True):
        assert core["ti_arm"]["gpregs"]["sp"] == one.registers["sp"]
        assert core["ti_arm"]["clear_tid_addr"] == one.clear_tid
        assert core["ti_arm"]["tls"]
        assert "tc" not in core
    assert len({one.registers["sp"] >> 12 for one in checkpoint.threads}) == 6
    assert checkpoint.threads[1].blocked == 1 << 11
    (processes,) = crit(("x", str(tmp_path / "checkpoint"), "ps"))
    assert "program" in processes
