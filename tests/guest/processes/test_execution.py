"""Programs that a guest executes: real shells, scripts and daemons, and attempts to run one natively."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import carried, shell, spec
from tests.programs import build, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.emulator import environment
from triage_tui.guest.emulator.qemu import find_qemu
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes.exec_policy import is_foreign
from triage_tui.guest.record.capture import capture
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource
from triage_tui.runs.model import NOT_STARTED, Engine, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter

Rootfs = Callable[[str], Path]
LONG = TriggerLimits(idle_s=5, time_limit_s=120, off=frozenset(("loop", "sleep_loop")))


def executions(guest: Guest) -> list[Syscall]:
    return [call for call in guest.full_trace() if call.name == "execve"]


def run(root: Path, qemu_dir: Path, *argv: str) -> tuple[bytes, list[Syscall]]:
    """Run a guest to its end; return what it printed and its execve calls."""
    with Guest.start(spec(root, qemu_dir, *argv, triggers=LONG)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, guest.problems) == ("exit", []), stop.trigger.detail
        return guest.output(), executions(guest)


def script(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)
    (root / name).chmod(0o755)


@pytest.fixture
def root(rootfs: Rootfs, tmp_path: Path) -> Path:
    """A root file system with busybox for ARM."""
    for name in ("bin", "dev", "proc", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "dev/null").touch()
    shutil.copy(rootfs("busybox-armel") / "bin/busybox", tmp_path / "bin")
    for applet in ("sh", "env", "cat", "echo", "uname"):
        (tmp_path / "bin" / applet).symlink_to("busybox")
    return tmp_path


@pytest.mark.usefixtures("carrier")
@carried("name", "busybox-armel", "busybox-armhf", "busybox-arm64", "busybox-mipsel")
def test_children_run_other_programs_and_are_supervised(rootfs: Rootfs, qemu_dir: Path, name: str) -> None:
    code = "x=$(/bin/busybox echo inner | /bin/busybox cat); echo $x; exec /bin/busybox echo outer"
    with Guest.start(spec(rootfs(name), qemu_dir, *shell(code), triggers=LONG)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.output() == b"inner\nouter\n"
        done = executions(guest)
        assert len(done) == 3
        assert {(call.ret, call.note) for call in done} == {(0, "now runs /bin/busybox")}
        # The last one replaced the first process, whose state is that of the new program.
        assert guest.program.argv == ["/bin/busybox", "echo", "outer"]
        registers = guest.registers()
        arch = guest.arch
        assert registers[arch.syscall_number] == arch.syscall_nr("exit_group")
        assert any(m.start <= registers[arch.pc] < m.end and "x" in m.perms for m in guest.maps())
        assert guest.read_memory(guest.auxv[3] - guest.program.elf.program_headers, 4) == b"\x7fELF"
        children = {call.pid for call in done} - {done[-1].pid}
        writers = {call.pid for call in guest.full_trace() if call.name == "write"}
        assert children & writers
        assert guest.problems == []


def test_hash_bang_lines_are_followed_as_by_the_kernel(root: Path, qemu_dir: Path) -> None:
    script(root, "bin/one", '#! /bin/sh\necho "one $0 $#: $*"\n')
    script(root, "bin/two", "#!/bin/env /bin/one\n")
    script(root, "bin/three", "#!/bin/one a  b\t\nignored")
    script(root, "bin/plain", "echo plain $1\n")
    script(root, "bin/nothing", "#!\n")
    script(root, "bin/lost", "#!/bin/none\n")
    script(root, "bin/loop", "#!/bin/loop\n")
    code = "cd /bin; one x 'y z'; ./two; /bin/three c; ./plain 5; ./lost; echo $?; ./loop; echo $?"
    output, done = run(root, qemu_dir, *shell(code))
    assert output.splitlines()[:4] == [
        b"one /bin/one 2: x y z",
        b"one /bin/one 1: ./two",
        b"one /bin/one 3: a  b /bin/three c",
        b"plain 5",
    ]
    failed = {call.path: call.errno for call in done if call.errno}
    assert failed == {"./plain": "ENOEXEC", "./lost": "ENOENT", "./loop": "ELOOP"}


def test_names_that_are_no_utf8_are_executed_and_recorded(root: Path, qemu_dir: Path, tmp_path: Path) -> None:
    odd = os.fsencode(root) + b"/bin/\xff"
    os.mkdir(odd)
    os.symlink("../busybox", odd + b"/sh")
    for name, line in ((b"/script", b"#!/bin/sh"), (b"/other", b"#!/bin/\xff/sh \xfe")):
        with open(odd + name, "wb") as file:
            file.write(line + b"\necho ran $0\n")
            os.fchmod(file.fileno(), 0o755)
    code = "cd /bin/?; ./script; ./other; exec /bin/?/script"
    with Guest.start(spec(root, qemu_dir, *shell(code), triggers=LONG)) as guest:
        stop = guest.run_until_stop()
        assert stop.reason == "exit"
        assert guest.output().splitlines()[0] == b"ran ./script"
        assert guest.output().splitlines()[-1] == b"ran /bin/\xff/script"
        writer = RunWriter(tmp_path / "runs")
        capture(guest, stop, writer, target=guest.target, engine=Engine(contained=guest.contained))
        record = load_run(writer.publish())
    assert record.problems == []
    executed = [call for call in record.trace() if call.name == "execve" and call.ret == 0]
    assert executed[-1].path == r"/bin/\xff/script"
    assert "now runs /bin/\\xff/sh" in {call.note for call in executed}
    assert record.snapshot.processes[0].argv[-1] == r"/bin/\xff/script"


@pytest.mark.usefixtures("each_carrier")
def test_what_fails_anyway_gets_its_error(root: Path, qemu_dir: Path) -> None:
    (root / "text").write_text("hello")
    (root / "cut").write_bytes(b"\x7fELF\1\1\1")
    (root / "vax").write_bytes((root / "bin/busybox").read_bytes()[:18] + b"\x4b\0" + bytes(100))
    for name in ("cut", "vax"):
        (root / name).chmod(0o755)
    shutil.copy(Path(sys.executable).resolve(), root / "dynamic")
    code = "for x in /text /bin /none /cut /vax /dynamic; do $x; done; /bin/echo on"
    output, done = run(root, qemu_dir, *shell(code))
    assert output.endswith(b"on\n")
    assert {call.path: call.errno for call in done if call.errno} == {
        "/text": "EACCES",
        "/bin": "EACCES",
        "/none": "ENOENT",
        "/cut": "ENOEXEC",
        "/vax": "ENOEXEC",
        "/dynamic": "ENOENT",
    }


def test_a_process_names_programs_through_its_own_links(root: Path, qemu_dir: Path) -> None:
    code = (
        "cd /bin; exec 7</bin/busybox; /proc/self/root/bin/echo a; /proc/thread-self/cwd/echo b; "
        "/proc/self/cwd/../bin/echo c; /proc/self/root/../../../bin/echo d; "
        "(exec -a busybox /proc/thread-self/fd/7 echo e); /proc/self/root%s; /bin/echo f"
    )
    # A file of the host that the guest's root does not have.
    output, done = run(root, qemu_dir, *shell(code % Path(sys.executable).resolve()))
    assert [line for line in output.splitlines() if len(line) == 1] == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert [call.errno for call in done if call.errno] == ["ENOENT"]


def test_programs_of_other_architectures_run_under_their_emulator(
    root: Path, rootfs: Rootfs, qemu_dir: Path
) -> None:
    for name in ("mipsel", "arm64"):
        (root / name).mkdir()
        shutil.copy(rootfs(f"busybox-{name}") / "bin/busybox", root / name)
    code = "for x in mipsel arm64 bin; do /$x/busybox uname -m; done; exec /mipsel/busybox cat /none"
    with Guest.start(spec(root, qemu_dir, *shell(code), triggers=LONG)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 1)
        assert guest.output().split()[:3] == [b"mips", b"aarch64", b"armv7l"]
        # The last call of the MIPS program, in the terms of its architecture.
        assert guest.arch.name == "mipsel"
        assert guest.registers()["v0"] == guest.arch.syscall_nr("exit_group")
        assert guest.auxv[4] == 32
        failed = [call for call in guest.full_trace() if call.path == "/none"]
        assert failed
        assert failed[-1].errno == "ENOENT"
        # Each call says which architecture's numbers it has.
        trace = guest.full_trace()
        assert {call.arch for call in trace if call.pid == failed[-1].pid} == {"arm", "mipsel"}
        assert {call.arch for call in trace} == {"arm", "mipsel", "aarch64"}
        assert guest.problems == []


def test_a_program_of_another_architecture_may_begin_with_threads(root: Path, qemu_dir: Path) -> None:
    """Nothing is known of its emulator, and its first call that is looked at already makes a thread."""
    shutil.copy(build("threads", "aarch64"), root / "bin/threads")
    with Guest.start(spec(root, qemu_dir, *shell("exec /bin/threads"))) as guest:
        assert guest.run_until_stop().reason == "idle"
        (known,) = guest.processes_known.by_pid.values()
        assert known.program.location is not None
        assert len([env for env in known.envs.values() if env]) == 4
        assert guest.problems == []


def test_a_program_of_the_host_runs_emulated_too(root: Path, qemu_dir: Path) -> None:
    arch = os.uname().machine
    shutil.copy(build("executes", arch), root / "bin/host")
    with Guest.start(spec(root, qemu_dir, *shell("exec /bin/host"), triggers=LONG)) as guest:
        guest.run_until_stop()
        assert guest.arch.name == arch
        assert (
            os.readlink(f"/proc/{guest.pid}/exe")
            == f"/memfd:{find_qemu(guest.arch, qemu_dir).name} (deleted)"
        )
        assert guest.problems == []


@pytest.mark.usefixtures("each_carrier")
@pytest.mark.parametrize(
    ("switched_by", "arch"),
    [("process", "arm"), ("thread", "aarch64"), *((by, os.uname().machine) for by in ("process", "thread"))],
)
def test_no_race_runs_a_program_of_the_host_natively(
    tmp_path: Path, qemu_dir: Path, switched_by: str, arch: str
) -> None:
    root = root_with(tmp_path, arch, "exec_race")
    shutil.copy(build("is_native", arch), root / "bin/good")
    shutil.copy(build("is_native", os.uname().machine), root / "bin/evil")
    argv = ["/bin/exec_race", "/bin/good", "/bin/evil", "20", *([switched_by] * (switched_by == "thread"))]
    with Guest.start(spec(root, qemu_dir, *argv, triggers=LONG)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, guest.problems) == ("exit", 0, [])
        *said, last = guest.output().decode().splitlines()
        assert set(said) == {"emulated"}
        done = [call for call in executions(guest) if call.ret == 0]
        assert last == f"failed {20 - len(said)}"
        assert len(done) == len(said)
        assert {call.path for call in done} <= {"/bin/good", "/bin/evil"}


def test_the_host_can_tell_what_is_native() -> None:
    assert subprocess.run([build("is_native", os.uname().machine)], stdout=-1).stdout == b"NATIVE\n"


WAYS = [("arm", way) for way in ("-x", "./x", "memory", "descriptor", "stops")]
WAYS += [
    (arch, way) for arch in ("arm", "aarch64", "mipsel", "ppc", "riscv64") for way in ("thread", "signals")
]


@pytest.mark.parametrize(("arch", "way"), WAYS)
def test_a_program_inherits_what_it_should(tmp_path: Path, qemu_dir: Path, arch: str, way: str) -> None:
    root = root_with(tmp_path, arch, "exec_state")
    for name in ("-x", "x"):
        (root / "tmp" / name).symlink_to("/bin/exec_state")
    output, (*before, done) = run(root, qemu_dir, "/bin/exec_state", way)
    assert (done.ret, done.errno) == (0, None)
    # QEMU itself begins a call again when a signal comes before it has reached the host.
    assert {(call.ret, call.note) for call in before} <= {(None, "then SIGWINCH was delivered")}
    lines = output.decode().splitlines()
    first = "/bin/exec_state" if way == "thread" else "name given"
    assert lines[0] == f"argc 2 first {first} last show"
    # In the order given, but for what goes to the emulator by option.
    plain = ["env PLAIN=1", "env EMPTY=", "env COMMA=a,b"]
    assert [line for line in lines if line in plain] == plain
    others = {"env LD_LIBRARY_PATH=/lib:/usr/lib", "env QEMU_STRACE=1", "env QEMU_GDB=1234"}
    assert {line for line in lines if line.startswith("env ")} == {*plain, *others}
    assert f"[{first[1:]}|show|]" in lines
    assert "cwd /tmp" in lines
    assert "ignored 10" in lines or "ignored 16" in lines
    assert "blocked 1 0" in lines
    numbers = [int(line.split()[1]) for line in lines if line.startswith("fd ")]
    kept = {"memory": [4], "descriptor": [3]}.get(way, [])
    assert numbers == [0, 1, 2, *kept, 10]
    if way != "memory":
        assert "exe /bin/exec_state" in lines


def test_long_argument_vectors_arrive_and_too_long_ones_fail(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "exec_state")
    output, _ = run(root, qemu_dir, "/bin/exec_state", "long")
    assert output.startswith(b"argc 30001 first /bin/exec_state last xxxxxxxxxxxxxxxxxxxx\n")
    output, _ = run(root, qemu_dir, "/bin/exec_state", "too long")
    assert output == b"error 7\n"


def test_each_process_has_its_own_program_in_the_record(
    root: Path, rootfs: Rootfs, qemu_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (root / "mips").mkdir()
    shutil.copy(rootfs("busybox-mipsel") / "bin/busybox", root / "mips")
    code = "/bin/busybox sleep 100 & exec /mips/busybox tail -f /dev/null"
    quick = TriggerLimits(idle_s=1, time_limit_s=120)
    with Guest.start(spec(root, qemu_dir, *shell(code), triggers=quick)) as guest:
        stop = guest.run_until_stop()
        writer = RunWriter(tmp_path_factory.mktemp("runs"))
        snapshot = capture(guest, stop, writer, target=guest.target, engine=Engine())
    programs = {(p.program, p.arch, tuple(p.argv)) for p in snapshot.processes}
    assert programs == {
        ("/bin/busybox", "arm", ("/bin/busybox", "sleep", "100")),
        ("/mips/busybox", "mipsel", ("/mips/busybox", "tail", "-f", "/dev/null")),
    }
    looked_at = next(p for p in snapshot.processes if p.looked_at)
    assert snapshot.target.arch == looked_at.arch
    assert {register.name for register in snapshot.regs} >= {"v0" if looked_at.arch == "mipsel" else "r7"}
    assert any(m.path.endswith(looked_at.program) and "x" in m.perms for m in snapshot.maps)
    assert snapshot.backtrace.frames


@pytest.mark.usefixtures("carrier")
@carried("arch,many", ("arm", 50), ("mipsel", 10), (os.uname().machine, 10))
def test_the_c_library_starts_programs_and_many_follow_each_other(
    root: Path, qemu_dir: Path, arch: str, many: int
) -> None:
    shutil.copy(build("shells_out", arch), root / "bin")
    output, done = run(root, qemu_dir, "/bin/shells_out", str(many), "all")
    # A posix_spawn that fails reports it through shared memory, which QEMU's vfork does not have.
    lines = output.decode().splitlines()
    assert lines[:5] == ["system 5", "through a pipe", "pclose 0", "spawned", "posix_spawnp 0"]
    assert lines[-1] == f"pid {done[-1].pid}"
    assert sum(call.note == "now runs /bin/shells_out" for call in done) == many
    assert {call.path for call in done if call.errno} >= {"/none"}


def test_a_daemon_is_followed_to_where_it_serves(root: Path, qemu_dir: Path) -> None:
    """busybox telnetd goes to the background by itself; the shell that started it is gone by then."""
    quick = TriggerLimits(idle_s=1, time_limit_s=120)
    code = "/bin/busybox telnetd -l /bin/sh && exit 0"
    with Guest.start(spec(root, qemu_dir, *shell(code), triggers=quick)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.trigger.syscall_name) == ("idle", "pselect6")
        assert guest.program.argv[:2] == ["/bin/busybox", "telnetd"]
        assert guest.statistics().listening == ["[::]:23"]
        ended = [call for call in guest.full_trace() if call.name == "exit_group"]
        assert any("a daemon" in (call.note or "") for call in ended)
        assert guest.problems == []


def test_start_stop_daemon_starts_one_and_ends_it(root: Path, qemu_dir: Path) -> None:
    tool = "/bin/busybox start-stop-daemon -p /tmp/pid"
    code = (
        f"{tool} -S -b -m -x /bin/busybox -- sleep 20; while [ ! -s /tmp/pid ]; do /bin/busybox usleep 10000;"
        f" done; {tool} -K; while [ -d /proc/$(cat /tmp/pid) ]; do /bin/busybox usleep 10000; done; echo gone"
    )
    output, done = run(root, qemu_dir, *shell(code))
    assert b"stopped process in pidfile" in output
    assert output.endswith(b"gone\n")
    assert "now runs /bin/busybox" in {call.note for call in done if "sleep" in str(call.arguments)}


def test_rules_for_execve_come_first(root: Path, qemu_dir: Path) -> None:
    code = """function do_syscall(num, path)
        local name = c_read_string(path, 100)
        if name == "/bin/forbidden" then return 1, -c_errno("EPERM") end
        if name == "/bin/late" then c_provide_file("/bin/late", "#!/bin/echo late\\n", tonumber("755", 8)) end
        return 0, 0
    end"""
    (root / "bin/forbidden").symlink_to("busybox")
    access = RuleAccess(by_name("arm"))
    start = spec(root, qemu_dir, *shell("/bin/forbidden; echo $?; /bin/late"), triggers=LONG)
    with (
        RuleHost([RuleSource("r", "execve", code.encode())], access) as rules,
        Guest.start(start, rules=rules, access=access) as guest,
    ):
        assert guest.run_until_stop().exit_code == 0
        assert guest.problems == []
        assert guest.output().splitlines()[-2:] == [b"126", b"late /bin/late"]


@pytest.mark.usefixtures("each_carrier")
def test_a_run_may_answer_as_a_kernel_without_binfmt_misc(root: Path, qemu_dir: Path) -> None:
    helper = root / "bin/helper"
    image = (root / "bin/busybox").read_bytes()
    helper.write_bytes(image)
    helper.chmod(0o755)
    script(root, "script", "#!/bin/helper\n")
    script(root, "lost", "#!/bin/none\n")
    (root / "closed").write_bytes(image)
    rule = """function do_syscall(num, path)
        if c_read_string(path, 100) == "/bin/env" then c_start_program() end
        return 0, 0
    end"""
    # The shell would take a script that gives ENOEXEC for one of its own.
    tried = "/bin/helper /script /lost /closed /none"
    code = f"for x in {tried}; do (exec $x); done; /bin/env /bin/echo on; /bin/env env"
    access = RuleAccess(by_name("arm"))
    start = spec(root, qemu_dir, *shell(code), triggers=LONG, exec_policy="refuse")
    with (
        RuleHost([RuleSource("r", "execve", rule.encode())], access) as rules,
        Guest.start(start, rules=rules, access=access) as guest,
    ):
        assert guest.run_until_stop().reason == "exit"
        done = executions(guest)
        hits = rules.hits()
    first = {call.path: call for call in reversed(done)}
    errors = {path: call.errno for path, call in first.items()}
    assert (
        errors
        | {
            "/bin/helper": "ENOEXEC",
            "/script": "ENOEXEC",
            "/lost": "ENOENT",
            "/closed": "EACCES",
            "/none": "ENOENT",
            "/bin/env": None,
            # What a rule has started may start nothing by itself.
            "/bin/echo": "ENOEXEC",
        }
        == errors
    )
    assert all(NOT_STARTED in (first[path].note or "") for path in ("/bin/helper", "/script", "/bin/echo"))
    assert first["/lost"].note is None
    assert hits[0].hits >= 2


@pytest.mark.parametrize(
    ("machine", "name", "foreign"),
    [
        ("x86_64", "i386", False),
        ("x86_64", "x86_64", False),
        ("x86_64", "arm", True),
        ("aarch64", "aarch64", False),
        ("aarch64", "x86_64", True),
        ("riscv64", "mipsel", True),
    ],
)
def test_what_the_host_runs_itself_is_not_foreign(
    monkeypatch: pytest.MonkeyPatch, machine: str, name: str, foreign: bool
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6", "1", machine)))
    assert is_foreign(by_name(name)) == foreign


def test_processes_have_the_names_of_their_programs(root: Path, qemu_dir: Path) -> None:
    script(root, "bin/serve-it", "#!/bin/sh\ncat /proc/$$/comm; pidof serve-it; echo $$\n")
    (root / "bin/pidof").symlink_to("busybox")
    code = "cat /proc/$$/comm; serve-it; /bin/cat /proc/self/comm"
    output, _done = run(root, qemu_dir, *shell(code))
    words = output.decode().split()
    assert words[:2] == ["busybox", "serve-it"]
    assert words[2] == words[3]
    assert words[4:] == ["cat"]


@pytest.mark.usefixtures("each_carrier")
def test_what_is_not_the_emulator_is_killed_before_its_first_instruction(
    tmp_path: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the guest had won every race before: the kernel executes a native program."""
    root = root_with(tmp_path, "arm", "executes", "is_native")
    native = build("is_native", os.uname().machine)
    give = Guest._give_own

    def give_another(guest: Guest, notification: Notification, fd: int, number: int, cloexec: bool) -> None:
        with native.open("rb") as file:
            give(guest, notification, file.fileno(), number, cloexec)

    monkeypatch.setattr(Guest, "_give_own", give_another)
    start = spec(root, qemu_dir, "/bin/executes", "/bin/is_native", triggers=LONG)
    with Guest.start(start) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.signal) == ("signal", "SIGKILL")
        assert guest.output() == b""
        assert "is not the emulator" in guest.problems[0]


def test_an_environment_that_would_change_the_emulator_is_found_before_its_first_instruction(
    root: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if another thread had changed a variable's name right after it was looked at."""
    monkeypatch.setattr(environment, "sift", lambda tid, pointers: (list(pointers), [], []))
    code = "QEMU_STRACE=1 exec /bin/echo on"
    with Guest.start(spec(root, qemu_dir, *shell(code), triggers=LONG)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.signal) == ("signal", "SIGKILL")
        assert guest.output() == b""
        assert "is not the emulator" in guest.problems[0]


def test_a_program_that_computes_at_once_is_found_when_it_is_frozen(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "executes", "spins")
    shutil.copy(build("spins", "mipsel"), root / "bin/other")
    for program, arch in (("spins", "arm"), ("other", "mipsel")):
        quick = TriggerLimits(idle_s=0.5, time_limit_s=120)
        argv = ["/bin/executes", f"/bin/{program}"]
        with Guest.start(spec(root, qemu_dir, *argv, triggers=quick)) as guest:
            assert guest.run_until_stop().reason == "idle"
            assert guest.arch.name == arch
            pc = guest.registers()[guest.arch.pc]
            assert any(m.start <= pc < m.end and "x" in m.perms for m in guest.maps())


@pytest.mark.usefixtures("each_carrier")
def test_processes_that_are_killed_while_they_execute_leave_nothing(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "exec_killed", "calls")
    with Guest.start(spec(root, qemu_dir, "/bin/exec_killed", "60", "/bin/calls", triggers=LONG)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.output().endswith(b"all gone\n")
        assert {problem.split(": ")[1] for problem in guest.problems} <= {"it was killed meanwhile"}
