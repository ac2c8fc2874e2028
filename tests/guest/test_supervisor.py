"""Real foreign programs under the supervisor: what stops them, and what can be seen of them then."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import shell, spec
from tests.programs import build
from tests.waiting import PATIENCE_S
from triage_tui.errors import TriageError
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.guest.host import process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.spec import LaunchSpec, TriggerLimits, resolve_target
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Syscall

Rootfs = Callable[[str], Path]


def calls(guest: Guest, name: str) -> list[Syscall]:
    return [call for call in guest.history() if call.name == name]


@pytest.mark.usefixtures("each_carrier")
def test_exit_is_held_with_everything_readable(rootfs: Rootfs, qemu_dir: Path) -> None:
    root = rootfs("udhcpc-mipsel")
    argv = ("/bin/busybox", "udhcpc", "-f", "-i", "lan0", "-s", "/bin/true")
    with Guest.start(spec(root, qemu_dir, *argv)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, stop.ended) == ("exit", 1, False)
        assert stop.trigger.syscall_name == "exit_group"
        assert stop.trigger.args[0] == 1
        (request,) = calls(guest, "ioctl")
        assert (request.request, request.interface, request.errno) == ("SIOCGIFINDEX", "lan0", "ENODEV")
        assert request.args[1] == 0x8933
        registers = guest.registers()
        assert registers["v0"] == guest.arch.syscall_nr("exit_group")
        assert guest.read_memory(registers["sp"], 16)
        code = next(m for m in guest.maps() if m.start <= registers["pc"] < m.end)
        assert "x" in code.perms
        assert b"SIOCGIFINDEX" in guest.output()
        # The program moved a pipe to descriptor 3, as it does on a device.
        assert [descriptor.fd for descriptor in guest.fds()] == [0, 1, 2, 3, 4]
        assert guest.problems == []
    assert guest.processes() == []


@pytest.mark.parametrize(
    ("program", "argv", "call", "path"),
    [
        ("haveged-armhf", ("/usr/sbin/haveged", "-F"), "openat", "/proc/sys/kernel/random/poolsize"),
        ("xl2tpd-arm64", ("/usr/sbin/xl2tpd", "-D"), "mknodat", "/var/run/xl2tpd/l2tp-control"),
    ],
)
def test_dynamic_programs(
    rootfs: Rootfs, qemu_dir: Path, program: str, argv: tuple[str, ...], call: str, path: str
) -> None:
    with Guest.start(spec(rootfs(program), qemu_dir, *argv)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 1)
        assert [one.errno for one in calls(guest, call) if one.path == path] == ["ENOENT"]
        pc = guest.registers()[guest.arch.pc]
        module = next(m for m in guest.maps() if m.start <= pc < m.end)
        assert "libc" in module.path
        assert "x" in module.perms


def test_sleep_loop(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "tail", "-s", "0", "-F", "/var/log/messages")
    with Guest.start(spec(rootfs("tail-armel"), qemu_dir, *argv)) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "sleep_loop"
        assert stop.loop is not None
        assert set(stop.loop.names) == {"openat", "clock_nanosleep"}
        assert stop.trigger.syscall_name in stop.loop.names
        assert stop.trigger.seq > stop.loop.last_seq - 2


def test_loop_with_children_is_seen_in_the_parent(rootfs: Rootfs, qemu_dir: Path) -> None:
    script = "while [ ! -e /tmp/ready ]; do /bin/busybox false; done"
    limits = TriggerLimits(loop_repeats=4, loop_calls=8, idle_s=5)
    with Guest.start(spec(rootfs("busybox-arm64"), qemu_dir, *shell(script), triggers=limits)) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "loop"
        assert stop.loop is not None
        assert "newfstatat" in stop.loop.names
        executed = calls(guest, "execve")
        assert {call.note for call in executed if call.ret is not None} == {"now runs /bin/busybox"}
        assert {call.pid for call in executed}.isdisjoint({stop.trigger.pid})


@pytest.mark.parametrize("number", [0.0, -1.0, float("nan"), float("inf")])
def test_times_must_be_times(rootfs: Rootfs, qemu_dir: Path, number: float) -> None:
    for limits in (TriggerLimits(idle_s=number), TriggerLimits(time_limit_s=number)):
        with pytest.raises(TriageError, match="seconds"):
            Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, "/bin/busybox", "true", triggers=limits))


@pytest.mark.parametrize("user", [-1, 65536, 1 << 40])
def test_user_ids_must_exist(rootfs: Rootfs, qemu_dir: Path, user: int) -> None:
    with pytest.raises(TriageError, match="user id"):
        Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, "/bin/busybox", "true", user=user))


def test_a_path_with_nul_is_refused(rootfs: Rootfs, qemu_dir: Path) -> None:
    with pytest.raises(TriageError, match="NUL"):
        Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, "/bin/busy\0box"))


def test_blocked_guest_is_idle_and_shows_its_call(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "nc", "-l", "-p", "5555")
    with Guest.start(spec(rootfs("busybox-armel"), qemu_dir, *argv)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("idle", "accept")
        assert guest.statistics().listening == ["[::]:5555"]
        (socket_fd,) = [one for one in guest.fds() if one.kind == "socket"]
        assert socket_fd.state == "listening [::]:5555"
        assert guest.history()[socket_fd.origin_seq or 0].seq
        # Thawed and frozen again, it still waits: no signal reached it.
        again = guest.run_until_stop()
        assert (again.reason, again.trigger.seq) == ("idle", stop.trigger.seq)


@pytest.mark.usefixtures("each_carrier")
@pytest.mark.parametrize("after", ["sleep 5", "exit 3", "exit 0"])
def test_killed_main_process_is_no_end_of_the_child_that_killed_it(
    rootfs: Rootfs, qemu_dir: Path, after: str
) -> None:
    argv = shell(f"(kill -9 $$; {after}) | read x")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.signal, stop.exit_code) == ("signal", "SIGKILL", None)
        (killing,) = calls(guest, "kill")
        trigger = stop.trigger
        assert (trigger.seq, trigger.syscall_name, trigger.sender) == (killing.seq, "kill", killing.pid)
        assert trigger.args[:2] == [trigger.pid, 9]
        assert trigger.pid != killing.pid
        assert f"process {killing.pid} sent with kill" in trigger.detail


def test_time_limit_between_calls_names_the_process(rootfs: Rootfs, qemu_dir: Path) -> None:
    limits = TriggerLimits(idle_s=60, time_limit_s=0.5)
    argv = shell("while :; do :; done")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv, triggers=limits)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("time_limit", "")
        assert stop.trigger.pid == guest.history()[-1].pid
        assert "computing" in stop.trigger.detail


def test_datagram_server_is_reachable(rootfs: Rootfs, qemu_dir: Path, tmp_path: Path) -> None:
    for name, content in (
        ("bin/busybox", (rootfs("busybox-armel") / "bin/busybox").read_bytes()),
        (
            "etc/udhcpd.conf",
            b"interface lo\nstart 127.0.0.2\nend 127.0.0.9\npidfile /pid\nlease_file /leases\n",
        ),
        ("leases", b""),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "bin/busybox").chmod(0o755)
    with Guest.start(spec(tmp_path, qemu_dir, "/bin/busybox", "udhcpd", "-f", "/etc/udhcpd.conf")) as guest:
        assert guest.run_until_stop().reason in ("idle", "sleep_loop"), guest.output()
        assert guest.statistics().listening == ["udp 0.0.0.0:67"]


def test_spinning_guest_is_idle(rootfs: Rootfs, qemu_dir: Path) -> None:
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *shell("while :; do :; done"))) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "idle"
        assert "spinning" in stop.trigger.detail
        assert guest.registers()["pc"] in range(0x10000, 0x200000)


@pytest.mark.usefixtures("each_carrier")
def test_fatal_signal_is_held_before_the_process_dies(rootfs: Rootfs, qemu_dir: Path) -> None:
    with Guest.start(spec(rootfs("busybox-armel"), qemu_dir, *shell("kill -SEGV $$"))) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.signal, stop.ended) == ("signal", "SIGSEGV", False)
        assert guest.registers()["pc"]
        end = guest.run_until_stop()
        assert (end.reason, end.signal, end.ended) == ("signal", "SIGSEGV", True)


@pytest.mark.usefixtures("each_carrier")
def test_daemon_is_followed(rootfs: Rootfs, qemu_dir: Path, tmp_path: Path) -> None:
    for name, content in (
        ("bin/busybox", (rootfs("busybox-mipsel") / "bin/busybox").read_bytes()),
        ("dev/null", b""),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
    script = "(echo child; while :; do :; done) & echo parent; exit 0"
    with Guest.start(spec(tmp_path, qemu_dir, *shell(script))) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "idle"
        (end_of_parent,) = calls(guest, "exit_group")
        assert "a daemon" in (end_of_parent.note or "")
        assert len(guest.processes()) == 1
        assert sorted(guest.output().split()) == [b"child", b"parent"]


@pytest.mark.usefixtures("each_carrier")
def test_children_have_their_own_calls_and_registers(rootfs: Rootfs, qemu_dir: Path) -> None:
    script = "(cd /nowhere1) ; (cd /nowhere2; cd /nowhere3); exit 7"
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *shell(script))) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 7)
        moves = calls(guest, "chdir")
        assert [call.path for call in moves] == ["/nowhere1", "/nowhere2", "/nowhere3"]
        assert moves[1].pid == moves[2].pid != moves[0].pid
        assert all(call.args and guest.arch.syscall_nr("chdir") == call.num for call in moves)
        assert guest.statistics().processes == 3
        assert guest.problems == []


@pytest.mark.usefixtures("each_carrier")
def test_closing_all_descriptors_leaves_the_supervision_whole(rootfs: Rootfs, qemu_dir: Path) -> None:
    closes = "; ".join(f"exec {fd}>&-" for fd in (3, 4, 5, 6, 1025, 1026, 1027, 1028, 1029))
    with Guest.start(
        spec(rootfs("busybox-armel"), qemu_dir, *shell(f"{closes}; cd /after; exit 4"))
    ) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 4)
        assert [call.path for call in calls(guest, "chdir")] == ["/after"]


def test_a_guest_that_calls_faster_than_its_log_is_read(rootfs: Rootfs, qemu_dir: Path) -> None:
    limits = TriggerLimits(idle_s=60, time_limit_s=PATIENCE_S, loop_repeats=10**9, loop_calls=10**9)
    script = "while :; do cd /; done"
    with Guest.start(spec(rootfs("busybox-arm64"), qemu_dir, *shell(script), triggers=limits)) as guest:
        stop = guest.run_until_stop(wanted=lambda: guest.trace.count > 4000)
        assert stop.reason == "requested"
        assert guest.trace.unread() == 0
        assert guest.statistics().syscalls > 4000
        seqs = [call.seq for call in guest.history()]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


@pytest.mark.usefixtures("each_carrier")
def test_cancel_freezes_where_it_is(rootfs: Rootfs, qemu_dir: Path) -> None:
    cancel = threading.Event()
    start = spec(rootfs("busybox-armhf"), qemu_dir, *shell("echo up; while :; do :; done"))
    with Guest.start(start, on_event=lambda kind, _text: cancel.set() if kind == "output" else None) as guest:
        stop = guest.run_until_stop(cancel)
        assert stop.cancelled
        assert guest.is_frozen
        states = [process.thread_state(pid, pid) for pid in guest.processes()]
        assert {state.state for state in states if state} <= {"T", "t"}


def test_writes_stay_in_the_cell(rootfs: Rootfs, qemu_dir: Path) -> None:
    root = rootfs("busybox-armel")
    before = sorted(path.name for path in root.iterdir())
    digest = hashlib.sha256((root / "bin/busybox").read_bytes()).hexdigest()
    script = "echo new > /new; busybox=1; echo broken > /bin/busybox; cat < /new >&2; exit 0"
    with Guest.start(spec(root, qemu_dir, *shell(script))) as guest:
        guest.run_until_stop()
        names = os.listdir(guest.root_path)
        assert "new" in names
        assert not [name for name in names if name.startswith(".")]
    assert sorted(path.name for path in root.iterdir()) == before
    assert hashlib.sha256((root / "bin/busybox").read_bytes()).hexdigest() == digest


def test_a_guest_that_is_not_root(rootfs: Rootfs, qemu_dir: Path) -> None:
    how = spec(rootfs("busybox-armel"), qemu_dir, "/bin/busybox", "ping", "-c", "1", "127.0.0.1", user=65534)
    with Guest.start(how) as guest:
        stop = guest.run_until_stop()
        assert stop.exit_code == 1
        assert {call.ret for call in calls(guest, "getuid32")} == {65534}
        assert next(call.errno for call in calls(guest, "socket")) == "EPERM"


def test_loop_of_one_thread_is_shown_in_that_process(rootfs: Rootfs, qemu_dir: Path, tmp_path: Path) -> None:
    for name, content in (
        ("bin/busybox", (rootfs("busybox-armhf") / "bin/busybox").read_bytes()),
        ("dev/null", b""),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
    script = "(while cd /; do :; done) & while :; do cd /nowhere; cd /a; done 2>/dev/null"
    limits = TriggerLimits(loop_repeats=200, loop_calls=200, grace_s=0.2)
    with Guest.start(spec(tmp_path, qemu_dir, *shell(script), triggers=limits)) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "loop"
        assert stop.loop is not None
        assert stop.trigger.syscall_name in stop.loop.names
        assert process.inner_pid(guest.pid) == stop.trigger.pid
        looping = [call for call in guest.history() if call.seq == stop.loop.last_seq]
        assert [call.pid for call in looping] == [stop.trigger.pid]


def test_dangerous_calls_are_evidence(rootfs: Rootfs, qemu_dir: Path) -> None:
    host = os.uname().nodename
    with Guest.start(spec(rootfs("busybox-mipsel"), qemu_dir, "/bin/busybox", "hostname", "owned")) as guest:
        stop = guest.run_until_stop()
        assert stop.exit_code == 1
        (call,) = calls(guest, "sethostname")
        assert (call.errno, call.note) == ("EPERM", "refused by containment: renaming the host")
    assert os.uname().nodename == host


def test_what_cannot_be_run_is_said_in_one_sentence(rootfs: Rootfs, qemu_dir: Path, tmp_path: Path) -> None:
    root = rootfs("busybox-armel")
    for program, words in (
        ("/bin/nothing", "No such file"),
        ("bin/busybox", "no absolute path"),
        ("/bin", "Is a directory"),
    ):
        with pytest.raises(TriageError, match=words):
            resolve_target(LaunchSpec(program=program, rootfs=root))
    for mode, words in ((0o644, "no execute permission"), (0o755, "n32 ABI of MIPS, which is not supported")):
        copy = tmp_path / "program"
        copy.write_bytes(build("calls", "mipsel").read_bytes())
        if mode == 0o755:
            with copy.open("r+b") as file:
                # e_flags of <elf.h>: EF_MIPS_ABI2.
                file.seek(36)
                flags = int.from_bytes(file.read(4), "little") | 0x20
                file.seek(36)
                file.write(flags.to_bytes(4, "little"))
        copy.chmod(mode)
        with pytest.raises(TriageError, match=words):
            resolve_target(LaunchSpec(program="/program", rootfs=tmp_path))
    with pytest.raises(TriageError, match="working directory /nowhere"):
        Guest.start(spec(root, qemu_dir, "/bin/busybox", cwd="/nowhere"))
    with pytest.raises(TriageError, match="QEMU_STRACE"):
        Guest.start(spec(root, qemu_dir, "/bin/busybox", env={"QEMU_STRACE": "1"}))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "link").symlink_to("../../../../etc/hostname")
    with pytest.raises(TriageError, match="No such file"):
        resolve_target(LaunchSpec(program="/etc/link", rootfs=tmp_path))


def test_dynamic_program_needs_its_interpreter(rootfs: Rootfs, tmp_path: Path) -> None:
    program = rootfs("haveged-armhf") / "usr/sbin/haveged"
    with pytest.raises(TriageError, match="--rootfs"):
        resolve_target(LaunchSpec(program=str(program)))
    (tmp_path / "haveged").write_bytes(program.read_bytes())
    with pytest.raises(TriageError, match="interpreter /lib/ld-linux-armhf"):
        resolve_target(LaunchSpec(program="/haveged", rootfs=tmp_path))


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_a_program_or_interpreter_that_is_cut_off_says_so(
    rootfs: Rootfs, tmp_path: Path, kept: float
) -> None:
    source, loader = rootfs("haveged-armhf"), Path("lib/ld-linux-armhf.so.3")
    (tmp_path / "lib").mkdir()
    for path, words in (
        (Path("usr/sbin/haveged"), "^/haveged is cut off: its segment .* needs [0-9]+ bytes of the file"),
        (loader, "^the interpreter /lib/ld-linux-armhf.so.3 is cut off: its segment"),
    ):
        (tmp_path / "haveged").write_bytes((source / "usr/sbin/haveged").read_bytes())
        (tmp_path / "haveged").chmod(0o755)
        (tmp_path / loader).write_bytes((source / loader).read_bytes())
        resolve_target(LaunchSpec(program="/haveged", rootfs=tmp_path))
        cut = tmp_path / (loader if path == loader else "haveged")
        whole = cut.read_bytes()
        # Beyond what is loaded there are only the section headers.
        loaded = max(end for _, end in read_elf(whole, "x").file_ranges)
        cut.write_bytes(whole[: max(1024, int((loaded - 4096) * kept))])
        with pytest.raises(TriageError, match=words):
            resolve_target(LaunchSpec(program="/haveged", rootfs=tmp_path))


def test_single_program_without_a_root(rootfs: Rootfs, qemu_dir: Path) -> None:
    program = str(rootfs("busybox-armel") / "bin/busybox")
    start = LaunchSpec(program=program, argv=["busybox", "ls", "/"], qemu_dir=qemu_dir)
    with Guest.start(start) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.output().split() == [program.split("/")[1].encode()]


def test_an_interrupted_exec_is_never_left_to_the_kernel(
    rootfs: Rootfs, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = Guest._handle

    def interrupted(guest: Guest, notification: Notification, name: str) -> None:
        if name == "execve":
            monkeypatch.setattr(Guest, "_handle", handle)
            raise KeyboardInterrupt
        handle(guest, notification, name)

    monkeypatch.setattr(Guest, "_handle", interrupted)
    with Guest.start(spec(rootfs("busybox-armel"), qemu_dir, *shell("/bin/busybox echo; echo $?"))) as guest:
        with pytest.raises(KeyboardInterrupt):
            guest.run_until_stop()
        assert guest.run_until_stop().reason == "exit"
        assert b"Permission denied\n126" in guest.output()
